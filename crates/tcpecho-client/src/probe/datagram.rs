//! Messages over UDP. An ICMP error concerns a single datagram, which the
//! kernel returns with it; the other messages are not affected.

use std::io;

use common::app::Io;
use common::{Error, Result};

use super::ProbeRun;
use super::pending::PendingSend;
use crate::connection::{self, Connection};
use crate::sys;

/// The number of datagrams, or of errors, after which the caller checks its
/// deadlines and the signals.
const MAX_BATCH: usize = 64;

/// Makes the kernel return the datagram that caused an ICMP error. Without
/// this, the errors are still reported, and their messages time out.
pub(super) fn enable_error_queue(connection: &Connection) {
    if !connection.is_datagram() {
        return;
    }
    if let Ok(address) = rustix::net::getsockname(connection) {
        let is_ipv6 = address.address_family() == rustix::net::AddressFamily::INET6;
        let _ = sys::enable_error_queue(connection, is_ipv6);
    }
}

impl ProbeRun<'_> {
    /// Sends and receives datagrams without waiting.
    pub(super) fn transfer_datagrams(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<()> {
        self.drain_error_queue(chunk, io)?;
        self.send_datagram(chunk, io)?;
        let mut events = Vec::new();
        for _ in 0..MAX_BATCH {
            let Some(connection) = &mut self.connection else {
                break;
            };
            match connection.read(chunk) {
                Ok(n) => {
                    let now = self.started.elapsed();
                    self.tracker.receive_datagram(&chunk[..n], now, &mut events);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // The error is in the error queue with its datagram.
                Err(_) => {
                    self.drain_error_queue(chunk, io)?;
                }
            }
        }
        self.report(io, &events)
    }

    /// Sends the pending datagram, if there is one. This call may return the
    /// error of an earlier datagram instead of sending; then it is repeated.
    fn send_datagram(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<()> {
        let (mut own_errors, mut attempts) = (0, 0);
        while !self.pending.is_sent() {
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            match connection.write(self.pending.rest()) {
                Ok(_) => self.pending = PendingSend::default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => {
                    // An error that is not in the queue may be of this send. For a
                    // datagram that is too long, each send adds one to the queue.
                    let is_queued = self.drain_error_queue(chunk, io)? > 0;
                    let is_too_long = e.raw_os_error() == Some(libc::EMSGSIZE);
                    own_errors += usize::from(!is_queued || is_too_long);
                    attempts += 1;
                    if own_errors < 2 && attempts < MAX_BATCH {
                        continue;
                    }
                    self.pending = PendingSend::default();
                    if let Some(seq) = self.tracker.record_last_send_failure() {
                        self.report_failure(io, seq, &connection::explain(&e))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads up to [`MAX_BATCH`] errors from the error queue and counts their
    /// messages as lost. Returns the number of errors.
    fn drain_error_queue(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<usize> {
        let mut drained = 0;
        while drained < MAX_BATCH
            && let Some(connection) = &self.connection
            && let Some((n, error)) = sys::read_error_queue(connection, chunk)
        {
            drained += 1;
            if let Some(seq) = self.tracker.record_icmp_error(&chunk[..n]) {
                self.report_failure(io, seq, &Error::network(&error))?;
            }
        }
        Ok(drained)
    }
}

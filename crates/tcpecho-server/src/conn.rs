//! A connection: a socket, its channel and its state machine.
//!
//! When the socket is ready, [`Conn::on_ready`] sends buffered bytes, reads once,
//! sends the reply, and takes the steps that the state machine requires. One read
//! per event keeps a fast peer from starving the others.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;

use crate::address::Address;
use crate::channel::Channel;
use crate::event::{Event, Reason};
use crate::machine::{Machine, Rules, Step};
use crate::poller::{Interest, Registered};
use crate::shared::Shared;
use crate::{socket_io, sys};

/// How long bytes in flight may stay unacknowledged before their peer counts as
/// backlogged. It exceeds the delay of a delayed acknowledgement.
const STALL_TIMEOUT: Duration = Duration::from_millis(250);

/// The terms of a shutdown of connections by the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    /// The time at which the remaining connections are closed.
    pub(crate) deadline: Duration,
    /// Whether to end only connections with peers that are slow to read.
    pub(crate) backlogged_only: bool,
}

/// A connection with its socket, channel and state.
#[derive(Debug)]
pub(crate) struct Conn<S: AsFd> {
    socket: Registered<S>,
    channel: Channel,
    machine: Machine,
    peer: Address,
    /// During the last part of a drain: the number of bytes that the peer has
    /// acknowledged, and the time since which it has not changed.
    acknowledged: Option<(i64, Duration)>,
    /// The time of its entry in the worker's timers.
    pub(crate) timer: Option<Duration>,
}

impl<S: AsFd> Conn<S> {
    /// Creates a connection from its registered socket.
    pub(crate) fn new(
        socket: Registered<S>,
        channel: Channel,
        peer: Address,
        id: u64,
        rules: &Rules,
        now: Duration,
    ) -> Self {
        Self {
            socket,
            channel,
            machine: Machine::new(rules, id, now),
            peer,
            acknowledged: None,
            timer: None,
        }
    }

    /// Handles a readiness event. Returns the reason if the connection ended.
    pub(crate) fn on_ready(
        &mut self,
        shared: &Shared,
        scratch: &mut [u8],
        now: Duration,
    ) -> Option<Reason> {
        let before = self.machine.bytes();
        self.transfer(shared, scratch, now);
        let after = self.machine.bytes();
        shared
            .counters
            .add_bytes((after.0 - before.0) as usize, (after.1 - before.1) as usize);
        self.apply_steps(shared, now)
    }

    /// Handles an expired deadline. Returns the reason if the connection ended.
    pub(crate) fn on_timeout(
        &mut self,
        shared: &Shared,
        scratch: &mut [u8],
        now: Duration,
    ) -> Option<Reason> {
        self.machine.on_timeout(&shared.rules, now);
        if self.channel.has_buffered_input() {
            return self.on_ready(shared, scratch, now);
        }
        let before = self.machine.bytes();
        self.flush(now);
        let after = self.machine.bytes();
        shared.counters.add_bytes(0, (after.1 - before.1) as usize);
        self.apply_steps(shared, now)
    }

    /// Ends the connection from this side, if the shutdown applies to it.
    pub(crate) fn shut_down(
        &mut self,
        shared: &Shared,
        shutdown: Shutdown,
        now: Duration,
    ) -> Option<Reason> {
        if !shutdown.backlogged_only || self.is_backlogged(now) {
            self.machine.shut_down(shutdown.deadline);
        }
        self.apply_steps(shared, now)
    }

    /// Returns the reason to report if the connection is closed now, at the end
    /// of the run.
    pub(crate) fn current_close_reason(&self) -> Reason {
        self.machine.current_close_reason()
    }

    /// Returns whether the peer does not read its replies: the socket accepts no
    /// more bytes, or none of the bytes in flight has been acknowledged for a
    /// while. Bytes in flight alone are not a sign of it: every active connection
    /// has some.
    fn is_backlogged(&mut self, now: Duration) -> bool {
        if !self.machine.is_open() {
            return false;
        }
        if self.machine.is_backlogged() || self.channel.wants_write() {
            return true;
        }
        let in_flight = sys::unacknowledged(self.socket.get()).cast_signed() as i64;
        let acknowledged = self.machine.bytes().1.cast_signed() - in_flight;
        match self.acknowledged {
            // The number can decrease, because TLS records are longer than
            // their contents.
            Some((before, since)) if in_flight > 0 && acknowledged <= before => {
                now >= since + STALL_TIMEOUT
            }
            _ => {
                self.acknowledged = Some((acknowledged, now));
                false
            }
        }
    }

    /// Returns when to call [`Conn::on_timeout`].
    pub(crate) fn deadline(&self, shared: &Shared, now: Duration) -> Option<Duration> {
        // Records of the channel are sent before input is handled, and the
        // poller reports when the socket accepts them.
        if self.channel.has_buffered_input()
            && !self.channel.wants_write()
            && self.machine.read_limit(&shared.rules, now) > 0
        {
            return Some(now);
        }
        self.machine.deadline(&shared.rules, now)
    }

    /// Logs and counts the end of the connection. Returns whether the accept loop
    /// must be woken.
    pub(crate) fn report_closed(&self, shared: &Shared, reason: Reason, now: Duration) -> bool {
        let (bytes_received, bytes_sent) = self.machine.bytes();
        shared.log.event(&Event::Closed {
            peer: &self.peer,
            bytes_received,
            bytes_sent,
            duration: self.machine.age(now),
            reason,
        });
        shared.counters.connection_closed(&self.peer, reason)
    }

    /// Sends buffered bytes, reads once, and sends the reply.
    fn transfer(&mut self, shared: &Shared, scratch: &mut [u8], now: Duration) {
        if let Err(e) = self.channel.drive(self.socket.get()) {
            return self.machine.on_error(reason_of(e));
        }
        if self.channel.wants_write() || !self.channel.is_established() {
            return;
        }
        self.flush(now);
        let limit = self.machine.read_limit(&shared.rules, now);
        if limit > 0 {
            let limit = limit.min(scratch.len());
            self.receive(shared, &mut scratch[..limit], now);
        } else if self.socket.interest() == Interest::ErrorsOnly
            // A reset or a pending error are the only events in this state.
            && let Err(e) = socket_io::check_error(self.socket.get())
        {
            self.machine.on_error(reason_of(e));
        }
    }

    /// Sends the buffered bytes, as far as the socket accepts them.
    fn flush(&mut self, now: Duration) {
        while self.channel.is_established() && !self.machine.sendable().is_empty() {
            match self
                .channel
                .send(self.socket.get(), self.machine.sendable())
            {
                Ok(n) => self.machine.on_buffer_sent(n, now),
                Err(Errno::AGAIN) => return,
                Err(e) => return self.machine.on_error(reason_of(e)),
            }
        }
    }

    /// Reads once and sends the reply.
    fn receive(&mut self, shared: &Shared, scratch: &mut [u8], now: Duration) {
        let n = match self.channel.recv(self.socket.get(), scratch) {
            Ok(0) => return self.machine.on_eof(),
            Ok(n) => n,
            Err(Errno::AGAIN) => return,
            Err(e) => return self.machine.on_error(reason_of(e)),
        };
        let chunk = &mut scratch[..n];
        // Input discarded at the end of a connection is not logged.
        if self.machine.is_open() {
            let protocol = self.peer.protocol();
            shared.log.received(&self.peer, protocol, chunk);
        }
        let reply = self.machine.on_received(&shared.rules, chunk, now);
        if reply.is_empty() {
            return self.flush(now);
        }
        match self.channel.send(self.socket.get(), reply) {
            Ok(n) => self.machine.on_reply_sent(reply, n, now),
            Err(Errno::AGAIN) => self.machine.on_reply_sent(reply, 0, now),
            Err(e) => self.machine.on_error(reason_of(e)),
        }
    }

    /// Takes the steps of the machine until it waits or ends.
    fn apply_steps(&mut self, shared: &Shared, now: Duration) -> Option<Reason> {
        loop {
            let interest = match self.machine.next_step(&shared.rules, now) {
                // Records of the channel are sent first.
                Step::Wait(_) if self.channel.wants_write() => Interest::Write,
                Step::Wait(_) if !self.channel.is_established() => Interest::Read,
                Step::Wait(interest) => interest,
                Step::ShutdownWrite => {
                    if let Err(e) = self.channel.shutdown(self.socket.get()) {
                        self.machine.on_error(reason_of(e));
                    }
                    continue;
                }
                Step::Close(reason) if self.finish_close_notify(reason) => {
                    if matches!(reason, Reason::Drain | Reason::MaxBytes) {
                        socket_io::discard_input(self.socket.get());
                    }
                    return Some(reason);
                }
                Step::Close(_) => Interest::Write,
                Step::Reset(reason) => {
                    socket_io::reset_on_close(self.socket.get());
                    return Some(reason);
                }
            };
            if self.socket.set_interest(interest).is_ok() {
                return None;
            }
            self.machine.on_error(Reason::Error);
        }
    }

    /// Sends close_notify if the end is orderly. Returns whether nothing is left
    /// to send.
    fn finish_close_notify(&mut self, reason: Reason) -> bool {
        let orderly = matches!(reason, Reason::Eof | Reason::MaxBytes);
        !orderly
            || self.channel.send_close_notify(self.socket.get()).is_err()
            || !self.channel.wants_write()
    }
}

fn reason_of(error: Errno) -> Reason {
    match error {
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN => Reason::Reset,
        _ => Reason::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poller::Poller;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    const IDLE: Duration = Duration::from_secs(10);

    /// A connection that ends after one byte, and its client.
    fn connection() -> (Shared, Conn<TcpStream>, TcpStream) {
        let shared = Shared::silent(Rules {
            max_bytes: Some(1),
            idle_timeout: Some(IDLE),
            ..Rules::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let poller = Arc::new(Poller::new().unwrap());
        let socket = Registered::new(socket, &poller, 0, Interest::Read).unwrap();
        let peer = Address::inet(peer);
        let conn = Conn::new(
            socket,
            Channel::Plain,
            peer,
            0,
            &shared.rules,
            Duration::ZERO,
        );
        (shared, conn, client)
    }

    /// A reset would destroy bytes that the peer has not received yet.
    #[test]
    fn closing_with_unread_input_sends_no_reset() {
        let (shared, mut conn, mut client) = connection();
        let mut scratch = vec![0; 1024];
        client.write_all(b"x").unwrap();
        assert_eq!(conn.on_ready(&shared, &mut scratch, Duration::ZERO), None);
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"x");
        // The connection lingers, and its timeout finds unread input.
        client.write_all(&vec![b'y'; 10_000]).unwrap();
        let reason = conn.on_timeout(&shared, &mut scratch, IDLE);
        assert_eq!(reason, Some(Reason::MaxBytes));
        drop(conn);
        assert!(
            client.take_error().unwrap().is_none(),
            "the client got a reset"
        );
    }
}

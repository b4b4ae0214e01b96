//! The engine's way out: what is due goes to the system in one call, and what
//! cannot be sent is told apart from the errors of probes before.

use std::io;

use common::Result;

use super::{Engine, Parties};
use crate::clock::Nanos;
use crate::event::Event;
use crate::plan::Settled;

/// How long to wait for room in a full queue of the system, in nanoseconds,
/// and how often, before the probe counts as not sent.
const FULL_PAUSE: Nanos = 2_000_000;
const FULL_TRIES: u32 = 500;

/// How often a probe is sent again because the call failed with the error of
/// a probe before it.
const PENDING_ERRORS: u32 = 16;

impl Engine {
    /// Sends what a line's outbox holds.
    pub(super) fn send(&mut self, index: usize, parties: &mut Parties<'_>) -> Result<()> {
        let mut done = 0;
        let (mut full, mut retried) = (0, 0);
        loop {
            let line = &self.lines[index];
            let left = &line.outgoing[done..];
            if left.is_empty() {
                break;
            }
            // The clock is the last thing looked at before the call. One
            // reading for a batch makes its last round trips look longer by
            // the time the batch takes, and none shorter.
            let now = self.clock.now();
            for number in left {
                if let Some(probe) = self.books.probes.get(*number) {
                    probe.sent = now;
                }
            }
            match line.outbox.send(&line.socket, done) {
                Ok(count) => {
                    for place in done..done + count {
                        let number = self.lines[index].outgoing[place];
                        self.mark_sent(number, now, parties);
                        self.tell_sent(number, parties)?;
                    }
                    done += count;
                    (full, retried) = (0, 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The rest is not sent and does not count: the run is over.
                Err(e) if is_full(&e) && self.is_over(parties) => break,
                Err(e) if is_full(&e) && full < FULL_TRIES => {
                    full += 1;
                    self.pause(FULL_PAUSE)?;
                    self.receive_errors(index, self.pass, parties)?;
                    self.receive_all(parties)?;
                }
                Err(e) => {
                    // It may be the error of a probe before, delivered now.
                    let errors = self.receive_errors(index, self.pass, parties)?;
                    let (others, mtu) = (errors.others, errors.too_long);
                    let number = self.lines[index].outgoing[done];
                    if self.books.is_settled(number) {
                        // A packet filter of this host has answered it.
                        done += 1;
                        (full, retried) = (0, 0);
                        continue;
                    }
                    if others && retried < PENDING_ERRORS && mtu.is_none() {
                        retried += 1;
                        continue;
                    }
                    self.mark_sent(number, now, parties);
                    let errno = e.raw_os_error().unwrap_or(libc::EIO);
                    self.unsent(number, errno, mtu, parties)?;
                    done += 1;
                    (full, retried) = (0, 0);
                }
            }
        }
        let line = &mut self.lines[index];
        line.outbox.clear();
        line.outgoing.clear();
        Ok(())
    }

    /// Whether a signal has come that ends the run, or the deadline has passed.
    fn is_over(&self, parties: &Parties<'_>) -> bool {
        let deadline = parties.plan.deadline();
        let signals = [libc::SIGINT, libc::SIGTERM];
        signals
            .iter()
            .any(|signal| self.signals.is_pending(*signal))
            || deadline.is_some_and(|end| self.clock.now() >= end)
    }

    pub(super) fn mark_sent(&mut self, number: u64, at: Nanos, parties: &mut Parties<'_>) {
        if let Some(id) = self.books.sent(number, at) {
            parties.plan.sent(id, at, &mut self.books.targets);
        }
    }

    pub(super) fn tell_sent(&mut self, number: u64, parties: &mut Parties<'_>) -> Result<()> {
        match self.books.probe(number) {
            Some((id, _)) => self.tell(id, &Event::Sent, parties),
            None => Ok(()),
        }
    }

    pub(super) fn unsent(
        &mut self,
        number: u64,
        errno: i32,
        mtu: Option<u32>,
        parties: &mut Parties<'_>,
    ) -> Result<()> {
        match self.books.failed(number, true) {
            Some((id, seq, settles)) => {
                if let Some(mtu) = mtu {
                    parties.plan.too_big(id, mtu);
                }
                self.tell(id, &Event::Unsent { seq, errno, mtu }, parties)?;
                let how = if mtu.is_none() && is_lasting(errno) {
                    Settled::Unsendable
                } else {
                    Settled::Failed
                };
                self.settle(id, settles.then_some(how), parties)
            }
            None => Ok(()),
        }
    }
}

/// Whether a queue of the system was full and the packet did not go out.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Whether further probes to the same address would fail in the same way: there
/// is no route, or none for this family. A packet filter may change.
fn is_lasting(errno: i32) -> bool {
    matches!(
        errno,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EAFNOSUPPORT | libc::EACCES | libc::EINVAL
    )
}

//! The send half of the engine: passes the probes of a batch to the system in
//! one call, and distinguishes probes that cannot be sent from the pending
//! errors of earlier probes.

use std::io;

use common::Result;

use super::{Engine, RunContext};
use crate::clock::Nanos;
use crate::event::Event;
use crate::schedule::ProbeOutcome;

/// How long to wait for room in a full queue of the system, in nanoseconds.
const QUEUE_FULL_PAUSE: Nanos = 2_000_000;

/// How often to wait for room before a probe counts as not sent.
const QUEUE_FULL_RETRIES: u32 = 500;

/// How often a probe is sent again because the call returned the error of an
/// earlier probe.
const MAX_PENDING_ERRORS: u32 = 16;

impl Engine {
    /// Sends the probes in the send batch of a channel.
    pub(super) fn send(&mut self, index: usize, context: &mut RunContext<'_>) -> Result<()> {
        let mut done = 0;
        let (mut queue_full_retries, mut error_retries) = (0, 0);
        loop {
            let channel = &self.channels[index];
            let left = &channel.outgoing[done..];
            if left.is_empty() {
                break;
            }
            // The clock is read last before the call. One reading for a batch
            // makes the round trips of its last probes longer by the time that
            // the batch takes, and none shorter.
            let now = self.clock.now();
            for number in left {
                if let Some(probe) = self.tracker.probes.get(*number) {
                    probe.sent_at = now;
                }
            }
            match channel.send_batch.send(&channel.socket, done) {
                Ok(count) => {
                    for position in done..done + count {
                        let number = self.channels[index].outgoing[position];
                        self.mark_sent(number, now, context);
                        self.notify_sent(number, context)?;
                    }
                    done += count;
                    (queue_full_retries, error_retries) = (0, 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The run is over, and the probes left are not sent.
                Err(e) if is_queue_full(&e) && self.is_over(context) => break,
                Err(e) if is_queue_full(&e) && queue_full_retries < QUEUE_FULL_RETRIES => {
                    queue_full_retries += 1;
                    self.wait_for_messages(QUEUE_FULL_PAUSE)?;
                    self.receive_errors(index, self.pass_limit, context)?;
                    self.receive_all(context)?;
                }
                Err(e) => {
                    // The call may have returned the error of an earlier probe.
                    let errors = self.receive_errors(index, self.pass_limit, context)?;
                    let mtu = errors.local_mtu;
                    let number = self.channels[index].outgoing[done];
                    if self.tracker.is_settled(number) {
                        // A packet filter of this host has rejected it.
                        done += 1;
                        (queue_full_retries, error_retries) = (0, 0);
                        continue;
                    }
                    let is_pending_error = errors.has_network_error && mtu.is_none();
                    if is_pending_error && error_retries < MAX_PENDING_ERRORS {
                        error_retries += 1;
                        continue;
                    }
                    self.mark_sent(number, now, context);
                    let errno = e.raw_os_error().unwrap_or(libc::EIO);
                    self.record_unsent(number, errno, mtu, context)?;
                    done += 1;
                    (queue_full_retries, error_retries) = (0, 0);
                }
            }
        }
        let channel = &mut self.channels[index];
        channel.send_batch.clear();
        channel.outgoing.clear();
        Ok(())
    }

    /// Whether a signal that ends the run is pending, or the deadline has passed.
    fn is_over(&self, context: &RunContext<'_>) -> bool {
        let deadline = context.schedule.deadline();
        let signals = [libc::SIGINT, libc::SIGTERM];
        signals
            .iter()
            .any(|signal| self.signals.is_pending(*signal))
            || deadline.is_some_and(|deadline| self.clock.now() >= deadline)
    }

    /// Reports to the tracker and the schedule that a probe was sent.
    pub(super) fn mark_sent(&mut self, number: u64, at: Nanos, context: &mut RunContext<'_>) {
        if let Some(id) = self.tracker.mark_sent(number, at) {
            context
                .schedule
                .probe_sent(id, at, &mut self.tracker.targets);
        }
    }

    /// Reports to the observer that a probe was sent.
    pub(super) fn notify_sent(&mut self, number: u64, context: &mut RunContext<'_>) -> Result<()> {
        match self.tracker.identify(number) {
            Some((id, _)) => self.notify(id, &Event::Sent, context),
            None => Ok(()),
        }
    }

    /// Records that the system refused to send a probe. `mtu` is the MTU that
    /// the probe exceeds.
    pub(super) fn record_unsent(
        &mut self,
        number: u64,
        errno: i32,
        mtu: Option<u32>,
        context: &mut RunContext<'_>,
    ) -> Result<()> {
        match self.tracker.record_failure(number, true) {
            Some((id, seq, settles)) => {
                if let Some(mtu) = mtu {
                    context.schedule.probe_too_big(id, mtu);
                }
                self.notify(id, &Event::Unsent { seq, errno, mtu }, context)?;
                let outcome = if mtu.is_none() && is_permanent(errno) {
                    ProbeOutcome::Unsendable
                } else {
                    ProbeOutcome::Failed
                };
                self.settle(id, settles.then_some(outcome), context)
            }
            None => Ok(()),
        }
    }
}

/// Whether a queue of the system was full, so that the packet was not sent.
fn is_queue_full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Whether further probes to the same address would fail in the same way,
/// because it has no route. The verdict of a packet filter may change.
fn is_permanent(errno: i32) -> bool {
    matches!(
        errno,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EAFNOSUPPORT | libc::EACCES | libc::EINVAL
    )
}

//! The state machine of one connection, which decides when and how much to
//! read, send and close. It does no I/O and reads no clock; its owner reports
//! events and takes the steps that [`Machine::next_step`] returns.
//!
//! The path of a chunk: the owner reads at most [`Machine::read_limit`] bytes
//! into its scratch buffer and calls [`Machine::on_received`], which returns
//! the bytes to send immediately, usually the chunk itself. The owner passes
//! the result of the send to [`Machine::on_reply_sent`], which keeps the bytes
//! that the socket did not accept in the send buffer. While the send buffer is
//! not empty nothing is read: the peer's own window stops it, and at most one
//! chunk is buffered. Only with an artificial delay are further chunks read
//! while others are buffered, up to [`MAX_SEND_BUFFER`].
//!
//! The end of a connection: it is [`Phase::Open`] until the peer's end of file,
//! a limit, or the end of the drain; then [`Phase::Finishing`] until the send
//! buffer is empty; then it is closed. If the peer has not ended its side,
//! closing would turn its unread bytes into a reset, which could destroy echoed
//! bytes. So the sending side is shut down, and [`Phase::Lingering`] discards
//! input until the peer also ends its side. Input is discarded from the moment
//! when no more is accepted: a peer that writes everything before it reads
//! would otherwise never begin to read.

use std::time::Duration;

use crate::event::Reason;
use crate::fault::{FaultRng, Faults};
use crate::poller::Interest;
use crate::rate::TokenBucket;
use crate::send_buffer::SendBuffer;

/// The maximum number of bytes of one chunk, and of one connection's send
/// buffer.
pub(crate) const MAX_SEND_BUFFER: usize = 64 * 1024;

/// The maximum number of delayed pieces of one connection; the bookkeeping of a
/// piece can need more memory than its bytes.
const MAX_DELAYED_PIECES: usize = 1024;

/// The rules that every connection follows. Times are relative to the start of
/// the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The bytes sent on connect, at most [`MAX_SEND_BUFFER`].
    pub(crate) greeting: Vec<u8>,
    /// The bytes sent for each chunk instead of the chunk, at most
    /// [`MAX_SEND_BUFFER`].
    pub(crate) reply: Option<Vec<u8>>,
    /// The number of bytes after which a connection is ended.
    pub(crate) max_bytes: Option<u64>,
    /// How long a connection may be idle before it is closed.
    pub(crate) idle_timeout: Option<Duration>,
    /// The bytes per second read from one connection, at least 1.
    pub(crate) rate: Option<u64>,
    /// The deliberate faults, if any is enabled.
    pub(crate) faults: Option<Faults>,
}

/// The next action of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for this readiness, or until [`Machine::deadline`].
    Wait(Interest),
    /// Shut the sending side down, then ask for the next step.
    ShutdownWrite,
    /// Close the connection without a reset.
    Close(Reason),
    /// Close the connection with a reset.
    Reset(Reason),
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Both directions are open.
    Open,
    /// No more input is accepted, and the send buffer is still being sent. With
    /// `linger` the peer may be sending, and its bytes are discarded.
    Finishing { reason: Reason, linger: bool },
    /// Everything has been sent; input is discarded until the peer ends.
    Lingering(Reason),
    /// Nothing can be sent or received any more.
    Closed(Reason),
    /// The connection is to be reset, by a deliberate fault.
    Reset,
}

/// The state machine of one connection.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    buffer: SendBuffer,
    /// Bytes received, without those that were discarded.
    bytes_received: u64,
    /// Bytes that the socket accepted.
    bytes_sent: u64,
    opened_at: Duration,
    /// When a byte was last transferred.
    last_activity: Duration,
    /// When the connection is closed in any case, once the server shuts it
    /// down.
    shutdown_deadline: Option<Duration>,
    bucket: Option<Box<TokenBucket>>,
    faults: Option<Box<FaultRng>>,
}

impl Machine {
    /// Creates the state of a new connection. The greeting waits in the send
    /// buffer.
    pub(crate) fn new(rules: &Rules, id: u64, now: Duration) -> Self {
        let mut buffer = SendBuffer::default();
        if !rules.greeting.is_empty() {
            buffer.push(&rules.greeting);
        }
        Self {
            phase: Phase::Open,
            buffer,
            bytes_received: 0,
            bytes_sent: 0,
            opened_at: now,
            last_activity: now,
            shutdown_deadline: None,
            bucket: rules.rate.map(|rate| Box::new(TokenBucket::new(rate, now))),
            faults: rules
                .faults
                .as_ref()
                .map(|faults| Box::new(FaultRng::new(faults.seed, id))),
        }
    }

    /// Returns how many bytes may be read now.
    pub(crate) fn read_limit(&self, rules: &Rules, now: Duration) -> usize {
        match self.phase {
            Phase::Open => {}
            Phase::Finishing { linger: true, .. } | Phase::Lingering(_) => return MAX_SEND_BUFFER,
            _ => return 0,
        }
        let room = if self.buffer.is_empty() {
            MAX_SEND_BUFFER
        } else if delays(rules)
            && self.buffer.sendable().is_empty()
            && self.buffer.delayed_pieces() < MAX_DELAYED_PIECES
        {
            let reply_len = rules.reply.as_ref().map_or(1, Vec::len);
            let room = MAX_SEND_BUFFER.saturating_sub(self.buffer.len());
            if room < reply_len {
                return 0;
            }
            room
        } else {
            return 0;
        };
        let left = rules
            .max_bytes
            .map_or(u64::MAX, |max| max - self.bytes_received.min(max));
        let rate = self
            .bucket
            .as_ref()
            .map_or(usize::MAX, |bucket| bucket.available(now));
        room.min(rate).min(usize::try_from(left).unwrap_or(room))
    }

    /// Accepts a chunk that was read and returns the bytes to send immediately.
    /// The caller must pass the result of that send to
    /// [`Machine::on_reply_sent`].
    pub(crate) fn on_received<'a>(
        &mut self,
        rules: &'a Rules,
        chunk: &'a mut [u8],
        now: Duration,
    ) -> &'a [u8] {
        if !matches!(self.phase, Phase::Finishing { .. }) {
            // In that phase, a peer that only sends and never reads would
            // postpone the idle timeout without end.
            self.last_activity = now;
        }
        if self.phase != Phase::Open {
            return &[];
        }
        debug_assert!(!chunk.is_empty(), "an end of file is not a chunk");
        self.bytes_received += chunk.len() as u64;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(chunk.len(), now);
        }
        let reply = match (&mut self.faults, &rules.faults) {
            (Some(rng), Some(faults)) => {
                let decision = rng.decide(faults);
                if decision.reset {
                    self.phase = Phase::Reset;
                    return &[];
                }
                let mut reply = rules.reply.clone().unwrap_or_else(|| chunk.to_vec());
                decision.corrupt(&mut reply);
                reply.truncate(decision.reply_len(reply.len()));
                if faults.delay.is_some() {
                    self.buffer.push_delayed(&reply, now + decision.delay);
                } else {
                    self.buffer.push(&reply);
                }
                &[]
            }
            _ => rules.reply.as_deref().unwrap_or(chunk),
        };
        if rules
            .max_bytes
            .is_some_and(|max| self.bytes_received >= max)
        {
            self.finish(Reason::MaxBytes, true);
        }
        reply
    }

    /// The peer ended its side.
    pub(crate) fn on_eof(&mut self) {
        match self.phase {
            Phase::Open => self.finish(Reason::Eof, false),
            Phase::Lingering(reason) => self.phase = Phase::Closed(reason),
            Phase::Finishing { reason, .. } => self.finish(reason, false),
            Phase::Closed(_) | Phase::Reset => {}
        }
    }

    /// The socket reported an error.
    pub(crate) fn on_error(&mut self, reason: Reason) {
        self.phase = match self.phase {
            // Everything had been sent, so the error is only how the peer ended.
            Phase::Lingering(reason) => Phase::Closed(reason),
            Phase::Closed(_) | Phase::Reset => return,
            _ => Phase::Closed(reason),
        };
    }

    /// Ends the connection from this side: the send buffer is still sent, then
    /// an end of file. At `deadline` the connection is closed in any case. A
    /// lingering connection may stay open until then, because bytes that were sent
    /// may not have arrived yet.
    pub(crate) fn shut_down(&mut self, deadline: Duration) {
        if self.phase == Phase::Open {
            self.finish(Reason::Drain, true);
        }
        self.shutdown_deadline = Some(deadline);
    }

    /// Returns the reason to report if the connection is closed now, at the end
    /// of the run.
    pub(crate) fn current_close_reason(&self) -> Reason {
        match self.phase {
            Phase::Lingering(reason) | Phase::Closed(reason) => reason,
            Phase::Reset => Reason::Fault,
            Phase::Open | Phase::Finishing { .. } => Reason::Drain,
        }
    }

    /// Returns whether the connection is open and has bytes that the socket did
    /// not accept. Bytes held back by a delay do not count.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.phase == Phase::Open && !self.buffer.sendable().is_empty()
    }

    /// Returns whether the end of the connection has not begun.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Returns the buffered bytes that may be sent now.
    pub(crate) fn sendable(&self) -> &[u8] {
        match self.phase {
            Phase::Open | Phase::Finishing { .. } => self.buffer.sendable(),
            _ => &[],
        }
    }

    /// The socket accepted the first `n` bytes of [`Machine::sendable`].
    pub(crate) fn on_buffer_sent(&mut self, n: usize, now: Duration) {
        self.buffer.consume(n);
        self.add_sent(n, now);
    }

    /// The socket accepted the first `n` bytes of a reply; the rest is buffered.
    pub(crate) fn on_reply_sent(&mut self, reply: &[u8], n: usize, now: Duration) {
        self.add_sent(n, now);
        if n < reply.len() {
            self.buffer.push(&reply[n..]);
        }
    }

    /// Checks all deadlines and releases delayed bytes that are due.
    pub(crate) fn on_timeout(&mut self, rules: &Rules, now: Duration) {
        self.buffer.release_due(now);
        if self
            .shutdown_deadline
            .is_some_and(|deadline| deadline <= now)
        {
            self.phase = Phase::Closed(self.current_close_reason());
        } else if self.idle_deadline(rules).is_some_and(|idle| idle <= now) {
            let reason = match self.phase {
                Phase::Lingering(reason) => reason,
                _ => Reason::Idle,
            };
            self.phase = Phase::Closed(reason);
        }
    }

    /// Returns the next action of the owner.
    pub(crate) fn next_step(&mut self, rules: &Rules, now: Duration) -> Step {
        match self.phase {
            Phase::Closed(reason) => Step::Close(reason),
            Phase::Reset => Step::Reset(Reason::Fault),
            Phase::Finishing { reason, linger } if self.buffer.is_empty() => {
                if linger {
                    self.phase = Phase::Lingering(reason);
                    Step::ShutdownWrite
                } else {
                    self.phase = Phase::Closed(reason);
                    Step::Close(reason)
                }
            }
            Phase::Finishing { linger: true, .. } if !self.sendable().is_empty() => {
                Step::Wait(Interest::ReadWrite)
            }
            _ if !self.sendable().is_empty() => Step::Wait(Interest::Write),
            _ if self.read_limit(rules, now) > 0 => Step::Wait(Interest::Read),
            _ => Step::Wait(Interest::ErrorsOnly),
        }
    }

    /// Returns when to call [`Machine::on_timeout`] at the latest.
    pub(crate) fn deadline(&self, rules: &Rules, now: Duration) -> Option<Duration> {
        // The rate matters only if nothing else prevents a read.
        let refilled = match &self.bucket {
            Some(bucket)
                if self.phase == Phase::Open
                    && self.buffer.sendable().is_empty()
                    && bucket.available(now) == 0 =>
            {
                Some(bucket.refilled_at())
            }
            _ => None,
        };
        [
            self.idle_deadline(rules),
            self.shutdown_deadline,
            self.buffer.next_release(),
            refilled,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns the numbers of bytes received and sent.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_received, self.bytes_sent)
    }

    /// Returns the time since the connection was accepted.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.opened_at)
    }

    fn finish(&mut self, reason: Reason, linger: bool) {
        self.phase = Phase::Finishing { reason, linger };
    }

    fn idle_deadline(&self, rules: &Rules) -> Option<Duration> {
        rules.idle_timeout.map(|idle| self.last_activity + idle)
    }

    fn add_sent(&mut self, n: usize, now: Duration) {
        if n > 0 {
            self.bytes_sent += n as u64;
            self.last_activity = now;
        }
    }
}

fn delays(rules: &Rules) -> bool {
    rules.faults.as_ref().is_some_and(|f| f.delay.is_some())
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod harness;
#[cfg(test)]
mod tests;

//! One connection as a state machine: what to read, what to send, when to
//! close. It does no I/O and reads no clock; the worker tells it what
//! happened and does what [`Machine::step`] says.
//!
//! The way of a chunk: the worker reads at most [`Machine::read_limit`] bytes
//! into its scratch buffer and calls [`Machine::received`], which returns what
//! is to be sent at once, usually the chunk itself. What the socket did not
//! take is handed back by [`Machine::sent`] and becomes the tail. While there
//! is a tail nothing is read, so the peer's own window holds it back and at
//! most one chunk is kept. Only an artificial delay reads on behind a tail, up
//! to [`TAIL_MAX`].
//!
//! The way to the end: [`Phase::Open`] until the peer's end of file, a limit,
//! or a drain; then [`Phase::Finishing`] until the tail is gone; then the
//! connection is closed. Where the peer has not ended its side, closing would
//! turn its unread bytes into a reset that could destroy what was echoed: the
//! write side is shut down and [`Phase::Lingering`] discards input until the
//! peer ends too. Input is discarded from the moment on when no more is taken:
//! a peer that first writes all it has would never come to reading otherwise.

use std::time::Duration;

use crate::event::Reason;
use crate::fault::{FaultRng, Faults};
use crate::rate::Bucket;
use crate::readiness::Interest;
use crate::tail::Tail;

/// The most bytes of one chunk, and of one connection's tail.
pub(crate) const TAIL_MAX: usize = 64 * 1024;

/// Pieces of one connection that are held back at the same time, at most: what
/// is kept about a piece can be more than its bytes.
const HELD_MAX: usize = 1024;

/// What holds for every connection. Moments are counted from the server's
/// start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Sent on connect, at most [`TAIL_MAX`] bytes.
    pub(crate) greeting: Vec<u8>,
    /// Sent for each chunk instead of the chunk, at most [`TAIL_MAX`] bytes.
    pub(crate) reply: Option<Vec<u8>>,
    /// Bytes taken from one connection before it is ended.
    pub(crate) max_bytes: Option<u64>,
    /// Silence in both directions before a connection is closed.
    pub(crate) idle: Option<Duration>,
    /// Bytes a second read from one connection, at least 1.
    pub(crate) rate: Option<u64>,
    /// Faults, if any can happen.
    pub(crate) faults: Option<Faults>,
}

/// What the socket's owner is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for this, or for [`Machine::deadline`].
    Wait(Interest),
    /// Shut the write side down and ask again.
    Shutdown,
    /// Close and forget it.
    Close(Reason),
    /// Close it with a reset.
    Reset(Reason),
}

/// Where a connection is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Both ways open.
    Open,
    /// No more input is taken; the tail still goes out. `linger` if the peer
    /// may be sending, and what it sends is discarded.
    Finishing { reason: Reason, linger: bool },
    /// All is said; input is discarded until the peer ends.
    Lingering(Reason),
    /// Nothing more can be said.
    Over(Reason),
    /// To be reset on purpose.
    Reset,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    tail: Tail,
    /// Bytes taken in, not counting those discarded at the end.
    bytes_in: u64,
    /// Bytes the socket took.
    bytes_out: u64,
    began: Duration,
    /// When a byte last moved.
    active: Duration,
    /// When patience ends whatever happens.
    limit: Option<Duration>,
    bucket: Option<Box<Bucket>>,
    rng: Option<Box<FaultRng>>,
}

impl Machine {
    /// A new connection, the `number`th. The greeting waits in the tail.
    pub(crate) fn new(rules: &Rules, number: u64, now: Duration) -> Self {
        let mut tail = Tail::default();
        if !rules.greeting.is_empty() {
            tail.push(&rules.greeting);
        }
        Self {
            phase: Phase::Open,
            tail,
            bytes_in: 0,
            bytes_out: 0,
            began: now,
            active: now,
            limit: None,
            bucket: rules.rate.map(|rate| Box::new(Bucket::new(rate, now))),
            rng: rules
                .faults
                .as_ref()
                .map(|faults| Box::new(FaultRng::new(faults.seed, number))),
        }
    }

    /// How many bytes may be read now; 0 if none.
    pub(crate) fn read_limit(&self, rules: &Rules, now: Duration) -> usize {
        match self.phase {
            Phase::Open => {}
            Phase::Finishing { linger: true, .. } | Phase::Lingering(_) => return TAIL_MAX,
            _ => return 0,
        }
        let room = if self.tail.is_empty() {
            TAIL_MAX
        } else if delays(rules) && self.tail.free().is_empty() && self.tail.held() < HELD_MAX {
            let answer = rules.reply.as_ref().map_or(1, Vec::len);
            let room = TAIL_MAX.saturating_sub(self.tail.len());
            if room < answer {
                return 0;
            }
            room
        } else {
            return 0;
        };
        let left = rules
            .max_bytes
            .map_or(u64::MAX, |max| max - self.bytes_in.min(max));
        let rate = self
            .bucket
            .as_ref()
            .map_or(usize::MAX, |bucket| bucket.allowance(now));
        room.min(rate).min(usize::try_from(left).unwrap_or(room))
    }

    /// Takes a chunk that was read and returns what is to be sent at once.
    /// Hand what the socket took of it to [`Machine::sent`].
    pub(crate) fn received<'a>(
        &mut self,
        rules: &'a Rules,
        chunk: &'a mut [u8],
        now: Duration,
    ) -> &'a [u8] {
        if !matches!(self.phase, Phase::Finishing { .. }) {
            // What is sent without an end does not keep a peer that reads
            // nothing of what is for it.
            self.active = now;
        }
        if self.phase != Phase::Open {
            return &[];
        }
        self.bytes_in += chunk.len() as u64;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(chunk.len(), now);
        }
        let len = chunk.len();
        let answer = match (&mut self.rng, &rules.faults) {
            (Some(rng), Some(faults)) => {
                let decision = rng.decide(faults);
                if decision.reset {
                    self.phase = Phase::Reset;
                    return &[];
                }
                let mut answer = rules.reply.clone().unwrap_or_else(|| chunk.to_vec());
                decision.corrupt(&mut answer);
                answer.truncate(decision.keep(answer.len()));
                if faults.delay.is_some() {
                    self.tail.hold(&answer, now + decision.delay);
                } else {
                    self.tail.push(&answer);
                }
                &[]
            }
            _ => rules.reply.as_deref().unwrap_or(chunk),
        };
        debug_assert!(len > 0, "an end of file is no chunk");
        if rules.max_bytes.is_some_and(|max| self.bytes_in >= max) {
            self.finish(Reason::MaxBytes, true);
        }
        answer
    }

    /// The peer has ended its side.
    pub(crate) fn eof(&mut self) {
        match self.phase {
            Phase::Open => self.finish(Reason::Eof, false),
            Phase::Lingering(reason) => self.phase = Phase::Over(reason),
            Phase::Finishing { reason, .. } => self.finish(reason, false),
            Phase::Over(_) | Phase::Reset => {}
        }
    }

    /// The socket failed.
    pub(crate) fn failed(&mut self, reason: Reason) {
        self.phase = match self.phase {
            // Everything had been sent: this is how the peer ended.
            Phase::Lingering(reason) => Phase::Over(reason),
            Phase::Over(_) | Phase::Reset => return,
            _ => Phase::Over(reason),
        };
    }

    /// Ends the connection from this side: the tail still goes out, then an
    /// end of file. At `limit` it is over in any case; one that lingers may do
    /// so until then, for what it has sent may still be on its way.
    pub(crate) fn cut(&mut self, limit: Duration) {
        if self.phase == Phase::Open {
            self.finish(Reason::Drain, true);
        }
        self.limit = Some(limit);
    }

    /// Why it ends if the run ends now, whatever is left to do.
    pub(crate) fn abandoned(&self) -> Reason {
        match self.phase {
            Phase::Lingering(reason) | Phase::Over(reason) => reason,
            Phase::Reset => Reason::Fault,
            Phase::Open | Phase::Finishing { .. } => Reason::Drain,
        }
    }

    /// Whether it is open and has bytes that could go and have not; not those
    /// that are held back by a delay.
    pub(crate) fn owes(&self) -> bool {
        self.phase == Phase::Open && !self.tail.free().is_empty()
    }

    /// Whether it has not begun to end.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Waiting bytes that may go now.
    pub(crate) fn unsent(&self) -> &[u8] {
        match self.phase {
            Phase::Open | Phase::Finishing { .. } => self.tail.free(),
            _ => &[],
        }
    }

    /// The socket took `n` bytes of [`Machine::unsent`].
    pub(crate) fn sent_unsent(&mut self, n: usize, now: Duration) {
        self.tail.sent(n);
        self.count_out(n, now);
    }

    /// The socket took the first `n` bytes of an answer; the rest is kept.
    pub(crate) fn sent(&mut self, answer: &[u8], n: usize, now: Duration) {
        self.count_out(n, now);
        if n < answer.len() {
            self.tail.push(&answer[n..]);
        }
    }

    /// A deadline has come.
    pub(crate) fn timeout(&mut self, rules: &Rules, now: Duration) {
        self.tail.release(now);
        if self.limit.is_some_and(|limit| limit <= now) {
            self.phase = Phase::Over(self.abandoned());
        } else if self.idle_at(rules).is_some_and(|at| at <= now) {
            let reason = match self.phase {
                Phase::Lingering(reason) => reason,
                _ => Reason::Idle,
            };
            self.phase = Phase::Over(reason);
        }
    }

    /// What to do next.
    pub(crate) fn step(&mut self, rules: &Rules, now: Duration) -> Step {
        match self.phase {
            Phase::Over(reason) => Step::Close(reason),
            Phase::Reset => Step::Reset(Reason::Fault),
            Phase::Finishing { reason, linger } if self.tail.is_empty() => {
                if linger {
                    self.phase = Phase::Lingering(reason);
                    Step::Shutdown
                } else {
                    self.phase = Phase::Over(reason);
                    Step::Close(reason)
                }
            }
            Phase::Finishing { linger: true, .. } if !self.unsent().is_empty() => {
                Step::Wait(Interest::Both)
            }
            _ if !self.unsent().is_empty() => Step::Wait(Interest::Write),
            _ if self.read_limit(rules, now) > 0 => Step::Wait(Interest::Read),
            _ => Step::Wait(Interest::Nothing),
        }
    }

    /// When to call [`Machine::timeout`] at the latest.
    pub(crate) fn deadline(&self, rules: &Rules, now: Duration) -> Option<Duration> {
        // The rate only matters where a read would otherwise be due.
        let refill = match &self.bucket {
            Some(bucket)
                if self.phase == Phase::Open
                    && self.tail.free().is_empty()
                    && bucket.allowance(now) == 0 =>
            {
                Some(bucket.ready_at())
            }
            _ => None,
        };
        [
            self.idle_at(rules),
            self.limit,
            self.tail.release_at(),
            refill,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Bytes taken in and bytes sent.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out)
    }

    /// How long it has lasted.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    fn finish(&mut self, reason: Reason, linger: bool) {
        self.phase = Phase::Finishing { reason, linger };
    }

    fn idle_at(&self, rules: &Rules) -> Option<Duration> {
        rules.idle.map(|idle| self.active + idle)
    }

    fn count_out(&mut self, n: usize, now: Duration) {
        if n > 0 {
            self.bytes_out += n as u64;
            self.active = now;
        }
    }
}

fn delays(rules: &Rules) -> bool {
    rules.faults.as_ref().is_some_and(|f| f.delay.is_some())
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod bench;
#[cfg(test)]
mod tests;

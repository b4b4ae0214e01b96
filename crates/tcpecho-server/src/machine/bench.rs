//! The machine against a socket made of two queues: what tests and the fuzz
//! target play on.

use std::time::Duration;

use super::{Machine, Rules, Step, TAIL_MAX};
use crate::readiness::Interest;

/// Bytes that wait to be read, moved in one piece each time.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
}

impl Input {
    pub(crate) fn extend(&mut self, bytes: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(bytes.as_ref());
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let taken = self.bytes[self.start..self.start + n].to_vec();
        self.start += n;
        taken
    }
}

/// A socket without a kernel: what came in, and how much it takes out.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) input: Input,
    pub(crate) fin: bool,
    pub(crate) room: usize,
    pub(crate) output: Vec<u8>,
    pub(crate) shut: bool,
}

/// The worker's part, as `conn.rs` plays it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) rules: Rules,
    pub(crate) machine: Machine,
    pub(crate) wire: Wire,
    pub(crate) now: Duration,
    pub(crate) last: Step,
    /// What the rules make of the input so far.
    pub(crate) expected: Vec<u8>,
    pub(crate) taken: usize,
    /// The peer's end of file has been read.
    pub(crate) ended: bool,
}

impl Bench {
    pub(crate) fn new(rules: Rules) -> Self {
        let machine = Machine::new(&rules, 1, Duration::ZERO);
        let expected = rules.greeting.clone();
        Self {
            rules,
            machine,
            wire: Wire::default(),
            now: Duration::ZERO,
            last: Step::Wait(Interest::Read),
            expected,
            taken: 0,
            ended: false,
        }
    }

    /// One event; nothing happens without one.
    pub(crate) fn turn(&mut self, scratch: usize) {
        if self.is_over() {
            return;
        }
        let ready = match self.last {
            Step::Wait(Interest::Read) => !self.wire.input.is_empty() || self.wire.fin,
            Step::Wait(Interest::Write) => self.wire.room > 0,
            Step::Wait(Interest::Both) => {
                self.wire.room > 0 || !self.wire.input.is_empty() || self.wire.fin
            }
            _ => false,
        };
        if ready || self.last == Step::Wait(Interest::Read) {
            self.flush();
            let limit = self.machine.read_limit(&self.rules, self.now).min(scratch);
            if limit > 0 {
                self.read(limit);
            }
        }
        self.follow();
    }

    fn read(&mut self, limit: usize) {
        if self.wire.input.is_empty() {
            if self.wire.fin {
                self.ended = true;
                self.machine.eof();
            }
            return;
        }
        let n = limit.min(self.wire.input.len());
        let mut chunk = self.wire.input.take(n);
        if self.machine.is_open() {
            self.taken += n;
            let answer = self.rules.reply.as_ref().unwrap_or(&chunk);
            self.expected.extend_from_slice(answer);
        }
        let answer = self
            .machine
            .received(&self.rules, &mut chunk, self.now)
            .to_vec();
        if answer.is_empty() {
            return self.flush();
        }
        let n = self.wire.room.min(answer.len());
        self.wire.output.extend(&answer[..n]);
        self.wire.room -= n;
        self.machine.sent(&answer, n, self.now);
    }

    fn flush(&mut self) {
        let n = self.wire.room.min(self.machine.unsent().len());
        self.wire.output.extend(&self.machine.unsent()[..n]);
        self.wire.room -= n;
        self.machine.sent_unsent(n, self.now);
    }

    pub(crate) fn follow(&mut self) {
        loop {
            self.last = self.machine.step(&self.rules, self.now);
            assert!(self.machine.tail.len() <= TAIL_MAX, "an unbounded tail");
            match self.last {
                Step::Shutdown => self.wire.shut = true,
                Step::Wait(Interest::Nothing) => {
                    let due = self.machine.deadline(&self.rules, self.now);
                    assert!(due.is_some(), "waits for nothing, for ever");
                    return;
                }
                _ => return,
            }
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.is_over() {
            return;
        }
        while let Some(due) = self.machine.deadline(&self.rules, self.now)
            && due <= self.now
        {
            self.machine.timeout(&self.rules, self.now);
            self.flush();
            self.follow();
            if self.is_over() {
                return;
            }
            let next = self.machine.deadline(&self.rules, self.now);
            assert_ne!(next, Some(due), "a deadline that does not go away");
        }
    }

    /// A peer that reads everything, and time for every delay.
    pub(crate) fn run_out(&mut self) {
        for _ in 0..200_000 {
            if self.is_over() {
                return;
            }
            self.wire.room = usize::MAX / 2;
            self.turn(TAIL_MAX);
            if let Step::Wait(Interest::Nothing) = self.last {
                let due = self.machine.deadline(&self.rules, self.now);
                let due = due.unwrap_or(self.now);
                self.pass(due.saturating_sub(self.now));
            } else if self.wire.input.is_empty() && !self.wire.fin {
                return;
            }
        }
        panic!("no end: {:?}", self.machine);
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.last, Step::Close(_) | Step::Reset(_))
    }
}

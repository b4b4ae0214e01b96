//! Runs the state machine against a fake socket that consists of two queues,
//! for tests and the fuzz target.

use std::time::Duration;

use super::{MAX_SEND_BUFFER, Machine, Rules, Step};
use crate::poller::Interest;

/// The bytes that wait to be read. Reads do not move the rest, which would be
/// slow in the fuzz target.
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

/// A socket without a kernel.
#[derive(Debug, Default)]
pub(crate) struct FakeSocket {
    pub(crate) input: Input,
    /// Whether the peer has ended its side, after `input`.
    pub(crate) fin: bool,
    /// The number of bytes that can be sent.
    pub(crate) room: usize,
    /// The bytes that have been sent.
    pub(crate) output: Vec<u8>,
    /// Whether the sending side has been shut down.
    pub(crate) shut_down: bool,
}

/// A state machine with its fake socket, driven as `conn.rs` drives it.
#[derive(Debug)]
pub(crate) struct Harness {
    pub(crate) rules: Rules,
    pub(crate) machine: Machine,
    pub(crate) socket: FakeSocket,
    pub(crate) now: Duration,
    pub(crate) last_step: Step,
    /// The output that the rules require for the input so far.
    pub(crate) expected: Vec<u8>,
    /// The number of bytes received while the connection was open.
    pub(crate) received: usize,
    /// Whether the peer's end of file has been read.
    pub(crate) eof_read: bool,
}

impl Harness {
    pub(crate) fn new(rules: Rules) -> Self {
        let machine = Machine::new(&rules, 1, Duration::ZERO);
        let expected = rules.greeting.clone();
        Self {
            rules,
            machine,
            socket: FakeSocket::default(),
            now: Duration::ZERO,
            last_step: Step::Wait(Interest::Read),
            expected,
            received: 0,
            eof_read: false,
        }
    }

    /// Handles one readiness event, if the socket is ready. A read returns at
    /// most `scratch` bytes.
    pub(crate) fn on_ready(&mut self, scratch: usize) {
        if self.is_finished() {
            return;
        }
        let readable = !self.socket.input.is_empty() || self.socket.fin;
        let writable = self.socket.room > 0;
        let ready = match self.last_step {
            // A spurious event.
            Step::Wait(Interest::Read) => true,
            Step::Wait(Interest::Write) => writable,
            Step::Wait(Interest::ReadWrite) => readable || writable,
            _ => false,
        };
        if ready {
            self.flush();
            let limit = self.machine.read_limit(&self.rules, self.now).min(scratch);
            if limit > 0 {
                self.read(limit);
            }
        }
        self.apply_steps();
    }

    fn read(&mut self, limit: usize) {
        if self.socket.input.is_empty() {
            if self.socket.fin {
                self.eof_read = true;
                self.machine.on_eof();
            }
            return;
        }
        let n = limit.min(self.socket.input.len());
        let mut chunk = self.socket.input.take(n);
        if self.machine.is_open() {
            self.received += n;
            let reply = self.rules.reply.as_ref().unwrap_or(&chunk);
            self.expected.extend_from_slice(reply);
        }
        let reply = self
            .machine
            .on_received(&self.rules, &mut chunk, self.now)
            .to_vec();
        if reply.is_empty() {
            return self.flush();
        }
        let n = self.socket.room.min(reply.len());
        self.socket.output.extend(&reply[..n]);
        self.socket.room -= n;
        self.machine.on_reply_sent(&reply, n, self.now);
    }

    fn flush(&mut self) {
        let n = self.socket.room.min(self.machine.sendable().len());
        self.socket.output.extend(&self.machine.sendable()[..n]);
        self.socket.room -= n;
        self.machine.on_buffer_sent(n, self.now);
    }

    /// Follows the machine until it waits or ends.
    pub(crate) fn apply_steps(&mut self) {
        loop {
            self.last_step = self.machine.next_step(&self.rules, self.now);
            let buffered = self.machine.buffer.len();
            assert!(buffered <= MAX_SEND_BUFFER, "{buffered} bytes are buffered");
            match self.last_step {
                Step::ShutdownWrite => self.socket.shut_down = true,
                Step::Wait(Interest::ErrorsOnly) => {
                    let due = self.machine.deadline(&self.rules, self.now);
                    assert!(due.is_some(), "no event would end this wait");
                    return;
                }
                _ => return,
            }
        }
    }

    /// Lets time pass and handles the deadlines that expire.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        if self.is_finished() {
            return;
        }
        while let Some(due) = self.machine.deadline(&self.rules, self.now)
            && due <= self.now
        {
            self.machine.on_timeout(&self.rules, self.now);
            self.flush();
            self.apply_steps();
            if self.is_finished() {
                return;
            }
            let next = self.machine.deadline(&self.rules, self.now);
            assert_ne!(next, Some(due), "an expired deadline stays");
        }
    }

    /// Lets the peer read everything and all delays pass, until the connection
    /// ends or waits for input.
    pub(crate) fn run_to_end(&mut self) {
        for _ in 0..200_000 {
            if self.is_finished() {
                return;
            }
            self.socket.room = usize::MAX / 2;
            self.on_ready(MAX_SEND_BUFFER);
            if let Step::Wait(Interest::ErrorsOnly) = self.last_step {
                let due = self.machine.deadline(&self.rules, self.now);
                let due = due.unwrap_or(self.now);
                self.advance(due.saturating_sub(self.now));
            } else if self.socket.input.is_empty() && !self.socket.fin {
                return;
            }
        }
        panic!("the connection does not end: {:?}", self.machine);
    }

    /// Returns whether the connection has been closed or reset.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.last_step, Step::Close(_) | Step::Reset(_))
    }
}

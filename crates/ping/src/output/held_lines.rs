//! Lines that wait for the name of an address, in order. Only the output waits:
//! probes are sent and replies are received while a name server is slow.
//!
//! A line waits for at most [`reverse_dns::NAME_TIMEOUT`]. If a line times out,
//! further lines do not wait and show only the address, until a lookup ends in
//! time again.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::Result;
use common::app::Io;
use common::text::escape;

use crate::clock::Nanos;
use crate::reverse_dns::{self, NameStatus, ReverseDns};

/// The timeout of a line in nanoseconds.
const NAME_TIMEOUT: Nanos = reverse_dns::NAME_TIMEOUT.as_nanos() as Nanos;

/// The maximum number of bytes of waiting lines.
const MAX_BYTES: usize = 1 << 20;

/// A line in two parts with an address between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldLine {
    /// The text before the address.
    pub(crate) head: Vec<u8>,
    /// The address to look up, and its text.
    pub(crate) address: Option<(IpAddr, String)>,
    /// The text after the address, with the line feed.
    pub(crate) tail: Vec<u8>,
    /// Whether the line goes to stderr, after the name of the tool. It
    /// has only a head then, without a line feed.
    pub(crate) is_error: bool,
}

impl HeldLine {
    fn size(&self) -> usize {
        let text = self.address.as_ref().map_or(0, |(_, text)| text.len());
        size_of::<Self>() + self.head.len() + text + self.tail.len()
    }

    fn write(&self, io: &mut Io, name: Option<&str>) -> Result<()> {
        if self.is_error {
            // Both streams may be one terminal, so the order matters.
            io.out.flush()?;
            let text = String::from_utf8_lossy(&self.head);
            io.report.line(text.trim_end());
            return Ok(());
        }
        io.out.bytes(&self.head)?;
        if let Some((_, number)) = &self.address {
            match name {
                Some(name) => {
                    let text = format!("{} ({number})", escape(name.as_bytes()));
                    io.out.bytes(text.as_bytes())?;
                }
                None => io.out.bytes(number.as_bytes())?,
            }
        }
        io.out.bytes(&self.tail)
    }
}

/// The queue of waiting lines.
#[derive(Debug)]
pub(crate) struct HeldLines {
    names: ReverseDns,
    /// The lines and when they were made.
    lines: VecDeque<(Nanos, HeldLine)>,
    bytes: usize,
}

impl HeldLines {
    /// Creates an empty queue.
    pub(crate) fn new(names: ReverseDns) -> Self {
        Self {
            names,
            lines: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Prints a line that was made at `now`, after the lines before it and as
    /// soon as its name is known.
    pub(crate) fn print(&mut self, io: &mut Io, line: HeldLine, now: Nanos) -> Result<()> {
        if let Some((address, _)) = &line.address {
            self.names.request(*address);
        }
        if self.lines.is_empty() {
            // Usually no line waits, and the name is known or not wanted. Then
            // neither the queue nor the waker's descriptor is touched.
            let status = match &line.address {
                Some((address, _)) => self.names.status(*address),
                None => NameStatus::Known(None),
            };
            if let NameStatus::Known(name) = status {
                line.write(io, name)?;
                return io.out.flush_if_full();
            }
        }
        self.bytes += line.size();
        self.lines.push_back((now, line));
        self.release(io, now)
    }

    /// Prints the lines that need not wait any longer.
    pub(crate) fn release(&mut self, io: &mut Io, now: Nanos) -> Result<()> {
        if !self.lines.is_empty() {
            self.names.reset_waker();
        }
        while let Some((since, line)) = self.lines.front() {
            let address = line.address.as_ref().map(|(address, _)| *address);
            let name = match address.map(|address| self.names.status(address)) {
                Some(NameStatus::Pending) => None,
                Some(NameStatus::Known(name)) => Some(name.map(str::to_owned)),
                None => Some(None),
            };
            if name.is_none() && now.saturating_sub(*since) >= NAME_TIMEOUT {
                self.names.record_timeout();
            }
            if name.is_none() && !self.names.has_timed_out() && self.bytes <= MAX_BYTES {
                break;
            }
            line.write(io, name.flatten().as_deref())?;
            self.bytes -= line.size();
            self.lines.pop_front();
        }
        io.out.flush_if_full()
    }

    /// Prints every line, with the names that are known.
    pub(crate) fn release_all(&mut self, io: &mut Io) -> Result<()> {
        self.release(io, Nanos::MAX)
    }

    /// Returns when the next line times out, if one waits.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        let (since, _) = self.lines.front()?;
        Some(since.saturating_add(NAME_TIMEOUT))
    }

    /// Returns a descriptor that becomes readable when a name is known, if a line
    /// waits.
    pub(crate) fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.names.wake_fd().filter(|_| !self.lines.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::test_io::TestIo;
    use crate::reverse_dns::LookupResult;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::sync::Mutex;

    struct Harness {
        held: HeldLines,
        io: TestIo,
    }

    impl Harness {
        fn new(look_up: fn(IpAddr) -> LookupResult) -> Self {
            Self {
                held: HeldLines::new(ReverseDns::with_lookup(look_up)),
                io: TestIo::new(),
            }
        }

        fn print(&mut self, line: HeldLine, now: Nanos) {
            self.held.print(&mut self.io.io, line, now).unwrap();
        }

        /// Prints a line about 10.0.0.`n`, or one without an address if `n` is 0.
        fn print_from(&mut self, n: u8, now: Nanos) {
            let address = IpAddr::from([10, 0, 0, n]);
            let line = HeldLine {
                head: b"From ".to_vec(),
                address: (n > 0).then(|| (address, address.to_string())),
                tail: format!(" at {now}\n").into_bytes(),
                is_error: false,
            };
            self.print(line, now);
        }

        /// Prints a line to stderr.
        fn print_error(&mut self, now: Nanos) {
            let line = HeldLine {
                head: b"sendmsg: Operation not permitted".to_vec(),
                is_error: true,
                ..HeldLine::default()
            };
            self.print(line, now);
        }

        fn release(&mut self, now: Nanos) {
            self.held.release(&mut self.io.io, now).unwrap();
        }

        /// Waits at the time `now` until no line waits.
        fn drain(&mut self, now: Nanos) {
            while let Some(fd) = self.held.wake_fd() {
                poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], None).unwrap();
                self.release(now);
            }
        }
    }

    #[test]
    fn lines_keep_their_order_and_have_names() {
        let mut harness = Harness::new(|_| LookupResult::Done(Some("host.test".to_owned())));
        harness.print_from(1, 5);
        harness.print_from(0, 6);
        harness.print_from(1, 7);
        harness.drain(7);
        harness.print_from(1, 8);
        assert_eq!(
            harness.io.text(),
            "From host.test (10.0.0.1) at 5\nFrom  at 6\nFrom host.test (10.0.0.1) at 7\n\
             From host.test (10.0.0.1) at 8\n"
        );
    }

    /// It waits for the lines before it, although these go to the other stream.
    #[test]
    fn an_error_line_keeps_its_place() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().unwrap();
        let mut harness = Harness::new(|_| {
            drop(GATE.lock().unwrap());
            LookupResult::Done(Some("host.test".to_owned()))
        });
        harness.print_from(1, 5);
        harness.print_error(6);
        harness.print_from(1, 7);
        assert_eq!(harness.io.text(), "");
        drop(gate);
        harness.drain(7);
        // If no line waits, it is printed immediately.
        harness.print_error(8);
        assert_eq!(
            harness.io.text(),
            "From host.test (10.0.0.1) at 5\nping: sendmsg: Operation not permitted\n\
             From host.test (10.0.0.1) at 7\nping: sendmsg: Operation not permitted\n"
        );
    }

    #[test]
    fn only_one_line_waits_for_a_name_server_that_does_not_answer() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().unwrap();
        let mut harness = Harness::new(|_| {
            drop(GATE.lock().unwrap());
            LookupResult::Failed
        });
        harness.print_from(1, 0);
        harness.print_from(2, 0);
        assert_eq!(
            (harness.io.text().as_str(), harness.held.deadline()),
            ("", Some(NAME_TIMEOUT))
        );
        harness.release(NAME_TIMEOUT - 1);
        assert_eq!(harness.io.text(), "");
        harness.release(NAME_TIMEOUT);
        harness.print_from(3, NAME_TIMEOUT + 1);
        assert!(harness.held.deadline().is_none() && harness.held.wake_fd().is_none());
        assert_eq!(
            harness.io.text(),
            "From 10.0.0.1 at 0\nFrom 10.0.0.2 at 0\nFrom 10.0.0.3 at 2000000001\n"
        );
        drop(gate);
    }

    #[test]
    fn lines_beyond_the_limit_have_no_names() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().unwrap();
        let mut harness = Harness::new(|_| {
            drop(GATE.lock().unwrap());
            LookupResult::Failed
        });
        let lines = 2 * MAX_BYTES / size_of::<HeldLine>();
        for n in 0..lines {
            harness.print_from(1, n as Nanos);
        }
        assert!(harness.held.bytes <= MAX_BYTES && !harness.held.lines.is_empty());
        harness.held.release_all(&mut harness.io.io).unwrap();
        assert_eq!(harness.io.text().lines().count(), lines);
        assert_eq!(harness.held.bytes, 0);
        drop(gate);
    }
}

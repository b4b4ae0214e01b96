//! Lines that wait for the name of an address, in order. Output waits here and
//! the run does not: probes go out and replies are read while a name server is
//! slow.
//!
//! A line waits at most [`names::PATIENCE`], and only one wait of that length is spent
//! on lookups that do not end: after it lines go out with the number alone,
//! until a lookup is seen to end in time again.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::app::Io;
use common::text::escape;
use common::{Out, Result};

use crate::clock::Nanos;
use crate::names::{self, Name, Names};

/// [`names::PATIENCE`] in nanoseconds.
const PATIENCE: Nanos = names::PATIENCE.as_nanos() as Nanos;

/// Bytes of lines that wait, at most.
const ROOM: usize = 1 << 20;

/// A line in two parts, with an address between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// The text before the address.
    pub(crate) head: Vec<u8>,
    /// The address to be named, and its text.
    pub(crate) address: Option<(IpAddr, String)>,
    /// The text after it, with the end of the line.
    pub(crate) tail: Vec<u8>,
    /// Whether it goes to standard error, after the tool's name.
    pub(crate) is_error: bool,
}

impl Line {
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
        let out: &mut Out = &mut io.out;
        out.bytes(&self.head)?;
        if let Some((_, number)) = &self.address {
            match name {
                Some(name) => {
                    out.bytes(format!("{} ({number})", escape(name.as_bytes())).as_bytes())?;
                }
                None => out.bytes(number.as_bytes())?,
            }
        }
        out.bytes(&self.tail)
    }
}

/// The lines.
#[derive(Debug)]
pub(crate) struct Held {
    names: Names,
    lines: VecDeque<(Nanos, Line)>,
    bytes: usize,
}

impl Held {
    /// No lines, and names that `names` gives.
    pub(crate) fn new(names: Names) -> Self {
        Self {
            names,
            lines: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Prints a line that was made at `now`, once it is its turn.
    pub(crate) fn line(&mut self, io: &mut Io, line: Line, now: Nanos) -> Result<()> {
        if let Some((address, _)) = &line.address {
            self.names.ask(*address);
        }
        if self.lines.is_empty() {
            // The usual case costs neither a system call nor a place in the
            // queue: no line waits, and the name is known or not wanted.
            let name = match &line.address {
                Some((address, _)) => self.names.get(*address),
                None => Name::Known(None),
            };
            if let Name::Known(name) = name {
                line.write(io, name)?;
                return io.out.flush_if_full();
            }
        }
        self.bytes += line.size();
        self.lines.push_back((now, line));
        self.release(io, now)
    }

    /// Prints the lines that need not wait any more.
    pub(crate) fn release(&mut self, io: &mut Io, now: Nanos) -> Result<()> {
        if !self.lines.is_empty() {
            self.names.silence();
        }
        while let Some((since, line)) = self.lines.front() {
            let address = line.address.as_ref().map(|(address, _)| *address);
            let name = match address.map(|address| self.names.get(address)) {
                Some(Name::Pending) => None,
                Some(Name::Known(name)) => Some(name.map(str::to_owned)),
                None => Some(None),
            };
            let in_vain = name.is_none() && now.saturating_sub(*since) >= PATIENCE;
            if in_vain {
                self.names.give_up();
            }
            if name.is_none() && !self.names.has_given_up() && self.bytes <= ROOM {
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

    /// Until when the next line waits, if one does.
    pub(crate) fn until(&self) -> Option<Nanos> {
        let (since, _) = self.lines.front()?;
        Some(since.saturating_add(PATIENCE))
    }

    /// Readable when a line may have its name.
    pub(crate) fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.names.wake().filter(|_| !self.lines.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Outcome;
    use common::app::Reporter;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Desk {
        held: Held,
        io: Io,
        sink: Sink,
    }

    impl Desk {
        fn new(look_up: fn(IpAddr) -> Outcome) -> Self {
            let sink = Sink::default();
            let report = Reporter::new("ping", Box::new(sink.clone()));
            Self {
                held: Held::new(Names::of(look_up)),
                io: Io::over(Out::new(Box::new(sink.clone())), report),
                sink,
            }
        }

        /// A line from 10.0.0.`n`, or one without an address for 0.
        fn line(&mut self, n: u8, now: Nanos) {
            let address = IpAddr::from([10, 0, 0, n]);
            let line = Line {
                head: b"From ".to_vec(),
                address: (n > 0).then(|| (address, address.to_string())),
                tail: format!(" at {now}\n").into_bytes(),
                is_error: false,
            };
            self.held.line(&mut self.io, line, now).unwrap();
        }

        fn text(&mut self) -> String {
            self.io.out.flush().unwrap();
            String::from_utf8(self.sink.0.lock().unwrap().clone()).unwrap()
        }

        /// Waits until nothing is held, at one moment.
        fn drain(&mut self, now: Nanos) {
            while let Some(wake) = self.held.wake() {
                poll(&mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)], None).unwrap();
                self.held.release(&mut self.io, now).unwrap();
            }
        }
    }

    #[test]
    fn lines_keep_their_order_and_get_their_names() {
        let mut desk = Desk::new(|_| Outcome::Known(Some("host.test".to_owned())));
        desk.line(1, 5);
        desk.line(0, 6);
        desk.line(1, 7);
        desk.drain(7);
        desk.line(1, 8);
        assert_eq!(
            desk.text(),
            "From host.test (10.0.0.1) at 5\nFrom  at 6\nFrom host.test (10.0.0.1) at 7\n\
             From host.test (10.0.0.1) at 8\n"
        );
    }

    /// Errors of this host wait for the lines before them, although they go to
    /// the other stream.
    #[test]
    fn an_error_line_keeps_its_place() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().unwrap();
        let mut desk = Desk::new(|_| {
            drop(GATE.lock().unwrap());
            Outcome::Known(Some("host.test".to_owned()))
        });
        let error = |desk: &mut Desk, now| {
            let line = Line {
                head: b"sendmsg: Operation not permitted".to_vec(),
                is_error: true,
                ..Line::default()
            };
            desk.held.line(&mut desk.io, line, now).unwrap();
        };
        desk.line(1, 5);
        error(&mut desk, 6);
        desk.line(1, 7);
        assert_eq!(desk.text(), "");
        drop(gate);
        desk.drain(7);
        // Without a line that waits it is printed at once.
        error(&mut desk, 8);
        assert_eq!(
            desk.text(),
            "From host.test (10.0.0.1) at 5\nping: sendmsg: Operation not permitted\n\
             From host.test (10.0.0.1) at 7\nping: sendmsg: Operation not permitted\n"
        );
    }

    #[test]
    fn one_wait_for_lookups_that_do_not_end() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().unwrap();
        let mut desk = Desk::new(|_| {
            drop(GATE.lock().unwrap());
            Outcome::Failed
        });
        desk.line(1, 0);
        desk.line(2, 0);
        assert_eq!(
            (desk.text().as_str(), desk.held.until()),
            ("", Some(PATIENCE))
        );
        desk.held.release(&mut desk.io, PATIENCE - 1).unwrap();
        assert_eq!(desk.text(), "");
        desk.held.release(&mut desk.io, PATIENCE).unwrap();
        desk.line(3, PATIENCE + 1);
        assert!(desk.held.until().is_none() && desk.held.wake().is_none());
        assert_eq!(
            desk.text(),
            "From 10.0.0.1 at 0\nFrom 10.0.0.2 at 0\nFrom 10.0.0.3 at 2000000001\n"
        );
        drop(gate);
    }

    #[test]
    fn lines_beyond_what_is_kept_go_out_with_numbers() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().unwrap();
        let mut desk = Desk::new(|_| {
            drop(GATE.lock().unwrap());
            Outcome::Failed
        });
        let lines = 2 * ROOM / size_of::<Line>();
        for n in 0..lines {
            desk.line(1, n as Nanos);
        }
        assert!(desk.held.bytes <= ROOM && !desk.held.lines.is_empty());
        desk.held.release_all(&mut desk.io).unwrap();
        assert_eq!(desk.text().lines().count(), lines);
        assert_eq!(desk.held.bytes, 0);
        drop(gate);
    }
}

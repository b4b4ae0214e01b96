//! Standard output, shared by transfers that may run side by side.
//!
//! Alone, a transfer writes through and flushes at once, since it waits for
//! the network next. Side by side, whole lines are written, so that two bodies
//! never meet within a line; a line too long to hold is written in pieces while
//! the other transfers wait. If such a line does not end for a time, because its
//! server sends little or nothing, another transfer breaks it, and the one whose
//! line it was fails. With `--ordered` each transfer waits for its turn
//! before it writes.

use std::io::{self, BufWriter, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Error, Kind, Out, Result};

use super::report::Report;
use crate::output::record;

/// Bytes that a transfer may hold back: of a line, or while it waits for its
/// turn.
const HOLD: usize = 1 << 20;

/// A line that is being written in pieces must bring this much within the time
/// that a server may be silent, if others wait.
const PACE: usize = 64 * 1024;

/// A line that is being written in pieces.
#[derive(Debug)]
struct Line {
    /// Which one.
    number: u64,
    /// When the last [`PACE`] of it was complete, and how much followed.
    since: Instant,
    bytes: usize,
}

/// The line that is being written, and the number of the next one.
#[derive(Debug, Default)]
struct Lines {
    current: Option<Line>,
    next: u64,
}

/// Standard output and whose turn it is.
#[derive(Debug)]
pub(crate) struct Shared {
    out: Mutex<Out>,
    turn: Mutex<u64>,
    turned: Condvar,
    /// The line that a transfer is in the middle of.
    lines: Mutex<Lines>,
    line_ended: Condvar,
    patience: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// `patience` is how long a transfer waits for the line of another.
    pub(crate) fn new(out: Out, patience: Duration) -> Self {
        Self {
            out: Mutex::new(out),
            turn: Mutex::new(0),
            turned: Condvar::new(),
            lines: Mutex::new(Lines::default()),
            line_ended: Condvar::new(),
            patience,
        }
    }

    /// Gives the output back.
    pub(crate) fn into_out(self) -> Out {
        self.out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One transfer's way to standard output.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    shared: &'a Shared,
    /// Write whole lines only.
    lines: bool,
    /// The place in the order, where there is one.
    ticket: Option<u64>,
    held: Vec<u8>,
    /// The number of the line of which a part is out, so that the others wait
    /// for its end.
    mid_line: Option<u64>,
}

impl<'a> Stage<'a> {
    /// For a transfer that runs alone.
    pub(crate) fn alone(shared: &'a Shared) -> Self {
        Self::new(shared, false, None)
    }

    /// For one of several; `ticket` counts from 0 where order is kept.
    pub(crate) fn beside(shared: &'a Shared, ticket: Option<u64>) -> Self {
        Self::new(shared, true, ticket)
    }

    fn new(shared: &'a Shared, lines: bool, ticket: Option<u64>) -> Self {
        Self {
            shared,
            lines,
            ticket,
            held: Vec::new(),
            mid_line: None,
        }
    }

    /// Writes bytes, at once where that is allowed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.lines && self.ticket.is_none() {
            let mut out = lock(&self.shared.out);
            out.bytes(bytes)?;
            return out.flush();
        }
        self.held.extend_from_slice(bytes);
        let full = self.held.len() >= HOLD;
        if full || self.is_my_turn() {
            self.wait_for_turn();
            match self.held.iter().rposition(|&b| b == b'\n') {
                Some(at) => self.flush_buffer(at + 1, true)?,
                None if full || self.mid_line.is_some() => {
                    self.flush_buffer(self.held.len(), false)?
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Writes the JSON record of a transfer.
    pub(crate) fn record(&mut self, report: &Report) -> Result<()> {
        let mut pieces = Pieces {
            stage: self,
            error: None,
        };
        let mut buffer = BufWriter::with_capacity(PIECE, &mut pieces);
        let outcome = record::write(report, &mut buffer).and_then(|()| buffer.flush());
        // What could not be written must not be tried again.
        drop(buffer.into_parts());
        match (pieces.error, outcome) {
            (Some(error), _) => Err(error),
            (None, outcome) => outcome.map_err(Error::from),
        }
    }

    /// Writes what is left and passes the turn on.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.wait_for_turn();
        let outcome = self.flush_buffer(self.held.len(), true);
        self.pass();
        outcome
    }

    /// Says nothing, and passes the turn on.
    pub(crate) fn skip(self) {
        self.wait_for_turn();
        self.pass();
    }

    /// Writes `count` bytes of those held; `ends` says that the line is over.
    fn flush_buffer(&mut self, count: usize, ends: bool) -> Result<()> {
        if self.mid_line.is_none() && count == 0 {
            return Ok(());
        }
        let mut lines = lock(&self.shared.lines);
        let is_own = |lines: &Lines| {
            let current = lines.current.as_ref().map(|line| line.number);
            current.is_some() && current == self.mid_line
        };
        if self.mid_line.is_some() && !is_own(&lines) {
            // Told once; there is nothing to write at the end.
            self.mid_line = None;
            self.held.clear();
            let time = crate::net::shown(self.shared.patience);
            let message = format!("a line without end came too slowly for {time}");
            let error = Error::new(Kind::Timeout, message);
            return Err(error.hint("other transfers waited to print theirs; -O saves each"));
        }
        let mut breaks = false;
        while self.mid_line.is_none()
            && let Some(line) = &lines.current
        {
            let patience = self.shared.patience.saturating_sub(line.since.elapsed());
            if patience.is_zero() {
                breaks = true;
                break;
            }
            let waited = self.shared.line_ended.wait_timeout(lines, patience);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.mid_line.is_none() {
            let number = lines.next;
            lines.next += 1;
            self.mid_line = Some(number);
            lines.current = Some(Line {
                number,
                since: Instant::now(),
                bytes: 0,
            });
        }
        // Written while the lock is held, so that the line is not broken within a
        // piece.
        let mut out = lock(&self.shared.out);
        let broken = if breaks { out.bytes(b"\n") } else { Ok(()) };
        let outcome = broken
            .and_then(|()| out.bytes(&self.held[..count]))
            .and_then(|()| out.flush());
        drop(out);
        if let Some(line) = &mut lines.current {
            line.bytes += count;
            if line.bytes >= PACE {
                (line.since, line.bytes) = (Instant::now(), 0);
            }
        }
        drop(lines);
        self.held.drain(..count);
        if ends || outcome.is_err() {
            self.end_line();
        }
        outcome
    }

    fn end_line(&mut self) {
        if let Some(number) = self.mid_line.take() {
            let mut lines = lock(&self.shared.lines);
            if lines
                .current
                .as_ref()
                .is_some_and(|line| line.number == number)
            {
                lines.current = None;
                self.shared.line_ended.notify_one();
            }
        }
    }

    fn is_my_turn(&self) -> bool {
        self.ticket
            .is_none_or(|ticket| *lock(&self.shared.turn) >= ticket)
    }

    fn wait_for_turn(&self) {
        if let Some(ticket) = self.ticket {
            let turn = lock(&self.shared.turn);
            drop(
                self.shared
                    .turned
                    .wait_while(turn, |turn| *turn < ticket)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    fn pass(&self) {
        if let Some(ticket) = self.ticket {
            let mut turn = lock(&self.shared.turn);
            *turn = (*turn).max(ticket + 1);
            self.shared.turned.notify_all();
        }
    }
}

/// Otherwise the other transfers would wait for a line that does not go on.
impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.end_line();
    }
}

/// Bytes of a record that are written at a time.
const PIECE: usize = 64 * 1024;

/// A record on its way to standard output.
struct Pieces<'a, 'b> {
    stage: &'a mut Stage<'b>,
    error: Option<Error>,
}

impl Write for Pieces<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stage.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn alone_everything_goes_at_once() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        Stage::alone(&shared).write(b"half a li").unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"half a li");
    }

    #[test]
    fn side_by_side_lines_stay_whole() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        let mut a = Stage::beside(&shared, None);
        let mut b = Stage::beside(&shared, None);
        a.write(b"a1\na").unwrap();
        b.write(b"b1\n").unwrap();
        a.write(b"2\n").unwrap();
        b.write(b"b2").unwrap();
        b.finish().unwrap();
        a.finish().unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"a1\nb1\na2\nb2");
    }

    #[test]
    fn a_line_too_long_to_hold_stays_whole() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        let mut a = Stage::beside(&shared, None);
        for _ in 0..100 {
            a.write(&vec![b'a'; 100_000]).unwrap();
            assert!(a.held.len() < HOLD);
        }
        std::thread::scope(|scope| {
            let mut b = Stage::beside(&shared, None);
            scope.spawn(move || {
                b.write(b"b\n").unwrap();
                b.finish().unwrap();
            });
            a.write(b"!\nc").unwrap();
        });
        a.finish().unwrap();
        let expected = [&vec![b'a'; 10_000_000][..], b"!\nb\nc"].concat();
        assert!(*sink.0.lock().unwrap() == expected);
    }

    #[test]
    fn a_line_that_does_not_go_on_is_broken() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())), Duration::ZERO);
        let mut a = Stage::beside(&shared, None);
        a.write(&vec![b'a'; HOLD]).unwrap();
        let mut b = Stage::beside(&shared, None);
        b.write(b"b\n").unwrap();
        let error = a.write(b"a").unwrap_err();
        assert!(error.to_string().contains("too slowly"), "{error}");
        a.finish().unwrap();
        b.write(b"b2\n").unwrap();
        b.finish().unwrap();
        let expected = [&vec![b'a'; HOLD][..], b"\nb\nb2\n"].concat();
        assert!(*sink.0.lock().unwrap() == expected);
    }

    #[test]
    fn in_order() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        std::thread::scope(|scope| {
            for ticket in (0..20u64).rev() {
                let mut stage = Stage::beside(&shared, Some(ticket));
                scope.spawn(move || {
                    stage.write(format!("{ticket}\n").as_bytes()).unwrap();
                    stage.finish().unwrap();
                });
            }
        });
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().collect::<Vec<_>>(), expected);
    }
}

//! Standard output, shared by parallel transfers.
//!
//! A transfer that runs alone writes and flushes each piece, since it waits for the
//! network next. Parallel transfers write whole lines, so that two bodies never mix
//! within a line. A line that is too long to buffer is written in pieces while the
//! other transfers wait. If it makes too little progress for a while, another
//! transfer breaks the line, and the transfer that it belongs to fails. With
//! `--ordered`, each transfer waits for its turn before it writes.

use std::io::{self, BufWriter, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Error, Kind, Out, Result};

use crate::output::record;
use crate::report::Report;

/// The maximum number of bytes that a transfer buffers: of a line, or while it waits
/// for its turn.
const BUFFER_MAX: usize = 1 << 20;

/// The progress in bytes that a line written in pieces must make within the stall
/// timeout while others wait.
const LINE_PROGRESS: usize = 64 * 1024;

/// A line that is being written in pieces.
#[derive(Debug)]
struct OpenLine {
    /// The number of the line.
    number: u64,
    /// The time of the last [`LINE_PROGRESS`] bytes, and the bytes written since.
    since: Instant,
    bytes: usize,
}

/// The line that is being written, and the number of the next line.
#[derive(Debug, Default)]
struct LineState {
    current: Option<OpenLine>,
    next: u64,
}

/// Standard output with the state that orders the transfers.
#[derive(Debug)]
pub(crate) struct SharedStdout {
    out: Mutex<Out>,
    turn: Mutex<u64>,
    turned: Condvar,
    /// The line that a transfer has written in part.
    lines: Mutex<LineState>,
    line_ended: Condvar,
    line_timeout: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedStdout {
    /// Shares `out`; `line_timeout` limits the wait for the line of another transfer.
    pub(crate) fn new(out: Out, line_timeout: Duration) -> Self {
        Self {
            out: Mutex::new(out),
            turn: Mutex::new(0),
            turned: Condvar::new(),
            lines: Mutex::new(LineState::default()),
            line_ended: Condvar::new(),
            line_timeout,
        }
    }

    /// Returns the output when all transfers are done.
    pub(crate) fn into_out(self) -> Out {
        self.out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The access of one transfer to standard output.
#[derive(Debug)]
pub(crate) struct TransferOutput<'a> {
    shared: &'a SharedStdout,
    /// Whether only whole lines are written.
    lines: bool,
    /// The position in the order, with `--ordered`.
    position: Option<u64>,
    buffer: Vec<u8>,
    /// The number of the line that this transfer has written in part.
    open_line: Option<u64>,
}

impl<'a> TransferOutput<'a> {
    /// Returns the access of a transfer that runs alone.
    pub(crate) fn exclusive(shared: &'a SharedStdout) -> Self {
        Self::new(shared, false, None)
    }

    /// Returns the access of one of several transfers; `position` counts from 0.
    pub(crate) fn concurrent(shared: &'a SharedStdout, position: Option<u64>) -> Self {
        Self::new(shared, true, position)
    }

    fn new(shared: &'a SharedStdout, lines: bool, position: Option<u64>) -> Self {
        Self {
            shared,
            lines,
            position,
            buffer: Vec::new(),
            open_line: None,
        }
    }

    /// Writes bytes now, or buffers them until a line or the turn is complete.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.lines && self.position.is_none() {
            let mut out = lock(&self.shared.out);
            out.bytes(bytes)?;
            return out.flush();
        }
        self.buffer.extend_from_slice(bytes);
        let full = self.buffer.len() >= BUFFER_MAX;
        if full || self.is_my_turn() {
            self.wait_for_turn();
            match self.buffer.iter().rposition(|&b| b == b'\n') {
                Some(at) => self.flush_buffer(at + 1, true)?,
                None if full || self.open_line.is_some() => {
                    self.flush_buffer(self.buffer.len(), false)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Writes the JSON record of a transfer.
    pub(crate) fn record(&mut self, report: &Report) -> Result<()> {
        let mut writer = RecordWriter {
            output: self,
            error: None,
        };
        let mut buffer = BufWriter::with_capacity(RECORD_BUFFER, &mut writer);
        let outcome = record::write(report, &mut buffer).and_then(|()| buffer.flush());
        // Dropping a BufWriter would repeat the failed write.
        drop(buffer.into_parts());
        match (writer.error, outcome) {
            (Some(error), _) => Err(error),
            (None, outcome) => outcome.map_err(Error::from),
        }
    }

    /// Writes the buffer and ends the turn.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.wait_for_turn();
        let outcome = self.flush_buffer(self.buffer.len(), true);
        self.advance_turn();
        outcome
    }

    /// Ends the turn without writing.
    pub(crate) fn skip(self) {
        self.wait_for_turn();
        self.advance_turn();
    }

    /// Writes `count` bytes of the buffer; `ends` is true at the end of a line.
    fn flush_buffer(&mut self, count: usize, ends: bool) -> Result<()> {
        if self.open_line.is_none() && count == 0 {
            return Ok(());
        }
        let mut lines = lock(&self.shared.lines);
        let is_own = |lines: &LineState| {
            let current = lines.current.as_ref().map(|line| line.number);
            current.is_some() && current == self.open_line
        };
        if self.open_line.is_some() && !is_own(&lines) {
            // The error is returned once, and the rest of the line is dropped.
            self.open_line = None;
            self.buffer.clear();
            let time = crate::net::format_duration(self.shared.line_timeout);
            let message = format!("timed out: a line stayed incomplete for {time}");
            let error = Error::new(Kind::Timeout, message);
            return Err(
                error.hint("other transfers were waiting to print; use -O to save each body")
            );
        }
        let mut breaks_line = false;
        while self.open_line.is_none()
            && let Some(line) = &lines.current
        {
            let line_timeout = self
                .shared
                .line_timeout
                .saturating_sub(line.since.elapsed());
            if line_timeout.is_zero() {
                breaks_line = true;
                break;
            }
            let waited = self.shared.line_ended.wait_timeout(lines, line_timeout);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.open_line.is_none() {
            let number = lines.next;
            lines.next += 1;
            self.open_line = Some(number);
            lines.current = Some(OpenLine {
                number,
                since: Instant::now(),
                bytes: 0,
            });
        }
        // The lock is held during the write, so that no other transfer breaks the
        // line within a piece.
        let mut out = lock(&self.shared.out);
        let line_break = if breaks_line {
            out.bytes(b"\n")
        } else {
            Ok(())
        };
        let outcome = line_break
            .and_then(|()| out.bytes(&self.buffer[..count]))
            .and_then(|()| out.flush());
        drop(out);
        if let Some(line) = &mut lines.current {
            line.bytes += count;
            if line.bytes >= LINE_PROGRESS {
                (line.since, line.bytes) = (Instant::now(), 0);
            }
        }
        drop(lines);
        self.buffer.drain(..count);
        if ends || outcome.is_err() {
            self.end_line();
        }
        outcome
    }

    fn end_line(&mut self) {
        if let Some(number) = self.open_line.take() {
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
        self.position
            .is_none_or(|position| *lock(&self.shared.turn) >= position)
    }

    fn wait_for_turn(&self) {
        if let Some(position) = self.position {
            let turn = lock(&self.shared.turn);
            drop(
                self.shared
                    .turned
                    .wait_while(turn, |turn| *turn < position)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    fn advance_turn(&self) {
        if let Some(position) = self.position {
            let mut turn = lock(&self.shared.turn);
            *turn = (*turn).max(position + 1);
            self.shared.turned.notify_all();
        }
    }
}

/// Ends the line, so that the other transfers do not wait for it.
impl Drop for TransferOutput<'_> {
    fn drop(&mut self) {
        self.end_line();
    }
}

/// The buffer for writing a record, in bytes.
const RECORD_BUFFER: usize = 64 * 1024;

/// Writes a record to standard output.
struct RecordWriter<'a, 'b> {
    output: &'a mut TransferOutput<'b>,
    error: Option<Error>,
}

impl Write for RecordWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.output.write(bytes) {
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
    fn a_single_transfer_writes_immediately() {
        let sink = Sink::default();
        let shared = SharedStdout::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        TransferOutput::exclusive(&shared)
            .write(b"half a li")
            .unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"half a li");
    }

    #[test]
    fn parallel_transfers_write_whole_lines() {
        let sink = Sink::default();
        let shared = SharedStdout::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        let mut a = TransferOutput::concurrent(&shared, None);
        let mut b = TransferOutput::concurrent(&shared, None);
        a.write(b"a1\na").unwrap();
        b.write(b"b1\n").unwrap();
        a.write(b"2\n").unwrap();
        b.write(b"b2").unwrap();
        b.finish().unwrap();
        a.finish().unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"a1\nb1\na2\nb2");
    }

    #[test]
    fn a_line_too_long_to_buffer_stays_whole() {
        let sink = Sink::default();
        let shared = SharedStdout::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        let mut a = TransferOutput::concurrent(&shared, None);
        for _ in 0..100 {
            a.write(&vec![b'a'; 100_000]).unwrap();
            assert!(a.buffer.len() < BUFFER_MAX);
        }
        std::thread::scope(|scope| {
            let mut b = TransferOutput::concurrent(&shared, None);
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
    fn a_line_without_progress_is_broken() {
        let sink = Sink::default();
        let shared = SharedStdout::new(Out::new(Box::new(sink.clone())), Duration::ZERO);
        let mut a = TransferOutput::concurrent(&shared, None);
        a.write(&vec![b'a'; BUFFER_MAX]).unwrap();
        let mut b = TransferOutput::concurrent(&shared, None);
        b.write(b"b\n").unwrap();
        let error = a.write(b"a").unwrap_err();
        assert!(error.to_string().contains("stayed incomplete"), "{error}");
        a.finish().unwrap();
        b.write(b"b2\n").unwrap();
        b.finish().unwrap();
        let expected = [&vec![b'a'; BUFFER_MAX][..], b"\nb\nb2\n"].concat();
        assert!(*sink.0.lock().unwrap() == expected);
    }

    #[test]
    fn transfers_write_in_order() {
        let sink = Sink::default();
        let shared = SharedStdout::new(Out::new(Box::new(sink.clone())), Duration::MAX);
        std::thread::scope(|scope| {
            for position in (0..20u64).rev() {
                let mut output = TransferOutput::concurrent(&shared, Some(position));
                scope.spawn(move || {
                    output.write(format!("{position}\n").as_bytes()).unwrap();
                    output.finish().unwrap();
                });
            }
        });
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().collect::<Vec<_>>(), expected);
    }
}

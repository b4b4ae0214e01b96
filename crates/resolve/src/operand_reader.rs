//! Reads operands without blocking the lookups: a separate thread reads files
//! and standard input and passes the lines on in batches, so that answers are
//! processed while the next line has not arrived yet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use common::operands::{Operand, Operands};
use common::{Error, Result};
use net::Waker;

/// The maximum number of lines in a batch.
const BATCH_LINES: usize = 256;

/// Batches that may wait before the thread blocks.
const MAX_BATCHES: usize = 8;

/// The operands of the command line, followed by those of files.
pub(crate) struct Inputs {
    arguments: Operands,
    files: Operands,
    /// Whether an operand has been read.
    any: Arc<AtomicBool>,
}

impl Inputs {
    /// Chains the operands of the command line and those in `files`, one per line.
    pub(crate) fn new(arguments: Operands, files: &[String]) -> Self {
        let files = files.iter().map(|file| format!("@{file}")).collect();
        Self {
            arguments,
            files: Operands::new(files, Box::new(io::empty())).with_files(),
            any: Arc::default(),
        }
    }

    /// Returns a flag that is set once an operand, valid or not, has been read.
    pub(crate) fn any(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.any)
    }

    fn is_ready(&self) -> bool {
        self.arguments.is_ready() && self.files.is_ready()
    }
}

impl Iterator for Inputs {
    type Item = Result<Operand>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.arguments.next().or_else(|| self.files.next())?;
        self.any.store(true, Ordering::Relaxed);
        Some(next)
    }
}

/// The result of [`OperandReader::poll`].
pub(crate) enum Poll {
    /// An operand, or the error for a line that is not one.
    Ready(Result<Operand>),
    /// No operand yet; wait for [`OperandReader::wake_fd`].
    Pending,
    End,
}

/// A reader that never blocks.
pub(crate) enum OperandReader {
    /// All operands are arguments.
    Direct(Box<Inputs>),
    /// A thread reads the operands.
    Threaded(ThreadedReader),
}

/// The receiving end of the reading thread.
pub(crate) struct ThreadedReader {
    batches: Receiver<Vec<Result<Operand>>>,
    batch: VecDeque<Result<Operand>>,
    waker: Waker,
    /// Set before waiting for `waker`.
    is_waiting: Arc<AtomicBool>,
}

impl OperandReader {
    /// Creates a reader, with a thread if `reads_lists`. Fails if the thread
    /// cannot be started.
    pub(crate) fn new(operands: Inputs, reads_lists: bool) -> Result<Self> {
        if !reads_lists {
            return Ok(Self::Direct(Box::new(operands)));
        }
        ThreadedReader::start(operands)
            .map(Self::Threaded)
            .map_err(|e| Error::local(&e))
    }

    /// Returns the next operand, if it is available.
    pub(crate) fn poll(&mut self) -> Poll {
        match self {
            Self::Direct(operands) => operands.next().map_or(Poll::End, Poll::Ready),
            Self::Threaded(reader) => reader.poll(),
        }
    }

    /// Returns the descriptor to wait for after [`Poll::Pending`].
    pub(crate) fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Direct(_) => None,
            Self::Threaded(reader) => Some(reader.waker.as_fd()),
        }
    }
}

impl ThreadedReader {
    fn start(mut operands: Inputs) -> io::Result<Self> {
        let (sender, batches) = sync_channel(MAX_BATCHES);
        let waker = Waker::new()?;
        let is_waiting = Arc::new(AtomicBool::new(false));
        let must_wake = Arc::clone(&is_waiting);
        let wakes = waker.clone();
        thread::Builder::new()
            .name("operands".to_owned())
            .spawn(move || {
                while let Some(first) = operands.next() {
                    let mut batch = vec![first];
                    while batch.len() < BATCH_LINES && operands.is_ready() {
                        match operands.next() {
                            Some(operand) => batch.push(operand),
                            None => break,
                        }
                    }
                    if sender.send(batch).is_err() {
                        return;
                    }
                    if must_wake.swap(false, Ordering::SeqCst) {
                        wakes.wake();
                    }
                }
                drop(sender);
                // The end of the input wakes the reader, too.
                wakes.wake();
            })?;
        Ok(Self {
            batches,
            batch: VecDeque::new(),
            waker,
            is_waiting,
        })
    }

    fn poll(&mut self) -> Poll {
        loop {
            if let Some(operand) = self.batch.pop_front() {
                return Poll::Ready(operand);
            }
            match self.batches.try_recv() {
                Ok(batch) => self.batch = batch.into(),
                Err(TryRecvError::Disconnected) => return Poll::End,
                Err(TryRecvError::Empty) if self.is_waiting.load(Ordering::SeqCst) => {
                    return Poll::Pending;
                }
                // Checks once more, now that the thread will wake it.
                Err(TryRecvError::Empty) => {
                    self.waker.reset();
                    self.is_waiting.store(true, Ordering::SeqCst);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use rustix::event::{PollFd, PollFlags, poll};

    #[test]
    fn a_line_is_available_before_the_next_one() {
        let (pipe, mut writer) = io::pipe().unwrap();
        let operands = Operands::new(vec!["-".to_owned()], Box::new(pipe));
        let operands = Inputs::new(operands, &[]);
        let mut reader = OperandReader::new(operands, true).unwrap();
        let next = |reader: &mut OperandReader| {
            loop {
                match reader.poll() {
                    Poll::Ready(operand) => return Some(operand.unwrap().text),
                    Poll::End => return None,
                    Poll::Pending => {
                        let fd = reader.wake_fd().unwrap();
                        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
                    }
                }
            }
        };
        assert!(matches!(reader.poll(), Poll::Pending));
        writer.write_all(b"one\n# a comment\n").unwrap();
        assert_eq!(next(&mut reader).as_deref(), Some("one"));
        writer.write_all(b"two\nthr").unwrap();
        assert_eq!(next(&mut reader).as_deref(), Some("two"));
        assert!(matches!(reader.poll(), Poll::Pending));
        writer.write_all(b"ee").unwrap();
        drop(writer);
        assert_eq!(next(&mut reader).as_deref(), Some("three"));
        assert_eq!(next(&mut reader), None);
    }
}

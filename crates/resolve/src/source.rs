//! The operands, without ever waiting for one: lines of standard input are
//! read by a thread of their own, some at a time, so that answers go on
//! coming while the next line is not there yet.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use common::operands::{Operand, Operands};
use common::{Error, Result};

/// Lines handed over at once, and how often before the reader must wait.
const LINES: usize = 256;
const BATCHES: usize = 8;

/// The operands of the command line, then those of files.
pub(crate) struct Inputs {
    given: Operands,
    files: Operands,
    /// Whether there was any.
    any: Arc<AtomicBool>,
}

impl Inputs {
    /// Those of the command line, and those in `files`, one per line.
    pub(crate) fn new(given: Operands, files: &[String]) -> Self {
        let files = files.iter().map(|file| format!("@{file}")).collect();
        Self {
            given,
            files: Operands::new(files, Box::new(io::empty())).with_files(),
            any: Arc::default(),
        }
    }

    /// Whether there has been any operand, good or bad; also later, when the
    /// operands are elsewhere.
    pub(crate) fn any(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.any)
    }

    fn is_ready(&self) -> bool {
        self.given.is_ready() && self.files.is_ready()
    }
}

impl Iterator for Inputs {
    type Item = Result<Operand>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.given.next().or_else(|| self.files.next())?;
        self.any.store(true, Ordering::Relaxed);
        Some(next)
    }
}

/// What is to be had.
pub(crate) enum Next {
    Operand(Result<Operand>),
    /// Nothing yet; wait for the descriptor.
    Later,
    End,
}

/// Operands of the command line and of standard input.
pub(crate) enum Source {
    /// They are all there.
    Given(Box<Inputs>),
    /// A thread reads them.
    Read(Reader),
}

/// The near end of the reading thread.
pub(crate) struct Reader {
    batches: Receiver<Vec<Result<Operand>>>,
    batch: VecDeque<Result<Operand>>,
    wake: UnixStream,
    /// Set by who is about to wait for `wake`.
    waiting: Arc<AtomicBool>,
}

impl Source {
    /// `reads` says whether standard input or files are among them.
    pub(crate) fn new(operands: Inputs, reads: bool) -> Result<Self> {
        if !reads {
            return Ok(Self::Given(Box::new(operands)));
        }
        Reader::start(operands)
            .map(Self::Read)
            .map_err(|e| Error::local(&e))
    }

    /// The next operand, if it is there.
    pub(crate) fn next(&mut self) -> Next {
        match self {
            Self::Given(operands) => operands.next().map_or(Next::End, Next::Operand),
            Self::Read(reader) => reader.next(),
        }
    }

    /// What to wait for after [`Next::Later`].
    pub(crate) fn wake(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Given(_) => None,
            Self::Read(reader) => Some(reader.wake.as_fd()),
        }
    }
}

impl Reader {
    fn start(mut operands: Inputs) -> io::Result<Self> {
        let (sender, batches) = sync_channel(BATCHES);
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let waiting = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&waiting);
        thread::Builder::new()
            .name("operands".to_owned())
            .spawn(move || {
                while let Some(first) = operands.next() {
                    let mut batch = vec![first];
                    while batch.len() < LINES && operands.is_ready() {
                        match operands.next() {
                            Some(operand) => batch.push(operand),
                            None => break,
                        }
                    }
                    if sender.send(batch).is_err() {
                        return;
                    }
                    if asked.swap(false, Ordering::SeqCst) {
                        // A full pair wakes as well as one byte more.
                        let _ = (&waker).write(&[0]);
                    }
                }
                drop(sender);
                // The end is something to wake up for too.
                let _ = (&waker).write(&[0]);
            })?;
        Ok(Self {
            batches,
            batch: VecDeque::new(),
            wake,
            waiting,
        })
    }

    fn next(&mut self) -> Next {
        loop {
            if let Some(operand) = self.batch.pop_front() {
                return Next::Operand(operand);
            }
            match self.batches.try_recv() {
                Ok(batch) => self.batch = batch.into(),
                Err(TryRecvError::Disconnected) => return Next::End,
                Err(TryRecvError::Empty) if self.waiting.load(Ordering::SeqCst) => {
                    return Next::Later;
                }
                // Looked at once more when the thread knows that it is to wake.
                Err(TryRecvError::Empty) => {
                    let mut bytes = [0; 64];
                    while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
                    self.waiting.store(true, Ordering::SeqCst);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    #[test]
    fn a_line_is_there_before_the_next_one() {
        let (reader, mut writer) = io::pipe().unwrap();
        let operands = Operands::new(vec!["-".to_owned()], Box::new(reader));
        let operands = Inputs::new(operands, &[]);
        let mut source = Source::new(operands, true).unwrap();
        let next = |source: &mut Source| {
            loop {
                match source.next() {
                    Next::Operand(operand) => return Some(operand.unwrap().text),
                    Next::End => return None,
                    Next::Later => {
                        let wake = source.wake().unwrap();
                        poll(&mut [PollFd::new(&wake, PollFlags::IN)], None).unwrap();
                    }
                }
            }
        };
        assert!(matches!(source.next(), Next::Later));
        writer.write_all(b"one\n# no operand\n").unwrap();
        assert_eq!(next(&mut source).as_deref(), Some("one"));
        writer.write_all(b"two\nthr").unwrap();
        assert_eq!(next(&mut source).as_deref(), Some("two"));
        assert!(matches!(source.next(), Next::Later));
        writer.write_all(b"ee").unwrap();
        drop(writer);
        assert_eq!(next(&mut source).as_deref(), Some("three"));
        assert_eq!(next(&mut source), None);
    }
}

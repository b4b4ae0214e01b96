//! Many cores, one order: workers take pieces of input in turn, and results are
//! handed on in the order of the pieces.
//!
//! Whoever is free takes the next piece under a lock and notes that it did; the
//! notes tell the caller's thread whose result is next. A worker keeps one
//! result ahead at most. The threads are left to themselves at the end: one of
//! them may wait for input that never comes, and nobody must wait for it. A
//! small input never starts a thread.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use common::Result;

use crate::source::{Chunks, Piece};

/// So much is worked off before it is worth starting threads.
const SMALL: usize = 2 << 20;
/// More workers than this only wait for the reader.
const WORKERS_MAX: usize = 8;

/// Why a run ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input could not be read on.
    Read(io::Error),
    /// A result could not be handed on.
    HandOn(common::Error),
}

/// Works on all pieces of the input; `work` fills a result, `hand_on` gets
/// the results in the order of the input and says whether more are wanted.
pub(crate) fn run<R: Default + Send + 'static>(
    mut chunks: Chunks,
    work: impl Fn(&[u8], &mut R) + Send + Sync + 'static,
    hand_on: &mut dyn FnMut(&mut R) -> Result<bool>,
) -> Result<(), Failure> {
    let mut piece = Piece::default();
    let mut result = R::default();
    let mut seen = 0;
    while seen < SMALL {
        if !chunks.fill(&mut piece).map_err(Failure::Read)? {
            return Ok(());
        }
        seen += piece.bytes().len();
        work(piece.bytes(), &mut result);
        if !hand_on(&mut result).map_err(Failure::HandOn)? {
            return Ok(());
        }
    }
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let input = Arc::new(Mutex::new(chunks));
    let work = Arc::new(work);
    let (turns, order) = channel();
    let mut results = Vec::new();
    for number in 0..workers.min(WORKERS_MAX) {
        // The results come by one way, the spent ones go back by another.
        let (done, ready) = sync_channel(1);
        let (spent, fresh) = channel();
        results.push((ready, spent));
        let worker = Worker {
            number,
            input: Arc::clone(&input),
            turns: turns.clone(),
            done,
            fresh,
        };
        let work = Arc::clone(&work);
        std::thread::spawn(move || worker.run(&*work));
    }
    // The last worker to end closes the list of turns.
    drop(turns);
    for number in order {
        let (ready, spent): &(Receiver<io::Result<R>>, Sender<R>) = &results[number];
        let Ok(outcome) = ready.recv() else {
            break;
        };
        let mut result = outcome.map_err(Failure::Read)?;
        if !hand_on(&mut result).map_err(Failure::HandOn)? {
            break;
        }
        // A worker that has ended needs it no more.
        let _ = spent.send(result);
    }
    Ok(())
}

struct Worker<R> {
    number: usize,
    input: Arc<Mutex<Chunks>>,
    turns: Sender<usize>,
    done: SyncSender<io::Result<R>>,
    fresh: Receiver<R>,
}

impl<R: Default> Worker<R> {
    /// Until the input ends, or nobody wants results any more.
    fn run(self, work: &(impl Fn(&[u8], &mut R) + ?Sized)) {
        let mut piece = Piece::default();
        while let Some(read) = self.take(&mut piece) {
            let outcome = read.map(|()| {
                let mut result = self.fresh.try_recv().unwrap_or_default();
                work(piece.bytes(), &mut result);
                result
            });
            if self.done.send(outcome).is_err() {
                return;
            }
        }
    }

    /// The next piece, and the note whose it is; `None` at the end.
    fn take(&self, piece: &mut Piece) -> Option<io::Result<()>> {
        let mut chunks = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match chunks.fill(piece) {
            Ok(false) => return None,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        self.turns.send(self.number).ok().map(|()| read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Lines with numbers, more than fit one piece.
    fn numbers(count: usize) -> Vec<u8> {
        let lines: Vec<String> = (0..count).map(|n| format!("{n}\n")).collect();
        lines.concat().into_bytes()
    }

    fn copy(input: impl Read + Send + 'static, most: u64) -> (Vec<u8>, Result<(), Failure>) {
        let mut all = Vec::new();
        let mut handed = 0;
        let chunks = Chunks::with_size(Box::new(input), 4096);
        let outcome = run(
            chunks,
            |piece, result: &mut Vec<u8>| {
                result.clear();
                result.extend_from_slice(piece);
            },
            &mut |result: &mut Vec<u8>| {
                all.extend_from_slice(result);
                handed += 1;
                Ok(handed < most)
            },
        );
        (all, outcome)
    }

    #[test]
    fn results_keep_the_order_of_the_input() {
        for count in [0, 1, 1000, 1_000_000] {
            let input = numbers(count);
            let (all, outcome) = copy(io::Cursor::new(input.clone()), u64::MAX);
            assert!(outcome.is_ok());
            assert!(all == input, "{count}");
        }
    }

    #[test]
    fn an_end_in_the_middle() {
        let (all, outcome) = copy(io::Cursor::new(numbers(1_000_000)), 700);
        assert!(outcome.is_ok());
        assert!(
            all.len() <= 700 * 4096 && all.len() > 600 * 4096,
            "{}",
            all.len()
        );
    }

    struct Breaks(io::Cursor<Vec<u8>>);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer) {
                Ok(0) => Err(io::ErrorKind::Other.into()),
                other => other,
            }
        }
    }

    #[test]
    fn a_failing_read_comes_after_what_was_read() {
        for count in [10, 1_000_000] {
            let input = numbers(count);
            let (all, outcome) = copy(Breaks(io::Cursor::new(input.clone())), u64::MAX);
            assert!(matches!(outcome, Err(Failure::Read(_))));
            assert_eq!(all.len(), input.len());
        }
    }

    /// Gives what there is and then waits for ever.
    struct Stalls(io::Cursor<Vec<u8>>);

    impl Read for Stalls {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer) {
                Ok(0) => loop {
                    std::thread::park();
                },
                other => other,
            }
        }
    }

    #[test]
    fn nobody_waits_for_input_that_is_not_wanted() {
        let (all, outcome) = copy(Stalls(io::Cursor::new(numbers(1_000_000))), 700);
        assert!(outcome.is_ok());
        assert!(!all.is_empty());
    }

    #[test]
    fn a_failing_writer_ends_the_run() {
        let chunks = Chunks::with_size(Box::new(io::Cursor::new(numbers(1_000_000))), 4096);
        let outcome = run(chunks, |_, (): &mut ()| {}, &mut |()| {
            Err(common::Error::new(common::Kind::System, "full"))
        });
        assert!(matches!(outcome, Err(Failure::HandOn(_))));
    }
}

//! Many cores, one order: pieces of input are numbered as they are read, work
//! on them goes on at once, and results are handed on by number.
//!
//! There is no thread that only reads or only writes. Whoever is free takes
//! the next piece under one lock, works on it alone, and waits for its turn
//! under another lock to hand its result on. A small input never starts a
//! thread.

use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use common::Result;

use crate::source::{Chunks, Piece};

/// So much is worked off before it is worth starting threads.
const SMALL: usize = 2 << 20;
/// More workers than this only wait for the reader.
const WORKERS_MAX: usize = 8;

/// What becomes of results, in order. `false` means that no more is wanted.
pub(crate) type HandOn<'a, R> = &'a mut (dyn FnMut(&mut R) -> Result<bool> + Send);

/// Why a run ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input could not be read on.
    Read(io::Error),
    /// A result could not be handed on.
    HandOn(common::Error),
}

/// Works on all pieces of the input; `work` fills a result, `hand_on` gets
/// the results in the order of the input.
pub(crate) fn run<R: Default + Send>(
    mut chunks: Chunks,
    work: impl Fn(&[u8], &mut R) + Sync,
    hand_on: HandOn<'_, R>,
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
    let shared = Shared {
        input: Mutex::new((chunks, 0)),
        turn: Mutex::new(Turn {
            next: 0,
            hand_on,
            open: true,
            failure: None,
        }),
        ended: AtomicBool::new(false),
        passed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(WORKERS_MAX) {
            scope.spawn(|| shared.worker(&work, Piece::default(), R::default()));
        }
        shared.worker(&work, piece, result);
    });
    let turn = shared.turn.into_inner();
    match turn.unwrap_or_else(PoisonError::into_inner).failure {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

struct Shared<'a, R> {
    /// The input and the number of its next piece.
    input: Mutex<(Chunks, u64)>,
    turn: Mutex<Turn<'a, R>>,
    /// No further piece is to be read.
    ended: AtomicBool,
    passed: Condvar,
}

/// Whose result is next, and where it goes.
struct Turn<'a, R> {
    next: u64,
    hand_on: HandOn<'a, R>,
    /// Whether anybody wants more; pieces already taken come here all the same.
    open: bool,
    failure: Option<Failure>,
}

impl<R> Shared<'_, R> {
    fn worker(&self, work: impl Fn(&[u8], &mut R), mut piece: Piece, mut result: R) {
        while let Some((number, read)) = self.take(&mut piece) {
            if read.is_ok() {
                work(piece.bytes(), &mut result);
            }
            self.hand_on(number, read, &mut result);
        }
    }

    /// The next piece and its number; none at the end.
    fn take(&self, piece: &mut Piece) -> Option<(u64, io::Result<()>)> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let (chunks, next) = &mut *input;
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let read = match chunks.fill(piece) {
            Ok(false) => return None,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        let number = *next;
        *next += 1;
        Some((number, read))
    }

    /// Waits for its turn, hands on, and lets the next one pass.
    fn hand_on(&self, number: u64, read: io::Result<()>, result: &mut R) {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.passed.wait_while(turn, |turn| turn.next != number);
        let mut turn = waited.unwrap_or_else(PoisonError::into_inner);
        turn.next += 1;
        if turn.open {
            let outcome = match read {
                Err(error) => Err(Failure::Read(error)),
                Ok(()) => (turn.hand_on)(result).map_err(Failure::HandOn),
            };
            turn.open = outcome.unwrap_or_else(|failure| {
                turn.failure = Some(failure);
                false
            });
            if !turn.open {
                self.ended.store(true, Ordering::Relaxed);
            }
        }
        drop(turn);
        self.passed.notify_all();
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

    #[test]
    fn a_failing_writer_ends_the_run() {
        let chunks = Chunks::with_size(Box::new(io::Cursor::new(numbers(1_000_000))), 4096);
        let outcome = run(chunks, |_, (): &mut ()| {}, &mut |()| {
            Err(common::Error::new(common::Kind::System, "full"))
        });
        assert!(matches!(outcome, Err(Failure::HandOn(_))));
    }
}

//! Many cores, one order: workers take pieces of input in turn, and results are
//! handed on in the order of the pieces.
//!
//! A free worker takes the next piece under a lock and notes that it did; the
//! notes tell the caller's thread whose result is next. A worker keeps one
//! result ahead at most. A line that comes in parts stays with one worker,
//! which keeps the lock until the line ends. The threads are not joined at the
//! end: one of them may wait for input that never comes. A small input never
//! starts a thread.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use common::Result;

use crate::source::{Chunks, Filled, Piece};

/// Bytes that are worked off before threads are worth starting.
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

/// The work on the input.
pub(crate) trait Work: Send + Sync + 'static {
    /// The result of a piece. A used one may be given again.
    type Result: Default + Send + 'static;
    /// The state of a line that comes in parts.
    type Line: Default;

    /// Works on complete lines.
    fn lines(&self, piece: &[u8], result: &mut Self::Result);

    /// Works on a part of a line.
    fn part(&self, line: &mut Self::Line, part: &[u8], last: bool, result: &mut Self::Result);
}

/// Works on all pieces of the input; `hand_on` gets the results in the order of
/// the input and says whether more are wanted.
pub(crate) fn run<W: Work>(
    mut chunks: Chunks,
    work: W,
    hand_on: &mut dyn FnMut(&mut W::Result) -> Result<bool>,
) -> Result<(), Failure> {
    let mut piece = Piece::default();
    let mut result = W::Result::default();
    let mut line = W::Line::default();
    let (mut seen, mut inside) = (0, false);
    while seen < SMALL || inside {
        let filled = chunks.fill(&mut piece).map_err(Failure::Read)?;
        match filled {
            Filled::End => return Ok(()),
            Filled::Lines => work.lines(piece.bytes(), &mut result),
            Filled::Part { last } => {
                work.part(&mut line, piece.bytes(), last, &mut result);
                inside = !last;
                if last {
                    line = W::Line::default();
                }
            }
        }
        seen += piece.bytes().len();
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
        let (ready, spent): &(Receiver<io::Result<W::Result>>, Sender<W::Result>) =
            &results[number];
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
    /// Works until the input ends or results are no longer wanted.
    fn run<W: Work<Result = R>>(self, work: &W) {
        let mut piece = Piece::default();
        while self.turn(work, &mut piece).is_some() {}
    }

    /// Works on one piece, or on a line that comes in parts; `None` at the end.
    fn turn<W: Work<Result = R>>(&self, work: &W, piece: &mut Piece) -> Option<()> {
        let mut chunks = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = W::Line::default();
        loop {
            let filled = match chunks.fill(piece) {
                Ok(Filled::End) => return None,
                Ok(filled) => filled,
                Err(error) => {
                    self.turns.send(self.number).ok()?;
                    return self.done.send(Err(error)).ok();
                }
            };
            self.turns.send(self.number).ok()?;
            let mut result = self.fresh.try_recv().unwrap_or_default();
            let Filled::Part { last } = filled else {
                drop(chunks);
                work.lines(piece.bytes(), &mut result);
                return self.done.send(Ok(result)).ok();
            };
            work.part(&mut line, piece.bytes(), last, &mut result);
            self.done.send(Ok(result)).ok()?;
            if last {
                // The part may have a large result. An empty one behind it can
                // be sent once that has been taken, so there is one at a time.
                self.turns.send(self.number).ok()?;
                return self.done.send(Ok(R::default())).ok();
            }
        }
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

    /// Copies the input; parts of a line must come in order and complete.
    struct Copy;

    impl Work for Copy {
        type Result = Vec<u8>;
        type Line = Vec<u8>;

        fn lines(&self, piece: &[u8], result: &mut Vec<u8>) {
            result.clear();
            result.extend_from_slice(piece);
        }

        fn part(&self, line: &mut Vec<u8>, part: &[u8], last: bool, result: &mut Vec<u8>) {
            result.clear();
            line.extend_from_slice(part);
            if last {
                result.append(line);
            }
        }
    }

    fn copy(input: impl Read + Send + 'static, most: u64) -> (Vec<u8>, Result<(), Failure>) {
        let mut all = Vec::new();
        let mut handed = 0;
        let chunks = Chunks::of_text(Box::new(input), 4096);
        let outcome = run(chunks, Copy, &mut |result: &mut Vec<u8>| {
            all.extend_from_slice(result);
            handed += 1;
            Ok(handed < most)
        });
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
    fn long_lines_keep_their_place() {
        let mut input = Vec::new();
        for n in 0..400_usize {
            input.extend(std::iter::repeat_n(b'x', n * 37));
            input.push(b'\n');
            input.extend(numbers(n % 50));
        }
        assert!(input.len() > SMALL);
        let (all, outcome) = copy(io::Cursor::new(input.clone()), u64::MAX);
        assert!(outcome.is_ok());
        assert!(all == input);
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

    /// Gives its input and then blocks.
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
    fn input_that_is_not_wanted_is_not_waited_for() {
        let (all, outcome) = copy(Stalls(io::Cursor::new(numbers(1_000_000))), 700);
        assert!(outcome.is_ok());
        assert!(!all.is_empty());
    }

    #[test]
    fn a_failing_writer_ends_the_run() {
        let chunks = Chunks::of_text(Box::new(io::Cursor::new(numbers(1_000_000))), 4096);
        let outcome = run(chunks, Copy, &mut |_| {
            Err(common::Error::new(common::Kind::System, "full"))
        });
        assert!(matches!(outcome, Err(Failure::HandOn(_))));
    }
}

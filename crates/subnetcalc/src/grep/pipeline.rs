//! Searches a large input with several threads and keeps the order of its output.
//!
//! The caller's thread searches the start of the input alone, so a small input
//! never starts a thread. After that, each free worker reads the next chunk under
//! a lock and takes the next number with it. [`ResultQueue`] hands the results to
//! the caller's thread by these numbers. A worker that is ahead waits, so there
//! are never more results than workers. A line longer than a chunk stays with one
//! worker, which keeps the lock until the line ends.
//!
//! The threads are not joined at the end, because one of them may wait for input
//! that never comes.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use common::Result;

use crate::input::{Content, LineBuffer, LineReader};

/// Bytes that are searched before threads are started.
const SMALL: usize = 2 << 20;
/// The most workers: more would only wait for the reader.
const MAX_WORKERS: usize = 8;

/// Why a run ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input could not be read.
    Read(io::Error),
    /// A result could not be printed.
    Emit(common::Error),
}

/// The work on the chunks of the input.
pub(crate) trait Work: Send + Sync + 'static {
    /// The result of a chunk. A used one may be passed again.
    type Result: Default + Send + 'static;
    /// The state of a line that is read in parts.
    type Line: Default;

    /// Works on complete lines.
    fn lines(&self, text: &[u8], result: &mut Self::Result);

    /// Works on a part of a line.
    fn part(&self, line: &mut Self::Line, part: &[u8], last: bool, result: &mut Self::Result);
}

/// Works on all chunks of the input. Passes the results to `emit` in the order of the
/// input, until it returns `false` because it needs no more.
pub(crate) fn run<W: Work>(
    mut reader: LineReader,
    work: W,
    emit: &mut dyn FnMut(&mut W::Result) -> Result<bool>,
) -> Result<(), Failure> {
    let mut buffer = LineBuffer::default();
    let mut result = W::Result::default();
    let mut line = W::Line::default();
    let (mut searched, mut is_inside_line) = (0, false);
    while searched < SMALL || is_inside_line {
        match reader.fill(&mut buffer).map_err(Failure::Read)? {
            Content::End => return Ok(()),
            Content::Lines => work.lines(buffer.bytes(), &mut result),
            Content::LinePart { last } => {
                work.part(&mut line, buffer.bytes(), last, &mut result);
                is_inside_line = !last;
                if last {
                    line = W::Line::default();
                }
            }
        }
        searched += buffer.bytes().len();
        if !emit(&mut result).map_err(Failure::Emit)? {
            return Ok(());
        }
    }
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = workers.min(MAX_WORKERS);
    let input = Arc::new(Mutex::new(Input { reader, next: 0 }));
    let work = Arc::new(work);
    let queue = Arc::new(ResultQueue::new(workers));
    for _ in 0..workers {
        let worker = Worker {
            input: Arc::clone(&input),
            queue: Arc::clone(&queue),
        };
        let work = Arc::clone(&work);
        std::thread::spawn(move || worker.run(&*work));
    }
    let outcome = emit_all(&queue, emit);
    queue.close();
    outcome
}

/// Passes the results to `emit` until the input ends or `emit` needs no more.
fn emit_all<R>(
    queue: &ResultQueue<R>,
    emit: &mut dyn FnMut(&mut R) -> Result<bool>,
) -> Result<(), Failure> {
    while let Some(outcome) = queue.take() {
        let mut result = outcome.map_err(Failure::Read)?;
        if !emit(&mut result).map_err(Failure::Emit)? {
            break;
        }
        queue.recycle(result);
    }
    Ok(())
}

/// The input and the number of its next result.
struct Input {
    reader: LineReader,
    next: u64,
}

impl Input {
    /// Takes the next number.
    fn next_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// A thread that reads chunks and works on them.
struct Worker<R> {
    input: Arc<Mutex<Input>>,
    queue: Arc<ResultQueue<R>>,
}

impl<R> Drop for Worker<R> {
    fn drop(&mut self) {
        self.queue.worker_ended();
    }
}

impl<R: Default> Worker<R> {
    /// Works until the input ends or no more results are needed.
    fn run<W: Work<Result = R>>(self, work: &W) {
        let mut buffer = LineBuffer::default();
        while self.turn(work, &mut buffer).is_some() {}
    }

    /// Works on one chunk, or on all parts of a long line. Returns `None` if it
    /// was the last one.
    fn turn<W: Work<Result = R>>(&self, work: &W, buffer: &mut LineBuffer) -> Option<()> {
        let mut input = lock(&self.input);
        let mut line = W::Line::default();
        loop {
            let content = match input.reader.fill(buffer) {
                Ok(Content::End) => return None,
                Ok(content) => content,
                Err(error) => {
                    let number = input.next_number();
                    return self.queue.put(number, Err(error));
                }
            };
            let number = input.next_number();
            let mut result = self.queue.recycled();
            let Content::LinePart { last } = content else {
                drop(input);
                work.lines(buffer.bytes(), &mut result);
                return self.queue.put(number, Ok(result));
            };
            work.part(&mut line, buffer.bytes(), last, &mut result);
            self.queue.put(number, Ok(result))?;
            if last {
                // The result of a long line may be large. The next line is not
                // read before it has been taken, so there is only one of them.
                return self.queue.wait_until_taken(number);
            }
        }
    }
}

/// Results on their way from the workers to the caller's thread, in order.
struct ResultQueue<R> {
    state: Mutex<QueueState<R>>,
    changed: Condvar,
    /// The maximum number of results that wait to be taken.
    capacity: u64,
}

struct QueueState<R> {
    /// The number of the result that is taken next.
    next: u64,
    /// The results from that number on, as far as they are there.
    results: VecDeque<Option<io::Result<R>>>,
    /// Results that have been used and can be filled again.
    used: Vec<R>,
    /// The workers that have not ended.
    workers: usize,
    /// Whether the caller's thread takes no more results.
    closed: bool,
}

impl<R> ResultQueue<R> {
    fn new(workers: usize) -> Self {
        Self {
            state: Mutex::new(QueueState {
                next: 0,
                results: VecDeque::new(),
                used: Vec::new(),
                workers,
                closed: false,
            }),
            changed: Condvar::new(),
            capacity: workers as u64,
        }
    }

    /// Waits until there is room and adds the result with this number. Returns
    /// `None` if the queue is closed.
    fn put(&self, number: u64, result: io::Result<R>) -> Option<()> {
        let mut state = self.wait_while(|state| number - state.next >= self.capacity)?;
        let at = (number - state.next) as usize;
        while state.results.len() <= at {
            state.results.push_back(None);
        }
        state.results[at] = Some(result);
        self.changed.notify_all();
        Some(())
    }

    /// Waits until the result with this number has been taken. Returns `None` if
    /// the queue is closed.
    fn wait_until_taken(&self, number: u64) -> Option<()> {
        self.wait_while(|state| state.next <= number).map(drop)
    }

    /// Waits for the next result and removes it. Returns `None` after the last.
    fn take(&self) -> Option<io::Result<R>> {
        let is_missing = |state: &QueueState<R>| {
            state.workers > 0 && !matches!(state.results.front(), Some(Some(_)))
        };
        let mut state = self.wait_while(is_missing)?;
        let result = state.results.pop_front().flatten()?;
        state.next += 1;
        self.changed.notify_all();
        Some(result)
    }

    /// Waits while a condition holds. Returns `None` if the queue is closed.
    fn wait_while(
        &self,
        condition: impl Fn(&QueueState<R>) -> bool,
    ) -> Option<MutexGuard<'_, QueueState<R>>> {
        let mut state = lock(&self.state);
        while !state.closed && condition(&state) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        (!state.closed).then_some(state)
    }

    /// Keeps a used result for [`ResultQueue::recycled`].
    fn recycle(&self, result: R) {
        lock(&self.state).used.push(result);
    }

    /// Returns a used result, or a new one.
    fn recycled(&self) -> R
    where
        R: Default,
    {
        lock(&self.state).used.pop().unwrap_or_default()
    }

    /// Ends the workers that wait to add a result, and makes others end.
    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// Notes that a worker has ended.
    fn worker_ended(&self) {
        lock(&self.state).workers -= 1;
        self.changed.notify_all();
    }
}

/// Locks a mutex, even if a thread has panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Lines with consecutive numbers.
    fn numbers(count: usize) -> Vec<u8> {
        let lines: Vec<String> = (0..count).map(|n| format!("{n}\n")).collect();
        lines.concat().into_bytes()
    }

    /// Returns the input as it is. The last part of a line returns the complete line.
    struct Copy;

    impl Work for Copy {
        type Result = Vec<u8>;
        type Line = Vec<u8>;

        fn lines(&self, text: &[u8], result: &mut Vec<u8>) {
            result.clear();
            result.extend_from_slice(text);
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
        let mut results = 0;
        let reader = LineReader::for_text(Box::new(input), 4096);
        let outcome = run(reader, Copy, &mut |result: &mut Vec<u8>| {
            all.extend_from_slice(result);
            results += 1;
            Ok(results < most)
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
    fn long_lines_keep_their_position() {
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
    fn a_run_can_end_in_the_middle() {
        let (all, outcome) = copy(io::Cursor::new(numbers(1_000_000)), 700);
        assert!(outcome.is_ok());
        assert!(
            all.len() <= 700 * 4096 && all.len() > 600 * 4096,
            "{}",
            all.len()
        );
    }

    struct FailsAtEnd(io::Cursor<Vec<u8>>);

    impl Read for FailsAtEnd {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer) {
                Ok(0) => Err(io::ErrorKind::Other.into()),
                other => other,
            }
        }
    }

    #[test]
    fn a_read_error_follows_the_results_before_it() {
        for count in [10, 1_000_000] {
            let input = numbers(count);
            let (all, outcome) = copy(FailsAtEnd(io::Cursor::new(input.clone())), u64::MAX);
            assert!(matches!(outcome, Err(Failure::Read(_))));
            assert_eq!(all.len(), input.len());
        }
    }

    /// Returns its input and then blocks.
    struct BlocksAtEnd(io::Cursor<Vec<u8>>);

    impl Read for BlocksAtEnd {
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
    fn a_run_that_has_ended_does_not_wait_for_input() {
        let (all, outcome) = copy(BlocksAtEnd(io::Cursor::new(numbers(1_000_000))), 700);
        assert!(outcome.is_ok());
        assert!(!all.is_empty());
    }

    #[test]
    fn an_output_error_ends_the_run() {
        let reader = LineReader::for_text(Box::new(io::Cursor::new(numbers(1_000_000))), 4096);
        let outcome = run(reader, Copy, &mut |_| {
            Err(common::Error::new(common::Kind::System, "full"))
        });
        assert!(matches!(outcome, Err(Failure::Emit(_))));
    }
}

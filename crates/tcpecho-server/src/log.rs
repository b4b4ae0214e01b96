//! The event log: a bounded queue and a thread that writes it.
//!
//! The service never waits for the log. A record is appended to a buffer under a
//! lock; if the buffer is full, the record is dropped and counted. One thread
//! takes the buffer and writes it, in pieces that any writable pipe can take.
//! Only this thread waits for a slow reader, and only it sees a closed pipe or a
//! full disk. Records that it cannot write are also counted as dropped.
//!
//! An event loop adds records while it handles events, and wakes the thread
//! with [`Log::wake_writer`] before it waits again, so that a burst of records
//! costs one wake-up.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::address::{Address, Protocol};
use crate::event::{Event, Summary};
use crate::output::{self, Format};

/// The maximum number of bytes of records in the queue.
const MAX_QUEUE: usize = 4 << 20;

/// The size to which the thread shrinks its buffer between bursts.
const IDLE_CAPACITY: usize = 64 * 1024;

/// The maximum number of bytes per write. A pipe is writable only if it has
/// this much room (pipe(7), `PIPE_BUF`), so the write does not block.
const MAX_WRITE: usize = 4096;

/// How long [`Log::flush`] waits for a stream that accepts nothing.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause after a write to a non-blocking stream that accepts nothing.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// The event log of a server, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The queue; `None` with `--quiet` and `--inetd`.
    queue: Option<Arc<Queue>>,
    format: Format,
    verbose: bool,
}

impl Log {
    /// Creates a log that discards everything.
    pub(crate) fn silent() -> Self {
        Self {
            queue: None,
            format: Format::Text,
            verbose: false,
        }
    }

    /// Creates a log that is written to `stream` by its own thread.
    pub(crate) fn start(
        stream: impl Write + Send + 'static,
        format: Format,
        verbose: bool,
    ) -> std::io::Result<Self> {
        Ok(Self {
            queue: Some(Queue::start("log", stream, FLUSH_TIMEOUT)?),
            format,
            verbose,
        })
    }

    /// Returns whether events are logged at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.queue.is_some()
    }

    /// Returns whether events include the server's address of a connection.
    pub(crate) fn shows_local_addresses(&self) -> bool {
        self.is_enabled() && self.format == Format::Json
    }

    /// Returns the format of the log.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Adds an event, or counts it as dropped.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if let Some(queue) = &self.queue {
            queue.push(|buffer| output::event(buffer, self.format, event));
        }
    }

    /// Adds the event for received bytes, if the log is verbose.
    pub(crate) fn received(&self, peer: &Address, protocol: Protocol, data: &[u8]) {
        if self.verbose && self.is_enabled() {
            self.event(&Event::Received {
                peer,
                protocol,
                data,
            });
        }
    }

    /// Adds the summary as a record. In the text format, the summary is not
    /// part of the log.
    pub(crate) fn summary(&self, summary: &Summary) {
        if let Some(queue) = &self.queue {
            queue.push(|buffer| output::summary(buffer, self.format, summary));
        }
    }

    /// Wakes the writing thread if there are new records.
    pub(crate) fn wake_writer(&self) {
        if let Some(queue) = &self.queue
            && queue.has_new_records.swap(false, Ordering::AcqRel)
        {
            queue.changed.notify_all();
        }
    }

    /// Returns the number of dropped events.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.lock().dropped)
    }

    /// Waits until everything is written. If the stream accepts nothing for
    /// [`FLUSH_TIMEOUT`], the stream is abandoned and the rest counts as dropped.
    pub(crate) fn flush(&self) {
        self.wake_writer();
        if let Some(queue) = &self.queue {
            queue.flush();
        }
    }
}

/// A queue of lines for standard error, so that a terminal or pipe that accepts
/// nothing does not block the service.
#[derive(Clone, Debug)]
pub(crate) struct StderrQueue(Option<Arc<Queue>>);

impl StderrQueue {
    /// Creates a queue that discards everything.
    pub(crate) fn disabled() -> Self {
        Self(None)
    }

    /// Creates a queue that is written to `stream` by its own thread.
    pub(crate) fn start(stream: impl Write + Send + 'static) -> std::io::Result<Self> {
        Ok(Self(Some(Queue::start("stderr", stream, FLUSH_TIMEOUT)?)))
    }

    /// Waits until everything is written, or until the stream accepts nothing
    /// for [`FLUSH_TIMEOUT`].
    pub(crate) fn wait_until_written(&self) {
        if let Some(queue) = &self.0 {
            queue.flush();
        }
    }
}

/// Adds lines without waiting. Lines are dropped if the queue is full.
impl Write for StderrQueue {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if let Some(queue) = &self.0 {
            queue.push(|buffer| buffer.write_all(line));
            queue.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The queue of records between the event loops and the writing thread.
pub(crate) struct Queue {
    /// How long [`Queue::flush`] waits for a stream that accepts nothing.
    flush_timeout: Duration,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether records have been added since the writer was last woken.
    has_new_records: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The records that the thread has not taken yet.
    buffer: Vec<u8>,
    /// The number of records that the thread has taken and not written yet.
    records_in_write: u64,
    /// The number of successful writes, which shows whether the stream accepts
    /// anything.
    successful_writes: u64,
    dropped: u64,
    /// Whether the stream is abandoned; all further records are dropped.
    is_abandoned: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    fn start(
        name: &str,
        stream: impl Write + Send + 'static,
        flush_timeout: Duration,
    ) -> std::io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            flush_timeout,
            state: Mutex::default(),
            changed: Condvar::new(),
            has_new_records: AtomicBool::new(false),
        });
        let writer = Arc::clone(&queue);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run_writer(stream))?;
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the records that `render` appends, or counts one as dropped.
    fn push(&self, render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
        let mut state = self.lock();
        let before = state.buffer.len();
        let has_room = !state.is_abandoned && before < MAX_QUEUE;
        let rendered = has_room && render(&mut state.buffer).is_ok();
        if !rendered || state.buffer.len() > MAX_QUEUE {
            state.buffer.truncate(before);
            state.dropped += 1;
        }
        drop(state);
        self.has_new_records.store(true, Ordering::Release);
    }

    /// Waits until all records are written or the stream stalls.
    fn flush(&self) {
        let mut state = self.lock();
        let mut stall =
            StallTimer::new(self.flush_timeout, state.successful_writes, Instant::now());
        while state.records_in_write > 0 || !state.buffer.is_empty() {
            let remaining = stall.remaining(state.successful_writes, Instant::now());
            if remaining.is_zero() {
                let lost = state.records_in_write + count_lines(&state.buffer);
                state.dropped += lost;
                state.buffer.clear();
                state.records_in_write = 0;
                state.is_abandoned = true;
                return;
            }
            state = self
                .changed
                .wait_timeout(state, remaining)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Runs the writing thread: takes the queued records and writes them, until
    /// the stream is abandoned or the process ends.
    fn run_writer(&self, mut stream: impl Write) {
        let mut taken = Vec::new();
        // Whether the last byte written ended a record.
        let mut at_line_start = true;
        loop {
            let mut state = self.lock();
            while state.buffer.is_empty() {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut taken, &mut state.buffer);
            state.records_in_write = count_lines(&taken);
            drop(state);
            if !at_line_start {
                // The rest of the last record was lost; the next record gets a
                // line of its own.
                at_line_start = stream.write_all(b"\n").is_ok();
            }
            let mut rest = &taken[..];
            while !rest.is_empty() {
                let piece = &rest[..rest.len().min(MAX_WRITE)];
                let Some(n) = write_some(&mut stream, piece) else {
                    break;
                };
                at_line_start = rest[n - 1] == b'\n';
                rest = &rest[n..];
                let mut state = self.lock();
                state.successful_writes += 1;
                if state.is_abandoned {
                    return;
                }
                state.records_in_write -= count_lines(&piece[..n]);
                drop(state);
                self.changed.notify_all();
            }
            let mut state = self.lock();
            if !state.is_abandoned {
                state.dropped += count_lines(rest);
                state.records_in_write = 0;
            }
            drop(state);
            self.changed.notify_all();
            // Before the next wait, which may take long.
            taken.clear();
            taken.shrink_to(IDLE_CAPACITY);
        }
    }
}

/// Expires when a counter has not changed for a while.
struct StallTimer {
    timeout: Duration,
    counter: u64,
    deadline: Instant,
}

impl StallTimer {
    fn new(timeout: Duration, counter: u64, now: Instant) -> Self {
        Self {
            timeout,
            counter,
            deadline: now + timeout,
        }
    }

    /// Returns the remaining time at `now`, which is zero once the timer has
    /// expired. A change of `counter` restarts the timer.
    fn remaining(&mut self, counter: u64, now: Instant) -> Duration {
        if counter != self.counter {
            *self = Self::new(self.timeout, counter, now);
        }
        self.deadline.saturating_duration_since(now)
    }
}

/// Returns the number of records, each of which ends with a newline.
fn count_lines(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// Writes once and returns the number of bytes written, or `None` if the stream
/// fails.
fn write_some(stream: &mut impl Write, piece: &[u8]) -> Option<usize> {
    loop {
        match stream.write(piece) {
            Ok(0) => return None,
            Ok(n) => return Some(n),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // Another process made the pipe non-blocking. Polling is good
            // enough for this thread.
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(RETRY_INTERVAL);
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;

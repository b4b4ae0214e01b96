//! The event log: a bounded queue and a thread that writes it out.
//!
//! Serving never waits for the log. A record goes into a buffer under a lock;
//! when the buffer is full the record is dropped and counted. One thread takes
//! the buffer and writes it, in pieces small enough that a pipe with any room
//! takes one whole, and it alone waits for a slow reader, meets the closed
//! pipe or the full disk. What it could not write is counted as dropped too.
//!
//! Records are pushed during a turn of a loop and handed to the thread by
//! [`Log::flush`] at its end, before the loop waits, so a burst costs one
//! wake-up.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::event::{Event, Protocol, Summary};
use crate::output::{self, Format};
use crate::peer::Peer;

/// Bytes of records that may wait.
const QUEUE_MAX: usize = 4 << 20;

/// Memory the thread keeps between bursts.
const KEPT: usize = 64 * 1024;

/// Bytes written at once: the room a pipe must have to be called writable.
const PIECE: usize = 4096;

/// How long the end waits for a log that takes nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where events go.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// None with `--quiet` and `--inetd`.
    queue: Option<Arc<Queue>>,
    format: Format,
    verbose: bool,
}

impl Log {
    /// A log that says nothing.
    pub(crate) fn silent() -> Self {
        Self {
            queue: None,
            format: Format::Text,
            verbose: false,
        }
    }

    /// A log on `stream`, written by a thread of its own.
    pub(crate) fn start(
        stream: impl Write + Send + 'static,
        format: Format,
        verbose: bool,
    ) -> std::io::Result<Self> {
        Ok(Self {
            queue: Some(Queue::start("log", stream, PATIENCE)?),
            format,
            verbose,
        })
    }

    /// Whether there is one at all.
    pub(crate) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether it tells at which of its addresses the server was reached.
    pub(crate) fn tells_local(&self) -> bool {
        self.is_on() && self.format == Format::Json
    }

    /// Its form.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Adds an event, or counts it as dropped.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if let Some(queue) = &self.queue {
            queue.push(|buffer| output::event(buffer, self.format, event));
        }
    }

    /// Tells what was received, where the log tells that.
    pub(crate) fn received(&self, peer: &Peer, protocol: Protocol, data: &[u8]) {
        if self.verbose && self.is_on() {
            self.event(&Event::Received {
                peer,
                protocol,
                data,
            });
        }
    }

    /// Adds the summary, in the JSON log where it is a record like others.
    pub(crate) fn summary(&self, summary: &Summary) {
        if let Some(queue) = &self.queue {
            queue.push(|buffer| output::summary(buffer, self.format, summary));
        }
    }

    /// Lets the thread write what was added.
    pub(crate) fn flush(&self) {
        if let Some(queue) = &self.queue
            && queue.fresh.swap(false, Ordering::AcqRel)
        {
            queue.changed.notify_all();
        }
    }

    /// Events dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.lock().dropped)
    }

    /// Waits until everything is written, or until the log has taken nothing
    /// for a while; the rest counts as dropped then.
    pub(crate) fn settle(&self) {
        self.flush();
        if let Some(queue) = &self.queue {
            queue.settle();
        }
    }
}

/// Standard error as lines that wait in a queue of their own: a terminal or a
/// pipe that takes nothing holds up nothing.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Option<Arc<Queue>>);

impl Lines {
    /// Lines that go nowhere.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Lines on `stream`, written by a thread of its own.
    pub(crate) fn start(stream: impl Write + Send + 'static) -> std::io::Result<Self> {
        Ok(Self(Some(Queue::start("lines", stream, PATIENCE)?)))
    }

    /// Waits until all is written, or until nothing has been taken for a while.
    pub(crate) fn settle(&self) {
        if let Some(queue) = &self.0 {
            queue.settle();
        }
    }
}

/// Takes a line at once; one that finds no room is lost.
impl Write for Lines {
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

/// Records between the loops and the writing thread.
pub(crate) struct Queue {
    /// How long [`Queue::settle`] waits for a stream that takes nothing.
    patience: Duration,
    state: Mutex<State>,
    changed: Condvar,
    /// Something was pushed since the last flush.
    fresh: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Records the thread has taken and not written yet.
    writing: u64,
    /// Grows with every piece written, so that one can see it alive.
    progress: u64,
    dropped: u64,
    /// What is left is given up.
    abandoned: bool,
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
        patience: Duration,
    ) -> std::io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            patience,
            state: Mutex::default(),
            changed: Condvar::new(),
            fresh: AtomicBool::new(false),
        });
        let writer = Arc::clone(&queue);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.write_out(stream))?;
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
        let mut state = self.lock();
        let before = state.waiting.len();
        let open = !state.abandoned && before < QUEUE_MAX;
        let rendered = open && render(&mut state.waiting).is_ok();
        if !rendered || state.waiting.len() > QUEUE_MAX {
            state.waiting.truncate(before);
            state.dropped += 1;
        }
        drop(state);
        self.fresh.store(true, Ordering::Release);
    }

    fn settle(&self) {
        let mut state = self.lock();
        let mut stall = StallTimer::new(self.patience, state.progress, Instant::now());
        while state.writing > 0 || !state.waiting.is_empty() {
            let left = stall.remaining(state.progress, Instant::now());
            if left.is_zero() {
                let lost = state.writing + lines(&state.waiting);
                state.dropped += lost;
                state.waiting.clear();
                state.writing = 0;
                state.abandoned = true;
                return;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The thread: takes what waits, writes it, for ever.
    fn write_out(&self, mut stream: impl Write) {
        let mut taken = Vec::new();
        // Whether the last byte written ended a record.
        let mut at_start = true;
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut taken, &mut state.waiting);
            state.writing = lines(&taken);
            drop(state);
            if !at_start {
                // The rest of that record was lost; the next gets its own line.
                at_start = stream.write_all(b"\n").is_ok();
            }
            let mut rest = &taken[..];
            while !rest.is_empty() {
                let piece = &rest[..rest.len().min(PIECE)];
                let Some(n) = write_some(&mut stream, piece) else {
                    break;
                };
                at_start = rest[n - 1] == b'\n';
                rest = &rest[n..];
                let mut state = self.lock();
                state.progress += 1;
                if state.abandoned {
                    return;
                }
                state.writing -= lines(&piece[..n]);
                drop(state);
                self.changed.notify_all();
            }
            let mut state = self.lock();
            if !state.abandoned {
                state.dropped += lines(rest);
                state.writing = 0;
            }
            drop(state);
            self.changed.notify_all();
            // Before the next wait, which may be long.
            taken.clear();
            taken.shrink_to(KEPT);
        }
    }
}

/// Expires when a counter has not changed for a while.
struct StallTimer {
    patience: Duration,
    progress: u64,
    deadline: Instant,
}

impl StallTimer {
    fn new(patience: Duration, progress: u64, now: Instant) -> Self {
        Self {
            patience,
            progress,
            deadline: now + patience,
        }
    }

    /// The time that is left at `now`, zero once the timer has expired. A
    /// change of `progress` starts it again.
    fn remaining(&mut self, progress: u64, now: Instant) -> Duration {
        if progress != self.progress {
            *self = Self::new(self.patience, progress, now);
        }
        self.deadline.saturating_duration_since(now)
    }
}

/// Records in a text: each ends with a newline.
fn lines(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// One write; `None` when the stream takes nothing any more, for now.
fn write_some(stream: &mut impl Write, piece: &[u8]) -> Option<usize> {
    loop {
        match stream.write(piece) {
            Ok(0) => return None,
            Ok(n) => return Some(n),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // Somebody else made the pipe non-blocking; this thread has time.
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A stream that takes a write for each token it is given.
    struct Gate {
        tokens: mpsc::Receiver<std::io::Result<usize>>,
        got: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let most = self.tokens.recv().unwrap_or(Ok(usize::MAX))?;
            let n = bytes.len().min(most);
            self.got.lock().unwrap().extend_from_slice(&bytes[..n]);
            Ok(n)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    type Tokens = mpsc::Sender<std::io::Result<usize>>;

    /// Longer than any machine is busy; no test waits for it to pass.
    const LONG: Duration = Duration::from_secs(600);

    fn gated(patience: Duration) -> (Log, Tokens, Arc<Mutex<Vec<u8>>>) {
        let (sender, tokens) = mpsc::channel();
        let got = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate {
            tokens,
            got: Arc::clone(&got),
        };
        let log = Log {
            queue: Some(Queue::start("log", gate, patience).unwrap()),
            format: Format::Text,
            verbose: true,
        };
        (log, sender, got)
    }

    fn listening(log: &Log, n: u64) {
        log.event(&Event::Listening {
            address: &Peer::Unnamed(n),
            protocol: Protocol::Unix,
        });
        log.flush();
    }

    #[test]
    fn everything_arrives_in_order() {
        let (log, gate, got) = gated(LONG);
        drop(gate);
        for n in 0..1000 {
            listening(&log, n);
        }
        log.settle();
        let mut expected = String::new();
        for n in 0..1000 {
            expected += "listening\tunix:#";
            expected += &n.to_string();
            expected.push('\n');
        }
        assert_eq!(*got.lock().unwrap(), expected.as_bytes());
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn a_stuck_log_costs_events_and_nothing_else() {
        let (log, _gate, _) = gated(Duration::from_millis(50));
        let count = 2 * (QUEUE_MAX / "listening\tunix:#1000000\n".len()) as u64;
        for n in 0..count {
            listening(&log, 1_000_000 + n);
        }
        assert!(log.dropped() > count / 3);
        log.settle();
        // Nothing was ever written, so all are lost.
        assert_eq!(log.dropped(), count);
        // The log is given up, so nobody waits for it once more.
        listening(&log, 1);
        log.settle();
        assert_eq!(log.dropped(), count + 1);
    }

    #[test]
    fn the_queue_is_bounded() {
        let (log, _gate, _) = gated(Duration::ZERO);
        // The thread takes the first record and cannot write it; all others
        // stay in the queue.
        listening(&log, 1);
        let queue = log.queue.as_ref().unwrap();
        let mut state = queue.lock();
        while state.writing == 0 {
            drop(state);
            thread::yield_now();
            state = queue.lock();
        }
        drop(state);
        let record = vec![b'x'; QUEUE_MAX / 2 - 1];
        for _ in 0..3 {
            log.event(&Event::Received {
                peer: &Peer::Unnamed(1),
                protocol: Protocol::Unix,
                data: &record,
            });
            assert!(queue.lock().waiting.len() <= QUEUE_MAX);
        }
        assert_eq!(log.dropped(), 2);
    }

    #[test]
    fn a_stall_timer_expires_when_nothing_changes() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut stall = StallTimer::new(ms(500), 7, start);
        assert_eq!(stall.remaining(7, start + ms(100)), ms(400));
        // Each change starts it again, and only a change does.
        assert_eq!(stall.remaining(8, start + ms(400)), ms(500));
        assert_eq!(stall.remaining(8, start + ms(800)), ms(100));
        assert_eq!(stall.remaining(9, start + ms(1200)), ms(500));
        assert_eq!(stall.remaining(9, start + ms(1700)), ms(0));
        assert_eq!(stall.remaining(9, start + ms(9000)), ms(0));
    }

    #[test]
    fn progress_counts_every_piece() {
        let (log, gate, _) = gated(LONG);
        for _ in 0..3 {
            gate.send(Ok(8)).unwrap();
        }
        drop(gate);
        listening(&log, 1);
        log.settle();
        // 20 bytes by 8.
        assert_eq!(log.queue.as_ref().unwrap().lock().progress, 3);
    }

    /// A pipe is writable once it has room for 4096 bytes; a longer write
    /// would wait for a reader in the middle.
    #[test]
    fn no_write_is_longer_than_a_pipe_has_room() {
        let (log, gate, got) = gated(LONG);
        for n in 0..1000 {
            log.event(&Event::Listening {
                address: &Peer::Unnamed(n),
                protocol: Protocol::Unix,
            });
        }
        for _ in 0..2 {
            gate.send(Ok(usize::MAX)).unwrap();
        }
        gate.send(Err(std::io::ErrorKind::StorageFull.into()))
            .unwrap();
        drop(gate);
        log.settle();
        assert_eq!(got.lock().unwrap().len(), 2 * PIECE);
        // The record that was cut and all others are lost.
        let whole = lines(&got.lock().unwrap());
        assert_eq!(log.dropped(), 1000 - whole);
    }

    #[test]
    fn a_pipe_made_non_blocking_loses_nothing() {
        let (log, gate, got) = gated(LONG);
        gate.send(Err(std::io::ErrorKind::WouldBlock.into()))
            .unwrap();
        gate.send(Err(std::io::ErrorKind::Interrupted.into()))
            .unwrap();
        drop(gate);
        listening(&log, 1);
        log.settle();
        assert_eq!(*got.lock().unwrap(), b"listening\tunix:#1\n");
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn after_a_failure_the_next_record_has_its_own_line() {
        let (log, gate, got) = gated(LONG);
        gate.send(Ok(4)).unwrap();
        gate.send(Err(std::io::ErrorKind::StorageFull.into()))
            .unwrap();
        listening(&log, 1);
        log.settle();
        assert_eq!(log.dropped(), 1);
        drop(gate);
        listening(&log, 2);
        log.settle();
        assert_eq!(*got.lock().unwrap(), b"list\nlistening\tunix:#2\n");
        assert_eq!(log.dropped(), 1);
    }
}

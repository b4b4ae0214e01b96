//! [`Running`]: a program that has been started.
//!
//! Four threads serve it: one writes standard input, two read the output streams
//! into shared buffers, so that no pipe ever fills up, and one waits for the end.
//! All methods wait for an event of one of these threads; none sleeps.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::memory::PeakMemory;
use crate::output::Output;
use crate::schema;
use crate::sys;

/// The time for the streams to close after the end of the process group.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The content of one output stream so far.
#[derive(Debug, Default)]
struct Buffer {
    data: Vec<u8>,
    /// The offset of the next line for `read_line`.
    taken: usize,
    ended: bool,
}

/// A buffer with a condition variable for its changes.
#[derive(Debug, Default)]
struct Stream {
    buffer: Mutex<Buffer>,
    changed: Condvar,
}

impl Stream {
    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `reader` to its end, or `limit` bytes of it.
    fn drain(&self, mut reader: impl Read, limit: Option<usize>) {
        let mut chunk = [0; 16 * 1024];
        let mut left = limit.unwrap_or(usize::MAX);
        while left > 0 {
            let want = left.min(chunk.len());
            match reader.read(&mut chunk[..want]) {
                Ok(0) => break,
                Ok(n) => {
                    left -= n;
                    self.lock().data.extend_from_slice(&chunk[..n]);
                    self.changed.notify_all();
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // The pipe is closed before the end is reported.
        drop(reader);
        self.end();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Returns the next line without its newline, or the rest of the stream at
    /// its end. The error is the reason for a missing line.
    fn line(&self, timeout: Duration) -> Result<String, &'static str> {
        let deadline = Instant::now() + timeout;
        let mut buffer = self.lock();
        loop {
            let rest = &buffer.data[buffer.taken..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            if end.is_some() || (buffer.ended && !rest.is_empty()) {
                let length = end.unwrap_or(rest.len());
                let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                buffer.taken += length + usize::from(end.is_some());
                return Ok(line);
            }
            if buffer.ended {
                return Err("the stream ended");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("timed out");
            }
            buffer = self
                .changed
                .wait_timeout(buffer, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the end of the stream. Returns false after `timeout`.
    fn wait_end(&self, timeout: Duration) -> bool {
        let (_buffer, waited) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |buffer| !buffer.ended)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

/// A started program, which is killed and reaped when the value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
    home: TempDir,
    stdin: Option<Sender<Vec<u8>>>,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    exited: Receiver<()>,
    memory: Option<PeakMemory>,
    timeout: Duration,
    deadline: Instant,
    reaped: bool,
    /// The path of the program; if it is a tool, its JSON records are validated.
    pub(crate) program: PathBuf,
}

impl Running {
    /// Starts the four threads of a new child. `bytes` is all of its standard
    /// input, if given.
    pub(crate) fn start(
        mut child: Child,
        shown: String,
        home: TempDir,
        bytes: Option<Vec<u8>>,
        stdout_limit: Option<usize>,
        timeout: Duration,
        memory: Option<PeakMemory>,
    ) -> Self {
        let mut stdin = child.stdin.take().map(stdin_writer);
        if let Some(bytes) = bytes
            && let Some(sender) = stdin.take()
        {
            // The thread may have ended at a closed pipe already.
            let _ = sender.send(bytes);
        }
        let stdout = Arc::new(Stream::default());
        let stderr = Arc::new(Stream::default());
        match child.stdout.take() {
            Some(pipe) => {
                let stream = Arc::clone(&stdout);
                std::thread::spawn(move || stream.drain(pipe, stdout_limit));
            }
            None => stdout.end(),
        }
        match child.stderr.take() {
            Some(pipe) => {
                let stream = Arc::clone(&stderr);
                std::thread::spawn(move || stream.drain(pipe, None));
            }
            None => stderr.end(),
        }
        let (sender, exited) = mpsc::channel();
        let pid = child.id();
        std::thread::spawn(move || {
            let _ = sys::wait_unreaped(pid);
            let _ = sender.send(());
        });
        Self {
            child,
            shown,
            home,
            stdin,
            stdout,
            stderr,
            exited,
            memory,
            timeout,
            deadline: Instant::now() + timeout,
            reaped: false,
            program: PathBuf::new(),
        }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the temporary `HOME`, which is the default working directory.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Queues bytes for standard input; needs [`crate::Tool::piped_stdin`].
    #[track_caller]
    pub fn write_stdin(&self, bytes: &[u8]) {
        let Some(sender) = &self.stdin else {
            panic!(
                "{}: standard input is not an open pipe (piped_stdin?)",
                self.shown
            );
        };
        let _ = sender.send(bytes.to_vec());
    }

    /// Closes standard input after the queued bytes.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Returns the next line of standard output, without its newline. The final
    /// [`Output`] contains this line, too.
    #[track_caller]
    pub fn read_line(&self, timeout: Duration) -> String {
        match self.stdout.line(timeout) {
            Ok(line) => line,
            Err(why) => panic!("no line on stdout: {why}\n{}", self.report()),
        }
    }

    /// Returns the next line of standard error, without its newline.
    #[track_caller]
    pub fn read_stderr_line(&self, timeout: Duration) -> String {
        match self.stderr.line(timeout) {
            Ok(line) => line,
            Err(why) => panic!("no line on stderr: {why}\n{}", self.report()),
        }
    }

    /// Returns standard output so far.
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.lock().data.clone()
    }

    /// Returns standard error so far.
    pub fn stderr_so_far(&self) -> Vec<u8> {
        self.stderr.lock().data.clone()
    }

    /// Returns the peak memory so far, in bytes; needs
    /// [`crate::Tool::measure_memory`].
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let memory = self
            .memory
            .as_ref()
            .expect("call measure_memory before peak_memory");
        memory.so_far()
    }

    /// Sends a signal such as `libc::SIGINT` to the program, not to its group.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        // The child is reaped by `wait` or drop only, so the pid is still its own.
        if let Err(error) = sys::kill(self.child.id().cast_signed(), signal) {
            panic!("{}: cannot send signal {signal}: {error}", self.shown);
        }
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&self) -> bool {
        let pid = self.child.id();
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            // The state letter follows the name, which may contain anything.
            stat.rsplit(") ")
                .next()
                .is_some_and(|s| !s.starts_with('Z'))
        })
    }

    /// Waits for the end of the program while standard input stays open. Returns
    /// false if the tool's timeout expires first.
    pub fn ends(&self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // After the message the sender is dropped, which ends a second call.
        self.exited.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }

    /// Closes standard input, waits for the end of the program and returns its
    /// output. Panics if the tool's timeout, counted from the start, expires.
    #[track_caller]
    pub fn wait(self) -> Output {
        match self.finish() {
            Ok(output) => output,
            Err(report) => panic!("{report}"),
        }
    }

    /// Like [`Running::wait`], but returns the message of the panic as an error,
    /// for a caller that adds to it.
    pub fn finish(mut self) -> Result<Output, String> {
        self.stdin = None;
        let in_time = self.ends();
        self.kill_group();
        let ended = self.stdout.wait_end(CLOSE_TIMEOUT) && self.stderr.wait_end(CLOSE_TIMEOUT);
        if !in_time {
            let limit = self.timeout;
            return Err(format!("still running after {limit:?}\n{}", self.report()));
        }
        if !ended {
            let report = self.report();
            return Err(format!(
                "ended, but a process in the background holds its streams open\n{report}"
            ));
        }
        // The measurement needs the child unreaped.
        let peak_memory = self.memory.take().and_then(PeakMemory::finish);
        let status = self.child.wait().expect("reap the child");
        self.reaped = true;
        let stdout = std::mem::take(&mut self.stdout.lock().data);
        if let Err(why) = schema::check(&self.program, &stdout) {
            return Err(format!("{}: {why}", self.shown));
        }
        Ok(Output::new(
            self.shown.clone(),
            stdout,
            std::mem::take(&mut self.stderr.lock().data),
            status,
            peak_memory,
        ))
    }

    /// Kills the remaining processes of the group.
    fn kill_group(&self) {
        // The leader is not reaped yet, so the group id is still its own.
        let _ = sys::kill(-self.child.id().cast_signed(), libc::SIGKILL);
    }

    /// Returns the command and the streams so far, for a panic message.
    fn report(&self) -> String {
        format!(
            "command: {}\n{}",
            self.shown,
            crate::output::streams(&self.stdout_so_far(), &self.stderr_so_far())
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill_group();
            let _ = self.child.wait();
        }
    }
}

/// Starts a thread that writes the bytes sent to it, until the sender is dropped
/// or the program stops reading.
fn stdin_writer(mut pipe: ChildStdin) -> Sender<Vec<u8>> {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        for bytes in receiver {
            if pipe.write_all(&bytes).is_err() {
                break;
            }
        }
    });
    sender
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Tool;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn lines_are_exchanged() {
        let mut cat = Tool::new("/bin/cat").piped_stdin().spawn();
        cat.write_stdin(b"one\ntw");
        assert_eq!(cat.read_line(SOON), "one");
        cat.write_stdin(b"o\nthree");
        assert_eq!(cat.read_line(SOON), "two");
        assert!(cat.is_running());
        cat.close_stdin();
        assert_eq!(cat.read_line(SOON), "three");
        cat.wait().code(0).stdout("one\ntwo\nthree");
    }

    #[test]
    fn a_signal_ends_the_program() {
        let cat = Tool::new("/bin/cat").piped_stdin().spawn();
        cat.signal(libc::SIGTERM);
        let out = cat.wait();
        assert_eq!((out.code, out.signal), (None, Some(libc::SIGTERM)));
    }

    #[test]
    fn a_dropped_program_is_killed() {
        let cat = Tool::new("/bin/cat").piped_stdin().spawn();
        let proc = format!("/proc/{}", cat.pid());
        assert!(std::path::Path::new(&proc).exists());
        drop(cat);
        assert!(!std::path::Path::new(&proc).exists());
    }

    #[test]
    #[should_panic(expected = "no line on stdout: timed out")]
    fn a_missing_line_is_reported() {
        let cat = Tool::new("/bin/cat").piped_stdin().spawn();
        cat.read_line(Duration::from_millis(50));
    }
}

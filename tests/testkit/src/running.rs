//! [`Running`]: a program that has been started and not yet waited for.
//!
//! Four threads serve it: one feeds standard input, two drain the output
//! streams into shared buffers (so no pipe ever fills up), one waits for the
//! end. All waiting here is waiting for one of those to report, never a sleep.

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

/// How long the streams may stay open once the program and its group are gone.
const GRACE: Duration = Duration::from_secs(10);

/// What one output stream has given so far.
#[derive(Debug, Default)]
struct Buffer {
    data: Vec<u8>,
    /// Everything before this offset was handed out by `read_line`.
    taken: usize,
    ended: bool,
}

/// A buffer and the bell that rings whenever it changes.
#[derive(Debug, Default)]
struct Stream {
    buffer: Mutex<Buffer>,
    changed: Condvar,
}

impl Stream {
    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drains `reader` until its end, or until `limit` bytes came.
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
        // The pipe is closed before the end is announced.
        drop(reader);
        self.end();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// The next whole line without its newline, or the unfinished last one at
    /// the end of the stream. `Err` tells why there is none.
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
                return Err("the time passed");
            }
            buffer = self
                .changed
                .wait_timeout(buffer, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the end of the stream; false if `timeout` passed first.
    fn wait_end(&self, timeout: Duration) -> bool {
        let (_buffer, waited) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |buffer| !buffer.ended)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

/// A started program. Dropping it kills and reaps the program.
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
    /// The program, whose JSON records are validated.
    pub(crate) program: PathBuf,
}

impl Running {
    /// Puts the four threads on a fresh child.
    pub(crate) fn start(
        mut child: Child,
        shown: String,
        home: TempDir,
        first: Option<Vec<u8>>,
        stdout_limit: Option<usize>,
        timeout: Duration,
        memory: Option<PeakMemory>,
    ) -> Self {
        let mut stdin = child.stdin.take().map(feed);
        if let Some(bytes) = first
            && let Some(sender) = stdin.take()
        {
            // The thread may have met a closed pipe already: nothing lost.
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

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its temporary `HOME`, and its working directory unless set otherwise.
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

    /// Closes standard input after what was queued for it.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of standard output, without its newline. Lines taken here
    /// are in the final [`Output`] all the same.
    #[track_caller]
    pub fn read_line(&self, timeout: Duration) -> String {
        match self.stdout.line(timeout) {
            Ok(line) => line,
            Err(why) => panic!("no line on stdout: {why}\n{}", self.story()),
        }
    }

    /// The next line of standard error, without its newline.
    #[track_caller]
    pub fn read_stderr_line(&self, timeout: Duration) -> String {
        match self.stderr.line(timeout) {
            Ok(line) => line,
            Err(why) => panic!("no line on stderr: {why}\n{}", self.story()),
        }
    }

    /// Everything standard output has given so far.
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.lock().data.clone()
    }

    /// Everything standard error has given so far.
    pub fn stderr_so_far(&self) -> Vec<u8> {
        self.stderr.lock().data.clone()
    }

    /// The peak memory so far, in bytes; needs
    /// [`crate::Tool::measure_memory`].
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let memory = self.memory.as_ref().expect("measure_memory was not called");
        memory.so_far()
    }

    /// Sends a signal such as `libc::SIGINT` to the program alone.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        // Not reaped before `wait` or drop, so the pid is still this child's.
        if let Err(error) = sys::kill(self.child.id().cast_signed(), signal) {
            panic!("{}: cannot send signal {signal}: {error}", self.shown);
        }
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&self) -> bool {
        let pid = self.child.id();
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            // The state letter follows the name, which may hold anything.
            stat.rsplit(") ")
                .next()
                .is_some_and(|s| !s.starts_with('Z'))
        })
    }

    /// Waits for the end while standard input stays open; whether it came
    /// before the tool's timeout.
    pub fn ends(&self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // The sender goes with its message: a second call finds it gone.
        self.exited.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }

    /// Waits for the end and returns everything; panics when the tool's
    /// timeout, counted from its start, passes first. Standard input is closed.
    #[track_caller]
    pub fn wait(self) -> Output {
        match self.finish() {
            Ok(output) => output,
            Err(story) => panic!("{story}"),
        }
    }

    /// [`Running::wait`] that returns the story instead of a panic, for a
    /// caller that has more to tell.
    pub fn finish(mut self) -> Result<Output, String> {
        self.stdin = None;
        let in_time = self.ends();
        self.kill_group();
        let ended = self.stdout.wait_end(GRACE) && self.stderr.wait_end(GRACE);
        if !in_time {
            let limit = self.timeout;
            return Err(format!("still running after {limit:?}\n{}", self.story()));
        }
        if !ended {
            let story = self.story();
            return Err(format!(
                "ended, but a process it left behind holds its streams open\n{story}"
            ));
        }
        // It needs the child unreaped.
        let peak_memory = self.memory.take().and_then(PeakMemory::finish);
        let status = self.child.wait().expect("wait for the child");
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

    /// Ends whatever is left of the process group.
    fn kill_group(&self) {
        // Before the leader is reaped, so the group's number is still its own.
        let _ = sys::kill(-self.child.id().cast_signed(), libc::SIGKILL);
    }

    /// Command and streams as they stand, for a panic message.
    fn story(&self) -> String {
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

/// A thread that writes whatever is sent to it, until the sender is dropped or
/// the program stops reading.
fn feed(mut pipe: ChildStdin) -> Sender<Vec<u8>> {
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
    fn a_dialogue() {
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
    fn a_signal() {
        let cat = Tool::new("/bin/cat").piped_stdin().spawn();
        cat.signal(libc::SIGTERM);
        let out = cat.wait();
        assert_eq!((out.code, out.signal), (None, Some(libc::SIGTERM)));
    }

    #[test]
    fn dropping_kills() {
        let cat = Tool::new("/bin/cat").piped_stdin().spawn();
        let proc = format!("/proc/{}", cat.pid());
        assert!(std::path::Path::new(&proc).exists());
        drop(cat);
        assert!(!std::path::Path::new(&proc).exists());
    }

    #[test]
    #[should_panic(expected = "no line on stdout: the time passed")]
    fn a_missing_line() {
        let cat = Tool::new("/bin/cat").piped_stdin().spawn();
        cat.read_line(Duration::from_millis(50));
    }
}

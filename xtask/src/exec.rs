//! Starting other programs: with a deadline and both streams captured
//! ([`Exec`]), in the background until dropped ([`Background`]), or simply on
//! this terminal ([`visible`]).
//!
//! Nothing here kills by name: a program is ended by its process id, through
//! the child handle or the shell's own `kill`.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// A program to run to its end.
#[derive(Debug)]
pub(crate) struct Exec {
    command: Command,
    stdin: Option<Vec<u8>>,
    timeout: Duration,
    shown: String,
}

/// What it left.
#[derive(Debug)]
pub(crate) struct Done {
    /// Exit status, or 128 plus the signal's number, as a shell says it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    shown: String,
}

impl Exec {
    /// A run of `program` with these arguments, no input, at most a minute.
    pub(crate) fn new<I>(program: impl AsRef<OsStr>, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C");
        let shown = shown(&command);
        Self {
            command,
            stdin: None,
            timeout: Duration::from_secs(60),
            shown,
        }
    }

    /// Bytes for standard input.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// One environment variable.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// The working directory.
    pub(crate) fn cwd(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Another deadline.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs to the end. An error when it cannot start or does not end in time.
    pub(crate) fn run(mut self) -> Outcome<Done> {
        let stdin = match self.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start `{}`: {error}", self.shown))?;
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin.take()) {
            // A reader that stops early is no fault of the writer.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        let deadline = Instant::now() + self.timeout;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!(
                        "`{}` did not end within {:?}; its output so far:\n{}{}",
                        self.shown,
                        self.timeout,
                        so_far(stdout.as_ref()),
                        so_far(stderr.as_ref()),
                    ));
                }
                Err(error) => return Err(format!("waiting for `{}`: {error}", self.shown)),
            }
        };
        Ok(Done {
            code: code_of(status),
            stdout: all_of(stdout),
            stderr: all_of(stderr),
            shown: self.shown,
        })
    }

    /// Runs to the end and insists on status 0; returns standard output.
    pub(crate) fn text(self) -> Outcome<String> {
        let done = self.run()?;
        done.expect_code(0)?;
        Ok(done.out())
    }
}

impl Done {
    /// Standard output as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// An error that tells the whole story unless the status is `code`.
    pub(crate) fn expect_code(&self, code: i32) -> Outcome {
        if self.code == code {
            return Ok(());
        }
        Err(format!(
            "`{}` ended with status {} instead of {code}\nstdout:\n{}\nstderr:\n{}",
            self.shown,
            self.code,
            shorten(&self.out()),
            shorten(&self.err()),
        ))
    }
}

/// A stream drained by a thread of its own.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: thread::JoinHandle<()>,
}

fn collect(mut stream: impl Read + Send + 'static) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let thread = thread::spawn({
        let bytes = Arc::clone(&bytes);
        move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&chunk[..n]);
            }
        }
    });
    Collected { bytes, thread }
}

/// How long a stream may stay open after its program has ended, held by
/// something that program left behind.
const LINGER: Duration = Duration::from_secs(5);

fn all_of(collected: Option<Collected>) -> Vec<u8> {
    let Some(collected) = collected else {
        return Vec::new();
    };
    let deadline = Instant::now() + LINGER;
    while !collected.thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    let mut bytes = collected.bytes.lock();
    std::mem::take(bytes.as_mut().unwrap_or_else(|e| e.get_mut()))
}

/// What came until now; the thread is left behind, since something that
/// outlived the child may hold the stream open.
fn so_far(collected: Option<&Collected>) -> String {
    collected.map_or_else(String::new, |c| {
        let bytes = c.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        shorten(&String::from_utf8_lossy(&bytes))
    })
}

/// At most the first 4000 characters, so that a report stays readable.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(4000) {
        Some((at, _)) => format!("{}[...]\n", &text[..at]),
        None => text.to_owned(),
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command on this process's own streams and insists on its success.
pub(crate) fn visible(command: &mut Command) -> Outcome {
    let text = shown(command);
    eprintln!("+ {text}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start `{text}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{text}` ended with status {}", code_of(status)))
    }
}

/// Where a program is, looking through `PATH` and the places where
/// distributions put servers.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([
            PathBuf::from("/usr/sbin"),
            PathBuf::from("/sbin"),
            PathBuf::from("/usr/bin"),
        ])
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A program in the background. Dropping it sends SIGTERM, then, after two
/// seconds, SIGKILL.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    lines: Receiver<String>,
    shown: String,
}

impl Background {
    /// Starts it with standard output readable by line; standard error goes to
    /// the file `log`.
    pub(crate) fn start<I>(program: impl AsRef<OsStr>, args: I, log: &Path) -> Outcome<Self>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut command = Command::new(program);
        command.args(args.into_iter().map(Into::into));
        let shown = shown(&command);
        let fail = |error: std::io::Error| format!("cannot start `{shown}`: {error}");
        let file = std::fs::File::create(log).map_err(fail)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(fail)?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // Nobody listening any more is no reason to stop draining.
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Self {
            child,
            lines,
            shown,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output, waiting at most ten seconds.
    pub(crate) fn line(&self) -> Outcome<String> {
        self.lines
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| format!("`{}` printed no further line", self.shown))
    }

    /// Throws the lines away that have come so far.
    pub(crate) fn discard(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Waits until `ready` says so, for at most ten seconds, while it lives.
    pub(crate) fn until(&mut self, ready: impl Fn() -> bool) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("`{}` ended at once: {status}", self.shown));
            }
            if Instant::now() > deadline {
                return Err(format!("`{}` is not ready after ten seconds", self.shown));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and returns its status.
    pub(crate) fn terminate(&mut self) -> Outcome<i32> {
        self.signal();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(code_of(status)),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                _ => return Err(format!("`{}` ignores SIGTERM", self.shown)),
            }
        }
    }

    fn signal(&self) {
        kill("TERM", &self.child.id().to_string());
    }

    /// Ends what it has forked and left behind, such as a peer's children that
    /// are stuck. It led a process group of its own.
    fn sweep(&self) {
        kill("KILL", &format!("-{}", self.child.id()));
    }
}

/// Sends a signal by the shell's builtin: no further program and no unsafe
/// code needed.
fn kill(signal: &str, whom: &str) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\" 2>/dev/null", signal, whom])
        .status();
}

impl Drop for Background {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            self.sweep();
            return;
        }
        self.signal();
        let deadline = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            thread::sleep(POLL);
        }
        self.sweep();
    }
}

//! Running other programs: with a timeout and captured streams ([`Exec`]), in the
//! background ([`Background`]), or with the streams of this process
//! ([`run_visible`]).
//!
//! Programs are ended by their process id, never by name: through the child handle
//! or the `kill` builtin of a shell.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::TaskResult;

/// The interval between two checks whether a child has ended.
const POLL: Duration = Duration::from_millis(5);

/// A program with arguments, input and timeout, to run to its end.
#[derive(Debug)]
pub struct Exec {
    command: Command,
    stdin: Option<Vec<u8>>,
    timeout: Duration,
    command_line: String,
}

/// The result of a program that has ended.
#[derive(Debug)]
pub struct Done {
    /// The exit status, or 128 plus the number of the signal, as in a shell.
    pub code: i32,
    /// The bytes that the program wrote to standard output.
    pub stdout: Vec<u8>,
    /// The bytes that the program wrote to standard error.
    pub stderr: Vec<u8>,
    command_line: String,
}

impl Exec {
    /// Prepares a run of `program` with these arguments, without input and with a
    /// timeout of one minute.
    pub fn new<I>(program: impl AsRef<OsStr>, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C");
        let command_line = command_text(&command);
        Self {
            command,
            stdin: None,
            timeout: Duration::from_secs(60),
            command_line,
        }
    }

    /// Sets the bytes of standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Sets the timeout of the run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the program to its end. Fails if it cannot be started or times out.
    pub fn run(mut self) -> TaskResult<Done> {
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
            .map_err(|error| format!("cannot start `{}`: {error}", self.command_line))?;
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin.take()) {
            // The program may close its input early, which is not an error.
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
                        self.command_line,
                        self.timeout,
                        output_so_far(stdout.as_ref()),
                        output_so_far(stderr.as_ref()),
                    ));
                }
                Err(error) => return Err(format!("waiting for `{}`: {error}", self.command_line)),
            }
        };
        Ok(Done {
            code: code_of(status),
            stdout: all_of(stdout),
            stderr: all_of(stderr),
            command_line: self.command_line,
        })
    }

    /// Runs the program to its end, requires status 0 and returns standard output.
    pub fn text(self) -> TaskResult<String> {
        let done = self.run()?;
        done.expect_code(0)?;
        Ok(done.out())
    }
}

impl Done {
    /// Returns standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Returns an error with all details unless the status is `code`.
    pub fn expect_code(&self, code: i32) -> TaskResult {
        if self.code == code {
            return Ok(());
        }
        Err(format!(
            "`{}` ended with status {} instead of {code}\nstdout:\n{}\nstderr:\n{}",
            self.command_line,
            self.code,
            shorten(&self.out()),
            shorten(&self.err()),
        ))
    }
}

/// A stream that a thread reads to its end.
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

/// The time for a stream to close after the end of its program. A background
/// process of the program can hold it open.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

fn all_of(collected: Option<Collected>) -> Vec<u8> {
    let Some(collected) = collected else {
        return Vec::new();
    };
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    while !collected.thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    let mut bytes = collected.bytes.lock();
    std::mem::take(bytes.as_mut().unwrap_or_else(|e| e.get_mut()))
}

/// Returns the output so far without waiting for the thread, since a background
/// process may hold the stream open.
fn output_so_far(collected: Option<&Collected>) -> String {
    collected.map_or_else(String::new, |c| {
        let bytes = c.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        shorten(&String::from_utf8_lossy(&bytes))
    })
}

/// Truncates a text to 4000 characters, so that a report stays readable.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(4000) {
        Some((end, _)) => format!("{}[...]\n", &text[..end]),
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

/// Returns a command as it would be typed in a shell.
pub fn command_text(command: &Command) -> String {
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

/// Runs a command with the streams of this process and requires status 0.
pub fn run_visible(command: &mut Command) -> TaskResult {
    let text = command_text(command);
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

/// Finds a program in `PATH` and in the directories of system programs.
pub fn which(name: &str) -> Option<PathBuf> {
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

/// A program in the background. Dropping it sends SIGTERM and, after two seconds,
/// SIGKILL.
#[derive(Debug)]
pub struct Background {
    child: Child,
    lines: Receiver<String>,
    command_line: String,
}

impl Background {
    /// Starts a program. Its standard output can be read by line; its standard error
    /// is written to the file `log`.
    pub fn start<I>(program: impl AsRef<OsStr>, args: I, log: &Path) -> TaskResult<Self>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut command = Command::new(program);
        command.args(args.into_iter().map(Into::into));
        let command_line = command_text(&command);
        let fail = |error: std::io::Error| format!("cannot start `{command_line}`: {error}");
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
                    // Keep reading without a receiver, so that the pipe never fills up.
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Self {
            child,
            lines,
            command_line,
        })
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the next line of standard output, within ten seconds.
    pub fn line(&self) -> TaskResult<String> {
        self.lines
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| format!("`{}` printed no further line", self.command_line))
    }

    /// Discards the lines received so far.
    pub fn discard(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Waits until `ready` returns true, for at most ten seconds. Fails if the program
    /// ends first.
    pub fn until(&mut self, ready: impl Fn() -> bool) -> TaskResult {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "`{}` ended before it was ready: {status}",
                    self.command_line
                ));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "`{}` is not ready after ten seconds",
                    self.command_line
                ));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Sends SIGTERM, waits for the end and returns the status.
    pub fn terminate(&mut self) -> TaskResult<i32> {
        self.signal();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(code_of(status)),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                _ => return Err(format!("`{}` ignores SIGTERM", self.command_line)),
            }
        }
    }

    fn signal(&self) {
        kill("TERM", &self.child.id().to_string());
    }

    /// Kills the remaining processes of its process group, such as children of a
    /// server.
    fn kill_group(&self) {
        kill("KILL", &format!("-{}", self.child.id()));
    }
}

/// Sends a signal with the builtin of a shell, which needs no unsafe code.
fn kill(signal: &str, process: &str) {
    let _ = Command::new("sh")
        .args([
            "-c",
            "kill -s \"$0\" -- \"$1\" 2>/dev/null",
            signal,
            process,
        ])
        .status();
}

impl Drop for Background {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            self.kill_group();
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
        self.kill_group();
    }
}

//! [`Tool`]: runs one program in a clean environment.
//!
//! The environment contains only `PATH` ([`system_path`]), `LC_ALL=C`, `TZ=UTC`,
//! a new `HOME`, which is also the working directory, and the variables that the
//! test adds; [`MUTANT`] is passed on. Standard input is `/dev/null` unless the test
//! sets it, so it is never a terminal. The program leads its own process group. When
//! it has ended, the remaining processes of the group are killed, so that a test
//! leaves no process behind.
//!
//! ```no_run
//! use testkit::Tool;
//! // In a test of a tool: Tool::new(env!("CARGO_BIN_EXE_subnetcalc"))
//! Tool::new("/bin/echo").arg("hello").run().code(0).stdout("hello\n").stderr("");
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::memory::PeakMemory;
use crate::output::Output;
use crate::running::Running;

/// The timeout of a program, unless the test sets another one.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// The variable with the number of the active mutant, for `cargo xtask mutants`.
/// The clean environment contains it if the test program has it.
pub const MUTANT: &str = "INETKIT_MUTANT";

/// The conventional user and group id of `nobody`.
const NOBODY: u32 = 65534;

/// The source of the program's standard input.
#[derive(Debug)]
enum Input {
    Null,
    Bytes(Vec<u8>),
    Pipe,
    File(File),
}

/// A program with its arguments, input and environment, ready to run.
#[derive(Debug)]
#[must_use = "a Tool does nothing before `run` or `spawn`"]
pub struct Tool {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    input: Input,
    stdout_to: Option<File>,
    stderr_to: Option<File>,
    stdout_limit: Option<usize>,
    unprivileged: bool,
    measures_memory: bool,
    timeout: Duration,
}

impl Tool {
    /// Prepares the program at `path`, usually `env!("CARGO_BIN_EXE_name")`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            program: path.as_ref().to_path_buf(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            input: Input::Null,
            stdout_to: None,
            stderr_to: None,
            stdout_limit: None,
            unprivileged: false,
            measures_memory: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Adds an argument after the existing ones.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_os_string());
        self
    }

    /// Adds arguments after the existing ones, in order.
    pub fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        self
    }

    /// Writes these bytes to standard input, then closes it.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Makes standard input a pipe that stays open, for
    /// [`Running::write_stdin`] and [`Running::close_stdin`].
    pub fn piped_stdin(mut self) -> Self {
        self.input = Input::Pipe;
        self
    }

    /// Reads standard input from an open file (or socket, as `File::from` its
    /// descriptor).
    pub fn stdin_from(mut self, file: File) -> Self {
        self.input = Input::File(file);
        self
    }

    /// Sets an environment variable. `PATH`, `HOME`, `LC_ALL` and `TZ` can be
    /// replaced, too.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_os_string(), value.as_ref().to_os_string()));
        self
    }

    /// Sets the working directory. By default the program runs in its `HOME`, a
    /// new directory that is removed when the program has ended.
    pub fn cwd(mut self, path: impl AsRef<Path>) -> Self {
        self.cwd = Some(path.as_ref().to_path_buf());
        self
    }

    /// Sets the timeout of the run (20 s by default). When it expires, the
    /// program is killed and the test panics with the captured output.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Records the peak memory of the program, for
    /// [`Output::peak_memory_below`].
    pub fn measure_memory(mut self) -> Self {
        self.measures_memory = true;
        self
    }

    /// Sends standard output to a file, such as `/dev/full`, instead of
    /// capturing it.
    pub fn stdout_to(mut self, file: File) -> Self {
        self.stdout_to = Some(file);
        self
    }

    /// Sends standard error to a file instead of capturing it.
    pub fn stderr_to(mut self, file: File) -> Self {
        self.stderr_to = Some(file);
        self
    }

    /// Closes the reading end of standard output after reading `bytes` from it,
    /// as `head` does. With 0 it is closed before the program starts.
    pub fn close_stdout_after(mut self, bytes: usize) -> Self {
        self.stdout_limit = Some(bytes);
        self
    }

    /// Runs the program as `nobody`, without any capability, if the test runs as
    /// root. `nobody` must be able to access the program.
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = crate::privilege::is_root();
        self
    }

    /// Runs the program to its end and collects its output.
    #[track_caller]
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Combines [`Tool::close_stdout_after`] and [`Tool::run`].
    #[track_caller]
    pub fn run_closing_stdout_after(self, bytes: usize) -> Output {
        self.close_stdout_after(bytes).run()
    }

    /// Starts the program and returns without waiting for it.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let shown = self.shown();
        let home = tempfile::tempdir().expect("create a temporary HOME");
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(std::env::var_os(MUTANT).map(|number| (MUTANT, number)))
            .env("PATH", system_path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", home.path())
            .envs(self.env)
            .current_dir(self.cwd.as_deref().unwrap_or(home.path()))
            .process_group(0);
        if self.unprivileged {
            let (uid, gid) = (Some(NOBODY), Some(NOBODY));
            std::os::unix::fs::chown(home.path(), uid, gid).expect("make nobody the owner of HOME");
            command.uid(NOBODY).gid(NOBODY);
        }
        let (stdin, bytes) = match self.input {
            Input::Null => (Stdio::null(), None),
            Input::File(file) => (Stdio::from(file), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::Pipe => (Stdio::piped(), None),
        };
        command.stdin(stdin);
        command.stdout(self.stdout_to.map_or_else(Stdio::piped, Stdio::from));
        command.stderr(self.stderr_to.map_or_else(Stdio::piped, Stdio::from));
        if self.stdout_limit == Some(0) {
            // The reading end must be closed before the first write, so the
            // pipe is created here and its reading end is dropped.
            let (reader, writer) = std::io::pipe().expect("create a pipe");
            drop(reader);
            command.stdout(writer);
        }
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {shown}: {error}"),
        };
        let memory = self.measures_memory.then(|| PeakMemory::start(child.id()));
        let limit = self.stdout_limit;
        let mut running = Running::start(child, shown, home, bytes, limit, self.timeout, memory);
        running.program = self.program;
        running
    }

    /// Returns the command as it would be typed in a shell, for messages.
    fn shown(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        std::iter::once(name)
            .chain(self.args.iter().map(OsString::as_os_str))
            .map(quoted)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Returns `PATH` followed by the missing directories of system programs (`ip`,
/// `nft`, `sysctl`), which Debian omits from the `PATH` of ordinary users.
pub fn system_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for dir in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
        if !all.iter().any(|known| known == Path::new(dir)) {
            all.push(dir.into());
        }
    }
    std::env::join_paths(all).expect("join directories that were split from a PATH")
}

/// Returns a word with quotes if a shell needs them.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Tool {
        Tool::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn the_environment_is_clean() {
        let out = Tool::new("/usr/bin/env").env("X", "1").run();
        let mut names: Vec<_> = out
            .lines()
            .iter()
            .map(|line| line.split('=').next().unwrap().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TZ", "X"]);
    }

    #[test]
    fn large_streams_do_not_deadlock() {
        let input = vec![b'x'; 1 << 20];
        let out = sh("cat; head -c 1000000 /dev/zero >&2")
            .stdin(input.clone())
            .run();
        out.code(0);
        assert_eq!(out.stdout, input);
        assert_eq!(out.stderr.len(), 1_000_000);
    }

    #[test]
    fn stdin_is_empty_by_default() {
        sh("cat; test -t 0 || echo no terminal")
            .run()
            .stdout("no terminal\n");
    }

    #[test]
    fn a_closed_stdout_ends_a_writer() {
        let out = Tool::new("/usr/bin/yes").run_closing_stdout_after(10);
        assert_eq!(out.signal, Some(libc::SIGPIPE));
        assert_eq!(out.stdout_str(), "y\ny\ny\ny\ny\n");
        let out = Tool::new("/usr/bin/yes").run_closing_stdout_after(0);
        assert_eq!((out.signal, out.stdout.len()), (Some(libc::SIGPIPE), 0));
    }

    #[test]
    #[should_panic(expected = "still running after")]
    fn a_program_that_hangs_is_killed() {
        let _ = sh("echo started; sleep 600")
            .timeout(Duration::from_millis(200))
            .run();
    }

    #[test]
    fn background_processes_do_not_delay_the_end() {
        sh("sleep 600 & echo $!").run().code(0);
    }

    #[test]
    fn stdout_can_be_a_full_device() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        sh("echo x 2>/dev/null || exit 2")
            .stdout_to(full)
            .run()
            .code(2)
            .stdout("");
    }

    #[test]
    fn peak_memory_is_recorded() {
        let small = sh("sleep 0.2").measure_memory().run();
        small.code(0).peak_memory_below(10 << 20);
        let large = sh("head -c 60000000 /dev/zero | tail -c 50000000 | wc -c")
            .measure_memory()
            .run();
        // The memory of the children of `sh` does not count.
        large.code(0).peak_memory_below(10 << 20);
        let short = Tool::new("/bin/true").measure_memory().run();
        assert_ne!(short.peak_memory, Some(0));
        let large = Tool::new("/usr/bin/tail")
            .args(["-c", "50000000"])
            .stdin(vec![0; 60_000_000])
            .measure_memory()
            .run();
        assert!(large.code(0).peak_memory.unwrap() > 40_000_000);
    }

    #[test]
    fn an_unprivileged_program_does_not_run_as_root() {
        let out = sh("id -u; touch x").unprivileged().run();
        out.code(0);
        assert_ne!(out.stdout_str(), "0\n");
    }

    #[test]
    fn words_of_a_shown_command_are_quoted() {
        let tool = Tool::new("/x/tool").args(["a b", "", "it's", "-c", "[::1]:80"]);
        assert_eq!(tool.shown(), r"tool 'a b' '' 'it'\''s' -c [::1]:80");
    }
}

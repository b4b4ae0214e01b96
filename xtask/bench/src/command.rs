//! Command lines that can be measured repeatedly, ours ([`CommandLine`]) and those of
//! the programs to compare with ([`Peer`]).

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::{command_text, which};
use support::workspace::Bins;

use crate::context::Context;
use crate::row::{Other, Samples};
use crate::sys;

/// The duration and processor time of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// The wall clock time from start to end.
    pub(super) time: Duration,
    /// The user and system time.
    pub(super) cpu: Duration,
}

/// A command line that can be run repeatedly; its output is discarded.
#[derive(Debug, Clone)]
pub(super) struct CommandLine {
    program: PathBuf,
    args: Vec<OsString>,
    stdin: Option<PathBuf>,
    /// The parent of a new working directory for every run.
    new_dirs_in: Option<PathBuf>,
}

impl CommandLine {
    pub(super) fn new<I>(program: impl Into<PathBuf>, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: None,
            new_dirs_in: None,
        }
    }

    /// Reads standard input from a file.
    pub(super) fn stdin(mut self, file: &Path) -> Self {
        self.stdin = Some(file.to_path_buf());
        self
    }

    /// Runs each time in a new, empty directory below `base`. The directories are
    /// not removed, since ext4 creates files slowly after a removal.
    pub(super) fn in_new_dir(mut self, base: &Path) -> Self {
        self.new_dirs_in = Some(base.to_path_buf());
        self
    }

    /// Returns the program and its arguments, for a program that runs them.
    pub(super) fn words(&self) -> Vec<OsString> {
        let program = self.program.clone().into_os_string();
        std::iter::once(program)
            .chain(self.args.iter().cloned())
            .collect()
    }

    /// Returns the same command line with the tools of another directory, also
    /// within the arguments, such as the script of a shell.
    pub(super) fn with_tools_of(&self, from: &Bins, to: &Bins) -> Self {
        let (from, to) = (prefix(from), prefix(to));
        let replaced = |word: &OsString| OsString::from(word.to_string_lossy().replace(&from, &to));
        Self {
            program: replaced(&self.program.clone().into_os_string()).into(),
            args: self.args.iter().map(replaced).collect(),
            stdin: self.stdin.clone(),
            new_dirs_in: self.new_dirs_in.clone(),
        }
    }

    /// Returns the command line as it is typed in a shell, without the directories
    /// of this machine.
    pub(super) fn text(&self, context: &Context) -> String {
        let mut command = Command::new(&self.program);
        let mut text = command_text(command.args(&self.args));
        if let Some(file) = &self.stdin {
            text += &format!(" < {}", file.display());
        }
        context.without_dirs(&text)
    }

    /// Runs the command line once. A status other than 0 is an error.
    pub(super) fn run_once(&self) -> TaskResult<Cost> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env("LC_ALL", "C");
        let text = command_text(&command);
        if let Some(base) = &self.new_dirs_in {
            let dir = tempfile::tempdir_in(base);
            let dir = dir.map_err(|error| format!("{}: {error}", base.display()))?;
            command.current_dir(dir.keep());
        }
        let stdin = match &self.stdin {
            None => Stdio::null(),
            Some(path) => File::open(path)
                .map_err(|error| format!("{}: {error}", path.display()))?
                .into(),
        };
        command
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let start = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start `{text}`: {error}"))?;
        let (status, usage) =
            sys::wait(child).map_err(|error| format!("waiting for `{text}`: {error}"))?;
        let cost = Cost {
            time: start.elapsed(),
            cpu: usage.cpu,
        };
        if status.success() {
            Ok(cost)
        } else {
            Err(format!("`{text}`: {status}"))
        }
    }
}

impl CommandLine {
    /// Measures the peak resident memory of one run in bytes.
    pub(super) fn peak(&self) -> TaskResult<u64> {
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut args = vec![OsString::from("peak"), file.path().into()];
        args.push(self.program.clone().into());
        args.extend(self.args.iter().cloned());
        let wrapped = Self {
            program: this,
            args,
            stdin: self.stdin.clone(),
            new_dirs_in: self.new_dirs_in.clone(),
        };
        wrapped.run_once()?;
        let text = std::fs::read_to_string(file.path()).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| format!("`peak` wrote {text:?}"))
    }
}

fn prefix(bins: &Bins) -> String {
    format!("{}/", bins.dir().display())
}

/// A program to compare with.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    name: &'static str,
    line: Option<CommandLine>,
    /// Whether it is a lower bound, or our tool under other conditions, instead of
    /// a program that users could run instead.
    is_reference: bool,
}

impl Peer {
    /// Creates a peer from a program of the system, if it is installed.
    pub(super) fn system<I>(name: &'static str, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Self {
            name,
            line: which(name).map(|program| CommandLine::new(program, args)),
            is_reference: false,
        }
    }

    /// Creates a peer from a command line that can be run.
    pub(super) fn of(name: &'static str, line: CommandLine) -> Self {
        Self {
            name,
            line: Some(line),
            is_reference: false,
        }
    }

    /// Creates a reference from a command line that can be run.
    pub(super) fn reference(name: &'static str, line: CommandLine) -> Self {
        Self {
            is_reference: true,
            ..Self::of(name, line)
        }
    }

    /// Reads standard input from a file.
    pub(super) fn stdin(mut self, file: &Path) -> Self {
        self.line = self.line.map(|line| line.stdin(file));
        self
    }

    /// Runs each time in a new directory below `base`.
    pub(super) fn in_new_dir(mut self, base: &Path) -> Self {
        self.line = self.line.map(|line| line.in_new_dir(base));
        self
    }

    /// Returns the command line, if the program is installed.
    pub(super) fn line(&self) -> Option<&CommandLine> {
        self.line.as_ref()
    }

    /// Describes the other side of a row with the values of this program.
    pub(super) fn other(&self, samples: Option<Samples>) -> Other {
        let name = self.name.to_owned();
        match samples {
            None => Other::Missing(format!("{name} is not installed")),
            Some(samples) if self.is_reference => Other::Reference { name, samples },
            Some(samples) => Other::Peer { name, samples },
        }
    }
}

/// `inetkit-bench peak FILE PROGRAM [ARG...]`: runs the program with the streams of this
/// process, writes its peak memory to the file, and requires status 0.
///
/// Between fork and exec the memory of the parent counts as that of the child, so
/// the parent must be small: a new process of this program instead of the one that
/// created the input.
pub(super) fn peak(args: &[String]) -> TaskResult {
    let [file, program, args @ ..] = args else {
        return Err("peak needs a file and a command".to_owned());
    };
    let mut command = Command::new(program);
    let text = command_text(command.args(args));
    let child = command
        .spawn()
        .map_err(|error| format!("cannot start `{text}`: {error}"))?;
    let (status, usage) =
        sys::wait(child).map_err(|error| format!("waiting for `{text}`: {error}"))?;
    if !status.success() {
        return Err(format!("`{text}`: {status}"));
    }
    std::fs::write(file, usage.peak.to_string()).map_err(|error| format!("{file}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use support::workspace::Bins;

    use super::CommandLine;

    #[test]
    fn each_run_has_its_own_directory() {
        let base = tempfile::tempdir().unwrap();
        let line = CommandLine::new("/bin/sh", ["-c", "test -z \"$(ls)\" && touch created"]);
        let line = line.in_new_dir(base.path());
        line.run_once().unwrap();
        line.run_once().unwrap();
        let is_created = |entry: std::io::Result<std::fs::DirEntry>| {
            assert!(entry.unwrap().path().join("created").exists());
        };
        assert_eq!(base.path().read_dir().unwrap().map(is_created).count(), 2);
    }

    #[test]
    fn the_tools_of_another_build_are_also_run_by_a_shell() {
        let [new, old] = ["/new/bin", "/old"].map(|dir| Bins::in_dir(PathBuf::from(dir)));
        let line = CommandLine::new("sh", ["-c", "/new/bin/ping -q > /tmp/out"]);
        let line = line.with_tools_of(&new, &old);
        assert_eq!(line.words(), ["sh", "-c", "/old/ping -q > /tmp/out"]);
        let line = CommandLine::new("/new/bin/ping", [""; 0]).with_tools_of(&new, &old);
        assert_eq!(line.words(), ["/old/ping"]);
    }
}

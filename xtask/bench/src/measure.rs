//! Measurements of complete processes: medians of the wall clock time
//! ([`compare`]) and of the processor time ([`compare_cpu`]), with alternating runs
//! of our program and a peer, and the peak memory of our program ([`memory`]).

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::{Exec, command_text, which};

use super::{Goal, Row};
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

    /// Creates the command line of a program of the system, if it is installed.
    pub(super) fn peer<I>(name: &'static str, args: I) -> Peer
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Peer {
            name,
            line: which(name).map(|program| Self::new(program, args)),
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

    /// Measures the peak memory of one run in kB with GNU time; `None` if that is
    /// not installed.
    pub(super) fn memory(&self) -> TaskResult<Option<u64>> {
        let Some(time) = which("time") else {
            return Ok(None);
        };
        let format = ["-f", "%M"].map(OsString::from);
        let words = format.into_iter().chain(self.words());
        let done = Exec::new(time, words).run()?;
        done.expect_code(0)?;
        let text = done.err();
        let last = text.lines().last().unwrap_or_default();
        last.trim()
            .parse()
            .map(Some)
            .map_err(|_| format!("GNU time printed no number of kB: {last}"))
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

/// A program to compare with.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    name: &'static str,
    line: Option<CommandLine>,
}

impl Peer {
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

    /// Creates a peer that exists, such as one compiled for the comparison.
    pub(super) fn made(name: &'static str, program: PathBuf) -> Self {
        Self::of(name, CommandLine::new(program, [""; 0]))
    }

    /// Creates a peer from a command line that can be run.
    pub(super) fn of(name: &'static str, line: CommandLine) -> Self {
        Self {
            name,
            line: Some(line),
        }
    }
}

/// Runs both alternately and returns a row with the medians of the wall clock time.
pub(super) fn compare(
    label: impl Into<String>,
    runs: usize,
    ours: &CommandLine,
    peer: &Peer,
    goal: Goal,
) -> TaskResult<Row> {
    alternate(label.into(), runs, ours, peer, goal, |cost| cost.time)
}

/// Like [`compare`], with the user and system time.
pub(super) fn compare_cpu(
    label: impl Into<String>,
    runs: usize,
    ours: &CommandLine,
    peer: &Peer,
    goal: Goal,
) -> TaskResult<Row> {
    alternate(label.into(), runs, ours, peer, goal, |cost| cost.cpu)
}

fn alternate(
    label: String,
    runs: usize,
    ours: &CommandLine,
    peer: &Peer,
    goal: Goal,
    measure: impl Fn(Cost) -> Duration,
) -> TaskResult<Row> {
    // The first run of each fills the caches and does not count.
    ours.run_once()?;
    if let Some(line) = &peer.line {
        line.run_once()?;
    }
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        our_times.push(measure(ours.run_once()?));
        if let Some(line) = &peer.line {
            their_times.push(measure(line.run_once()?));
        }
    }
    let ours = median(our_times);
    let (theirs, ratio) = if their_times.is_empty() {
        (format!("{} not installed", peer.name), None)
    } else {
        let theirs = median(their_times);
        let ratio = match goal {
            Goal::Faster(_) => theirs.as_secs_f64() / ours.as_secs_f64(),
            _ => ours.as_secs_f64() / theirs.as_secs_f64(),
        };
        (format!("{} {}", peer.name, time(theirs)), Some(ratio))
    };
    Ok(Row {
        label,
        ours: time(ours),
        theirs,
        ratio,
        goal,
    })
}

/// Returns a row that compares the peak memory of a run with a limit in bytes.
pub(super) fn memory(label: impl Into<String>, ours: &CommandLine, limit: u64) -> TaskResult<Row> {
    let peak = ours.peak()?;
    Ok(Row {
        label: format!("{}: memory", label.into()),
        ours: size(peak),
        theirs: format!("limit {}", size(limit)),
        ratio: Some(peak as f64 / limit as f64),
        goal: Goal::AtMost(1.0),
    })
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 1000.0 {
        format!("{ms:.2} ms")
    } else {
        format!("{:.2} s", ms / 1e3)
    }
}

fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CommandLine, median, size, time};

    #[test]
    fn the_median_is_the_middle_value() {
        let times = [9, 1, 5].map(Duration::from_millis);
        assert_eq!(median(times.to_vec()), Duration::from_millis(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }

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
    fn times_and_sizes_are_formatted() {
        assert_eq!(time(Duration::from_micros(1250)), "1.25 ms");
        assert_eq!(time(Duration::from_millis(2500)), "2.50 s");
        assert_eq!(size(48_000_000), "48.0 MB");
    }
}

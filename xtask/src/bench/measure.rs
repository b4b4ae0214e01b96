//! Measurements of complete processes: medians of the wall clock time
//! ([`compare`]) and of the processor time ([`compare_cpu`]), with alternating runs
//! of our program and a peer, and the peak memory of our program ([`memory`]).

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Row, Target};
use crate::Outcome;
use crate::exec::{Exec, command_text, which};
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
pub(super) struct Line {
    program: PathBuf,
    args: Vec<OsString>,
    stdin: Option<PathBuf>,
    /// The parent of a new working directory for every run.
    new_dirs_in: Option<PathBuf>,
}

impl Line {
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
    pub(super) fn in_fresh(mut self, base: &Path) -> Self {
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
    pub(super) fn memory(&self) -> Outcome<Option<u64>> {
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
    pub(super) fn once(&self) -> Outcome<Cost> {
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

impl Line {
    /// Measures the peak resident memory of one run in bytes.
    pub(super) fn peak(&self) -> Outcome<u64> {
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
        wrapped.once()?;
        let text = std::fs::read_to_string(file.path()).map_err(|error| error.to_string())?;
        text.parse()
            .map_err(|_| format!("`xtask peak` wrote {text:?}"))
    }
}

/// A program to compare with.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    name: &'static str,
    line: Option<Line>,
}

impl Peer {
    /// Reads standard input from a file.
    pub(super) fn stdin(mut self, file: &Path) -> Self {
        self.line = self.line.map(|line| line.stdin(file));
        self
    }

    /// Runs each time in a new directory below `base`.
    pub(super) fn in_fresh(mut self, base: &Path) -> Self {
        self.line = self.line.map(|line| line.in_fresh(base));
        self
    }

    /// Returns the command line, if the program is installed.
    pub(super) fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// Creates a peer that exists, such as one compiled for the comparison.
    pub(super) fn made(name: &'static str, program: PathBuf) -> Self {
        Self::of(name, Line::new(program, [""; 0]))
    }

    /// Creates a peer from a command line that can be run.
    pub(super) fn of(name: &'static str, line: Line) -> Self {
        Self {
            name,
            line: Some(line),
        }
    }
}

/// Runs both alternately and returns a row with the medians of the wall clock time.
pub(super) fn compare(
    what: impl Into<String>,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
) -> Outcome<Row> {
    alternate(what.into(), runs, ours, peer, target, |cost| cost.time)
}

/// Like [`compare`], with the user and system time.
pub(super) fn compare_cpu(
    what: impl Into<String>,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
) -> Outcome<Row> {
    alternate(what.into(), runs, ours, peer, target, |cost| cost.cpu)
}

fn alternate(
    what: String,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
    measure: impl Fn(Cost) -> Duration,
) -> Outcome<Row> {
    // The first run of each fills the caches and does not count.
    ours.once()?;
    if let Some(line) = &peer.line {
        line.once()?;
    }
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        our_times.push(measure(ours.once()?));
        if let Some(line) = &peer.line {
            their_times.push(measure(line.once()?));
        }
    }
    let ours = median(our_times);
    let (theirs, ratio) = if their_times.is_empty() {
        (format!("{} not installed", peer.name), None)
    } else {
        let theirs = median(their_times);
        let ratio = match target {
            Target::Faster(_) => theirs.as_secs_f64() / ours.as_secs_f64(),
            _ => ours.as_secs_f64() / theirs.as_secs_f64(),
        };
        (format!("{} {}", peer.name, time(theirs)), Some(ratio))
    };
    Ok(Row {
        what,
        ours: time(ours),
        theirs,
        ratio,
        target,
    })
}

/// Returns a row that compares the peak memory of a run with a limit in bytes.
pub(super) fn memory(what: impl Into<String>, ours: &Line, limit: u64) -> Outcome<Row> {
    let peak = ours.peak()?;
    Ok(Row {
        what: format!("{}: memory", what.into()),
        ours: size(peak),
        theirs: format!("limit {}", size(limit)),
        ratio: Some(peak as f64 / limit as f64),
        target: Target::AtMost(1.0),
    })
}

/// `xtask peak FILE PROGRAM [ARG...]`: runs the program with the streams of this
/// process, writes its peak memory to the file, and requires status 0.
///
/// Between fork and exec the memory of the parent counts as that of the child, so
/// the parent must be small: a new process of this program instead of the one that
/// created the input.
pub(crate) fn peak(args: &[String]) -> Outcome {
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

    use super::{Line, median, size, time};

    #[test]
    fn the_median_is_the_middle_value() {
        let times = [9, 1, 5].map(Duration::from_millis);
        assert_eq!(median(times.to_vec()), Duration::from_millis(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn each_run_has_its_own_directory() {
        let base = tempfile::tempdir().unwrap();
        let line = Line::new("/bin/sh", ["-c", "test -z \"$(ls)\" && touch created"]);
        let line = line.in_fresh(base.path());
        line.once().unwrap();
        line.once().unwrap();
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

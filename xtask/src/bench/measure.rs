//! Medians of what whole processes cost, ours and a peer's in turns: wall
//! clock ([`compare`]), processor time ([`compare_cpu`]), and the most memory
//! of one of ours ([`memory`]).

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Row, Target};
use crate::Outcome;
use crate::exec::{Exec, shown, which};
use crate::sys;

/// What one run cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// Wall clock from start to end.
    pub(super) time: Duration,
    /// User and system time.
    pub(super) cpu: Duration,
}

/// A command line that can be run again and again, its output thrown away.
#[derive(Debug, Clone)]
pub(super) struct Line {
    program: PathBuf,
    args: Vec<OsString>,
    stdin: Option<PathBuf>,
    /// Below this folder every run has a new one to itself.
    fresh: Option<PathBuf>,
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
            fresh: None,
        }
    }

    /// A program of the system, if it is installed.
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

    /// Standard input from a file.
    pub(super) fn stdin(mut self, file: &Path) -> Self {
        self.stdin = Some(file.to_path_buf());
        self
    }

    /// Runs in a new, empty folder below `base` each time. They stay: ext4
    /// is slow to make files for a while after others were removed.
    pub(super) fn in_fresh(mut self, base: &Path) -> Self {
        self.fresh = Some(base.to_path_buf());
        self
    }

    /// Program and arguments, for a program that runs it.
    pub(super) fn words(&self) -> Vec<OsString> {
        let program = self.program.clone().into_os_string();
        std::iter::once(program)
            .chain(self.args.iter().cloned())
            .collect()
    }

    /// The most memory one run holds, in kB, as GNU time tells it; `None`
    /// where that is not installed.
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
            .map_err(|_| format!("no number of kB from time: {last}"))
    }

    /// One run, from start to end. A status other than 0 is an error.
    pub(super) fn once(&self) -> Outcome<Cost> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env("LC_ALL", "C");
        let text = shown(&command);
        if let Some(base) = &self.fresh {
            let made = tempfile::tempdir_in(base);
            let made = made.map_err(|error| format!("{}: {error}", base.display()))?;
            command.current_dir(made.keep());
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
    /// The most memory resident at once in one run, in bytes.
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
            fresh: self.fresh.clone(),
        };
        wrapped.once()?;
        let text = std::fs::read_to_string(file.path()).map_err(|error| error.to_string())?;
        text.parse()
            .map_err(|_| format!("`xtask peak` wrote {text:?}"))
    }
}

/// Somebody else's program.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    name: &'static str,
    line: Option<Line>,
}

impl Peer {
    /// Standard input from a file.
    pub(super) fn stdin(mut self, file: &Path) -> Self {
        self.line = self.line.map(|line| line.stdin(file));
        self
    }

    /// Each run in a new folder.
    pub(super) fn in_fresh(mut self, base: &Path) -> Self {
        self.line = self.line.map(|line| line.in_fresh(base));
        self
    }

    /// Its command line, if it is installed.
    pub(super) fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// A program that is certainly there, such as one made on the spot.
    pub(super) fn made(name: &'static str, program: PathBuf) -> Self {
        Self::of(name, Line::new(program, [""; 0]))
    }

    /// A command line that certainly runs, under this name.
    pub(super) fn of(name: &'static str, line: Line) -> Self {
        Self {
            name,
            line: Some(line),
        }
    }
}

/// Runs both in turns and makes a row of the medians of wall clock time.
pub(super) fn compare(
    what: impl Into<String>,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
) -> Outcome<Row> {
    in_turns(what.into(), runs, ours, peer, target, |cost| cost.time)
}

/// The same of user and system time.
pub(super) fn compare_cpu(
    what: impl Into<String>,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
) -> Outcome<Row> {
    in_turns(what.into(), runs, ours, peer, target, |cost| cost.cpu)
}

fn in_turns(
    what: String,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
    figure: impl Fn(Cost) -> Duration,
) -> Outcome<Row> {
    // The first run of each warms caches and does not count.
    ours.once()?;
    if let Some(line) = &peer.line {
        line.once()?;
    }
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        our_times.push(figure(ours.once()?));
        if let Some(line) = &peer.line {
            their_times.push(figure(line.once()?));
        }
    }
    let mine = median(our_times);
    let (theirs, ratio) = if their_times.is_empty() {
        (format!("{} not installed", peer.name), None)
    } else {
        let theirs = median(their_times);
        let ratio = match target {
            Target::Faster(_) => theirs.as_secs_f64() / mine.as_secs_f64(),
            _ => mine.as_secs_f64() / theirs.as_secs_f64(),
        };
        (format!("{} {}", peer.name, time(theirs)), Some(ratio))
    };
    Ok(Row {
        what,
        ours: time(mine),
        theirs,
        ratio,
        target,
    })
}

/// One run, and a row that holds its peak memory against a limit in bytes.
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

/// `xtask peak FILE PROGRAM [ARG...]`: runs the program on this process's
/// streams, writes the most memory it held into the file, and insists on
/// status 0.
///
/// Between its fork and its exec a child counts as holding what its parent
/// holds, and that stays its peak if it never needs more. So the parent must
/// be small: a fresh process of this program, not the one that has just made
/// the input.
pub(crate) fn peak(args: &[String]) -> Outcome {
    let [file, program, args @ ..] = args else {
        return Err("peak takes a file and a command".to_owned());
    };
    let mut command = Command::new(program);
    let text = shown(command.args(args));
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
    fn the_middle_one() {
        let times = [9, 1, 5].map(Duration::from_millis);
        assert_eq!(median(times.to_vec()), Duration::from_millis(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn each_run_has_a_folder_to_itself() {
        let base = tempfile::tempdir().unwrap();
        let line = Line::new("/bin/sh", ["-c", "test -z \"$(ls)\" && touch made"]);
        let line = line.in_fresh(base.path());
        line.once().unwrap();
        line.once().unwrap();
        let made = |entry: std::io::Result<std::fs::DirEntry>| {
            assert!(entry.unwrap().path().join("made").exists());
        };
        assert_eq!(base.path().read_dir().unwrap().map(made).count(), 2);
    }

    #[test]
    fn times_for_people() {
        assert_eq!(time(Duration::from_micros(1250)), "1.25 ms");
        assert_eq!(time(Duration::from_millis(2500)), "2.50 s");
        assert_eq!(size(48_000_000), "48.0 MB");
    }
}

//! Medians of whole-process times, ours and a peer's in turns.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Row, Target};
use crate::Outcome;
use crate::exec::{shown, which};

/// A command line that can be run again and again, its output thrown away.
#[derive(Debug, Clone)]
pub(super) struct Line {
    program: PathBuf,
    args: Vec<OsString>,
    stdin: Option<PathBuf>,
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

    /// One run, from start to end. A status other than 0 is an error.
    fn once(&self) -> Outcome<Duration> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env("LC_ALL", "C");
        let text = shown(&command);
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
        let status = command
            .status()
            .map_err(|error| format!("cannot start `{text}`: {error}"))?;
        let time = start.elapsed();
        if status.success() {
            Ok(time)
        } else {
            Err(format!("`{text}`: {status}"))
        }
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

    /// A program that is certainly there, such as one made on the spot.
    pub(super) fn made(name: &'static str, program: PathBuf) -> Self {
        Self {
            name,
            line: Some(Line::new(program, [""; 0])),
        }
    }
}

/// Runs both in turns and makes a row of the medians.
pub(super) fn compare(
    what: impl Into<String>,
    runs: usize,
    ours: &Line,
    peer: &Peer,
    target: Target,
) -> Outcome<Row> {
    // The first run of each warms caches and does not count.
    ours.once()?;
    if let Some(line) = &peer.line {
        line.once()?;
    }
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        our_times.push(ours.once()?);
        if let Some(line) = &peer.line {
            their_times.push(line.once()?);
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
        what: what.into(),
        ours: time(mine),
        theirs,
        ratio,
        target,
    })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{median, time};

    #[test]
    fn the_middle_one() {
        let times = [9, 1, 5].map(Duration::from_millis);
        assert_eq!(median(times.to_vec()), Duration::from_millis(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn times_for_people() {
        assert_eq!(time(Duration::from_micros(1250)), "1.25 ms");
        assert_eq!(time(Duration::from_millis(2500)), "2.50 s");
    }
}

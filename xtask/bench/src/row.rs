//! A row of the table: the values of our tool, of the program or limit that it is
//! compared with and, with `--base`, of the same tool of another build.

use std::fmt;

/// The unit of the values of a row, which determines their format and whether less
/// or more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A time in seconds; less is better.
    Seconds,
    /// A size in bytes; less is better.
    Bytes,
    /// A number such as calls per probe; less is better.
    Number,
    /// A number of successes; more is better.
    Count,
    /// Messages, connections or queries per second; more is better.
    PerSecond,
    /// Bytes per second; more is better.
    BytesPerSecond,
}

impl Unit {
    fn more_is_better(self) -> bool {
        matches!(self, Self::Count | Self::PerSecond | Self::BytesPerSecond)
    }

    /// Formats a value with three significant digits.
    pub(crate) fn show(self, value: f64) -> String {
        let steps: &[(f64, &str)] = match self {
            Self::Seconds => &[(1e-6, " us"), (1e-3, " ms"), (1.0, " s")],
            Self::Bytes => &[(1.0, " B"), (1e3, " kB"), (1e6, " MB")],
            Self::Number => &[(1.0, "")],
            Self::Count => return format!("{value:.0}"),
            Self::PerSecond => &[(1.0, " /s"), (1e3, " k/s"), (1e6, " M/s")],
            Self::BytesPerSecond => &[(1.0, " B/s"), (1e3, " kB/s"), (1e6, " MB/s")],
        };
        let fitting = steps.iter().rev().find(|(size, _)| value.abs() >= *size);
        let (size, suffix) = fitting.unwrap_or(&steps[0]);
        let scaled = value / size;
        let digits = match scaled.abs() {
            100.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        format!("{scaled:.digits$}{suffix}")
    }
}

/// The values of all runs of one program, in the order of the runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Returns the median, or 0 without a value.
    pub(crate) fn median(&self) -> f64 {
        median(self.0.clone()).unwrap_or_default()
    }

    /// Returns the smallest and the largest value.
    pub(crate) fn range(&self) -> (f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let first = sorted.first().copied().unwrap_or_default();
        (first, sorted.last().copied().unwrap_or_default())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the median of the ratios of all pairs of runs. It is valid even if
    /// the machine becomes busy during the measurement.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<f64> {
        median(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// Formats the median and, if there are several values, the smallest and the
    /// largest one.
    pub(crate) fn show(&self, unit: Unit) -> String {
        let median = unit.show(self.median());
        let (min, max) = self.range();
        if self.0.len() < 2 {
            return median;
        }
        format!("{median} ({} to {})", unit.show(min), unit.show(max))
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The other side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Other {
    /// A program that users could run instead of our tool.
    Peer { name: String, samples: Samples },
    /// A lower bound, or our tool under other conditions.
    Reference { name: String, samples: Samples },
    /// The largest acceptable value, or the smallest if more is better.
    Limit(f64),
    /// The reason why nothing could be compared.
    Missing(String),
    /// A value without a comparison.
    Nothing,
}

/// The goal of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Ours over theirs is at most this.
    AtMost(f64),
    /// Ours is at least N times as fast as theirs.
    Faster(f64),
    /// Ours over theirs is at least this.
    AtLeast(f64),
    /// Ours over theirs differs from 1 by at most this.
    Within(f64),
    /// A figure without a goal.
    Open,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::Faster(1.0) => write!(f, "faster"),
            Self::Faster(times) => write!(f, "{times} times faster"),
            Self::AtLeast(times) => write!(f, "at least {times}"),
            Self::Within(part) => write!(f, "within {:.0} %", part * 100.0),
            Self::Open => Ok(()),
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The tool and the measurement, as in `ping: sweep`.
    pub(crate) label: String,
    pub(crate) unit: Unit,
    /// Empty if the row could not be measured.
    pub(crate) ours: Samples,
    /// The values of the tool of another build.
    pub(crate) base: Option<Samples>,
    pub(crate) other: Other,
    pub(crate) goal: Goal,
    /// The command lines, ours first.
    pub(crate) commands: Vec<String>,
}

impl Row {
    /// Creates a row with the values of our tool.
    pub(crate) fn new(label: impl Into<String>, unit: Unit, ours: Samples) -> Self {
        Self {
            label: label.into(),
            unit,
            ours,
            base: None,
            other: Other::Nothing,
            goal: Goal::Open,
            commands: Vec::new(),
        }
    }

    /// Creates a row for a measurement that is not possible here, with the reason.
    pub(crate) fn not_measured(label: &str, reason: &str) -> Self {
        let row = Self::new(label, Unit::Number, Samples::default());
        row.against(Other::Missing(reason.to_owned()), Goal::Open)
    }

    /// Sets the values of the tool of another build.
    pub(crate) fn base(mut self, base: Option<Samples>) -> Self {
        self.base = base;
        self
    }

    /// Sets the other side and the goal.
    pub(crate) fn against(mut self, other: Other, goal: Goal) -> Self {
        (self.other, self.goal) = (other, goal);
        self
    }

    /// Adds a command line.
    pub(crate) fn command(mut self, line: impl Into<String>) -> Self {
        self.commands.push(line.into());
        self
    }

    /// Returns ours over theirs.
    pub(crate) fn ratio(&self) -> Option<f64> {
        match &self.other {
            Other::Peer { samples, .. } | Other::Reference { samples, .. } => {
                self.ours.ratio_to(samples)
            }
            Other::Limit(limit) if !self.ours.is_empty() => Some(self.ours.median() / limit),
            _ => None,
        }
    }

    /// Returns ours over that of the other build.
    pub(crate) fn base_ratio(&self) -> Option<f64> {
        self.ours.ratio_to(self.base.as_ref()?)
    }

    /// Whether the goal is met, if there is one and something to compare with.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let ratio = self.ratio()?;
        let speed_up = if self.unit.more_is_better() {
            ratio
        } else {
            1.0 / ratio
        };
        match self.goal {
            Goal::AtMost(limit) => Some(ratio <= limit),
            Goal::Faster(times) => Some(speed_up >= times),
            Goal::AtLeast(times) => Some(ratio >= times),
            Goal::Within(part) => Some((1.0 - part..=1.0 + part).contains(&ratio)),
            Goal::Open => None,
        }
    }

    /// Returns the name of the peer if its value is better than ours by more than
    /// half a percent.
    pub(crate) fn winning_peer(&self) -> Option<&str> {
        let Other::Peer { name, .. } = &self.other else {
            return None;
        };
        let ratio = self.ratio()?;
        let is_worse = if self.unit.more_is_better() {
            ratio < 0.995
        } else {
            ratio > 1.005
        };
        is_worse.then_some(name.as_str())
    }

    /// Describes the other side with its value, which `show` formats.
    pub(crate) fn other_text(&self, show: impl Fn(&Samples, Unit) -> String) -> String {
        match &self.other {
            Other::Peer { name, samples } | Other::Reference { name, samples } => {
                format!("{name} {}", show(samples, self.unit))
            }
            Other::Limit(limit) => format!("limit {}", self.unit.show(*limit)),
            Other::Missing(reason) => reason.clone(),
            Other::Nothing => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Other, Row, Samples, Unit};

    fn row(unit: Unit, ours: f64, theirs: f64, goal: Goal) -> Row {
        let samples = Samples::from_iter([theirs]);
        let name = "peer".to_owned();
        let row = Row::new("row", unit, Samples::from_iter([ours]));
        row.against(Other::Peer { name, samples }, goal)
    }

    #[test]
    fn goals_compare_in_the_right_direction() {
        for (unit, ours, theirs, goal, met) in [
            (Unit::Seconds, 1.2, 1.0, Goal::AtMost(1.3), true),
            (Unit::Seconds, 1.4, 1.0, Goal::AtMost(1.3), false),
            (Unit::Seconds, 1.0, 30.0, Goal::Faster(20.0), true),
            (Unit::Seconds, 1.0, 10.0, Goal::Faster(20.0), false),
            (Unit::PerSecond, 30.0, 1.0, Goal::Faster(20.0), true),
            (Unit::PerSecond, 0.8, 1.0, Goal::AtLeast(0.85), false),
            (Unit::Seconds, 0.9, 1.0, Goal::Within(0.2), true),
            (Unit::Seconds, 0.7, 1.0, Goal::Within(0.2), false),
        ] {
            let row = row(unit, ours, theirs, goal);
            assert_eq!(row.is_met(), Some(met), "{row:?}");
        }
    }

    #[test]
    fn a_peer_wins_if_its_value_is_better() {
        let winner = |unit, ours, theirs| {
            let row = row(unit, ours, theirs, Goal::Open);
            row.winning_peer().map(str::to_owned)
        };
        assert_eq!(winner(Unit::Seconds, 1.1, 1.0).as_deref(), Some("peer"));
        assert_eq!(winner(Unit::Seconds, 1.001, 1.0), None);
        assert_eq!(winner(Unit::PerSecond, 1.1, 1.0), None);
        assert_eq!(winner(Unit::PerSecond, 0.9, 1.0).as_deref(), Some("peer"));
        let limited = Row::new("row", Unit::Seconds, Samples::from_iter([2.0]));
        let limited = limited.against(Other::Limit(1.0), Goal::AtMost(1.0));
        assert_eq!(
            (limited.winning_peer(), limited.is_met()),
            (None, Some(false))
        );
    }

    #[test]
    fn the_ratio_is_the_median_of_all_pairs() {
        // The machine becomes half as fast, and so do both programs.
        let ours = Samples::from_iter([100.0, 50.0, 60.0]);
        let theirs = Samples::from_iter([200.0, 100.0, 100.0]);
        assert_eq!(ours.ratio_to(&theirs), Some(0.5));
        assert_eq!(ours.ratio_to(&Samples::default()), None);
    }

    #[test]
    fn samples_show_median_and_spread() {
        let samples = Samples::from_iter([0.009, 0.001, 0.005]);
        assert_eq!(samples.show(Unit::Seconds), "5.00 ms (1.00 ms to 9.00 ms)");
        assert_eq!(Samples::from_iter([2.5]).show(Unit::Seconds), "2.50 s");
        assert_eq!(Samples::default().show(Unit::Count), "0");
    }

    #[test]
    fn values_have_three_digits() {
        for (unit, value, text) in [
            (Unit::Seconds, 0.0, "0.00 us"),
            (Unit::Seconds, 0.00125, "1.25 ms"),
            (Unit::Seconds, 12.34, "12.3 s"),
            (Unit::Bytes, 48_000_000.0, "48.0 MB"),
            (Unit::Bytes, 307.2, "307 B"),
            (Unit::Number, 0.25, "0.25"),
            (Unit::Count, 1_000_000.0, "1000000"),
            (Unit::PerSecond, 812_345.0, "812 k/s"),
            (Unit::BytesPerSecond, 2.5e9, "2500 MB/s"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }
}

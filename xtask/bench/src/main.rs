//! `cargo xtask bench [TOOL]`: measures complete processes and compares them with
//! other programs that do the same.
//!
//! Each figure is the median of several runs. The runs of the two programs
//! alternate, so that other load affects both. The table contains the goals and
//! the results. A missed goal is marked but is not a failure, since it also depends
//! on the machine; an error is.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task prints its results"
)]
#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a few more allocations do not matter for a task"
)]

mod httpget;
mod measure;
mod pin;
mod ping;
mod resolve;
mod rows;
mod subnetcalc;
mod sys;
mod tcpecho;
mod tcpecho_client;

use std::process::ExitCode;

use support::TaskResult;
use support::workspace::{self, Bins, Profile, TOOLS};

type Rows = fn(&Context) -> TaskResult<Vec<Row>>;

/// The rows of each tool, about its main functions.
const ROWS_OF_TOOLS: [(&str, Rows); 6] = [
    ("subnetcalc", subnetcalc::rows),
    ("ping", ping::rows),
    ("resolve", resolve::rows),
    ("httpget", httpget::rows),
    ("tcpecho-server", tcpecho::rows),
    ("tcpecho-client", tcpecho_client::rows),
];

/// The binaries and the working directory of the measurements.
struct Context {
    bins: Bins,
    dir: tempfile::TempDir,
}

/// A row of the table.
struct Row {
    label: String,
    ours: String,
    theirs: String,
    /// Ours over theirs, or the inverse for a goal of [`Goal::Faster`].
    ratio: Option<f64>,
    goal: Goal,
}

/// The goal of a comparison.
#[derive(Debug, Clone, Copy)]
enum Goal {
    /// Ours over theirs is at most this.
    AtMost(f64),
    /// Theirs over ours is at least this: N times faster.
    Faster(f64),
    /// Ours over theirs, of rates, is at least this.
    AtLeast(f64),
    /// Ours over theirs differs from 1 by at most this.
    Within(f64),
    /// A figure without a goal.
    Open,
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(limit) => ratio <= limit,
            Self::Faster(times) | Self::AtLeast(times) => ratio >= times,
            Self::Within(part) => (1.0 - part..=1.0 + part).contains(&ratio),
            Self::Open => true,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::Faster(times) => write!(f, "{times} times faster"),
            Self::AtLeast(times) => write!(f, "at least {times}"),
            Self::Within(part) => write!(f, "within {:.0} %", part * 100.0),
            Self::Open => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        // Internal command; see `measure::peak`.
        Some((command, rest)) if command == "peak" => measure::peak(rest),
        _ => run(&args),
    };
    support::exit_code("bench", outcome)
}

/// Measures and prints the rows of all tools, or of one.
fn run(args: &[String]) -> TaskResult {
    let selected = match args {
        [] => None,
        [tool] if tool == "tcpecho" || TOOLS.contains(&tool.as_str()) => Some(tool.as_str()),
        _ => {
            return Err(format!(
                "the only argument is a tool, one of {}",
                TOOLS.join(", ")
            ));
        }
    };
    let context = Context {
        bins: Bins::build(Profile::Release)?,
        dir: workspace::scratch()?,
    };
    let is_selected = |tool: &str| selected.is_none_or(|name| tool.starts_with(name));
    println!(
        "{:<48} {:>12} {:>24} {:>7}  goal",
        "measurement", "ours", "theirs", "ratio"
    );
    let mut errors = Vec::new();
    for tool in TOOLS.into_iter().filter(|tool| is_selected(tool)) {
        for rows in [rows::size, rows::start_up] {
            show(rows(&context, tool), &mut errors);
        }
    }
    for (tool, rows) in ROWS_OF_TOOLS {
        if is_selected(tool) {
            show(rows(&context), &mut errors);
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(format!("some measurements failed:\n{}", errors.join("\n")))
    }
}

fn show(rows: TaskResult<Vec<Row>>, errors: &mut Vec<String>) {
    match rows {
        Ok(rows) => rows.iter().for_each(print),
        Err(error) => {
            println!("ERROR {error}");
            errors.push(error);
        }
    }
}

fn print(row: &Row) {
    let ratio = row
        .ratio
        .map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
    let verdict = match row.ratio {
        Some(ratio) if !row.goal.is_met(ratio) => "  MISSED",
        _ => "",
    };
    println!(
        "{:<48} {:>12} {:>24} {:>7}  {}{verdict}",
        row.label, row.ours, row.theirs, ratio, row.goal
    );
}

#[cfg(test)]
mod tests {
    use super::Goal;

    #[test]
    fn goals_compare_in_the_right_direction() {
        assert!(Goal::AtMost(1.3).is_met(1.2) && !Goal::AtMost(1.3).is_met(1.4));
        assert!(Goal::Faster(20.0).is_met(30.0) && !Goal::Faster(20.0).is_met(10.0));
    }
}

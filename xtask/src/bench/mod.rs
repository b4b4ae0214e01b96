//! `cargo xtask bench [TOOL]`: whole processes, from their start to their end,
//! beside other programs doing the same in the same minute.
//!
//! Every figure is a median of runs that alternate between the two, so that a
//! busy moment meets both. The table says what is aimed at and what came out;
//! a target that is missed is marked and fails nothing, since the machine has
//! its say too. Errors do fail.

mod httpget;
mod measure;
mod pin;
mod ping;
mod resolve;
mod rows;
mod subnetcalc;
mod tcpecho;
mod tcpecho_client;

pub(crate) use measure::peak;

use crate::workspace::{self, Bins, Profile, TOOLS};
use crate::{Outcome, USAGE};

type Rows = fn(&Shop) -> Outcome<Vec<Row>>;

/// The speed of each tool in its main job.
const OF_TOOLS: [(&str, Rows); 6] = [
    ("subnetcalc", subnetcalc::rows),
    ("ping", ping::rows),
    ("resolve", resolve::rows),
    ("httpget", httpget::rows),
    ("tcpecho-server", tcpecho::rows),
    ("tcpecho-client", tcpecho_client::rows),
];

/// What the rows work with.
struct Shop {
    bins: Bins,
    dir: tempfile::TempDir,
}

/// One line of the table.
struct Row {
    what: String,
    ours: String,
    theirs: String,
    /// Ours over theirs, or theirs over ours, as the target has it.
    ratio: Option<f64>,
    target: Target,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// The ratio is ours over theirs: at most this.
    AtMost(f64),
    /// The ratio is theirs over ours, so "times faster": at least this.
    Faster(f64),
    /// The ratio is ours over theirs, of rates: at least this.
    AtLeast(f64),
    /// The ratio is ours over theirs: so far from 1 at most, up or down.
    Within(f64),
    /// A figure to know.
    Open,
}

impl Target {
    fn met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(limit) => ratio <= limit,
            Self::Faster(times) | Self::AtLeast(times) => ratio >= times,
            Self::Within(part) => (1.0 - part..=1.0 + part).contains(&ratio),
            Self::Open => true,
        }
    }
}

impl std::fmt::Display for Target {
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

/// The rows of all tools, or of one.
pub(crate) fn run(args: &[String]) -> Outcome {
    let wanted = match args {
        [] => None,
        [tool] if tool == "tcpecho" || TOOLS.contains(&tool.as_str()) => Some(tool.as_str()),
        _ => {
            return Err(format!("bench takes one of {}\n{USAGE}", TOOLS.join(", ")));
        }
    };
    let shop = Shop {
        bins: Bins::build(Profile::Release)?,
        dir: workspace::scratch()?,
    };
    let of = |tool: &str| wanted.is_none_or(|wanted| tool.starts_with(wanted));
    println!(
        "{:<48} {:>12} {:>24} {:>7}  target",
        "what", "ours", "theirs", "ratio"
    );
    let mut errors = Vec::new();
    for tool in TOOLS.into_iter().filter(|tool| of(tool)) {
        for rows in [rows::size, rows::start_up] {
            show(rows(&shop, tool), &mut errors);
        }
    }
    for (tool, rows) in OF_TOOLS {
        if of(tool) {
            show(rows(&shop), &mut errors);
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(format!("bench could not do all:\n{}", errors.join("\n")))
    }
}

fn show(rows: Outcome<Vec<Row>>, errors: &mut Vec<String>) {
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
        Some(ratio) if !row.target.met(ratio) => "  MISSED",
        _ => "",
    };
    println!(
        "{:<48} {:>12} {:>24} {:>7}  {}{verdict}",
        row.what, row.ours, row.theirs, ratio, row.target
    );
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets_look_the_right_way() {
        assert!(Target::AtMost(1.3).met(1.2) && !Target::AtMost(1.3).met(1.4));
        assert!(Target::Faster(20.0).met(30.0) && !Target::Faster(20.0).met(10.0));
    }
}

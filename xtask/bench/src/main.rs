//! `cargo xtask bench`: measures complete processes and compares them with other
//! programs that do the same.
//!
//! Each figure is the median of several runs. The runs of the programs alternate,
//! so that other load affects all of them. The table contains the goals and the
//! results. A missed goal is marked but is not a failure, since it also depends on
//! the machine; an error is. With `--report` the results, and the plots of
//! [`growth`], become `docs/benchmarks.md`.
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

mod command;
mod context;
mod growth;
mod httpget;
mod machine;
mod measure;
mod pin;
mod ping;
mod plot;
mod report;
mod resolve;
mod row;
mod rows;
mod subnetcalc;
mod sys;
mod table;
mod tcpecho;
mod tcpecho_client;

use std::process::ExitCode;

use support::TaskResult;

use context::{Context, Options};
use report::Section;
use row::Row;

const USAGE: &str = "\
usage: cargo xtask bench [--report] [--base DIR] [--bins DIR] [TOOL]

  TOOL        measure only this tool
  --report    also measure how the cost grows with the size, and write
              docs/benchmarks.md and docs/plots; with TOOL only its section
  --base DIR  also measure the six tools of DIR, such as a release build of an
              older commit, in the same run, and show the ratio
  --bins DIR  measure the six tools of DIR instead of building them
";

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

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        // Internal command; see `command::peak`.
        Some((command, rest)) if command == "peak" => command::peak(rest),
        Some((option, _)) if option == "--help" || option == "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => run(&args),
    };
    support::exit_code("bench", outcome)
}

/// Measures and prints the rows of all tools, or of one.
fn run(args: &[String]) -> TaskResult {
    let options = Options::parse(args)?;
    let context = Context::new(&options)?;
    println!("{}", table::header(context.base.is_some()));
    let mut errors = Vec::new();
    let mut sections = Vec::new();
    for (tool, rows) in ROWS_OF_TOOLS {
        if !options.selects(tool) {
            continue;
        }
        let mut section = Section::new(tool);
        let measured = [
            rows::size(&context, tool),
            rows::start_up(&context, tool),
            rows(&context),
        ];
        for rows in measured {
            match rows {
                Ok(rows) => section.rows.extend(rows),
                Err(error) => fail(error, &mut errors),
            }
        }
        for row in &section.rows {
            println!("{}", table::line(row, context.base.is_some()));
        }
        if options.report {
            match growth::plots(&context, tool) {
                Ok(plots) => section.plots = plots,
                Err(error) => fail(error, &mut errors),
            }
        }
        sections.push(section);
    }
    if options.report {
        report::write(&context, sections)?;
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(format!("some measurements failed:\n{}", errors.join("\n")))
    }
}

fn fail(error: String, errors: &mut Vec<String>) {
    println!("ERROR {error}");
    errors.push(error);
}

#[cfg(test)]
mod tests {
    use support::workspace::TOOLS;

    use super::ROWS_OF_TOOLS;

    #[test]
    fn every_tool_is_measured() {
        let mut measured = ROWS_OF_TOOLS.map(|(tool, _)| tool);
        measured.sort_unstable();
        assert_eq!(measured, TOOLS);
    }
}

//! The report `docs/benchmarks.md`: a section per tool with the rows as a table, the
//! plots, and the command lines.
//!
//! [`render`] and [`merge`] are pure functions of the measurements; [`write`]
//! replaces the sections of the measured tools and their plots.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use support::TaskResult;
use support::workspace::root;

use crate::ROWS_OF_TOOLS;
use crate::context::Context;
use crate::machine::{self, Facts};
use crate::plot::Plot;
use crate::row::{Other, Row, Samples};

/// The measurements of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    tool: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) plots: Vec<Plot>,
}

impl Section {
    pub(crate) fn new(tool: &'static str) -> Self {
        Self {
            tool,
            rows: Vec::new(),
            plots: Vec::new(),
        }
    }

    /// Returns the programs that are named with a version: the peers, and the
    /// servers that both sides use.
    fn programs(&self) -> BTreeSet<&str> {
        let server = match self.tool {
            "httpget" => Some("nginx"),
            "resolve" => Some("nsd"),
            _ => None,
        };
        let peers = self.rows.iter().filter_map(|row| match &row.other {
            Other::Peer { name, .. } => Some(name.as_str()),
            _ => None,
        });
        peers.chain(server).collect()
    }
}

/// The text above the sections.
const INTRODUCTION: &str = "\
# Benchmarks

`cargo xtask bench --report` writes this page; `cargo xtask bench --report TOOL`
replaces the section of one tool.

A value is the median of several runs of a complete process, followed by the
smallest and the largest one. The runs of our tool and of the other program
alternate. The ratio is ours divided by theirs, as the median over the pairs of
runs. A peer is a program that does the same job; its name stands in the last
column if its value is the better one. Other comparisons are with a lower bound
(an empty program, or a minimal server or load generator that does nothing else),
with our own tool under other conditions, or with a fixed limit. Everything runs
on loopback.
";

/// Writes the page and the plots.
pub(crate) fn write(context: &Context, sections: Vec<Section>) -> TaskResult {
    let facts = Facts::collect();
    let plots = root().join("docs/plots");
    fs::create_dir_all(&plots).map_err(|error| format!("{}: {error}", plots.display()))?;
    let mut rendered = Vec::new();
    for section in sections {
        let versions: Vec<String> = section
            .programs()
            .into_iter()
            .map(machine::version)
            .collect();
        for plot in &section.plots {
            let file = plots.join(format!("{}.svg", plot.name));
            fs::write(&file, plot.svg()).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let text = render(&section, &facts, &versions, context.base.is_some());
        rendered.push((section.tool, text));
    }
    let page = root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&page).unwrap_or_default();
    fs::write(&page, merge(&old, &rendered)).map_err(|error| format!("{}: {error}", page.display()))
}

/// Returns the page with new sections in place of those of the same tools.
fn merge(old: &str, sections: &[(&'static str, String)]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for (tool, _) in ROWS_OF_TOOLS {
        let new = sections.iter().find(|(name, _)| *name == tool);
        let old = old
            .split("\n## ")
            .skip(1)
            .find(|section| section.lines().next() == Some(tool));
        match (new, old) {
            (Some((_, text)), _) => page += &format!("\n{text}"),
            (None, Some(text)) => page += &format!("\n## {}\n", text.trim_end()),
            (None, None) => {}
        }
    }
    page
}

/// Renders the section of a tool.
fn render(section: &Section, facts: &Facts, versions: &[String], with_base: bool) -> String {
    let tool = section.tool;
    let mut text = format!(
        "## {tool}\n\nMeasured on {}, commit {}, {}.\n",
        facts.date, facts.commit, facts.machine
    );
    if !versions.is_empty() {
        text += &format!("Other programs: {}.\n", versions.join(", "));
    }
    let base = |cell: &str| {
        if with_base {
            format!(" {cell} |")
        } else {
            String::new()
        }
    };
    text += &format!(
        "\n| measurement | ours | compared with | ratio |{} goal | result |\n",
        base("new/base")
    );
    let base_column = if with_base { "---:|" } else { "" };
    text += &format!("|---|---|---|---:|{base_column}---|---|\n");
    let is_measured = |row: &&Row| !row.ours.is_empty();
    for row in section.rows.iter().filter(is_measured) {
        let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |r| format!("{r:.2}"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |{} {} | {} |",
            cell(name(tool, row)),
            row.ours.show(row.unit),
            cell(&row.other_text(Samples::show)),
            ratio(row.ratio()),
            base(&ratio(row.base_ratio())),
            row.goal,
            result(row)
        );
    }
    for plot in &section.plots {
        let _ = write!(text, "\n![{}](plots/{}.svg)\n", plot.title, plot.name);
    }
    let mut missing = section
        .rows
        .iter()
        .filter(|row| row.ours.is_empty())
        .peekable();
    if missing.peek().is_some() {
        text += "\nNot measured:\n\n";
    }
    for row in missing {
        text += &format!("- {}: {}\n", name(tool, row), row.other_text(Samples::show));
    }
    text + &command_lines(section)
}

/// Returns the command lines of all rows, except rows with the same ones as others.
fn command_lines(section: &Section) -> String {
    let mut text = String::new();
    let mut shown = BTreeSet::new();
    for row in &section.rows {
        if row.commands.iter().all(|line| shown.contains(line)) {
            continue;
        }
        shown.extend(&row.commands);
        let separator = if text.is_empty() { "" } else { "\n" };
        text += &format!("{separator}# {}\n", name(section.tool, row));
        for line in &row.commands {
            text += &format!("{line}\n");
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("\nCommand lines, in the directory of the input files:\n\n```text\n{text}```\n")
}

/// Returns the label of a row without the name of its tool.
fn name<'a>(tool: &str, row: &'a Row) -> &'a str {
    let rest = row.label.strip_prefix(tool).unwrap_or(&row.label);
    rest.strip_prefix(": ").unwrap_or(rest)
}

/// Describes whether the goal is met and whether the peer is better.
fn result(row: &Row) -> String {
    let goal = match (row.is_met(), &row.other) {
        (_, Other::Missing(_)) => Some("not measured".to_owned()),
        (Some(true), _) => Some("met".to_owned()),
        (Some(false), _) => Some("**missed**".to_owned()),
        (None, _) => None,
    };
    let winner = row.winning_peer().map(|peer| format!("**{peer} wins**"));
    goal.into_iter()
        .chain(winner)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Escapes the separator of cells.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests;

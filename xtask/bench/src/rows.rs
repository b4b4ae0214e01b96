//! The rows of every tool, size and start-up, and functions for the rows of single
//! tools.

use std::fs;
use std::path::PathBuf;

use support::TaskResult;
use support::exec::Exec;

use super::measure::{CommandLine, Peer, compare, compare_cpu, memory};
use super::{Context, Goal, Row};

/// Whether a tool contains TLS.
fn has_tls(tool: &str) -> bool {
    !matches!(tool, "ping" | "subnetcalc")
}

/// Returns the limit for the size of a binary in bytes.
fn size_limit(tool: &str) -> u64 {
    if has_tls(tool) { 3_500_000 } else { 1_200_000 }
}

/// Compares the size of the stripped release binary with its limit.
pub(super) fn size(context: &Context, tool: &str) -> TaskResult<Vec<Row>> {
    let path = context.bins.tool(tool);
    let meta = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let limit = size_limit(tool);
    Ok(vec![Row {
        label: format!("{tool}: size, stripped"),
        ours: format!("{} kB", meta.len() / 1000),
        theirs: format!("limit {} kB", limit / 1000),
        ratio: Some(meta.len() as f64 / limit as f64),
        goal: Goal::AtMost(1.0),
    }])
}

/// Compares `--version` with a program that does nothing.
pub(super) fn start_up(context: &Context, tool: &str) -> TaskResult<Vec<Row>> {
    let ours = CommandLine::new(context.bins.tool(tool), ["--version"]);
    let empty = Peer::made("empty program", empty_program(context)?);
    let label = format!("{tool}: start-up (--version)");
    let cpu = format!("{label}, processor time");
    Ok(vec![
        compare(&label, 301, &ours, &empty, Goal::AtMost(1.3))?,
        compare_cpu(cpu, 101, &ours, &empty, Goal::Open)?,
        // Most of it are the used pages of the binary and libc.
        memory(
            &label,
            &ours,
            if has_tls(tool) { 7_000_000 } else { 5_000_000 },
        )?,
    ])
}

/// Compiles `fn main() {}`, unless it is already compiled.
fn empty_program(context: &Context) -> TaskResult<PathBuf> {
    let binary = context.dir.path().join("empty");
    if !binary.exists() {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let args = [
            "-O",
            "-C",
            "strip=symbols",
            "--crate-name",
            "empty",
            "-",
            "-o",
        ];
        let binary = binary.display().to_string();
        Exec::new(rustc, args.into_iter().chain([binary.as_str()]))
            .stdin("fn main() {}\n")
            .text()?;
    }
    Ok(binary)
}

/// Returns a row for a measurement that is not possible here, with the reason.
pub(super) fn not_measured(label: &str, reason: &str) -> Row {
    Row {
        label: label.to_owned(),
        ours: "-".to_owned(),
        theirs: reason.to_owned(),
        ratio: None,
        goal: Goal::Open,
    }
}

/// Writes a file with the input of a measurement.
pub(super) fn write(path: &std::path::Path, text: &str) -> TaskResult {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

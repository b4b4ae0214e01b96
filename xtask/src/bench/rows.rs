//! The rows of every tool, size and start-up, and functions for the rows of single
//! tools.

use std::fs;
use std::path::PathBuf;

use super::measure::{Line, Peer, compare, compare_cpu, memory};
use super::{Row, Shop, Target};
use crate::Outcome;
use crate::exec::Exec;

/// Whether a tool contains TLS.
fn has_tls(tool: &str) -> bool {
    !matches!(tool, "ping" | "subnetcalc")
}

/// Returns the limit for the size of a binary in bytes.
fn size_limit(tool: &str) -> u64 {
    if has_tls(tool) { 3_500_000 } else { 1_200_000 }
}

/// Compares the size of the stripped release binary with its limit.
pub(super) fn size(shop: &Shop, tool: &str) -> Outcome<Vec<Row>> {
    let path = shop.bins.tool(tool);
    let meta = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let limit = size_limit(tool);
    Ok(vec![Row {
        what: format!("{tool}: size, stripped"),
        ours: format!("{} kB", meta.len() / 1000),
        theirs: format!("limit {} kB", limit / 1000),
        ratio: Some(meta.len() as f64 / limit as f64),
        target: Target::AtMost(1.0),
    }])
}

/// Compares `--version` with a program that does nothing.
pub(super) fn start_up(shop: &Shop, tool: &str) -> Outcome<Vec<Row>> {
    let ours = Line::new(shop.bins.tool(tool), ["--version"]);
    let empty = Peer::made("empty program", empty_program(shop)?);
    let what = format!("{tool}: start-up (--version)");
    let cpu = format!("{what}, processor time");
    Ok(vec![
        compare(&what, 301, &ours, &empty, Target::AtMost(1.3))?,
        compare_cpu(cpu, 101, &ours, &empty, Target::Open)?,
        // Most of it are the used pages of the binary and libc.
        memory(
            &what,
            &ours,
            if has_tls(tool) { 7_000_000 } else { 5_000_000 },
        )?,
    ])
}

/// Compiles `fn main() {}`, unless it is already compiled.
fn empty_program(shop: &Shop) -> Outcome<PathBuf> {
    let binary = shop.dir.path().join("empty");
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
pub(super) fn absent(what: &str, reason: &str) -> Row {
    Row {
        what: what.to_owned(),
        ours: "-".to_owned(),
        theirs: reason.to_owned(),
        ratio: None,
        target: Target::Open,
    }
}

/// Writes a file with the input of a measurement.
pub(super) fn write(path: &std::path::Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

//! The rows of every tool, size and start-up, and functions for the rows of single
//! tools: input files, and the minimal programs of `floor/`.

use std::fs;
use std::path::{Path, PathBuf};

use support::TaskResult;
use support::exec::Exec;
use support::workspace::{Bins, root};

use super::Context;
use super::command::{CommandLine, Peer};
use super::measure::{compare_cpu, memory};
use super::row::{Goal, Other, Row, Samples, Unit};

/// Whether a tool contains TLS.
fn has_tls(tool: &str) -> bool {
    !matches!(tool, "ping" | "subnetcalc")
}

/// Returns the limit for the size of a binary in bytes.
fn size_limit(tool: &str) -> u64 {
    match tool {
        "httpget" => 3_700_000,
        "resolve" => 3_200_000,
        "tcpecho-client" | "tcpecho-server" => 2_400_000,
        _ => 1_250_000,
    }
}

/// Compares the size of the stripped release binary with its limit.
pub(super) fn size(context: &Context, tool: &str) -> TaskResult<Vec<Row>> {
    let size = |bins: &Bins| {
        let path = bins.tool(tool);
        let meta = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<_, String>(Samples::from_iter([meta.len() as f64]))
    };
    let label = format!("{tool}: size, stripped");
    let row = Row::new(label, Unit::Bytes, size(&context.bins)?)
        .base(context.base.as_ref().map(size).transpose()?)
        .against(Other::Limit(size_limit(tool) as f64), Goal::AtMost(1.0));
    Ok(vec![row])
}

/// Compares `--version` with a program that does nothing.
pub(super) fn start_up(context: &Context, tool: &str) -> TaskResult<Vec<Row>> {
    let ours = CommandLine::new(context.bins.tool(tool), ["--version"]);
    let empty = CommandLine::new(empty_program(context)?, [""; 0]);
    let empty = Peer::reference("empty program", empty);
    let label = format!("{tool}: start-up (--version)");
    let goals = [Goal::AtMost(1.3), Goal::Open];
    let mut rows = compare_cpu(context, &label, 301, (&ours, &empty), goals)?.to_vec();
    // Most of it are the used pages of the binary and libc.
    let limit = if has_tls(tool) { 7_000_000 } else { 5_000_000 };
    rows.push(memory(context, &label, &ours, limit)?);
    Ok(rows)
}

/// Compiles `fn main() {}`, unless it is already compiled.
fn empty_program(context: &Context) -> TaskResult<PathBuf> {
    let source = context.dir.path().join("empty.rs");
    write(&source, "fn main() {}\n")?;
    compile_file(&source, &context.dir.path().join("empty"))
}

/// Compiles a program of `floor/` and returns its path below `dir`.
pub(super) fn compile(dir: &Path, name: &str) -> TaskResult<PathBuf> {
    let sources = root().join("xtask/bench/src/floor");
    compile_file(
        &sources.join(format!("{name}.rs")),
        &dir.join(format!("floor-{name}")),
    )
}

/// Compiles a file with rustc, unless the binary exists.
fn compile_file(source: &Path, binary: &Path) -> TaskResult<PathBuf> {
    if !binary.exists() {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let (from, to) = (source.display().to_string(), binary.display().to_string());
        let options = ["--edition=2024", "-O", "-C", "strip=symbols"];
        Exec::new(rustc, options.into_iter().chain([&*from, "-o", &*to])).text()?;
    }
    Ok(binary.to_path_buf())
}

/// Writes a file with the input of a measurement.
pub(super) fn write(path: &Path, text: &str) -> TaskResult {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

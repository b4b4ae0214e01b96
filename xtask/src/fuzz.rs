//! `cargo xtask fuzz`: runs the targets of `fuzz/` with cargo-fuzz, each for a
//! number of seconds.
//!
//! cargo-fuzz needs a nightly compiler. If only a stable one is installed,
//! `RUSTC_BOOTSTRAP=1` makes it accept the flags, without the address sanitizer.
//! That matters little, since the crates have hardly any unsafe code.

use std::process::{Command, Stdio};

use support::TaskResult;
use support::exec::{run_visible, which};
use support::workspace::root;

use crate::USAGE;

/// Runs all targets, or the named one.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let mut seconds = 30_u32;
    let mut selected = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            seconds = args
                .next()
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| format!("--seconds needs a number\n{USAGE}"))?;
        } else if selected.is_none() && !arg.starts_with('-') {
            selected = Some(arg.clone());
        } else {
            return Err(format!("unexpected argument `{arg}`\n{USAGE}"));
        }
    }
    if which("cargo-fuzz").is_none() {
        return Err("cargo-fuzz is missing; run `cargo install --locked cargo-fuzz`".to_owned());
    }
    let targets = targets()?;
    let chosen: Vec<&String> = match &selected {
        None => targets.iter().collect(),
        Some(name) => targets.iter().filter(|target| *target == name).collect(),
    };
    if chosen.is_empty() {
        return Err(format!(
            "unknown target; the targets are {}",
            targets.join(", ")
        ));
    }
    let nightly = has_nightly();
    if !nightly {
        eprintln!("no nightly toolchain; using the stable one without a sanitizer");
    }
    for target in chosen {
        run_visible(fuzz(nightly, target).arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}

fn fuzz(nightly: bool, target: &str) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    // The cargo that started this program sets these variables, which would
    // override the toolchain selected here.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    if nightly {
        command.arg("+nightly");
    } else {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.args(["fuzz", "run"]);
    if !nightly {
        command.args(["--sanitizer", "none"]);
    }
    command.args([target, "--"]);
    command
}

/// Returns the names of the targets, which are the files of `fuzz/fuzz_targets`.
fn targets() -> TaskResult<Vec<String>> {
    let dir = root().join("fuzz/fuzz_targets");
    let fail = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|ext| ext == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn has_nightly() -> bool {
    Command::new("cargo")
        .args(["+nightly", "--version"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

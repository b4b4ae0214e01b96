//! `cargo xtask fuzz`: the targets of `fuzz/` by cargo-fuzz, each for some
//! seconds.
//!
//! cargo-fuzz wants a nightly compiler. Where only a stable one is installed,
//! `RUSTC_BOOTSTRAP=1` lets that one take the flags, without the address
//! sanitizer, which costs little here: the crates hardly have unsafe code.

use std::process::{Command, Stdio};

use crate::exec::{visible, which};
use crate::workspace::root;
use crate::{Outcome, USAGE};

/// Runs all targets, or the named one.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut seconds = 30_u32;
    let mut wanted = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            seconds = args
                .next()
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| format!("--seconds takes a number\n{USAGE}"))?;
        } else if wanted.is_none() && !arg.starts_with('-') {
            wanted = Some(arg.clone());
        } else {
            return Err(format!("unexpected argument `{arg}`\n{USAGE}"));
        }
    }
    if which("cargo-fuzz").is_none() {
        return Err("cargo-fuzz is missing: cargo install --locked cargo-fuzz".to_owned());
    }
    let targets = targets()?;
    let chosen: Vec<&String> = match &wanted {
        None => targets.iter().collect(),
        Some(name) => targets.iter().filter(|target| *target == name).collect(),
    };
    if chosen.is_empty() {
        return Err(format!("no such target; there are {}", targets.join(", ")));
    }
    let nightly = has_nightly();
    if !nightly {
        eprintln!("no nightly toolchain: the stable one without a sanitizer has to do");
    }
    for target in chosen {
        visible(fuzz(nightly, target).arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}

fn fuzz(nightly: bool, target: &str) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    // Set by the cargo that started this program; they would name its
    // toolchain to the one chosen here.
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

/// The targets are the files of `fuzz/fuzz_targets`.
fn targets() -> Outcome<Vec<String>> {
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

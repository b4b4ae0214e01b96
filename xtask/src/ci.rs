//! `cargo xtask ci`: what must hold before a change goes in, in the order of
//! the cheapest surprise first. Each step is named and timed; the first that
//! fails ends the run.

use std::time::Instant;

use crate::exec::{visible, which};
use crate::workspace::cargo;
use crate::{Outcome, demo, interop, test, tidy};

type Step = fn(&Options) -> Outcome;

/// The steps by name, in order.
const STEPS: [(&str, Step); 9] = [
    ("fmt", fmt),
    ("tidy", |_| tidy::run(&[])),
    ("clippy", clippy),
    ("test", |_| test::run(&[])),
    ("doc", doc),
    ("package", package),
    ("deny", deny),
    ("demo", |_| demo::run(&[])),
    ("interop", |_| interop::run(&[])),
];

/// What the command line says about the steps.
#[derive(Debug, Default)]
struct Options {
    allow_dirty: bool,
}

/// Runs all steps, or those named.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut options = Options::default();
    let mut wanted = Vec::new();
    for arg in args {
        if arg == "--allow-dirty" {
            options.allow_dirty = true;
        } else if STEPS.iter().any(|(name, _)| name == arg) {
            wanted.push(arg.as_str());
        } else {
            let names = STEPS.map(|(name, _)| name).join(", ");
            return Err(format!("no step `{arg}`; there are {names}"));
        }
    }
    let begin = Instant::now();
    for (name, step) in STEPS {
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        eprintln!("== {name}");
        let start = Instant::now();
        step(&options).map_err(|error| format!("step {name}: {error}"))?;
        eprintln!("== {name}: ok in {:.1} s", start.elapsed().as_secs_f64());
    }
    eprintln!("== all in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn fmt(_: &Options) -> Outcome {
    visible(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(_: &Options) -> Outcome {
    visible(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn doc(_: &Options) -> Outcome {
    let mut command = cargo();
    command.args(["doc", "--locked", "--workspace", "--no-deps"]);
    // Each tool is a library and a binary of one name, and the library's page
    // is the one that has something to say.
    command.arg("--lib");
    // A crate's page names its private modules, as a map for who works on it.
    let flags = "-D warnings -A rustdoc::private-intra-doc-links";
    visible(command.env("RUSTDOCFLAGS", flags))
}

/// Cargo unpacks what it has packaged into its home, by name and version, and
/// would verify against the sources of an earlier run from the same folder.
fn forget_unpacked() -> Outcome {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        std::path::PathBuf::from,
    );
    let Ok(registries) = std::fs::read_dir(home.join("registry/src")) else {
        return Ok(());
    };
    for registry in registries.flatten() {
        // Those of real registries have a name before the dash.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for package in std::fs::read_dir(registry.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if package
                .file_name()
                .to_string_lossy()
                .starts_with("inetkit-")
            {
                std::fs::remove_dir_all(package.path())
                    .map_err(|error| format!("{}: {error}", package.path().display()))?;
            }
        }
    }
    Ok(())
}

fn package(options: &Options) -> Outcome {
    forget_unpacked()?;
    let mut command = cargo();
    command.args(["package", "--locked", "--workspace"]);
    command.args(["--exclude", "xtask", "--exclude", "inetkit-testkit"]);
    if options.allow_dirty {
        command.arg("--allow-dirty");
    }
    visible(&mut command)
}

fn deny(_: &Options) -> Outcome {
    if which("cargo-deny").is_none() {
        let missing = "cargo-deny is not installed (cargo install --locked cargo-deny)";
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            return Err(missing.to_owned());
        }
        eprintln!("SKIPPED: {missing}");
        return Ok(());
    }
    // Advisories need their database from the network; the rest does not.
    visible(cargo().args(["deny", "--locked", "check", "bans", "licenses", "sources"]))
}

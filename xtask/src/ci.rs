//! `cargo xtask ci`: the checks that a change must pass, cheapest first. The name
//! and the time of each step are printed; the first failure ends the run.

use std::time::Instant;

use support::TaskResult;
use support::exec::{run_visible, which};
use support::workspace::{TASKS, cargo};

use crate::{demo, docs, separate, test, tidy};

type Step = fn(&Options) -> TaskResult;

/// The steps with their names, in order.
const STEPS: [(&str, Step); 11] = [
    ("fmt", fmt),
    ("tidy", |_| tidy::run(&[])),
    ("clippy", clippy),
    ("test", |_| test::run(&[])),
    ("doc", doc),
    ("docs", |_| docs::run(&["--check".to_owned()])),
    ("package", package),
    ("deny", deny),
    ("demo", |_| demo::run(&[])),
    ("pictures", |_| {
        separate::run("inetkit-pictures", &["--check".to_owned()])
    }),
    ("interop", |_| separate::run("inetkit-interop", &[])),
];

/// The options of the command.
#[derive(Debug, Default)]
struct Options {
    allow_dirty: bool,
}

/// Runs all steps, or the named ones.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let mut options = Options::default();
    let mut selected = Vec::new();
    for arg in args {
        if arg == "--allow-dirty" {
            options.allow_dirty = true;
        } else if STEPS.iter().any(|(name, _)| name == arg) {
            selected.push(arg.as_str());
        } else {
            let names = STEPS.map(|(name, _)| name).join(", ");
            return Err(format!("unknown step `{arg}`; the steps are {names}"));
        }
    }
    let run_start = Instant::now();
    for (name, step) in STEPS {
        if !selected.is_empty() && !selected.contains(&name) {
            continue;
        }
        eprintln!("== {name}");
        let start = Instant::now();
        step(&options).map_err(|error| format!("step {name}: {error}"))?;
        eprintln!("== {name}: ok in {:.1} s", start.elapsed().as_secs_f64());
    }
    eprintln!("== all steps in {:.1} s", run_start.elapsed().as_secs_f64());
    Ok(())
}

fn fmt(_: &Options) -> TaskResult {
    run_visible(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(_: &Options) -> TaskResult {
    run_visible(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn doc(_: &Options) -> TaskResult {
    let mut command = cargo();
    command.args(["doc", "--locked", "--workspace", "--no-deps"]);
    // Each tool has a library and a binary of the same name; only the library has
    // documentation.
    command.arg("--lib");
    // The page of a crate links to its private modules, for contributors.
    let flags = "-D warnings -A rustdoc::private-intra-doc-links";
    run_visible(command.env("RUSTDOCFLAGS", flags))
}

/// Removes the packages that cargo unpacked into its home directory in an earlier
/// run. It would verify those again, since name and version are the same.
fn remove_unpacked() -> TaskResult {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        std::path::PathBuf::from,
    );
    let Ok(registries) = std::fs::read_dir(home.join("registry/src")) else {
        return Ok(());
    };
    for registry in registries.flatten() {
        // The directory of a real registry has a name before the dash.
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

fn package(options: &Options) -> TaskResult {
    remove_unpacked()?;
    let mut command = cargo();
    command.args(["package", "--locked", "--workspace"]);
    command.args(["--exclude", "inetkit-testkit"]);
    for task in TASKS {
        command.args(["--exclude", task]);
    }
    if options.allow_dirty {
        command.arg("--allow-dirty");
    }
    run_visible(&mut command)
}

fn deny(_: &Options) -> TaskResult {
    if which("cargo-deny").is_none() {
        let missing = "cargo-deny is not installed (cargo install --locked cargo-deny)";
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            return Err(missing.to_owned());
        }
        eprintln!("SKIPPED: {missing}");
        return Ok(());
    }
    // Checking advisories needs network access for their database.
    run_visible(cargo().args(["deny", "--locked", "check", "bans", "licenses", "sources"]))
}

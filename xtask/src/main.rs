//! Development tasks of the workspace: `cargo xtask COMMAND` (an alias in
//! `.cargo/config.toml`).
//!
//! Each command is a module that starts other programs and prints their command
//! lines. An error is a message for the user, as a string.
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

mod ci;
mod cross;
mod demo;
mod dist;
mod docs;
mod fuzz;
mod install;
mod mutants;
mod platforms;
mod separate;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use support::TaskResult;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--bins DIR]     build the six tools and run their main functions on
                        loopback, or those of the tools in a directory
  test [ARG...]         run every test; arguments go to `cargo test`
  test --unprivileged   run the same test programs as nobody (needs root)
  ci [--allow-dirty] [STEP...]
                        run fmt, tidy, clippy, test, doc, docs, package, deny,
                        demo, pictures and interop, or only the named steps;
                        with --allow-dirty package accepts uncommitted changes
  interop [NAME...]     compare the tools with their classic counterparts; a
                        NAME selects the checks that start with it
  bench [--report] [--base DIR] [--bins DIR] [TOOL]
                        measure size, start-up and speed against other programs
                        and, with --base, against another build; --report also
                        writes docs/benchmarks.md
  install [--root DIR]  install all six tools with `cargo install`
  docs [--check]        write man pages, JSON schemas and docs/json.md, or check
                        that they are current
  pictures [--check]    draw docs/pictures from the tools' output in a terminal,
                        or check that the pictures are current
  dist [--target TARGET] [--deb]
                        build a release tarball in dist/, and a Debian package
  fuzz [TARGET] [--seconds N]
                        run the fuzz targets, each for N seconds (default 30)
  mutants [CRATE] [--count N] [--seed S] [--timeout SECONDS] [--dir DIR]
                        build each crate with N random faults (default 60) in a
                        copy, activate one at a time, and list those that no test
                        catches
  soak [--seconds N]    run the echo pair under load and faults for N seconds
                        (default 600) and check for leaks of memory and
                        descriptors
  check-platforms [TARGET]...
                        compile the tools for other platforms, without running
                        them; downloads compilers from Debian and PyPI
  tidy [PATH]...        check file lengths, test registration, package metadata
                        and language; list the phrases found below each PATH
  help                  print this text
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_deref() {
        Some("demo") => demo::run(&rest),
        Some("test") => test::run(&rest),
        Some("ci") => ci::run(&rest),
        Some("interop") => separate::run("inetkit-interop", &rest),
        Some("pictures") => separate::run("inetkit-pictures", &rest),
        Some("bench") => separate::run("inetkit-bench", &rest),
        Some("install") => install::run(&rest),
        Some("dist") => dist::run(&rest),
        Some("docs") => docs::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("mutants") => mutants::run(&rest),
        Some("check-platforms") => platforms::run(&rest),
        Some("soak") => soak::run(&rest),
        Some("tidy") => tidy::run(&rest),
        Some("help" | "-h" | "--help") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("unknown command `{other}`\n{USAGE}")),
        None => Err(format!("a command is missing\n{USAGE}")),
    };
    support::exit_code("xtask", outcome)
}

/// Rejects the arguments of a command that takes none.
fn no_arguments(args: &[String]) -> TaskResult {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(format!("unexpected argument `{arg}`\n{USAGE}")),
    }
}

//! The chores of the workspace: `cargo xtask COMMAND` (the alias is in
//! `.cargo/config.toml`).
//!
//! Each command is a module that starts other programs and says what it does
//! while it does it. A command fails with one sentence for a person, which is
//! all an error is here.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the chores talk to the person who runs them"
)]
#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a few allocations more cost a chore nothing"
)]

mod bench;
mod ci;
mod demo;
mod dist;
mod docs;
mod exec;
mod fuzz;
mod install;
mod interop;
mod mutants;
mod soak;
mod sys;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// What a chore comes to: nothing to add, or why it failed.
type Outcome<T = ()> = Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo                  build the six tools and show their main jobs on loopback
  test [ARG...]         every test; arguments go to `cargo test`
  test --unprivileged   the same test programs again, as nobody (needs root)
  ci [STEP...]          fmt, clippy, test, doc, tidy, package, deny, demo and
                        interop, or just the named ones; --allow-dirty lets
                        package take uncommitted changes
  interop [NAME...]     the tools against their classic counterparts
  bench [TOOL]          sizes, start-up and speed beside other programs
  install [--root DIR]  `cargo install` of all six
  docs [--check]        write man pages, JSON schemas and docs/json.md, or check
                        that they are current
  dist                  release tarball in dist/
  fuzz [TARGET] [--seconds N]
                        run the fuzz targets, each for N seconds (default 30)
  mutants [CRATE] [--count N] [--seed S] [--timeout SECONDS] [--dir DIR]
                        put N random faults (default 60) into each crate, one at
                        a time in a copy, and list those that no test catches
  soak [--seconds N]    the echo pair under load and faults, 600 seconds long:
                        are memory and descriptors where they were?
  tidy                  the checks that no other program does
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_deref() {
        Some("demo") => demo::run(&rest),
        Some("test") => test::run(&rest),
        Some("ci") => ci::run(&rest),
        Some("interop") => interop::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("install") => install::run(&rest),
        Some("dist") => dist::run(&rest),
        Some("docs") => docs::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("mutants") => mutants::run(&rest),
        Some("soak") => soak::run(&rest),
        Some("tidy") => tidy::run(&rest),
        // For `bench` alone: see `bench::measure::peak`.
        Some("peak") => bench::peak(&rest),
        Some("help" | "-h" | "--help") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("no command `{other}`\n{USAGE}")),
        None => Err(format!("no command given\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Refuses arguments for a command that takes none.
fn no_arguments(args: &[String]) -> Outcome {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(format!("unexpected argument `{arg}`\n{USAGE}")),
    }
}

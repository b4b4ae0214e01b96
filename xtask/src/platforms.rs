//! `cargo xtask check-platforms [TARGET]...`: compiles the tools for the platforms of
//! `docs/platforms.md` without running them.
//!
//! [`CrossCompiler`] compiles them, with the standard library of each target.

use support::TaskResult;
use support::exec::run_visible;
use support::workspace::{TASKS, cargo};

use crate::USAGE;
use crate::cross::{CrossCompiler, TARGETS};

/// Compiles the tools for all targets, or for the named ones.
pub(crate) fn run(args: &[String]) -> TaskResult {
    if let Some(unknown) = args
        .iter()
        .find(|arg| !TARGETS.iter().any(|(target, _)| target == arg))
    {
        let names = TARGETS.map(|(target, _)| target).join(", ");
        return Err(format!("unknown target {unknown}; known: {names}\n{USAGE}"));
    }
    let compiler = CrossCompiler::unpacked()?;
    let mut failed = Vec::new();
    for (target, zig) in TARGETS {
        if !args.is_empty() && !args.iter().any(|arg| arg == target) {
            continue;
        }
        match check(&compiler, target, zig) {
            Ok(()) => println!("{target}: ok"),
            Err(error) => {
                println!("{target}: {error}");
                failed.push(target);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("does not compile for {}", failed.join(", ")))
    }
}

/// Compiles the packages of the tools for a target, without linking.
fn check(compiler: &CrossCompiler, target: &str, zig: &str) -> TaskResult {
    let compiler_for_target = compiler.for_target(target, zig)?;
    let mut command = cargo();
    command
        .args(["check", "--locked", "--workspace", "--keep-going"])
        .args(["--exclude", "inetkit-testkit"])
        .args(TASKS.iter().flat_map(|task| ["--exclude", task]))
        .args(["--target", target])
        .args(&compiler_for_target.cargo_args)
        .arg("--target-dir")
        .arg(compiler.target_dir())
        .envs(compiler_for_target.env);
    run_visible(&mut command)
}

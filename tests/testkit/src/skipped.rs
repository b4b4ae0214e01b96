//! [`skip`]: a test that cannot run here says so, and is counted.
//!
//! The test harness of std knows "passed", "failed" and "ignored", and ignores
//! only what is known when the test is compiled. A test that finds at run time
//! that it lacks a right or a program therefore counts as passed there. It is
//! reported here instead: one line on standard error, and one line in the file
//! that `TESTKIT_SKIPS` names, from which `cargo xtask test` corrects the sum.

use std::fs::File;
use std::io::Write;

/// The variable that names the file of skipped tests.
pub const SKIPS: &str = "TESTKIT_SKIPS";

/// Reports that the running test cannot run here, and why. With `CI=true`,
/// where everything is meant to run, it fails the test instead.
#[track_caller]
pub fn skip(reason: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "a test was skipped on CI: {reason}");
    skip_on_ci_too(reason);
}

/// [`skip`] for a test of a feature that the kernel may lack, on CI as well.
#[track_caller]
pub fn skip_on_ci_too(reason: &str) {
    let location = std::panic::Location::caller();
    // Not `eprintln!`: the test harness hides that of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {location}: {reason}");
    let Some(path) = std::env::var_os(SKIPS) else {
        return;
    };
    // The harness gives each test a thread with its name.
    let thread = std::thread::current();
    let name = match thread.name() {
        None | Some("main") => location.to_string(),
        Some(name) => name.to_owned(),
    };
    let program = std::env::current_exe().unwrap_or_default();
    let line = format!("{}\t{name}\t{reason}\n", program.display());
    // One write to a file opened for appending: lines of tests that run at
    // the same time do not mix.
    let file = File::options().append(true).open(&path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

//! [`skip`]: reports and counts a test that cannot run here.
//!
//! The test harness of Rust can ignore a test only at compile time, so a test
//! that lacks a permission or a program at run time counts as passed. [`skip`]
//! therefore prints a line on standard error and adds a line to the file named by
//! `TESTKIT_SKIPS`, with which `cargo xtask test` corrects the counts.

use std::fs::File;
use std::io::Write;

/// The environment variable with the name of the file of skipped tests.
pub const SKIPS: &str = "TESTKIT_SKIPS";

/// Reports that the current test cannot run here, with the reason. With
/// `CI=true` the test fails instead, since all tests should run there.
#[track_caller]
pub fn skip(reason: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "a test was skipped on CI: {reason}");
    skip_on_ci_too(reason);
}

/// Like [`skip`], for a feature that the kernel may lack: `CI=true` does not
/// make it a failure.
#[track_caller]
pub fn skip_on_ci_too(reason: &str) {
    let location = std::panic::Location::caller();
    // Not `eprintln!`: the harness hides its output if the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {location}: {reason}");
    let Some(path) = std::env::var_os(SKIPS) else {
        return;
    };
    // The harness names the thread of each test after the test.
    let thread = std::thread::current();
    let name = match thread.name() {
        None | Some("main") => location.to_string(),
        Some(name) => name.to_owned(),
    };
    let program = std::env::current_exe().unwrap_or_default();
    let line = format!("{}\t{name}\t{reason}\n", program.display());
    // A single write in append mode does not mix with lines of parallel tests.
    let file = File::options().append(true).open(&path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

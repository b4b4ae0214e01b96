//! Black-box tests of `subnetcalc`: exact output, messages and exit status.
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "readable expectations matter more than speed in tests"
)]

#[path = "subnetcalc/grep.rs"]
mod grep;
#[path = "subnetcalc/hints.rs"]
mod hints;
#[path = "subnetcalc/hostile.rs"]
mod hostile;
#[path = "subnetcalc/info.rs"]
mod info;
#[path = "subnetcalc/invalid.rs"]
mod invalid;
#[path = "subnetcalc/lists.rs"]
mod lists;
#[path = "subnetcalc/match_addresses.rs"]
mod match_addresses;
#[path = "subnetcalc/members.rs"]
mod members;
#[path = "subnetcalc/plan.rs"]
mod plan;
#[path = "subnetcalc/registry.rs"]
mod registry;
#[path = "subnetcalc/sets.rs"]
mod sets;
#[path = "subnetcalc/single.rs"]
mod single;
#[path = "subnetcalc/streams.rs"]
mod streams;

use testkit::{Output, Tool};

/// The tool under test.
fn subnetcalc() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_subnetcalc"))
}

/// Runs the tool with these words as arguments and nothing on stdin.
fn run(words: &str) -> Output {
    subnetcalc().args(words.split(' ')).run()
}

/// Asserts that a run succeeds and prints these lines.
#[track_caller]
fn prints(words: &str, lines: &[&str]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    run(words).code(0).stdout(&text).stderr("");
}

/// Asserts that a run ends with status 1 and prints only this line on stderr.
#[track_caller]
fn says_no(words: &str, why: &str) {
    run(words)
        .code(1)
        .stdout("")
        .stderr(&format!("subnetcalc: {why}\n"));
}

/// Asserts that standard output has these JSON records. Each must also have the time as
/// its last key.
#[track_caller]
fn records_are(out: &Output, expected: &str) {
    let mut found = String::new();
    for line in out.stdout_str().lines() {
        let (record, time) = line.rsplit_once(",\"time\":\"").expect("a time");
        let digits = time.strip_suffix("Z\"}").expect("the end of a record");
        let form: String = digits
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00T00:00:00.000000", "{line}");
        found += &format!("{record}}}\n");
    }
    assert_eq!(found, expected, "{}", out.report());
}

/// Creates a file with this text in a temporary directory.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("make a directory");
    let path = dir.path().join("nets");
    std::fs::write(&path, text).expect("write a file");
    let path = path.to_str().expect("a plain path").to_owned();
    (dir, path)
}

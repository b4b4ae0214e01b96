//! Black-box tests of `subnetcalc`: exact output, messages and status, by
//! what is asked of it.
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "expected text reads best as it is written, and its speed does not matter"
)]

#[path = "subnetcalc/grep.rs"]
mod grep;
#[path = "subnetcalc/hostile.rs"]
mod hostile;
#[path = "subnetcalc/info.rs"]
mod info;
#[path = "subnetcalc/invalid.rs"]
mod invalid;
#[path = "subnetcalc/lists.rs"]
mod lists;
#[path = "subnetcalc/lookup.rs"]
mod lookup;
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

/// The tool itself.
fn subnetcalc() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_subnetcalc"))
}

/// A run with these words, nothing on stdin.
fn run(words: &str) -> Output {
    subnetcalc().args(words.split(' ')).run()
}

/// A run that must succeed and print these lines.
#[track_caller]
fn prints(words: &str, lines: &[&str]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    run(words).code(0).stdout(&text).stderr("");
}

/// A run that must end with status 1, print nothing, and say why in one line.
#[track_caller]
fn says_no(words: &str, why: &str) {
    run(words)
        .code(1)
        .stdout("")
        .stderr(&format!("subnetcalc: {why}\n"));
}

/// Asserts that standard output is these JSON records, each with a time as its
/// last key, which is not given.
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
    assert_eq!(found, expected, "{}", out.story());
}

/// A file with this text, and the directory that holds it.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("make a directory");
    let path = dir.path().join("nets");
    std::fs::write(&path, text).expect("write a file");
    let path = path.to_str().expect("a plain path").to_owned();
    (dir, path)
}

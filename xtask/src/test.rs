//! `cargo xtask test`: every test of the workspace, with one closing line that
//! adds up what the many test programs said.
//!
//! `--unprivileged` runs the same programs, already built, as `nobody`: the
//! tools must hold for a user without rights too, and building as that user
//! would mean a second target directory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::workspace::{self, Bins, Profile, cargo};

/// The tests of the whole workspace; other arguments go to `cargo test`.
pub(crate) fn run(args: &[String]) -> Outcome {
    if args.first().is_some_and(|arg| arg == "--unprivileged") {
        return unprivileged();
    }
    let mut command = cargo();
    command.args(["test", "--workspace"]).args(args);
    let mut sum = Sum::default();
    let ok = watch(&mut command, &mut sum)?;
    println!("{sum}");
    if ok {
        Ok(())
    } else {
        Err("tests failed".to_owned())
    }
}

/// Runs a test program, passing its output on and adding up its results.
fn watch(command: &mut Command, sum: &mut Sum) -> Outcome<bool> {
    let text = crate::exec::shown(command);
    eprintln!("+ {text}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{text}`: {error}"))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            sum.add(&line);
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("waiting for `{text}`: {error}"))?;
    Ok(status.success())
}

/// What the closing lines of the test programs add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(n) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1].trim_end_matches(';') {
                "passed" => self.passed += n,
                "failed" => self.failed += n,
                "ignored" => self.ignored += n,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} skipped")
    }
}

/// Runs the built test programs as `nobody`.
fn unprivileged() -> Outcome {
    if !testkit::privilege::is_root() {
        println!("already without rights: `cargo xtask test` is this test");
        return Ok(());
    }
    if crate::exec::which("setpriv").is_none() {
        return Err("setpriv (util-linux) is needed to become nobody".to_owned());
    }
    let bins = Bins::build(Profile::Dev)?;
    let home = workspace::scratch()?;
    let nobody = Some(65_534);
    std::os::unix::fs::chown(home.path(), nobody, nobody)
        .map_err(|error| format!("cannot give a directory to nobody: {error}"))?;
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    for (program, dir) in programs()? {
        if !reachable(&program)? {
            return Err(format!(
                "nobody cannot read {}; clone into a directory open to all",
                program.display()
            ));
        }
        let mut command = as_nobody(&program);
        command
            .current_dir(&dir)
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            // What nobody may not do is no fault of the machine's; the run
            // with rights has insisted on everything.
            .env_remove("CI")
            .env("TESTKIT_BIN_DIR", bins.dir())
            .env("CARGO_MANIFEST_DIR", &dir);
        if !watch(&mut command, &mut sum)? {
            failed.push(program.display().to_string());
        }
    }
    println!("{sum}");
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed as nobody: {}", failed.join(", ")))
    }
}

/// A command that drops every right before it becomes the program.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"])
        .arg(program);
    command
}

/// Whether `nobody` can get at a file.
fn reachable(path: &Path) -> Outcome<bool> {
    let status = as_nobody(Path::new("test"))
        .arg("-r")
        .arg(path)
        .status()
        .map_err(|error| format!("cannot start setpriv: {error}"))?;
    Ok(status.success())
}

/// Every test program of the workspace with the directory it expects.
fn programs() -> Outcome<Vec<(PathBuf, PathBuf)>> {
    let output = cargo()
        .args(["test", "--workspace", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo test: {error}"))?;
    if !output.status.success() {
        return Err("the tests do not build".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| {
            let program = PathBuf::from(message["executable"].as_str()?);
            let manifest = PathBuf::from(message["manifest_path"].as_str()?);
            Some((program, manifest.parent()?.to_path_buf()))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn adds_up_closing_lines() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s");
        sum.add("test a::b ... ok");
        sum.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured");
        assert_eq!(sum.to_string(), "7 passed, 3 failed, 1 skipped");
    }
}

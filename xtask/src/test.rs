//! `cargo xtask test`: runs every test of the workspace and prints a line with the
//! sums of all test programs. A failing test program does not stop the others. A
//! test that cannot run ([`testkit::skip`]) is counted as skipped, and the reasons
//! are listed.
//!
//! `--unprivileged` runs the same programs as an ordinary user, without building
//! them again in a second target directory. `nobody` has the `PATH` of a Debian
//! user, no capabilities, and a network namespace in which ICMP sockets are not
//! permitted. The tests of ping run a second time with ICMP datagram sockets
//! permitted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::TaskResult;
use support::workspace::{self, Bins, Profile, cargo};
use testkit::skipped::SKIPS;

/// Runs the tests of the workspace; other arguments go to `cargo test`.
pub(crate) fn run(args: &[String]) -> TaskResult {
    if args.first().is_some_and(|arg| arg == "--unprivileged") {
        crate::no_arguments(&args[1..])?;
        return unprivileged();
    }
    let mut command = cargo();
    command.args(["test", "--locked"]);
    let cargo_args = args.iter().take_while(|arg| *arg != "--");
    if !cargo_args.clone().any(|arg| selects_packages(arg)) {
        command.arg("--workspace");
    }
    if !cargo_args.clone().any(|arg| arg == "--no-fail-fast") {
        command.arg("--no-fail-fast");
    }
    command.args(args);
    let mut sum = Sum::default();
    let skips = Skips::new()?;
    let ok = watch(command.env(SKIPS, skips.path()), &mut sum)?;
    sum.move_skipped(&skips.read()?);
    sum.print();
    if ok {
        Ok(())
    } else {
        Err("tests failed".to_owned())
    }
}

/// Whether an argument of `cargo test` selects packages.
fn selects_packages(arg: &str) -> bool {
    arg.starts_with("-p") || arg.starts_with("--package")
}

/// Runs a test program, prints its output, and adds its results to `sum`.
/// Returns whether it succeeded.
fn watch(command: &mut Command, sum: &mut Sum) -> TaskResult<bool> {
    let text = support::exec::command_text(command);
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

/// The sums of the results of all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// The output of the failed tests.
    failures: Vec<String>,
    /// Whether the next lines are output of failed tests.
    in_failures: bool,
}

/// The limit on the lines of failed tests that are printed again at the end.
const FAILURE_LINES_MAX: usize = 300;

impl Sum {
    /// Adds a result line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    /// The section of a test program between `failures:` and its result is kept.
    fn add(&mut self, line: &str) {
        self.in_failures |= line == "failures:";
        self.in_failures &= !line.starts_with("test result: ");
        if self.in_failures && !line.is_empty() && self.failures.len() < FAILURE_LINES_MAX {
            self.failures.push(line.to_owned());
        }
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

    /// Prints the output of the failed tests again, below the output of all test
    /// programs, and the sums.
    fn print(&self) {
        for line in &self.failures {
            println!("{line}");
        }
        println!("{self}");
    }

    /// Moves the skipped tests of a run from the passed ones, as which the harness
    /// counts them, and prints the reasons.
    fn move_skipped(&mut self, skipped: &Skipped) {
        let count = skipped.values().map(|tests| tests.len() as u64).sum();
        self.passed = self.passed.saturating_sub(count);
        self.ignored += count;
        for (reason, tests) in skipped {
            println!("{} skipped: {reason}", tests.len());
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
            ..
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} skipped")
    }
}

/// Skipped tests by reason, as pairs of test program and test name.
type Skipped = BTreeMap<String, BTreeSet<(String, String)>>;

/// The file to which tests write that they were skipped.
#[derive(Debug)]
struct Skips(tempfile::NamedTempFile);

impl Skips {
    fn new() -> TaskResult<Self> {
        let file = tempfile::NamedTempFile::with_prefix("inetkit-skips-")
            .map_err(|error| format!("cannot create a temporary file: {error}"))?;
        Ok(Self(file))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self) -> TaskResult<Skipped> {
        let text = std::fs::read_to_string(self.path())
            .map_err(|error| format!("{}: {error}", self.path().display()))?;
        Ok(skipped(&text))
    }
}

/// Groups the lines of the file by reason. A test with several reasons counts once,
/// with the first of them.
fn skipped(text: &str) -> Skipped {
    let mut seen = BTreeSet::new();
    let mut all = Skipped::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let (Some(program), Some(test), Some(reason)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if seen.insert((program.clone(), test.clone())) {
            all.entry(reason).or_default().insert((program, test));
        }
    }
    all
}

/// The `PATH` of an ordinary Debian user, without the directories of system
/// programs.
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether a run permits ICMP datagram sockets in its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Icmp {
    Refused,
    Permitted,
}

/// Runs the built test programs as `nobody`.
fn unprivileged() -> TaskResult {
    if !testkit::privilege::is_root() {
        println!("not root: `cargo xtask test` already runs unprivileged");
        return Ok(());
    }
    for needed in ["setpriv", "unshare"] {
        if support::exec::which(needed).is_none() {
            return Err(format!("{needed} is missing; install util-linux"));
        }
    }
    let bins = Bins::build(Profile::Dev)?;
    let home = workspace::scratch()?;
    chown_to_nobody(home.path())?;
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    let programs = programs()?;
    for icmp in [Icmp::Refused, Icmp::Permitted] {
        // A test that is skipped in both runs counts twice.
        let skips = Skips::new()?;
        chown_to_nobody(skips.path())?;
        for (program, dir) in &programs {
            if icmp == Icmp::Permitted && !dir.ends_with("crates/ping") {
                continue;
            }
            if !is_readable(program)? {
                return Err(format!(
                    "nobody cannot read {}; clone into a directory that all users can read",
                    program.display()
                ));
            }
            let mut command = as_nobody(icmp, program);
            command
                .current_dir(dir)
                .env("PATH", USER_PATH)
                .env("HOME", home.path())
                .env("TMPDIR", home.path())
                // Skipped tests are expected here; the run as root has
                // required all of them.
                .env_remove("CI")
                .env(SKIPS, skips.path())
                .env("TESTKIT_BIN_DIR", bins.dir())
                .env("CARGO_MANIFEST_DIR", dir);
            if !watch(&mut command, &mut sum)? {
                failed.push(program.display().to_string());
            }
        }
        sum.move_skipped(&skips.read()?);
    }
    sum.print();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed as nobody: {}", failed.join(", ")))
    }
}

fn chown_to_nobody(path: &Path) -> TaskResult {
    let nobody = Some(65_534);
    std::os::unix::fs::chown(path, nobody, nobody).map_err(|error| {
        format!(
            "cannot make nobody the owner of {}: {error}",
            path.display()
        )
    })
}

/// Returns a command that creates a network namespace with a loopback device, drops
/// all privileges and executes the program.
fn as_nobody(icmp: Icmp, program: &Path) -> Command {
    let script = r#"
        PATH=$PATH:/usr/sbin:/sbin
        ip link set lo up || exit
        sysctl -qw net.ipv4.ping_group_range="$1" || exit
        exec setpriv --reuid=65534 --regid=65534 --clear-groups \
            --inh-caps=-all --bounding-set=-all --no-new-privs "$2""#;
    let groups = match icmp {
        Icmp::Refused => "1 0",
        Icmp::Permitted => "0 2147483647",
    };
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", script, "sh", groups])
        .arg(program);
    command
}

/// Whether `nobody` can read a file.
fn is_readable(path: &Path) -> TaskResult<bool> {
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["test", "-r"])
        .arg(path)
        .status()
        .map_err(|error| format!("cannot start setpriv: {error}"))?;
    Ok(status.success())
}

/// Returns every test program of the workspace with its working directory.
fn programs() -> TaskResult<Vec<(PathBuf, PathBuf)>> {
    let output = cargo()
        .args(["test", "--locked", "--workspace", "--no-run"])
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
    use super::{Sum, skipped};

    #[test]
    fn result_lines_are_added_up() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s");
        sum.add("test a::b ... ok");
        sum.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured");
        assert_eq!(sum.to_string(), "7 passed, 3 failed, 1 skipped");
    }

    #[test]
    fn the_output_of_failed_tests_is_kept() {
        let mut sum = Sum::default();
        for line in [
            "test a::b ... FAILED",
            "failures:",
            "",
            "---- a::b stdout ----",
            "panicked at a.rs:1:1",
            "failures:",
            "    a::b",
            "test result: FAILED. 0 passed; 1 failed",
            "test c ... ok",
            "test result: ok. 1 passed; 0 failed",
        ] {
            sum.add(line);
        }
        let kept = [
            "failures:",
            "---- a::b stdout ----",
            "panicked at a.rs:1:1",
            "failures:",
            "    a::b",
        ];
        assert_eq!(sum.failures, kept);
    }

    #[test]
    fn skipped_tests_do_not_count_as_passed() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured");
        let skipped = skipped(
            "/deps/a\tx::one\tno ICMP\n\
             /deps/a\tx::one\tno namespaces\n\
             /deps/b\tx::one\tno ICMP\n\
             /deps/b\ttwo\tno\ttabs\n",
        );
        let reasons: Vec<_> = skipped.keys().map(String::as_str).collect();
        assert_eq!(reasons, ["no\ttabs", "no ICMP"]);
        sum.move_skipped(&skipped);
        assert_eq!(sum.to_string(), "2 passed, 0 failed, 3 skipped");
    }
}

//! Runs a test program with an active mutant until the first failure.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::command_text;
use testkit::cmd::MUTANT;

/// The address space of a test program in KiB, since a mutant may allocate
/// endlessly.
const ADDRESS_SPACE: u64 = 8 << 20;
/// The least timeout of a run with a mutant.
const MIN_TIMEOUT: Duration = Duration::from_secs(15);
/// The interval between two checks whether a child has ended.
const POLL: Duration = Duration::from_millis(20);

/// A test program that cargo has built.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Whether it contains the black box tests.
    pub(super) black_box: bool,
    /// The directory of the package, in which cargo would run it.
    pub(super) dir: PathBuf,
    /// The target directory. All programs below it belong to this run.
    pub(super) target: PathBuf,
    /// The tests that pass without a mutant.
    pub(super) names: Vec<String>,
    /// The timeout of a run with a mutant.
    pub(super) timeout: Duration,
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// The first test that failed; `None` if the program ended without naming one.
    Failed(Option<String>),
    TimedOut,
}

impl Program {
    /// Runs all tests without a mutant and keeps the names of those that pass.
    /// Returns the names of the others. The timeout is reduced to a few times the
    /// duration of the run, since many mutants cause endless loops.
    pub(super) fn try_out(&mut self) -> TaskResult<Vec<String>> {
        let output = Command::new(&self.path)
            .arg("--list")
            .current_dir(&self.dir)
            .output()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let list = String::from_utf8_lossy(&output.stdout);
        let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
        self.names = names.map(str::to_owned).collect();
        let mut excluded = Vec::new();
        loop {
            let start = Instant::now();
            match self.run(0, &self.names)? {
                Outcome::Passed => {
                    let usual = start.elapsed() * 3 + MIN_TIMEOUT;
                    self.timeout = self.timeout.min(usual);
                    return Ok(excluded);
                }
                Outcome::Failed(Some(name)) => {
                    self.names.retain(|other| *other != name);
                    excluded.push(name);
                }
                other => {
                    let path = self.path.display();
                    return Err(format!("{path} without a mutant: {other:?}"));
                }
            }
        }
    }

    /// Runs the tests with these names while a mutant is active. A test counts as
    /// failed if it fails twice.
    pub(super) fn check(&self, mutant: usize, names: &[String]) -> TaskResult<Outcome> {
        let mut names = names.to_vec();
        loop {
            let outcome = self.run(mutant, &names)?;
            let Outcome::Failed(Some(name)) = &outcome else {
                return Ok(outcome);
            };
            let alone = self.run(mutant, std::slice::from_ref(name))?;
            if alone != Outcome::Passed {
                return Ok(outcome);
            }
            names.retain(|other| other != name);
        }
    }

    /// Runs the tests with these names until the first one fails.
    fn run(&self, mutant: usize, names: &[String]) -> TaskResult<Outcome> {
        if names.is_empty() {
            return Ok(Outcome::Passed);
        }
        let tmp = self.target.with_file_name("tmp");
        fs::create_dir_all(&tmp).map_err(|error| format!("{}: {error}", tmp.display()))?;
        // A shell, because child processes inherit its memory limit.
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\""))
            .arg("sh")
            .arg(&self.path)
            .arg("--exact")
            .args(names)
            .current_dir(&self.dir)
            .env(MUTANT, mutant.to_string())
            .env("CARGO_MANIFEST_DIR", &self.dir)
            .env("RUST_BACKTRACE", "0")
            .env("TMPDIR", &tmp)
            // Otherwise inputs that caught one mutant are tried on all others.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let outcome = until_failure(command, self.timeout);
        self.end_children();
        // Killed tests do not remove their files.
        fs::remove_dir_all(&tmp).map_err(|error| format!("{}: {error}", tmp.display()))?;
        outcome
    }

    /// Kills what a killed test has left behind. The tools lead process groups of
    /// their own, but their programs are below the target directory.
    fn end_children(&self) {
        let inside = |pid: &str| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(&self.target))
        };
        let pids: Vec<String> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|pid| inside(pid))
            .collect();
        if !pids.is_empty() {
            // A process that has ended meanwhile makes it fail.
            let _ = kill(&pids);
        }
    }
}

/// Runs a test program until it ends or prints that a test failed.
fn until_failure(mut command: Command, timeout: Duration) -> TaskResult<Outcome> {
    let text = command_text(&command);
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start `{text}`: {error}"))?;
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        for line in stdout
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines())
        {
            // A line that is not UTF-8 is not one of the harness.
            if let Some(name) = line.ok().as_deref().and_then(failed_test) {
                // Only the first one has a receiver.
                let _ = sender.send(name.to_owned());
            }
        }
    });
    let mut failed = None;
    let ended = wait_or_kill(child, timeout, || {
        failed = failed.take().or_else(|| receiver.try_recv().ok());
        failed.is_some()
    })
    .map_err(|error| format!("waiting for `{text}`: {error}"))?;
    if ended == Some(false) && failed.is_none() {
        // The line may arrive after the exit status.
        failed = receiver.recv_timeout(Duration::from_secs(1)).ok();
    }
    drop(reader);
    Ok(match ended {
        Some(true) => Outcome::Passed,
        None if failed.is_none() => Outcome::TimedOut,
        _ => Outcome::Failed(failed),
    })
}

/// Returns the name in a line of the test harness about a failed test.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// Waits for a child that leads a process group, and returns whether it succeeded.
/// After the timeout or when `stop` returns true, the group is killed and the
/// result is `None`.
pub(super) fn wait_or_kill(
    mut child: Child,
    timeout: Duration,
    mut stop: impl FnMut() -> bool,
) -> io::Result<Option<bool>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if stop() || Instant::now() >= deadline {
            // The group id is the pid of the child, which is not reaped yet.
            kill(&[format!("-{}", child.id())])?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Kills processes, or process groups if the number is negative.
fn kill(ids: &[String]) -> io::Result<()> {
    let mut command = Command::new("kill");
    command.args(["-KILL", "--"]).args(ids);
    command.stderr(Stdio::null()).status().map(drop)
}

/// Splits the names of tests into those of a module and the others.
pub(super) fn split_names(names: &[String], module: &str) -> (Vec<String>, Vec<String>) {
    let cloned = names.iter().cloned();
    cloned.partition(|name| name.starts_with(module))
}

/// Returns the path of the unit tests of a source file in the test harness.
pub(super) fn module_of(file: &Path) -> String {
    let parts = file.iter().map(|part| part.to_string_lossy());
    let inside: Vec<_> = parts.skip_while(|part| *part != "src").skip(1).collect();
    let path = inside.join("::");
    let path = path.strip_suffix(".rs").unwrap_or(&path);
    match path.strip_suffix("::mod").unwrap_or(path) {
        "lib" | "main" => "tests::".to_owned(),
        path => format!("{path}::"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stdout(Stdio::piped())
            .process_group(0);
        command
    }

    #[test]
    fn files_have_a_test_module() {
        for (file, module) in [
            ("crates/ping/src/packet.rs", "packet::"),
            ("crates/ping/src/face/json.rs", "face::json::"),
            ("crates/ping/src/face/mod.rs", "face::"),
            ("crates/ping/src/lib.rs", "tests::"),
        ] {
            assert_eq!(module_of(Path::new(file)), module);
        }
        let names = ["a::tests::x", "ab::tests::x"].map(str::to_owned);
        let (first, others) = split_names(&names, "a::");
        assert_eq!((first.len(), others), (1, vec![names[1].clone()]));
    }

    #[test]
    fn the_first_failure_ends_a_run() {
        let long = Duration::from_secs(600);
        let failed = |name: &str| Outcome::Failed(Some(name.to_owned()));
        for (script, expected) in [
            ("echo 'test a ... FAILED'; sleep 600", failed("a")),
            (
                "echo 'test a ... ok'; echo 'test b ... FAILED'; false",
                failed("b"),
            ),
            ("echo 'test a ... ok'", Outcome::Passed),
            ("echo 'test a ... ok'; false", Outcome::Failed(None)),
        ] {
            assert_eq!(
                until_failure(sh(script), long).unwrap(),
                expected,
                "{script}"
            );
        }
        let short = Duration::from_millis(1);
        let outcome = until_failure(sh("sleep 600"), short).unwrap();
        assert_eq!(outcome, Outcome::TimedOut);
    }

    #[test]
    fn a_timeout_kills_the_process_group() {
        let mut child = sh("sleep 600 & echo $!; wait").spawn().unwrap();
        let mut pid = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut pid).unwrap();
        let short = Duration::from_millis(1);
        assert_eq!(wait_or_kill(child, short, || false).unwrap(), None);
        // It has ended or is about to, since the signal cannot be ignored.
        let stat = format!("/proc/{}/stat", pid.trim());
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            thread::sleep(POLL);
        }
        let quick = sh("true").spawn().unwrap();
        assert_eq!(
            wait_or_kill(quick, Duration::from_secs(60), || false).unwrap(),
            Some(true)
        );
    }
}

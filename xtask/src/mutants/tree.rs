//! The copy of the tree in which mutants are tested.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::command_text;
use support::workspace::root;

use super::sample::Mutant;
use super::{Package, Verdict, read};

/// The timeout of a build in seconds.
const BUILD_TIMEOUT: u64 = 1800;
/// The address space of a test program in KiB, since a mutant may allocate
/// endlessly.
const ADDRESS_SPACE: u64 = 8 << 20;
/// The interval between two checks whether a child has ended.
const POLL: Duration = Duration::from_millis(20);

/// A copy of the sources with its own target directory.
#[derive(Debug)]
pub(super) struct Tree {
    /// The root directory of the copy.
    pub(super) root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies the files that git tracks or would add.
    pub(super) fn copy(dir: &Path) -> TaskResult<Self> {
        let from = root();
        let output = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&from)
            .output()
            .map_err(|error| format!("cannot start git: {error}"))?;
        if !output.status.success() {
            return Err("git ls-files failed".to_owned());
        }
        let dir =
            std::path::absolute(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let tree = Self {
            root: dir.join("tree"),
            target: dir.join("target"),
        };
        // The copy of an earlier run may contain files that were removed.
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root)
                .map_err(|error| format!("{}: {error}", tree.root.display()))?;
        }
        let names = String::from_utf8_lossy(&output.stdout);
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (from.join(name), tree.root.join(name));
            // A deleted file is still in git's list.
            if !from.is_file() {
                continue;
            }
            let created = to.parent().map_or(Ok(()), fs::create_dir_all);
            created
                .and_then(|()| fs::copy(&from, &to).map(drop))
                .map_err(|error| format!("cannot copy {name}: {error}"))?;
        }
        Ok(tree)
    }

    /// Runs `then` while the mutant is applied.
    pub(super) fn with<T>(
        &self,
        mutant: &Mutant,
        then: impl FnOnce() -> TaskResult<T>,
    ) -> TaskResult<T> {
        let path = self.root.join(&mutant.file);
        let text = read(&path)?;
        write(&path, &mutant.applied(&text))?;
        let outcome = then();
        write(&path, &text)?;
        outcome
    }

    /// Builds and runs the tests of a package in the current state of the tree,
    /// those of a module first.
    pub(super) fn verdict(
        &self,
        package: &Package,
        module: &str,
        timeout: Duration,
    ) -> TaskResult<Verdict> {
        let unit = if package.has_lib { "--lib" } else { "--bins" };
        let unit = ["test", "--locked", "-q", "-p", &package.name, unit];
        let black_box = ["test", "--locked", "-q", "-p", &package.name, "--test", "*"];
        let mut stages = vec![(&unit[..], "", Verdict::CaughtByUnit)];
        if !module.is_empty() {
            stages.insert(0, (&unit, module, Verdict::CaughtByUnit));
        }
        if package.has_black_box {
            stages.push((&black_box, "", Verdict::CaughtByBlackBox));
        }
        let build = Duration::from_secs(BUILD_TIMEOUT);
        for (test, filter, caught) in stages {
            match self.cargo(&[test, &["--no-run"]].concat(), build)? {
                Some(true) => {}
                Some(false) => return Ok(Verdict::Unviable),
                None => return Err(format!("the build did not end within {build:?}")),
            }
            let filter: &[&str] = if filter.is_empty() {
                &[]
            } else {
                &["--", filter]
            };
            match self.cargo(&[test, filter].concat(), timeout)? {
                Some(true) => {}
                Some(false) => return Ok(caught),
                None => return Ok(Verdict::TimedOut),
            }
        }
        Ok(Verdict::Missed)
    }

    /// Returns the file with the output of the last cargo command.
    pub(super) fn log(&self) -> PathBuf {
        self.root.with_file_name("log")
    }

    /// Runs cargo in the tree and returns whether it succeeded, or `None` after the
    /// timeout, when its process group is killed.
    fn cargo(&self, args: &[&str], timeout: Duration) -> TaskResult<Option<bool>> {
        let log =
            File::create(self.log()).map_err(|error| format!("cannot open the log: {error}"))?;
        let errors = log
            .try_clone()
            .map_err(|error| format!("cannot open the log: {error}"))?;
        let cargo = testkit::bins::cargo();
        // A shell, because child processes inherit its memory limit.
        let mut command = Command::new("sh");
        let limit = if args.contains(&"--no-run") {
            String::new()
        } else {
            format!("ulimit -v {ADDRESS_SPACE}; ")
        };
        command
            .arg("-c")
            .arg(format!("{limit}exec \"$@\""))
            .arg("sh")
            .arg(cargo.get_program())
            .args(args)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUST_BACKTRACE", "0")
            // Otherwise inputs that caught one mutant are tried on all others.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            // A mutant may leave a variable unused.
            .env("RUSTFLAGS", "--cap-lints=warn")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        for (key, value) in cargo.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let text = command_text(&command);
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start `{text}`: {error}"))?;
        wait_or_kill(child, timeout).map_err(|error| format!("waiting for `{text}`: {error}"))
    }
}

/// Waits for a child that leads a process group.
fn wait_or_kill(mut child: Child, timeout: Duration) -> std::io::Result<Option<bool>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= deadline {
            // The group id is the pid of the child, which is not reaped yet.
            let group = format!("-{}", child.id());
            Command::new("kill")
                .args(["-KILL", "--", &group])
                .status()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn write(path: &Path, text: &str) -> TaskResult {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn a_timeout_kills_the_process_group() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut pid = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut pid).unwrap();
        assert_eq!(wait_or_kill(child, Duration::from_millis(1)).unwrap(), None);
        // It has ended or is about to, since the signal cannot be ignored.
        let stat = format!("/proc/{}/stat", pid.trim());
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            thread::sleep(POLL);
        }
        let quick = Command::new("true").process_group(0).spawn().unwrap();
        assert_eq!(
            wait_or_kill(quick, Duration::from_secs(60)).unwrap(),
            Some(true)
        );
    }
}

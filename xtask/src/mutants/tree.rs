//! The copy of the tree in which mutants are tested.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::TaskResult;
use support::exec::command_text;
use support::workspace::root;

use super::package::Package;
use super::program::{Program, wait_or_kill};
use super::read;
use super::rewrite::{MODULE, with_mutants};
use super::sample::Mutant;

/// The timeout of a build in seconds.
const BUILD_TIMEOUT: u64 = 1800;
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

    /// Writes mutants of a package into the copy and builds its tests with them.
    /// Mutants that do not compile are reported instead.
    pub(super) fn build(
        &self,
        package: &Package,
        mutants: &[(usize, &Mutant)],
        timeout: Duration,
    ) -> TaskResult<Built> {
        let mut files: BTreeMap<&Path, Vec<(usize, &Mutant)>> = BTreeMap::new();
        for (number, mutant) in mutants {
            let file = files.entry(&mutant.file).or_default();
            file.push((*number, mutant));
        }
        let root_file = package.root_file();
        files.entry(&root_file).or_default();
        let mut originals = Vec::new();
        let mut places = Vec::new();
        for (file, mut inside) in files {
            inside.sort_by_key(|(_, mutant)| mutant.range.start);
            let path = self.root.join(file);
            let text = read(&path)?;
            let (mut new, ranges) = with_mutants(&text, &inside);
            if file == root_file {
                new += MODULE;
            }
            write(&path, &new)?;
            let numbers = inside.iter().map(|(number, _)| *number);
            places.extend(numbers.zip(ranges).map(|(number, range)| Place {
                number,
                file: file.to_path_buf(),
                range,
            }));
            originals.push((path, text));
        }
        let built = self.cargo(package, &places, timeout);
        for (path, text) in originals {
            write(&path, &text)?;
        }
        built
    }

    /// Returns the file with the messages of the last build.
    fn log(&self) -> PathBuf {
        self.root.with_file_name("log")
    }

    /// Builds the tests of a package.
    fn cargo(&self, package: &Package, places: &[Place], timeout: Duration) -> TaskResult<Built> {
        let log = self.log();
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let black_box = package.black_box.iter();
        let black_box = black_box.flat_map(|name| ["-p", name, "--test", "*"]);
        let mut command = testkit::bins::cargo();
        command
            .args([
                "test",
                "--no-run",
                "--locked",
                "-q",
                "--message-format=json",
            ])
            .args([
                "-p",
                &package.name,
                "--features",
                &package.features.join(","),
            ])
            .arg(if package.has_lib { "--lib" } else { "--bins" })
            .args(black_box)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            // A mutant may leave a variable unused.
            .env("RUSTFLAGS", "--cap-lints=warn")
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(Stdio::null())
            .process_group(0);
        let text = command_text(&command);
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start `{text}`: {error}"))?;
        let success = wait_or_kill(child, Duration::from_secs(BUILD_TIMEOUT), || false)
            .map_err(|error| format!("waiting for `{text}`: {error}"))?;
        let messages = read(&log)?;
        match success {
            Some(true) => Ok(Built::Programs(self.programs(package, &messages, timeout))),
            Some(false) => {
                let broken = broken(&messages, places);
                if broken.is_empty() {
                    return Err(format!("the build failed; see {}", log.display()));
                }
                Ok(Built::Broken(broken))
            }
            None => Err(format!("the build did not end within {BUILD_TIMEOUT} s")),
        }
    }

    /// Returns the test programs in cargo's messages, unit tests first.
    fn programs(&self, package: &Package, messages: &str, timeout: Duration) -> Vec<Program> {
        let own = self.root.join(&package.dir);
        let mut programs: Vec<Program> = json(messages)
            .filter(|message| message["profile"]["test"] == true)
            .filter_map(|message| {
                let manifest = Path::new(message["manifest_path"].as_str()?);
                Some(Program {
                    path: PathBuf::from(message["executable"].as_str()?),
                    black_box: message["target"]["kind"][0] == "test",
                    dir: manifest.parent()?.to_path_buf(),
                    target: self.target.clone(),
                    names: Vec::new(),
                    timeout,
                })
            })
            // The unit tests of a tool do not belong to a library.
            .filter(|program| program.black_box || program.dir == own)
            .collect();
        programs.sort_by_key(|program| program.black_box);
        programs
    }
}

/// The result of a build.
#[derive(Debug)]
pub(super) enum Built {
    /// All mutants compile; these are the test programs.
    Programs(Vec<Program>),
    /// The numbers of mutants that do not compile.
    Broken(Vec<usize>),
}

/// Where a mutant is in the copy.
#[derive(Debug)]
struct Place {
    number: usize,
    /// The file, relative to the root.
    file: PathBuf,
    range: Range<usize>,
}

/// Parses the messages that cargo printed, one per line.
fn json(messages: &str) -> impl Iterator<Item = Value> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// Returns the numbers of the mutants that the errors in cargo's messages are about:
/// those around an error, or else the nearest one in its file.
fn broken(messages: &str, places: &[Place]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for message in json(messages) {
        let message = &message["message"];
        if message["level"] != "error" {
            continue;
        }
        let spans = message["spans"].as_array().into_iter().flatten();
        let positions: Vec<(&str, usize)> = spans
            .filter_map(|span| {
                let start = usize::try_from(span["byte_start"].as_u64()?).ok()?;
                Some((span["file_name"].as_str()?, start))
            })
            .collect();
        let found: Vec<usize> = places
            .iter()
            .filter(|place| {
                let mut inside = positions
                    .iter()
                    .filter(|(file, _)| place.file == Path::new(file));
                inside.any(|(_, start)| place.range.contains(start))
            })
            .map(|place| place.number)
            .collect();
        let nearest = positions.iter().filter_map(|(file, start)| {
            let inside = places.iter().filter(|place| place.file == Path::new(file));
            inside.min_by_key(|place| place.range.start.abs_diff(*start))
        });
        if found.is_empty() {
            numbers.extend(nearest.take(1).map(|place| place.number));
        } else {
            numbers.extend(found);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn write(path: &Path, text: &str) -> TaskResult {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_belong_to_the_mutants_around_them() {
        let place = |number, file: &str, range| Place {
            number,
            file: file.into(),
            range,
        };
        let places = [
            place(1, "a.rs", 10..20),
            place(2, "a.rs", 30..40),
            place(3, "b.rs", 10..20),
        ];
        let message = |level: &str, file: &str, start: usize| {
            format!(
                r#"{{"message":{{"level":"{level}","spans":[{{"file_name":"{file}","byte_start":{start}}}]}}}}"#
            )
        };
        for (level, file, start, expected) in [
            ("error", "a.rs", 35, &[2][..]),
            ("error", "b.rs", 10, &[3]),
            ("error", "a.rs", 22, &[2]),
            ("error", "c.rs", 12, &[]),
            ("warning", "a.rs", 12, &[]),
        ] {
            assert_eq!(broken(&message(level, file, start), &places), expected);
        }
        let both = [message("error", "b.rs", 11), message("error", "a.rs", 11)].join("\n");
        assert_eq!(broken(&both, &places), [1, 3]);
    }
}

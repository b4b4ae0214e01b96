//! `cargo xtask mutants`: mutation testing. It makes small changes to a crate, one
//! at a time, and checks whether the tests fail.
//!
//! It tests a random sample of the mutants that [`sample`] finds, in a copy of the
//! tree with its own target directory. One build contains all mutants of a crate
//! ([`rewrite`]), and an environment variable selects one at run time. A mutant that
//! does not compile is replaced by another. The unit tests of the changed module run
//! first, then the other unit tests, then the black box tests, until one fails. A
//! timeout counts as caught.

mod choice;
mod modules;
mod package;
mod program;
mod rewrite;
mod sample;
mod tree;

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::TaskResult;

use crate::USAGE;
use choice::{Sample, shuffle};
use package::{Package, packages};
use program::{Outcome, Program, module_of, split_names};
use sample::{Mutant, mutants_of};
use tree::{Built, Tree};

/// The number of mutants of each crate, unless `--count` is given.
const COUNT: usize = 60;
/// The longest timeout of one test run in seconds, unless `--timeout` is given.
const TIMEOUT: u64 = 300;

/// The options of the command.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// The package; `None` for all packages in `crates/`.
    package: Option<String>,
    count: usize,
    seed: u64,
    timeout: Duration,
    /// The directory for the copy, kept for the next run; `None` for a temporary
    /// directory.
    dir: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> TaskResult<Self> {
        let mut options = Self {
            package: None,
            count: COUNT,
            seed: 1,
            timeout: Duration::from_secs(TIMEOUT),
            dir: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--dir" {
                let dir = args
                    .next()
                    .ok_or_else(|| format!("{arg} needs a directory\n{USAGE}"))?;
                options.dir = Some(PathBuf::from(dir));
                continue;
            }
            let mut number = || -> TaskResult<u64> {
                let value = args.next().and_then(|value| value.parse().ok());
                value.ok_or_else(|| format!("{arg} needs a number\n{USAGE}"))
            };
            match arg.as_str() {
                "--count" => {
                    options.count = usize::try_from(number()?).map_err(|e| e.to_string())?;
                }
                "--seed" => options.seed = number()?,
                "--timeout" => options.timeout = Duration::from_secs(number()?),
                name if options.package.is_none() && !name.starts_with('-') => {
                    options.package = Some(name.to_owned());
                }
                other => return Err(format!("unexpected argument `{other}`\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

/// The result of the tests of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A unit test failed.
    CaughtByUnit,
    /// All unit tests passed and a black box test failed.
    CaughtByBlackBox,
    /// A test run timed out.
    TimedOut,
    /// All tests passed with the mutant.
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CaughtByUnit => "caught (unit)",
            Self::CaughtByBlackBox => "caught (black box)",
            Self::TimedOut => "caught (timeout)",
            Self::Missed => "MISSED",
        })
    }
}

/// A row of the final table.
#[derive(Debug, Default)]
struct Row {
    package: String,
    unit: usize,
    black_box: usize,
    timed_out: usize,
    missed: usize,
    unviable: usize,
}

impl Row {
    fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::CaughtByUnit => &mut self.unit,
            Verdict::CaughtByBlackBox => &mut self.black_box,
            Verdict::TimedOut => &mut self.timed_out,
            Verdict::Missed => &mut self.missed,
        } += 1;
    }

    fn tested(&self) -> usize {
        self.unit + self.black_box + self.timed_out + self.missed
    }
}

/// Tests the mutants of one package or of all.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let options = Options::parse(args)?;
    let packages = packages(options.package.as_deref())?;
    let temporary = tempfile::Builder::new()
        .prefix("inetkit-mutants-")
        // Some tests run the tools as another user.
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .map_err(|error| format!("cannot create a directory: {error}"))?;
    let tree = Tree::copy(options.dir.as_deref().unwrap_or(temporary.path()))?;
    let mut rows = Vec::new();
    for package in &packages {
        rows.push(test_package(package, &tree, &options)?);
    }
    print!("\n{}", table(&rows));
    Ok(())
}

/// Formats the table of results.
fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<16} {:>5} {:>6} {:>9} {:>7} {:>6}   {}\n",
        "crate", "tested", "unit", "black box", "timeout", "missed", "did not compile"
    );
    for row in rows {
        text += &format!(
            "{:<16} {:>5} {:>6} {:>9} {:>7} {:>6}   {}\n",
            row.package,
            row.tested(),
            row.unit,
            row.black_box,
            row.timed_out,
            row.missed,
            row.unviable
        );
    }
    text
}

/// Tests a sample of the mutants of a package.
fn test_package(package: &Package, tree: &Tree, options: &Options) -> TaskResult<Row> {
    let mut mutants = Vec::new();
    for file in modules::files(&tree.root.join(package.root_file()))? {
        let name = file.strip_prefix(&tree.root).unwrap_or(&file);
        let found = mutants_of(name, &read(&file)?);
        mutants.extend(found.map_err(|error| format!("{}: {error}", file.display()))?);
    }
    eprintln!(
        "{}: {} possible mutants; testing {} of them with seed {}",
        package.name,
        mutants.len(),
        options.count,
        options.seed
    );
    shuffle(&mut mutants, options.seed);
    let mut row = Row {
        package: package.name.clone(),
        ..Row::default()
    };
    let mut sample = Sample::new(&mutants, options.count);
    let mut programs = loop {
        match tree.build(package, &sample.chosen, options.timeout)? {
            Built::Programs(programs) => break programs,
            Built::Broken(numbers) => {
                row.unviable += numbers.len();
                sample.replace(&numbers);
            }
        }
    };
    // Without a mutant all tests should pass, or a failure has no meaning.
    for program in &mut programs {
        for name in program.try_out()? {
            eprintln!(
                "{}: without {name}, which fails without a mutant",
                package.name
            );
        }
    }
    for (number, mutant) in sample.chosen.iter().take(options.count) {
        let (verdict, test) = verdict(*number, mutant, &programs)?;
        row.add(verdict);
        let test = test.map_or_else(String::new, |name| format!(" ({name})"));
        println!("{:>3} {verdict:<18} {mutant}{test}", row.tested());
    }
    Ok(row)
}

/// Runs the tests with a mutant. Returns also the name of the test that failed.
fn verdict(
    number: usize,
    mutant: &Mutant,
    programs: &[Program],
) -> TaskResult<(Verdict, Option<String>)> {
    for program in programs {
        let (first, others) = split_names(&program.names, &module_of(&mutant.file));
        for names in [first, others] {
            let caught = if program.black_box {
                Verdict::CaughtByBlackBox
            } else {
                Verdict::CaughtByUnit
            };
            match program.check(number, &names)? {
                Outcome::Passed => {}
                Outcome::Failed(test) => return Ok((caught, test)),
                Outcome::TimedOut => return Ok((Verdict::TimedOut, None)),
            }
        }
    }
    Ok((Verdict::Missed, None))
}

fn read(path: &Path) -> TaskResult<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> TaskResult<Options> {
        Options::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines_are_parsed() {
        let given = options(&["ping", "--count", "7", "--seed", "9", "--timeout", "5"]).unwrap();
        assert_eq!(given.package.as_deref(), Some("ping"));
        assert_eq!((given.count, given.seed), (7, 9));
        assert_eq!(given.timeout, Duration::from_secs(5));
        let kept = options(&["--dir", "/somewhere"]).unwrap();
        assert_eq!(kept.dir, Some(PathBuf::from("/somewhere")));
        let default = options(&[]).unwrap();
        assert_eq!((default.package, default.count), (None, COUNT));
        for bad in [
            &["--dir"][..],
            &["--count"],
            &["--count", "x"],
            &["a", "b"],
            &["--nonsense"],
        ] {
            assert!(options(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rows_add_up() {
        let mut row = Row {
            package: "ping".to_owned(),
            unviable: 1,
            ..Row::default()
        };
        for verdict in [
            Verdict::CaughtByUnit,
            Verdict::CaughtByUnit,
            Verdict::CaughtByBlackBox,
            Verdict::TimedOut,
            Verdict::Missed,
        ] {
            row.add(verdict);
        }
        assert_eq!(row.tested(), 5);
        let text = table(&[row]);
        let cells: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["ping", "5", "2", "1", "1", "1", "1"]);
    }
}

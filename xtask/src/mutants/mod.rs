//! `cargo xtask mutants`: mutation testing. It makes small changes to a crate, one
//! at a time, and checks whether the tests fail.
//!
//! It tests a random sample of the mutants that [`sample`] finds, in a copy of the
//! tree with its own target directory. A mutant that does not compile is replaced
//! by another. The unit tests of the changed module run first, then all unit tests,
//! then the black box tests, until one fails. A timeout counts as caught.

mod sample;
mod tree;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::TaskResult;
use support::workspace::{metadata, root};

use crate::USAGE;
use sample::{mutants_of, shuffle};
use tree::Tree;

/// The number of mutants of each crate, unless `--count` is given.
const COUNT: usize = 60;
/// The timeout of one test run in seconds, unless `--timeout` is given.
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

/// A package of the workspace to mutate.
#[derive(Debug)]
struct Package {
    name: String,
    /// The directory, relative to the root.
    dir: PathBuf,
    /// Whether it has a library, which then contains the unit tests.
    has_lib: bool,
    /// Whether it has black box tests.
    has_black_box: bool,
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
    /// The mutant does not compile.
    Unviable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CaughtByUnit => "caught (unit)",
            Self::CaughtByBlackBox => "caught (black box)",
            Self::TimedOut => "caught (timeout)",
            Self::Missed => "MISSED",
            Self::Unviable => "does not compile",
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
            Verdict::Unviable => &mut self.unviable,
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

/// Returns the packages in `crates/`, or the named one.
fn packages(name: Option<&str>) -> TaskResult<Vec<Package>> {
    let metadata = metadata()?;
    let root = root();
    let mut all = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let manifest = PathBuf::from(text("manifest_path"));
        let dir = manifest.parent().unwrap_or(&root);
        let Ok(dir) = dir.strip_prefix(&root) else {
            continue;
        };
        if !dir.starts_with("crates") {
            continue;
        }
        let targets = package["targets"].as_array().into_iter().flatten();
        let kinds: Vec<&str> = targets
            .filter_map(|target| target["kind"][0].as_str())
            .collect();
        all.push(Package {
            name: text("name"),
            dir: dir.to_path_buf(),
            has_lib: kinds.contains(&"lib"),
            has_black_box: kinds.contains(&"test"),
        });
    }
    let Some(wanted) = name else {
        return Ok(all);
    };
    let names: Vec<String> = all.iter().map(|package| package.name.clone()).collect();
    let by_name = |package: &Package| package.name == wanted || package.dir.ends_with(wanted);
    all.retain(by_name);
    if all.is_empty() {
        return Err(format!(
            "unknown package; the packages are {}",
            names.join(", ")
        ));
    }
    Ok(all)
}

/// Tests mutants of a package until enough of them compiled.
fn test_package(package: &Package, tree: &Tree, options: &Options) -> TaskResult<Row> {
    let mut mutants = Vec::new();
    for file in sources(&tree.root.join(&package.dir).join("src"))? {
        let text = read(&file)?;
        let name = file.strip_prefix(&tree.root).unwrap_or(&file);
        mutants.extend(mutants_of(name, &text));
    }
    eprintln!(
        "{}: {} possible mutants; testing {} of them with seed {}",
        package.name,
        mutants.len(),
        options.count,
        options.seed
    );
    shuffle(&mut mutants, options.seed);
    // Without a mutant all tests must pass, or a failure has no meaning.
    let unchanged = tree.verdict(package, "", options.timeout)?;
    if unchanged != Verdict::Missed {
        return Err(format!(
            "the tests of {} fail without a mutant ({unchanged}); see {}",
            package.name,
            tree.log().display()
        ));
    }
    let mut row = Row {
        package: package.name.clone(),
        ..Row::default()
    };
    for mutant in mutants {
        if row.tested() == options.count {
            break;
        }
        let module = module_of(&mutant.file);
        let verdict = tree.with(&mutant, || tree.verdict(package, &module, options.timeout))?;
        row.add(verdict);
        if verdict != Verdict::Unviable {
            println!("{:>3} {verdict:<18} {mutant}", row.tested());
        }
    }
    Ok(row)
}

/// Returns the path of the unit tests of a source file in the test harness.
fn module_of(file: &Path) -> String {
    let parts = file.iter().map(|part| part.to_string_lossy());
    let inside: Vec<_> = parts.skip_while(|part| *part != "src").skip(1).collect();
    let path = inside.join("::");
    let path = path.strip_suffix(".rs").unwrap_or(&path);
    match path.strip_suffix("::mod").unwrap_or(path) {
        "lib" | "main" => "tests::".to_owned(),
        path => format!("{path}::tests::"),
    }
}

/// Returns the Rust files below a directory, in order. Code of fuzz targets is
/// excluded, since no test runs it.
fn sources(dir: &Path) -> TaskResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        let failed = |error| format!("{}: {error}", dir.display());
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("fuzz.rs")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
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
    fn files_have_a_test_module() {
        for (file, module) in [
            ("crates/ping/src/packet.rs", "packet::tests::"),
            ("crates/ping/src/face/json.rs", "face::json::tests::"),
            ("crates/ping/src/face/mod.rs", "face::tests::"),
            ("crates/ping/src/lib.rs", "tests::"),
        ] {
            assert_eq!(module_of(Path::new(file)), module);
        }
    }

    #[test]
    fn sources_are_rust_files_without_fuzzing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        for name in ["b.rs", "a/c.rs", "a/mod.rs", "fuzz.rs", "zone.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = sources(dir.path()).unwrap();
        let names = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap());
        assert!(names.eq(["a/c.rs", "a/mod.rs", "b.rs"].map(Path::new)));
    }

    #[test]
    fn rows_add_up() {
        let mut row = Row {
            package: "ping".to_owned(),
            ..Row::default()
        };
        for verdict in [
            Verdict::CaughtByUnit,
            Verdict::CaughtByUnit,
            Verdict::CaughtByBlackBox,
            Verdict::TimedOut,
            Verdict::Missed,
            Verdict::Unviable,
        ] {
            row.add(verdict);
        }
        assert_eq!(row.tested(), 5);
        let text = table(&[row]);
        let cells: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["ping", "5", "2", "1", "1", "1", "1"]);
    }
}

//! Facts about the machine and the installed programs, for the report.

use std::fs;
use std::path::Path;
use std::process::Command;

use support::exec::which;
use support::workspace::root;

/// The facts that a section of the report names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The day, as in 2026-01-31.
    pub(crate) date: String,
    /// The abbreviated commit of the sources.
    pub(crate) commit: String,
    /// The processor, memory and kernel.
    pub(crate) machine: String,
}

impl Facts {
    /// Collects the facts; those that are not available are named as unknown.
    pub(crate) fn collect() -> Self {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let root = root().display().to_string();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let plural = if cores == 1 { "" } else { "s" };
        Self {
            date: or_unknown(first_line("date", &["-u", "+%Y-%m-%d"])),
            commit: or_unknown(first_line(
                "git",
                &["-C", &root, "rev-parse", "--short", "HEAD"],
            )),
            machine: format!(
                "{}, {cores} core{plural}, {} of memory, {}",
                or_unknown(value_of("/proc/cpuinfo", "model name")),
                or_unknown(memory()),
                or_unknown(kernel())
            ),
        }
    }
}

/// Returns the name and version of the kernel, without the suffix of its builder.
fn kernel() -> Option<String> {
    let text = first_line("uname", &["-sr"])?;
    text.split('-').next().map(str::to_owned)
}

/// Returns the installed memory.
fn memory() -> Option<String> {
    let text = value_of("/proc/meminfo", "MemTotal")?;
    let kib: f64 = text.strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{:.0} GB", kib * 1024.0 / 1e9))
}

/// Returns the value of the first line `KEY : VALUE` of a file.
fn value_of(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// Returns a program with its version: that of its Debian package, or the first line
/// that it prints for `--version`.
pub(crate) fn version(program: &str) -> String {
    let Some(path) = which(program) else {
        return format!("{program} (not installed)");
    };
    let version = package_version(&path).or_else(|| {
        let line = first_line(path.to_str()?, &["--version"])?;
        let has_digit = line.contains(|c: char| c.is_ascii_digit());
        has_digit.then_some(line)
    });
    format!(
        "{program} {}",
        version.as_deref().unwrap_or("(version unknown)")
    )
}

/// Returns the version of the Debian package that contains a file.
fn package_version(path: &Path) -> Option<String> {
    // On systems with a merged /usr the package may list the file in /bin.
    let full = path.display().to_string();
    let short = full.strip_prefix("/usr").unwrap_or(&full).to_owned();
    let owner = first_line("dpkg-query", &["-S", &full])
        .or_else(|| first_line("dpkg-query", &["-S", &short]))?;
    let package = owner.split(':').next()?;
    first_line("dpkg-query", &["-W", "-f", "${Version}\n", package])
}

/// Returns the first line of the output of a program that succeeds.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(which(program).unwrap_or_else(|| program.into()))
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::{Facts, version};

    #[test]
    fn the_facts_of_this_machine_are_found() {
        let facts = Facts::collect();
        assert!(
            facts.date.len() == 10 && facts.date.starts_with("20"),
            "{facts:?}"
        );
        assert!(facts.machine.contains(" GB of memory, Linux "), "{facts:?}");
    }

    #[test]
    fn versions_of_programs_are_found() {
        let shell = version("bash");
        assert!(shell.starts_with("bash ") && shell.contains('.'), "{shell}");
        assert_eq!(
            version("no-such-program"),
            "no-such-program (not installed)"
        );
    }
}

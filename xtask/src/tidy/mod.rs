//! `cargo xtask tidy [PATH]...`: checks the project's own rules. For each PATH it
//! also lists the phrases found in files with names that start with it.
//!
//! A source file has at most 800 lines. Every file of `tests/` belongs to a
//! `[[test]]` of a package; otherwise it would never run. Every package of `crates/`
//! has the metadata that a registry shows. The prose of sources and documents
//! follows the language guide ([`language`]).

mod cycles;
mod language;

use std::fs;
use std::path::{Path, PathBuf};

use support::TaskResult;
use support::workspace::{metadata, root};

use language::Language;

/// The largest number of lines of a source file.
const MAX_LINES: usize = 800;

/// Runs all checks and prints every complaint.
pub(crate) fn run(paths: &[String]) -> TaskResult {
    let mut complaints = Vec::new();
    let mut sources = Vec::new();
    for dir in ["crates", "tests", "xtask", "fuzz"] {
        rust_files(&root().join(dir), &mut sources)?;
    }
    let mut language = Language::new()?;
    for file in &sources {
        let (name, text) = (relative(file), read(file)?);
        complaints.extend(check_layout(&name, &text));
        // This file contains the patterns as strings.
        if !name.ends_with("tidy/language.rs") {
            language.read(&name, &text);
        }
    }
    for file in documents()? {
        language.read(&relative(&file), &read(&file)?);
    }
    language.list(paths);
    complaints.extend(language.finish());
    complaints.extend(import_cycles(&sources)?);
    complaints.extend(unregistered_tests()?);
    complaints.extend(incomplete_packages()?);
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    match complaints.len() {
        0 => {
            eprintln!("tidy: checked {} source files", sources.len());
            Ok(())
        }
        n => Err(format!("tidy: {n} complaints")),
    }
}

/// Returns the import cycles of the crates.
fn import_cycles(sources: &[PathBuf]) -> TaskResult<Vec<String>> {
    let mut complaints = Vec::new();
    for dir in entries(&root().join("crates"))? {
        let mut files = Vec::new();
        for file in sources {
            if let Ok(name) = file.strip_prefix(dir.join("src")) {
                files.push((name.display().to_string(), read(file)?));
            }
        }
        for cycle in cycles::find(&files)? {
            complaints.push(format!(
                "import cycle in {}: {}",
                relative(&dir),
                cycle.join(" -> ")
            ));
        }
    }
    Ok(complaints)
}

/// Returns the complaints about the layout of a source file.
fn check_layout(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        complaints.push(format!(
            "{name}: {lines} lines; split the file (at most {MAX_LINES})"
        ));
    }
    if let Some((at, _)) = text
        .lines()
        .enumerate()
        .find(|(_, line)| line.ends_with([' ', '\t']))
    {
        complaints.push(format!("{name}:{}: trailing white space", at + 1));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        complaints.push(format!("{name}: the last line has no newline"));
    }
    complaints
}

/// Returns the files of `tests/` that no package registers.
fn unregistered_tests() -> TaskResult<Vec<String>> {
    let metadata = metadata()?;
    let registered: Vec<PathBuf> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .filter_map(|target| target["src_path"].as_str())
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    let mut complaints = Vec::new();
    for file in entries(&root().join("tests"))? {
        let is_rust = file.extension().is_some_and(|ext| ext == "rs");
        let full =
            fs::canonicalize(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        if is_rust && !registered.contains(&full) {
            complaints.push(format!(
                "{}: not a [[test]] of any package",
                relative(&file)
            ));
        }
    }
    Ok(complaints)
}

/// Returns the missing metadata of the packages of `crates/`.
fn incomplete_packages() -> TaskResult<Vec<String>> {
    let metadata = metadata()?;
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        // Packages with `publish = false` are checked, too, since a fork may publish
        // them under another name.
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        if !Path::new(manifest).starts_with(root().join("crates")) {
            continue;
        }
        let name = package["name"].as_str().unwrap_or("?");
        for key in [
            "description",
            "license",
            "repository",
            "readme",
            "rust_version",
        ] {
            if package[key].as_str().is_none_or(str::is_empty) {
                complaints.push(format!("package {name}: {key} is missing"));
            }
        }
        for key in ["keywords", "categories"] {
            if package[key].as_array().is_none_or(Vec::is_empty) {
                complaints.push(format!("package {name}: {key} is missing"));
            }
        }
    }
    Ok(complaints)
}

/// Collects the `.rs` files below a directory, except in target directories.
fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> TaskResult {
    if !dir.exists() {
        return Ok(());
    }
    for path in entries(dir)? {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Returns the Markdown files of the project.
fn documents() -> TaskResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![root().clone(), root().join("docs")];
    dirs.extend(entries(&root().join("crates"))?);
    for dir in dirs.into_iter().filter(|dir| dir.is_dir()) {
        let files = entries(&dir)?.into_iter();
        found.extend(files.filter(|file| file.extension().is_some_and(|ext| ext == "md")));
    }
    Ok(found)
}

fn entries(dir: &Path) -> TaskResult<Vec<PathBuf>> {
    let fail = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> TaskResult<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::check_layout;

    #[test]
    fn long_files_and_trailing_white_space_are_reported() {
        assert!(check_layout("a.rs", "fn main() {}\n").is_empty());
        assert!(check_layout("a.rs", "").is_empty());
        assert_eq!(check_layout("a.rs", "x").len(), 1);
        assert_eq!(check_layout("a.rs", "x \n").len(), 1);
        assert_eq!(check_layout("a.rs", &"x\n".repeat(801)).len(), 1);
    }
}

//! Runs the ```` ```console ```` blocks of a Markdown file and compares their
//! output.
//!
//! A line that begins with `$ ` is a command; lines that begin with `> ` right
//! after it continue it. The other lines are the expected output of both
//! streams, in which a line `...` matches any number of lines and `[..]` in a
//! line any text. One `bash` runs all commands of a block, so that `$?`,
//! variables and background jobs persist between them. Each block has a new
//! directory, and its background processes are killed at its end.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::bins;

/// Separates the outputs of commands. No tool prints this control character.
const SEPARATOR: char = '\x1e';

/// The timeout of one block.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A command with its line number and expected output.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// Runs all console blocks of a file and returns the number of commands. Panics
/// with a list of all differences.
#[track_caller]
pub fn check(file: &Path) -> usize {
    check_with(file, &[])
}

/// Does the same with these variables in the environment of every block.
#[track_caller]
pub fn check_with(file: &Path, variables: &[(&str, String)]) -> usize {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut report = String::new();
    let mut commands = 0;
    for block in blocks(&text) {
        commands += block.len();
        for (step, found) in block.iter().zip(run(&block, variables)) {
            let found: Vec<&str> = found.lines().collect();
            if !lines_match(&step.expected, &found) {
                let line = format!("{}:{}", file.display(), step.line);
                writeln!(report, "{line}: $ {}", step.command).expect("write to a string");
                for line in &step.expected {
                    writeln!(report, "  expected: {line}").expect("write to a string");
                }
                for line in found {
                    writeln!(report, "  found:    {line}").expect("write to a string");
                }
            }
        }
    }
    assert!(report.is_empty(), "the documentation differs:\n{report}");
    commands
}

/// Runs one block and returns the output of each command. It is empty for the
/// commands after the end of the shell.
fn run(block: &[Step], variables: &[(&str, String)]) -> Vec<String> {
    let mut script = "exec 2>&1\n".to_owned();
    for step in block {
        // Printing the separator must not change `$?` for the next command.
        write!(
            script,
            "{}\n__status=$?; printf '\\036'; (exit $__status)\n",
            step.command
        )
        .expect("write to a string");
    }
    let shell = bins::bash_plain(&script).timeout(TIMEOUT);
    let shell = variables
        .iter()
        .fold(shell, |shell, (name, value)| shell.env(name, value));
    let running = shell.spawn();
    let stdout = match running.finish() {
        Ok(output) => output.stdout,
        Err(report) => report.into_bytes(),
    };
    let text = String::from_utf8_lossy(&stdout);
    let mut parts: Vec<String> = text.split(SEPARATOR).map(str::to_owned).collect();
    parts.resize(block.len(), String::new());
    parts
}

/// Returns the console blocks of a Markdown text.
fn blocks(text: &str) -> Vec<Vec<Step>> {
    let mut blocks = Vec::new();
    let mut block: Option<Vec<Step>> = None;
    for (index, line) in text.lines().enumerate() {
        let Some(steps) = &mut block else {
            if line.trim() == "```console" {
                block = Some(Vec::new());
            }
            continue;
        };
        if line.trim() == "```" {
            blocks.extend(block.take());
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                line: index + 1,
                command: command.to_owned(),
                expected: Vec::new(),
            });
        } else {
            let step = steps.last_mut();
            let step = step.unwrap_or_else(|| panic!("line {}: no command before it", index + 1));
            match line.strip_prefix("> ") {
                Some(more) if step.expected.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                _ => step.expected.push(line.to_owned()),
            }
        }
    }
    assert!(block.is_none(), "a console block is not closed");
    blocks
}

/// Whether lines match; `...` matches any number of them.
fn lines_match(expected: &[String], found: &[&str]) -> bool {
    let Some((first, rest)) = expected.split_first() else {
        return found.is_empty();
    };
    if first == "..." {
        return (0..=found.len()).any(|skipped| lines_match(rest, &found[skipped..]));
    }
    let Some((line, others)) = found.split_first() else {
        return false;
    };
    line_matches(first, line) && lines_match(rest, others)
}

/// Whether a line matches; `[..]` matches any text.
fn line_matches(expected: &str, found: &str) -> bool {
    let Some((before, after)) = expected.split_once("[..]") else {
        return expected == found;
    };
    let Some(rest) = found.strip_prefix(before) else {
        return false;
    };
    let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.any(|at| line_matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_blocks_are_parsed() {
        let text = "a\n```console\n$ x\n> y\nout\n> out\n$ z\n```\n```sh\n$ no\n```\n";
        let step = |line, command: &str, expected: &[&str]| Step {
            line,
            command: command.to_owned(),
            expected: expected.iter().map(|&line| line.to_owned()).collect(),
        };
        let block = vec![step(3, "x\ny", &["out", "> out"]), step(7, "z", &[])];
        assert_eq!(blocks(text), [block]);
    }

    #[test]
    fn wildcards_match_lines_and_text() {
        let matches = |expected: &[&str], found: &[&str]| {
            let expected: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
            lines_match(&expected, found)
        };
        assert!(matches(&[], &[]));
        assert!(!matches(&[], &["a"]));
        assert!(matches(&["a", "...", "z"], &["a", "b", "c", "z"]));
        assert!(matches(&["a", "...", "z"], &["a", "z"]));
        assert!(!matches(&["a", "..."], &["b"]));
        assert!(matches(&["t=[..] ms"], &["t=0.1 ms"]));
        assert!(matches(&["[..]b[..]"], &["abc"]));
        assert!(!matches(&["[..]b[..]x"], &["abc"]));
    }
}

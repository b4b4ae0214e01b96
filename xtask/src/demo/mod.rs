//! `cargo xtask demo`: shows the main functions of all six tools on loopback, with
//! servers that it starts. Each command line is printed before its output, and an
//! unexpected output fails the demo.
//!
//! [`Demo`] runs command lines in a shell, prints their output and checks it; the
//! steps are in [`steps`].

mod steps;

use std::path::Path;
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::{Done, Exec, shorten};
use support::workspace::{self, Bins, Profile};

use crate::USAGE;

/// Runs all steps in order.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let bins = match args {
        [] => Bins::build(Profile::Dev)?,
        [option, dir] if option == "--bins" => {
            let dir = std::path::absolute(dir).map_err(|error| format!("{dir}: {error}"))?;
            Bins::in_dir(dir)
        }
        _ => return Err(format!("demo accepts --bins DIR\n{USAGE}")),
    };
    let scratch = workspace::scratch()?;
    let start = Instant::now();
    let demo = Demo {
        bins,
        dir: scratch,
        notes: std::cell::RefCell::default(),
    };
    for (number, (title, step)) in steps::STEPS.iter().enumerate() {
        let number = number + 1;
        println!("\n== {number}. {title}");
        step(&demo).map_err(|error| format!("demo, step {number} ({title}): {error}"))?;
    }
    println!();
    for note in demo.notes.borrow().iter() {
        println!("note: {note}");
    }
    println!(
        "demo: all {} steps succeeded in {:.1} s",
        steps::STEPS.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The tools, the directory and the notes of a run.
struct Demo {
    bins: Bins,
    dir: tempfile::TempDir,
    notes: std::cell::RefCell<Vec<String>>,
}

impl Demo {
    /// Prints a command line, runs it in a shell with the tools on its `PATH`, and
    /// prints its output.
    fn shell(&self, line: &str) -> TaskResult<CommandOutput> {
        println!("$ {line}");
        let done = Exec::new("sh", ["-c", line])
            .env("PATH", self.bins.path()?)
            .cwd(self.dir.path())
            .timeout(Duration::from_secs(90))
            .run()?;
        print!("{}{}", with_newline(&done.out()), with_newline(&done.err()));
        Ok(CommandOutput {
            line: line.to_owned(),
            done,
        })
    }

    /// Returns the directory for files of this run.
    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Prints a note now and again at the end.
    fn note(&self, text: &str) {
        println!("note: {text}");
        self.notes.borrow_mut().push(text.to_owned());
    }
}

/// Adds a newline at the end of a text if it is not empty.
fn with_newline(text: &str) -> String {
    let text = shorten(text);
    if text.is_empty() || text.ends_with('\n') {
        text
    } else {
        format!("{text}\n")
    }
}

/// The output of a command line, with checks.
struct CommandOutput {
    line: String,
    done: Done,
}

impl CommandOutput {
    fn unexpected(&self, expected: &str) -> String {
        format!(
            "`{}`: expected {expected}, but got status {}\nstdout:\n{}stderr:\n{}",
            self.line,
            self.done.code,
            with_newline(&self.done.out()),
            with_newline(&self.done.err()),
        )
    }

    /// Requires this exit status.
    fn status(&self, code: i32) -> TaskResult<&Self> {
        if self.done.code == code {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("status {code}")))
        }
    }

    /// Requires exactly this text on standard output.
    fn stdout(&self, text: &str) -> TaskResult<&Self> {
        if self.done.out() == text {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("exactly {text:?} on standard output")))
        }
    }

    /// Requires a line of standard output that matches; `description` names it.
    fn has_line(&self, description: &str, matches: impl Fn(&str) -> bool) -> TaskResult<&Self> {
        if self.done.out().lines().any(matches) {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("a line {description} on standard output")))
        }
    }

    /// Requires one of these texts on standard error.
    fn stderr_contains(&self, texts: &[&str]) -> TaskResult<&Self> {
        let stderr = self.done.err();
        if texts.iter().any(|text| stderr.contains(text)) {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("one of {texts:?} on standard error")))
        }
    }

    /// Parses every line of standard output as JSON.
    fn json(&self) -> TaskResult<Vec<serde_json::Value>> {
        self.done
            .out()
            .lines()
            .map(|line| {
                serde_json::from_str(line).map_err(|error| {
                    self.unexpected(&format!("JSON Lines on standard output ({error}: {line})"))
                })
            })
            .collect()
    }
}

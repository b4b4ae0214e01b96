//! `cargo xtask demo`: the main job of all six tools, on loopback, with
//! servers started here. Each command line is printed before its output, and
//! the run fails where an output is not as it must be.
//!
//! [`Tour`] is the means (run a line in a shell, print, compare); the stops
//! are in [`stops`].

mod stops;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::exec::{Done, Exec, shorten};
use crate::workspace::{self, Bins, Profile};
use crate::{Outcome, no_arguments};

/// The whole tour.
pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let bins = Bins::build(Profile::Dev)?;
    let scratch = workspace::scratch()?;
    let begin = Instant::now();
    let tour = Tour {
        bins,
        dir: scratch,
        notes: std::cell::RefCell::default(),
    };
    for (number, (title, stop)) in stops::STOPS.iter().enumerate() {
        let number = number + 1;
        println!("\n== {number}. {title}");
        stop(&tour).map_err(|error| format!("demo, step {number} ({title}): {error}"))?;
    }
    println!();
    for note in tour.notes.borrow().iter() {
        println!("note: {note}");
    }
    println!(
        "demo: all {} steps as they must be, in {:.1} s",
        stops::STOPS.len(),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What every stop of the tour needs.
struct Tour {
    bins: Bins,
    dir: tempfile::TempDir,
    notes: std::cell::RefCell<Vec<String>>,
}

impl Tour {
    /// Prints a command line, runs it by the shell with the tools on its
    /// `PATH`, prints what came out.
    fn shell(&self, line: &str) -> Outcome<Shown> {
        println!("$ {line}");
        let done = Exec::new("sh", ["-c", line])
            .env("PATH", self.bins.path()?)
            .cwd(self.dir.path())
            .timeout(Duration::from_secs(90))
            .run()?;
        print!("{}{}", ended(&done.out()), ended(&done.err()));
        Ok(Shown {
            line: line.to_owned(),
            done,
        })
    }

    /// A directory for files of this run.
    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Says something now and again at the end.
    fn note(&self, text: &str) {
        println!("note: {text}");
        self.notes.borrow_mut().push(text.to_owned());
    }
}

/// Text with a newline at its end if it has anything at all.
fn ended(text: &str) -> String {
    let text = shorten(text);
    if text.is_empty() || text.ends_with('\n') {
        text
    } else {
        format!("{text}\n")
    }
}

/// A line that was run, and what must be true of it.
struct Shown {
    line: String,
    done: Done,
}

impl Shown {
    fn wrong(&self, expected: &str) -> String {
        format!(
            "`{}`: expected {expected}, but got status {}\nstdout:\n{}stderr:\n{}",
            self.line,
            self.done.code,
            ended(&self.done.out()),
            ended(&self.done.err()),
        )
    }

    /// The exit status.
    fn status(&self, code: i32) -> Outcome<&Self> {
        if self.done.code == code {
            Ok(self)
        } else {
            Err(self.wrong(&format!("status {code}")))
        }
    }

    /// Exactly this on standard output.
    fn prints(&self, text: &str) -> Outcome<&Self> {
        if self.done.out() == text {
            Ok(self)
        } else {
            Err(self.wrong(&format!("exactly {text:?} on standard output")))
        }
    }

    /// A line of standard output that satisfies `like`.
    fn has_line(&self, what: &str, like: impl Fn(&str) -> bool) -> Outcome<&Self> {
        if self.done.out().lines().any(like) {
            Ok(self)
        } else {
            Err(self.wrong(&format!("a line {what} on standard output")))
        }
    }

    /// Standard error that contains one of these.
    fn complains(&self, of: &[&str]) -> Outcome<&Self> {
        let stderr = self.done.err();
        if of.iter().any(|part| stderr.contains(part)) {
            Ok(self)
        } else {
            Err(self.wrong(&format!("{of:?} on standard error")))
        }
    }

    /// Every line of standard output as JSON.
    fn json(&self) -> Outcome<Vec<serde_json::Value>> {
        self.done
            .out()
            .lines()
            .map(|line| {
                serde_json::from_str(line).map_err(|error| {
                    self.wrong(&format!("JSON Lines on standard output ({error}: {line})"))
                })
            })
            .collect()
    }
}

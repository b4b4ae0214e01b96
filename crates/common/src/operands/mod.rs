//! Operands of the command line, of standard input and of files, as one stream.
//!
//! `-` reads operands from standard input and, if enabled, `@FILE` from a file, one
//! per line. [`trimmed`] removes white space, byte order marks and comments from a
//! line. A line is returned as soon as it is complete, and nothing is stored.
//! [`Lines`] reads the lines of one input.

mod lines;

use std::fmt;
use std::fs::File;
use std::io::Read;

use crate::error::{Error, Result};

pub use lines::{Lines, trimmed};

/// An operand and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The text without surrounding white space.
    pub text: String,
    /// The file and line number of an operand that was a line of input.
    pub origin: Option<Origin>,
}

/// The position of an operand in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name of the file, `-` for standard input.
    pub file: String,
    /// The line number, from 1.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Operand {
    /// Creates an operand of the command line.
    pub fn arg(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: None,
        }
    }

    /// Sets this operand as the subject of an error that has none, and its line as
    /// the origin.
    pub fn error(&self, error: Error) -> Error {
        let error = match error.subject() {
            Some(_) => error,
            None => error.with_subject(&self.text),
        };
        match &self.origin {
            Some(origin) => error.with_origin(origin.to_string()),
            None => error,
        }
    }
}

/// The operands of a run, in order. An `Err` item is an invalid line or a failed
/// read; further operands follow if there are any.
pub struct Operands {
    args: std::vec::IntoIter<String>,
    lines: Option<Lines>,
    stdin: Option<Box<dyn Read + Send>>,
    /// Whether `@FILE` is replaced by the lines of a file.
    expands_files: bool,
}

impl fmt::Debug for Operands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operands")
            .field("args", &self.args)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

impl Operands {
    /// Creates the operands of a command line, in which `-` is replaced by the
    /// lines of `stdin`.
    pub fn new(args: Vec<String>, stdin: Box<dyn Read + Send>) -> Self {
        Self {
            args: args.into_iter(),
            lines: None,
            stdin: Some(stdin),
            expands_files: false,
        }
    }

    /// Enables `@FILE`, which is replaced by the lines of FILE.
    #[must_use]
    pub fn with_files(mut self) -> Self {
        self.expands_files = true;
        self
    }

    /// Whether the next operand is available without waiting for input. If not,
    /// flush the output before asking for it.
    pub fn is_ready(&self) -> bool {
        match &self.lines {
            Some(lines) => lines.is_ready(),
            None => match self.args.as_slice().first() {
                Some(arg) => arg != "-" && !(self.expands_files && arg.starts_with('@')),
                None => true,
            },
        }
    }
}

impl Iterator for Operands {
    type Item = Result<Operand>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(lines) = &mut self.lines {
                match lines.next() {
                    Some(item) => return Some(item),
                    None => self.lines = None,
                }
            }
            let arg = self.args.next()?;
            let file = arg.strip_prefix('@').filter(|_| self.expands_files);
            if file == Some("") {
                return Some(Err(Error::input("@", "missing file name after '@'")));
            }
            if let Some(name) = file.filter(|name| *name != "-") {
                match File::open(name) {
                    Ok(file) => self.lines = Some(Lines::new(name, Box::new(file))),
                    Err(error) => return Some(Err(Error::local(&error).with_subject(name))),
                }
                continue;
            }
            if arg != "-" && file.is_none() {
                return Some(Ok(Operand::arg(arg)));
            }
            // A second `-` yields nothing: standard input is at its end.
            self.lines = self.stdin.take().map(|stdin| Lines::new("-", stdin));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::io;

    fn texts(args: &[&str], input: &'static [u8]) -> Vec<Result<String, String>> {
        Operands::new(
            args.iter().map(ToString::to_string).collect(),
            Box::new(input),
        )
        .map(|item| match item {
            Ok(operand) => Ok(operand.text),
            Err(error) => Err(error.to_string()),
        })
        .collect()
    }

    #[test]
    fn the_name_after_an_at_sign_is_required() {
        let mut operands = Operands::new(vec!["@".to_owned()], Box::new(&b""[..])).with_files();
        let error = operands.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "@: missing file name after '@'");
        assert!(operands.next().is_none());
    }

    #[test]
    fn a_dash_is_replaced_by_the_lines_of_stdin() {
        assert_eq!(
            texts(&["a", "-", "z", "-"], b"# x\n\n  b \r\nc"),
            ["a", "b", "c", "z"].map(|t| Ok(t.to_owned()))
        );
    }

    #[test]
    fn lines_are_returned_before_the_end_of_input() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut operands = Operands::new(vec!["-".to_owned()], Box::new(reader));
        assert!(!operands.is_ready());
        io::Write::write_all(&mut writer, b"one\n# none\ntwo\n \n# more\n").unwrap();
        let first = operands.next().unwrap().unwrap();
        assert_eq!(
            (first.text.as_str(), first.origin.unwrap().line),
            ("one", 1)
        );
        assert!(operands.is_ready());
        operands.next().unwrap().unwrap();
        assert!(!operands.is_ready());
        drop(writer);
        assert!(operands.next().is_none());
    }

    #[test]
    fn errors_contain_the_line_in_text_and_the_operand_in_json() {
        let operand = Operand {
            text: "bad".to_owned(),
            origin: Some(Origin {
                file: "-".to_owned(),
                line: 3,
            }),
        };
        let error = operand.error(Error::new(Kind::Input, "not an address"));
        assert_eq!(error.to_string(), "-:3: bad: not an address");
        assert_eq!(error.subject(), Some("bad"));
    }

    #[test]
    fn files_are_read_only_if_enabled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "one\n# none\ntwo\n").unwrap();
        let at = format!("@{}", path.display());
        let operands = |args: &[&str]| {
            let args = args.iter().map(ToString::to_string).collect();
            Operands::new(args, Box::new(&b"stdin\n"[..]))
        };
        let texts: Vec<_> = operands(&["a", &at, "-", "@-"])
            .with_files()
            .map(|operand| operand.unwrap().text)
            .collect();
        assert_eq!(texts, ["a", "one", "two", "stdin"]);
        let texts: Vec<_> = operands(&["@-"])
            .with_files()
            .map(|o| o.unwrap().text)
            .collect();
        assert_eq!(texts, ["stdin"]);
        let mut plain = operands(&[&at]);
        assert!(plain.is_ready());
        assert_eq!(plain.next().unwrap().unwrap().text, at);
        assert!(plain.is_ready());
        assert!(!operands(&[&at]).with_files().is_ready());
        assert!(!operands(&["-"]).is_ready());
        std::fs::remove_file(&path).unwrap();
        let mut missing = operands(&[&at, "b"]).with_files();
        let error = missing.next().unwrap().unwrap_err();
        assert_eq!(error.subject(), path.to_str());
        assert_eq!(missing.next().unwrap().unwrap().text, "b");
    }
}

//! Operands from the command line and from standard input, one stream.
//!
//! `-` reads operands from stdin, one per line. [`trimmed`] has the rules for a
//! line: white space, byte order marks and comments are not part of the
//! operand. Input streams: a line is handed out as soon as it is complete, and
//! nothing is kept. [`Lines`] is the reader beneath, for files as well.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use crate::error::{Error, Kind, Result};

/// A line longer than this is no operand; it is reported and passed over.
const LINE_MAX: usize = 64 * 1024;

/// One operand and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The text, trimmed.
    pub text: String,
    /// File and line number, for operands that were lines of input.
    pub origin: Option<Origin>,
}

/// A line of an input file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file's name, `-` for standard input.
    pub file: String,
    /// Its number, from 1.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Operand {
    /// An operand of the command line.
    pub fn arg(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: None,
        }
    }

    /// Completes an error with this operand and the line it stood on.
    pub fn error(&self, error: Error) -> Error {
        let error = match error.operand() {
            Some(_) => error,
            None => error.with_subject(&self.text),
        };
        match &self.origin {
            Some(origin) => error.with_origin(origin.to_string()),
            None => error,
        }
    }
}

/// The operands of a run, in order. An `Err` item is one bad line or a failed
/// read; the stream goes on after it where it can.
pub struct Operands {
    args: std::vec::IntoIter<String>,
    lines: Option<Lines>,
    stdin: Option<Box<dyn Read + Send>>,
    /// Whether `@FILE` stands for the lines of a file.
    files: bool,
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
    /// The operands of a command line; `-` among them stands for the lines of
    /// `stdin`.
    pub fn new(args: Vec<String>, stdin: Box<dyn Read + Send>) -> Self {
        Self {
            args: args.into_iter(),
            lines: None,
            stdin: Some(stdin),
            files: false,
        }
    }

    /// `@FILE` among the arguments stands for the lines of FILE.
    #[must_use]
    pub fn with_files(mut self) -> Self {
        self.files = true;
        self
    }

    /// Whether the next operand can be had without waiting for input. Where
    /// it cannot, flush what has been printed first.
    pub fn is_ready(&self) -> bool {
        match &self.lines {
            Some(lines) => lines.is_ready(),
            None => match self.args.as_slice().first() {
                Some(arg) => arg != "-" && !(self.files && arg.starts_with('@')),
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
            let file = arg.strip_prefix('@').filter(|_| self.files);
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
            // A second `-` finds standard input at its end.
            self.lines = self.stdin.take().map(|stdin| Lines::new("-", stdin));
        }
    }
}

/// The operands in a file: its lines, trimmed, without blanks and comments.
pub struct Lines {
    file: String,
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The unread part of `buffer`.
    start: usize,
    end: usize,
    line: u64,
    ended: bool,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("file", &self.file)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// The lines of `reader`, called `file` in errors.
    pub fn new(file: impl Into<String>, reader: Box<dyn Read + Send>) -> Self {
        Self {
            file: file.into(),
            reader,
            buffer: vec![0; LINE_MAX],
            start: 0,
            end: 0,
            line: 0,
            ended: false,
        }
    }

    /// Whether a whole line with an operand is already in memory, or nothing
    /// more will come.
    pub fn is_ready(&self) -> bool {
        let unread = &self.buffer[self.start..self.end];
        self.ended
            || unread
                .split_inclusive(|&b| b == b'\n')
                .any(|line| line.ends_with(b"\n") && !trimmed(line).is_empty())
    }

    fn origin(&self) -> Origin {
        Origin {
            file: self.file.clone(),
            line: self.line,
        }
    }

    /// The bounds of the next raw line in the buffer, or `None` at the end.
    fn raw(&mut self) -> io::Result<Option<Raw>> {
        let mut overlong = false;
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = unread.iter().position(|&b| b == b'\n') {
                let from = self.start;
                self.start += length + 1;
                self.line += 1;
                return Ok(Some(if overlong {
                    Raw::Overlong
                } else {
                    Raw::Line(from, from + length)
                }));
            }
            if self.ended {
                let (from, to) = (self.start, self.end);
                self.start = self.end;
                if from == to && !overlong {
                    return Ok(None);
                }
                self.line += 1;
                return Ok(Some(if overlong {
                    Raw::Overlong
                } else {
                    Raw::Line(from, to)
                }));
            }
            if self.start == 0 && self.end == self.buffer.len() {
                overlong = true;
                self.end = 0;
            } else {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.ended = true;
                    self.start = self.end;
                    return Err(e);
                }
            }
        }
    }
}

/// The operand in a line: without white space (Unicode `White_Space`) and byte
/// order marks around it, and without a comment, which is `#` or `;` at the
/// start of the line or after white space, and everything that follows. Empty
/// if the line holds no operand.
///
/// The line need not be UTF-8; a comment in another encoding does no harm.
pub fn trimmed(line: &[u8]) -> &[u8] {
    // Nearly every line of a long list is an operand and nothing else.
    if let (Some(first), Some(last)) = (line.first(), line.last())
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
        && line.iter().fold(0, |found, &byte| {
            found | u8::from(byte == b'#') | u8::from(byte == b';')
        }) == 0
    {
        return line;
    }
    let mut rest = line;
    while let Some(length) = leading_space(rest) {
        rest = &rest[length..];
    }
    let comment = rest.iter().enumerate().position(|(at, &byte)| {
        (byte == b'#' || byte == b';') && (at == 0 || trailing_space(&rest[..at]).is_some())
    });
    let mut rest = &rest[..comment.unwrap_or(rest.len())];
    while let Some(length) = trailing_space(rest) {
        rest = &rest[..rest.len() - length];
    }
    rest
}

/// The length in bytes of the white space character that `bytes` starts with.
fn leading_space(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len().min(SPACE_MAX)).find(|&length| is_space(&bytes[..length]))
}

/// The length in bytes of the white space character that `bytes` ends with.
fn trailing_space(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len().min(SPACE_MAX)).find(|&length| is_space(&bytes[bytes.len() - length..]))
}

/// The length of the longest white space character in UTF-8.
const SPACE_MAX: usize = 3;

/// Whether `bytes` are one white space character, or a byte order mark.
fn is_space(bytes: &[u8]) -> bool {
    let mut chars = match std::str::from_utf8(bytes) {
        Ok(text) => text.chars(),
        Err(_) => return false,
    };
    let first = chars.next().is_some_and(|c| c.is_whitespace() || c == BOM);
    first && chars.next().is_none()
}

/// The byte order mark, which editors put at the start of a file and `cat`
/// moves to the middle of another one.
const BOM: char = '\u{feff}';

enum Raw {
    Line(usize, usize),
    Overlong,
}

impl Iterator for Lines {
    type Item = Result<Operand>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (from, to) = match self.raw() {
                Ok(Some(Raw::Line(from, to))) => (from, to),
                Ok(Some(Raw::Overlong)) => {
                    let error = Error::new(Kind::Input, "line longer than 65535 bytes");
                    return Some(Err(error.with_origin(self.origin().to_string())));
                }
                Ok(None) => return None,
                Err(e) => return Some(Err(Error::local(&e).with_subject(&self.file))),
            };
            let line = trimmed(&self.buffer[from..to]);
            if line.is_empty() {
                continue;
            }
            return Some(match std::str::from_utf8(line) {
                Ok(text) => Ok(Operand {
                    text: text.to_owned(),
                    origin: Some(self.origin()),
                }),
                Err(_) => Err(Error::new(Kind::Input, "line is not UTF-8")
                    .with_origin(self.origin().to_string())),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_dash_stands_for_the_lines_of_stdin() {
        assert_eq!(
            texts(&["a", "-", "z", "-"], b"# x\n\n  b \r\nc"),
            ["a", "b", "c", "z"].map(|t| Ok(t.to_owned()))
        );
    }

    #[test]
    fn white_space_and_comments_are_not_part_of_an_operand() {
        for (line, operand) in [
            ("10.0.0.1\r", "10.0.0.1"),
            ("\u{feff}10.0.0.1", "10.0.0.1"),
            (" \u{feff} 10.0.0.1 \u{feff}", "10.0.0.1"),
            ("\u{b}\u{c}", ""),
            ("\u{b}10.0.0.1\u{85}", "10.0.0.1"),
            ("\u{a0}10.0.0.1\u{a0}", "10.0.0.1"),
            ("\u{3000}10.0.0.1\u{2028}", "10.0.0.1"),
            ("#10.0.0.1", ""),
            (" # 10.0.0.1", ""),
            ("; a list", ""),
            ("10.0.0.1 # core switch", "10.0.0.1"),
            ("10.0.0.1\t;core ; switch", "10.0.0.1"),
            ("10.0.0.1\u{a0}# core switch", "10.0.0.1"),
            ("http://host/a#b;c", "http://host/a#b;c"),
            ("two words", "two words"),
            ("\u{200b}x", "\u{200b}x"),
        ] {
            assert_eq!(trimmed(line.as_bytes()), operand.as_bytes(), "{line:?}");
        }
        assert_eq!(trimmed(b"10.0.0.1 # M\xfcnchen"), b"10.0.0.1");
        assert_eq!(trimmed(b"\xa0x"), b"\xa0x");
    }

    #[test]
    fn bad_lines_are_named_and_passed_over() {
        let mut input = vec![b'x'; 3 * LINE_MAX];
        input.extend_from_slice(b"\n\xff\nok\n");
        let input: &'static [u8] = input.leak();
        assert_eq!(
            texts(&["-"], input),
            [
                Err("-:1: line longer than 65535 bytes".to_owned()),
                Err("-:2: line is not UTF-8".to_owned()),
                Ok("ok".to_owned()),
            ]
        );
    }

    #[test]
    fn lines_are_handed_out_before_the_last_is_in() {
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
    fn errors_name_the_line_in_text_and_the_operand_in_json() {
        let operand = Operand {
            text: "bad".to_owned(),
            origin: Some(Origin {
                file: "-".to_owned(),
                line: 3,
            }),
        };
        let error = operand.error(Error::new(Kind::Input, "is no address"));
        assert_eq!(error.to_string(), "-:3: bad: is no address");
        assert_eq!(error.operand(), Some("bad"));
    }

    /// A reader of the given pieces; an error kind is an error of one read.
    struct Pieces(std::vec::IntoIter<Result<&'static [u8], io::ErrorKind>>);

    impl Pieces {
        fn boxed(pieces: &[Result<&'static [u8], io::ErrorKind>]) -> Box<Self> {
            Box::new(Self(pieces.to_vec().into_iter()))
        }
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.next() {
                None => Ok(0),
                Some(Ok(bytes)) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    Ok(bytes.len())
                }
                Some(Err(kind)) => Err(kind.into()),
            }
        }
    }

    #[test]
    fn an_interrupted_read_is_repeated() {
        let reader = Pieces::boxed(&[Ok(b"a"), Err(io::ErrorKind::Interrupted), Ok(b"b\n")]);
        let texts: Vec<_> = Lines::new("-", reader)
            .map(|line| line.unwrap().text)
            .collect();
        assert_eq!(texts, ["ab"]);
    }

    #[test]
    fn a_failed_read_is_reported_once_and_ends_the_list() {
        let reader = Pieces::boxed(&[Ok(b"a\npart of "), Err(io::ErrorKind::Other), Ok(b"b\n")]);
        let mut lines = Lines::new("list", reader);
        assert_eq!(lines.next().unwrap().unwrap().text, "a");
        let error = lines.next().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.operand()),
            (Kind::System, Some("list"))
        );
        assert!(lines.next().is_none());
    }

    #[test]
    fn an_overlong_last_line_is_reported_although_it_has_no_end() {
        for length in [2 * LINE_MAX, 2 * LINE_MAX + 7] {
            let input: &'static [u8] = vec![b'x'; length].leak();
            assert_eq!(
                texts(&["-"], input),
                [Err("-:1: line longer than 65535 bytes".to_owned())]
            );
        }
        let longest: &'static [u8] = vec![b'x'; LINE_MAX - 1].leak();
        assert_eq!(
            texts(&["-"], longest)[0].as_ref().unwrap().len(),
            LINE_MAX - 1
        );
    }

    #[test]
    fn files_are_read_only_if_they_may_be() {
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
        assert_eq!(error.operand(), path.to_str());
        assert_eq!(missing.next().unwrap().unwrap().text, "b");
    }
}

//! The lines of a list as operands: reading, trimming and comments.

use std::fmt;
use std::io::{self, Read};

use super::{Operand, Origin};
use crate::error::{Error, Kind, Result};

/// The size of the buffer for a line in bytes. A line that does not fit, with its
/// newline, is reported and skipped.
const LINE_BUFFER_SIZE: usize = 64 * 1024;

/// The operands of a file: its trimmed lines without empty ones and comments.
pub struct Lines {
    file: String,
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The start of the unread part of `buffer`.
    start: usize,
    /// The end of the unread part.
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
    /// Creates the lines of `reader`; `file` is its name in errors.
    pub fn new(file: impl Into<String>, reader: Box<dyn Read + Send>) -> Self {
        Self {
            file: file.into(),
            reader,
            buffer: vec![0; LINE_BUFFER_SIZE],
            start: 0,
            end: 0,
            line: 0,
            ended: false,
        }
    }

    /// Whether a complete line with an operand is in the buffer, or the input has
    /// ended.
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

    /// Finds the next line in the buffer. Returns `None` at the end of the input.
    fn find_line(&mut self) -> io::Result<Option<RawLine>> {
        let mut overlong = false;
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = unread.iter().position(|&b| b == b'\n') {
                let from = self.start;
                self.start += length + 1;
                self.line += 1;
                return Ok(Some(if overlong {
                    RawLine::Overlong
                } else {
                    RawLine::Complete(from, from + length)
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
                    RawLine::Overlong
                } else {
                    RawLine::Complete(from, to)
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

/// Returns the operand in a line: without surrounding white space (Unicode
/// `White_Space`) and byte order marks, and without a comment, which starts with
/// `#` or `;` at the start of the line or after white space. The result is empty if
/// the line contains no operand.
///
/// The line need not be UTF-8, so a comment can be in another encoding.
pub fn trimmed(line: &[u8]) -> &[u8] {
    // Fast path: most lines of a long list contain only an operand.
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
    let comment = rest.iter().enumerate().position(|(index, &byte)| {
        let starts_word = || index == 0 || trailing_space(&rest[..index]).is_some();
        (byte == b'#' || byte == b';') && starts_word()
    });
    let mut rest = &rest[..comment.unwrap_or(rest.len())];
    while let Some(length) = trailing_space(rest) {
        rest = &rest[..rest.len() - length];
    }
    rest
}

/// Returns the length in bytes of the white space character at the start.
fn leading_space(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len().min(SPACE_MAX)).find(|&length| is_space(&bytes[..length]))
}

/// Returns the length in bytes of the white space character at the end.
fn trailing_space(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len().min(SPACE_MAX)).find(|&length| is_space(&bytes[bytes.len() - length..]))
}

/// The length in bytes of the longest white space character in UTF-8.
const SPACE_MAX: usize = 3;

/// Whether the bytes are one white space character or byte order mark.
fn is_space(bytes: &[u8]) -> bool {
    let mut chars = match std::str::from_utf8(bytes) {
        Ok(text) => text.chars(),
        Err(_) => return false,
    };
    let first = chars.next().is_some_and(|c| c.is_whitespace() || c == BOM);
    first && chars.next().is_none()
}

/// The byte order mark. Editors write it at the start of a file, and concatenation
/// moves it to the middle.
const BOM: char = '\u{feff}';

/// A line as found in the buffer.
enum RawLine {
    /// The start and the end of its bytes.
    Complete(usize, usize),
    /// It does not fit into the buffer.
    Overlong,
}

impl Iterator for Lines {
    type Item = Result<Operand>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (from, to) = match self.find_line() {
                Ok(Some(RawLine::Complete(from, to))) => (from, to),
                Ok(Some(RawLine::Overlong)) => {
                    let error = Error::new(Kind::Input, "the line is longer than 65535 bytes");
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
                Err(_) => Err(Error::new(Kind::Input, "the line is not valid UTF-8")
                    .with_origin(self.origin().to_string())),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the operands and errors of an input, errors as text.
    fn texts(input: &'static [u8]) -> Vec<Result<String, String>> {
        Lines::new("-", Box::new(input))
            .map(|item| match item {
                Ok(operand) => Ok(operand.text),
                Err(error) => Err(error.to_string()),
            })
            .collect()
    }

    /// A reader of the given pieces; an error kind is an error of one read.
    struct Pieces(std::vec::IntoIter<Result<&'static [u8], io::ErrorKind>>);

    impl Pieces {
        fn boxed(pieces: Vec<Result<&'static [u8], io::ErrorKind>>) -> Box<Self> {
            Box::new(Self(pieces.into_iter()))
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
    fn an_interrupted_read_is_repeated() {
        let reader = Pieces::boxed(vec![Ok(b"a"), Err(io::ErrorKind::Interrupted), Ok(b"b\n")]);
        let texts: Vec<_> = Lines::new("-", reader)
            .map(|line| line.unwrap().text)
            .collect();
        assert_eq!(texts, ["ab"]);
    }

    #[test]
    fn a_failed_read_is_reported_once_and_ends_the_list() {
        let reader = Pieces::boxed(vec![
            Ok(b"a\npart of "),
            Err(io::ErrorKind::Other),
            Ok(b"b\n"),
        ]);
        let mut lines = Lines::new("list", reader);
        assert_eq!(lines.next().unwrap().unwrap().text, "a");
        let error = lines.next().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.subject()),
            (Kind::System, Some("list"))
        );
        assert!(lines.next().is_none());
    }

    #[test]
    fn an_overlong_last_line_is_reported_although_it_has_no_end() {
        for length in [2 * LINE_BUFFER_SIZE, 2 * LINE_BUFFER_SIZE + 7] {
            let input: &'static [u8] = vec![b'x'; length].leak();
            assert_eq!(
                texts(input),
                [Err("-:1: the line is longer than 65535 bytes".to_owned())]
            );
        }
        let longest: &'static [u8] = vec![b'x'; LINE_BUFFER_SIZE - 1].leak();
        assert_eq!(
            texts(longest)[0].as_ref().unwrap().len(),
            LINE_BUFFER_SIZE - 1
        );
    }

    #[test]
    fn invalid_lines_are_reported_and_skipped() {
        let mut input = vec![b'x'; 3 * LINE_BUFFER_SIZE];
        input.extend_from_slice(b"\n\xff\nok\n");
        let input: &'static [u8] = input.leak();
        assert_eq!(
            texts(input),
            [
                Err("-:1: the line is longer than 65535 bytes".to_owned()),
                Err("-:2: the line is not valid UTF-8".to_owned()),
                Ok("ok".to_owned()),
            ]
        );
    }
}

//! Reading of files and standard input. [`LineReader`] fills a [`LineBuffer`] with
//! complete lines, and [`lines`] iterates over them.
//!
//! A buffer has the lines of one read, so a consumer that flushes its output before
//! the next read has answered all input so far. A million lines cost a few hundred
//! system calls and no allocations.
//!
//! Memory does not depend on the length of lines. A long line of a list is truncated
//! ([`LineReader::for_list`]), a long line of text is returned in parts
//! ([`LineReader::for_text`]).

use std::fs::File;
use std::io::{self, Read};

use common::operands::trimmed;
use common::{Error, Kind};

/// The number of bytes of a list that are read in one call.
const LIST_BUFFER_SIZE: usize = 256 * 1024;

/// The longest line of a list, in bytes. Longer ones are reported and skipped.
pub(crate) const MAX_LINE_LEN: usize = 64 * 1024 - 1;

/// Returns the error about a line that is longer than [`MAX_LINE_LEN`].
pub(crate) fn line_too_long() -> Error {
    let message = format!("the line is longer than {MAX_LINE_LEN} bytes");
    Error::new(Kind::Input, message)
}

/// Reads complete lines into a [`LineBuffer`].
pub(crate) struct LineReader {
    reader: Box<dyn Read + Send>,
    /// Bytes that were read but not returned yet.
    leftover: Vec<u8>,
    /// Whether `leftover` may contain complete lines.
    leftover_has_lines: bool,
    /// Whether the last buffer ended within a line.
    is_inside_line: bool,
    buffer_size: usize,
    long_lines: LongLines,
    has_ended: bool,
}

/// How a line is handled that does not fit in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LongLines {
    /// Only its first [`MAX_LINE_LEN`] + 1 bytes are kept.
    Truncate,
    /// It is returned in parts.
    Split,
}

/// The content of a [`LineBuffer`] after it was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Complete lines. The last line of the input may lack its newline.
    Lines,
    /// Part of a line that is longer than the buffer. The last part includes the
    /// newline, if the line has one, and can be empty.
    LinePart {
        /// Whether the line ends with this part.
        last: bool,
    },
    /// Nothing, because the input has ended.
    End,
}

impl std::fmt::Debug for LineReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineReader")
            .field("leftover", &self.leftover.len())
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

/// A buffer for lines, which is reused for every read.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    /// The bytes, all initialized, so that a read can fill any of them.
    bytes: Vec<u8>,
    /// The number of bytes that have been filled.
    filled: usize,
}

impl LineBuffer {
    /// Returns the bytes that were filled. [`Content`] describes them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl LineReader {
    /// Creates a reader of a list. Lines longer than [`MAX_LINE_LEN`] are cut, but stay
    /// longer than that.
    pub(crate) fn for_list(reader: Box<dyn Read + Send>) -> Self {
        Self::new(reader, LIST_BUFFER_SIZE, LongLines::Truncate)
    }

    /// Creates a reader of text. Lines longer than `buffer_size` bytes are returned
    /// in parts.
    pub(crate) fn for_text(reader: Box<dyn Read + Send>, buffer_size: usize) -> Self {
        Self::new(reader, buffer_size, LongLines::Split)
    }

    fn new(reader: Box<dyn Read + Send>, buffer_size: usize, long_lines: LongLines) -> Self {
        Self {
            reader,
            leftover: Vec::new(),
            leftover_has_lines: false,
            is_inside_line: false,
            buffer_size,
            long_lines,
            has_ended: false,
        }
    }

    /// Fills the buffer with the complete lines of one read. If there is one, it does
    /// not read again, because reading from a pipe may block.
    pub(crate) fn fill(&mut self, buffer: &mut LineBuffer) -> io::Result<Content> {
        if buffer.bytes.len() < self.buffer_size {
            buffer.bytes.resize(self.buffer_size, 0);
        }
        let mut filled = self.leftover.len();
        buffer.bytes[..filled].copy_from_slice(&self.leftover);
        self.leftover.clear();
        if std::mem::take(&mut self.leftover_has_lines)
            && let Some(content) = self.cut_after_newline(buffer, 0, filled)
        {
            return Ok(content);
        }
        while !self.has_ended {
            if filled == buffer.bytes.len() {
                if self.long_lines == LongLines::Split {
                    buffer.filled = filled;
                    self.is_inside_line = true;
                    return Ok(Content::LinePart { last: false });
                }
                filled = MAX_LINE_LEN + 1;
                // Without this byte, a cut line of blanks would be a blank line.
                buffer.bytes[MAX_LINE_LEN] = 0;
            }
            match self.reader.read(&mut buffer.bytes[filled..]) {
                Ok(0) => self.has_ended = true,
                Ok(n) => {
                    if let Some(content) = self.cut_after_newline(buffer, filled, filled + n) {
                        return Ok(content);
                    }
                    filled += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.has_ended = true;
                    return Err(error);
                }
            }
        }
        buffer.filled = filled;
        Ok(if std::mem::take(&mut self.is_inside_line) {
            Content::LinePart { last: true }
        } else if filled > 0 {
            Content::Lines
        } else {
            Content::End
        })
    }

    /// Cuts `filled` bytes after a newline and carries the rest over to the next
    /// buffer. Returns `None` without a newline at `from` or later.
    fn cut_after_newline(
        &mut self,
        buffer: &mut LineBuffer,
        from: usize,
        filled: usize,
    ) -> Option<Content> {
        let new = &buffer.bytes[from..filled];
        let newline = if self.is_inside_line {
            memchr::memchr(b'\n', new)
        } else {
            memchr::memrchr(b'\n', new)
        };
        let end = from + newline? + 1;
        self.leftover.extend_from_slice(&buffer.bytes[end..filled]);
        buffer.filled = end;
        if std::mem::take(&mut self.is_inside_line) {
            self.leftover_has_lines = true;
            return Some(Content::LinePart { last: true });
        }
        Some(Content::Lines)
    }
}

/// Iterates over the lines of a text, without their newlines.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// Returns the operand in a line of a list, which is empty for a blank line. White
/// space and comments ([`trimmed`]) are not part of it, nor are quotes and a trailing
/// comma, which lists copied from JSON, CSV or source code have.
pub(crate) fn line_operand(line: &[u8]) -> &[u8] {
    let line = trimmed(line);
    let line = line.strip_suffix(b",").map_or(line, trimmed);
    for quote in [b'"', b'\''] {
        if let [first, inside @ .., last] = line
            && *first == quote
            && *last == quote
        {
            return trimmed(inside);
        }
    }
    line
}

/// Standard input, until its one reader has taken it.
pub(crate) type Stdin = Option<Box<dyn Read + Send>>;

/// Returns whether a word of a SET stands for standard input.
pub(crate) fn is_stdin(word: &str) -> bool {
    word == "-" || word == "@-"
}

/// Opens a file, or standard input for `-`. Opened again, standard input is empty.
pub(crate) fn open(name: &str, stdin: &mut Stdin) -> io::Result<Box<dyn Read + Send>> {
    if name == "-" {
        return Ok(stdin.take().unwrap_or_else(|| Box::new(io::empty())));
    }
    Ok(Box::new(File::open(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all of an input. Each string is the content of one buffer, with `[` and
    /// `]` at the ends of a part of a line.
    fn read_all(input: &'static [u8], size: usize) -> Vec<String> {
        let mut reader = LineReader::for_text(Box::new(input), size);
        let mut buffer = LineBuffer::default();
        let mut all = Vec::new();
        loop {
            let filled = reader.fill(&mut buffer).unwrap();
            assert!(buffer.bytes.len() <= size);
            let text = std::str::from_utf8(buffer.bytes()).unwrap();
            all.push(match filled {
                Content::Lines => text.to_owned(),
                Content::LinePart { last: false } => format!("[{text}"),
                Content::LinePart { last: true } => format!("{text}]"),
                Content::End => return all,
            });
        }
    }

    #[test]
    fn buffers_have_complete_lines() {
        assert_eq!(read_all(b"", 4), [""; 0]);
        assert_eq!(read_all(b"a\nb\nccc\nd", 5), ["a\nb\n", "ccc\n", "d"]);
        assert_eq!(read_all(b"no\nnewline", 8), ["no\n", "newline"]);
    }

    #[test]
    fn a_long_line_is_returned_in_parts() {
        assert_eq!(read_all(b"long\nx\n", 3), ["[lon", "g\n]", "x\n"]);
        assert_eq!(
            read_all(b"abcdef\nx\ny\n", 3),
            ["[abc", "[def", "\n]", "x\n", "y\n"]
        );
        assert_eq!(read_all(b"abcdef", 3), ["[abc", "[def", "]"]);
        assert_eq!(read_all(b"abcdefg", 3), ["[abc", "[def", "g]"]);
        assert_eq!(read_all(b"a\nbcdefg\nh", 4), ["a\n", "[bcde", "fg\n]", "h"]);
        // Lines that were read with the end of a long one need no other read.
        let (reader, mut writer) = io::pipe().unwrap();
        let mut reader = LineReader::for_text(Box::new(reader), 4);
        let mut buffer = LineBuffer::default();
        io::Write::write_all(&mut writer, b"abcd\nx\n").unwrap();
        let mut all = Vec::new();
        while all.len() < 7 {
            reader.fill(&mut buffer).unwrap();
            all.extend_from_slice(buffer.bytes());
        }
        assert_eq!(all, b"abcd\nx\n");
    }

    #[test]
    fn an_overlong_line_takes_no_memory() {
        let endless = io::repeat(b' ').take(50 << 20);
        let mut reader = LineReader::for_list(Box::new(endless.chain(&b"\n10.0.0.0/8\n"[..])));
        let mut buffer = LineBuffer::default();
        assert_eq!(reader.fill(&mut buffer).unwrap(), Content::Lines);
        assert!(buffer.bytes.len() <= LIST_BUFFER_SIZE);
        let all: Vec<&[u8]> = lines(buffer.bytes()).collect();
        assert!(all[0].trim_ascii().len() > MAX_LINE_LEN || all[0].contains(&0));
        assert_eq!(all[1], b"10.0.0.0/8");
    }

    #[test]
    fn quotes_and_a_comma_are_not_part_of_an_operand() {
        for (line, expected) in [
            ("\"10.0.0.0/8\",\r", "10.0.0.0/8"),
            (" '10.0.0.0/8' , # x", "10.0.0.0/8"),
            ("10.0.0.0/8,", "10.0.0.0/8"),
            ("\" 10.0.0.0/8 \"", "10.0.0.0/8"),
            ("\"10.0.0.0/8'", "\"10.0.0.0/8'"),
            ("\"", "\""),
            ("\"\"", ""),
            (",", ""),
            ("10.0.0.0/8,,", "10.0.0.0/8,"),
        ] {
            assert_eq!(line_operand(line.as_bytes()), expected.as_bytes(), "{line}");
        }
    }

    #[test]
    fn lines_have_no_newlines() {
        let of = |text: &'static str| lines(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("a\n\nb"), [&b"a"[..], b"", b"b"]);
        assert_eq!(of("a\n"), [b"a"]);
        assert_eq!(of("\n"), [b""]);
        assert!(of("").is_empty());
    }
}

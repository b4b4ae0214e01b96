//! Bytes in: [`Chunks`] reads a file or standard input in large pieces of
//! complete lines, and [`lines`] walks such a piece.
//!
//! One read, then its lines, then the next read: a consumer that prints
//! before it asks for more has answered everything it was given, and a
//! million lines cost a few hundred system calls and no allocation each.
//!
//! Memory does not depend on the length of lines. Lists clip a long line
//! ([`Chunks::new`]); text is handed out in parts ([`Chunks::of_text`]).

use std::fs::File;
use std::io::{self, Read};

use common::operands::trimmed;
use common::{Error, Kind};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// Longer lines are no networks; they are reported and passed over.
pub(crate) const LINE_MAX: usize = 64 * 1024 - 1;

/// The error about one.
pub(crate) fn too_long() -> Error {
    let message = format!("line longer than {LINE_MAX} bytes");
    Error::new(Kind::Input, message)
}

/// A reader of complete lines.
pub(crate) struct Chunks {
    reader: Box<dyn Read + Send>,
    /// Bytes read and not yet handed out.
    carry: Vec<u8>,
    /// Whether `carry` may hold complete lines.
    carried_lines: bool,
    /// Whether the last piece ended within a line.
    inside: bool,
    size: usize,
    long: Long,
    ended: bool,
}

/// How a line that does not fit a piece is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Long {
    /// Its beginning is kept, one byte more than [`LINE_MAX`].
    Clip,
    /// It is handed out in parts.
    Parts,
}

/// The content of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Complete lines; the very last one may lack its newline.
    Lines,
    /// Part of a line that is longer than a piece. The last part has the
    /// newline, if the line has one, and may be empty.
    Part {
        /// Whether the line ends with this part.
        last: bool,
    },
    /// Nothing: the input has ended.
    End,
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks")
            .field("carry", &self.carry.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Room for a piece of input, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    /// Its length is the room there is.
    buffer: Vec<u8>,
    filled: usize,
}

impl Piece {
    /// The bytes of the piece; [`Filled`] tells what they are.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Chunks {
    /// Reads a list. Lines longer than [`LINE_MAX`] lose bytes, but stay
    /// longer than that.
    pub(crate) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self::with_size(reader, CHUNK, Long::Clip)
    }

    /// Reads text in pieces of at most `size` bytes, longer lines in parts.
    pub(crate) fn of_text(reader: Box<dyn Read + Send>, size: usize) -> Self {
        Self::with_size(reader, size, Long::Parts)
    }

    fn with_size(reader: Box<dyn Read + Send>, size: usize, long: Long) -> Self {
        Self {
            reader,
            carry: Vec::new(),
            carried_lines: false,
            inside: false,
            size,
            long,
            ended: false,
        }
    }

    /// Fills a piece with the complete lines of one read, so that a pipe is
    /// never waited for after it has given some.
    pub(crate) fn fill(&mut self, piece: &mut Piece) -> io::Result<Filled> {
        if piece.buffer.len() < self.size {
            piece.buffer.resize(self.size, 0);
        }
        let mut filled = self.carry.len();
        piece.buffer[..filled].copy_from_slice(&self.carry);
        self.carry.clear();
        if std::mem::take(&mut self.carried_lines)
            && let Some(done) = self.divide(piece, 0, filled)
        {
            return Ok(done);
        }
        while !self.ended {
            if filled == piece.buffer.len() {
                if self.long == Long::Parts {
                    piece.filled = filled;
                    self.inside = true;
                    return Ok(Filled::Part { last: false });
                }
                filled = LINE_MAX + 1;
                // What is left must not pass for blanks.
                piece.buffer[LINE_MAX] = 0;
            }
            match self.reader.read(&mut piece.buffer[filled..]) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    if let Some(done) = self.divide(piece, filled, filled + n) {
                        return Ok(done);
                    }
                    filled += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        piece.filled = filled;
        Ok(if std::mem::take(&mut self.inside) {
            Filled::Part { last: true }
        } else if filled > 0 {
            Filled::Lines
        } else {
            Filled::End
        })
    }

    /// Ends a piece of `filled` bytes behind a newline, which is not before
    /// `from`, and keeps the rest; `None` if there is no newline.
    fn divide(&mut self, piece: &mut Piece, from: usize, filled: usize) -> Option<Filled> {
        let new = &piece.buffer[from..filled];
        let newline = if self.inside {
            memchr::memchr(b'\n', new)
        } else {
            memchr::memrchr(b'\n', new)
        };
        let end = from + newline? + 1;
        self.carry.extend_from_slice(&piece.buffer[end..filled]);
        piece.filled = end;
        if std::mem::take(&mut self.inside) {
            self.carried_lines = true;
            return Some(Filled::Part { last: true });
        }
        Some(Filled::Lines)
    }
}

/// The lines of a piece, without their newlines.
pub(crate) fn lines(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = piece;
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

/// The value in a line of a list: without white space and comments
/// ([`trimmed`]), and without a comma at its end and quotes around it, which
/// lists copied from JSON, CSV or source code have. Empty if there is none.
pub(crate) fn value(line: &[u8]) -> &[u8] {
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

/// Standard input for its one reader.
pub(crate) type Stdin = Option<Box<dyn Read + Send>>;

/// Whether a word of a SET stands for standard input.
pub(crate) fn is_stdin(word: &str) -> bool {
    word == "-" || word == "@-"
}

/// Opens a file; `-` is standard input, which a second reader finds at its
/// end.
pub(crate) fn open(name: &str, stdin: &mut Stdin) -> io::Result<Box<dyn Read + Send>> {
    if name == "-" {
        return Ok(stdin.take().unwrap_or_else(|| Box::new(io::empty())));
    }
    Ok(Box::new(File::open(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of an input: lines as they are, parts of lines in brackets.
    fn pieces(input: &'static [u8], size: usize) -> Vec<String> {
        let mut chunks = Chunks::of_text(Box::new(input), size);
        let mut piece = Piece::default();
        let mut all = Vec::new();
        loop {
            let filled = chunks.fill(&mut piece).unwrap();
            assert!(piece.buffer.len() <= size);
            let text = std::str::from_utf8(piece.bytes()).unwrap();
            all.push(match filled {
                Filled::Lines => text.to_owned(),
                Filled::Part { last: false } => format!("[{text}"),
                Filled::Part { last: true } => format!("{text}]"),
                Filled::End => return all,
            });
        }
    }

    #[test]
    fn pieces_are_complete_lines() {
        assert_eq!(pieces(b"", 4), [""; 0]);
        assert_eq!(pieces(b"a\nb\nccc\nd", 5), ["a\nb\n", "ccc\n", "d"]);
        assert_eq!(pieces(b"no\nnewline", 8), ["no\n", "newline"]);
    }

    #[test]
    fn a_long_line_comes_in_parts() {
        assert_eq!(pieces(b"long\nx\n", 3), ["[lon", "g\n]", "x\n"]);
        assert_eq!(
            pieces(b"abcdef\nx\ny\n", 3),
            ["[abc", "[def", "\n]", "x\n", "y\n"]
        );
        assert_eq!(pieces(b"abcdef", 3), ["[abc", "[def", "]"]);
        assert_eq!(pieces(b"abcdefg", 3), ["[abc", "[def", "g]"]);
        assert_eq!(pieces(b"a\nbcdefg\nh", 4), ["a\n", "[bcde", "fg\n]", "h"]);
        // Lines that came with the end of a long one are handed out without
        // another read.
        let (reader, mut writer) = io::pipe().unwrap();
        let mut chunks = Chunks::of_text(Box::new(reader), 4);
        let mut piece = Piece::default();
        io::Write::write_all(&mut writer, b"abcd\nx\n").unwrap();
        let mut all = Vec::new();
        while all.len() < 7 {
            chunks.fill(&mut piece).unwrap();
            all.extend_from_slice(piece.bytes());
        }
        assert_eq!(all, b"abcd\nx\n");
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let endless = io::repeat(b' ').take(50 << 20);
        let mut chunks = Chunks::new(Box::new(endless.chain(&b"\n10.0.0.0/8\n"[..])));
        let mut piece = Piece::default();
        assert_eq!(chunks.fill(&mut piece).unwrap(), Filled::Lines);
        assert!(piece.buffer.len() <= CHUNK);
        let all: Vec<&[u8]> = lines(piece.bytes()).collect();
        assert!(all[0].trim_ascii().len() > LINE_MAX || all[0].contains(&0));
        assert_eq!(all[1], b"10.0.0.0/8");
    }

    #[test]
    fn quotes_and_a_comma_are_not_part_of_a_value() {
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
            assert_eq!(value(line.as_bytes()), expected.as_bytes(), "{line}");
        }
    }

    #[test]
    fn lines_of_a_piece() {
        let of = |text: &'static str| lines(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("a\n\nb"), [&b"a"[..], b"", b"b"]);
        assert_eq!(of("a\n"), [b"a"]);
        assert_eq!(of("\n"), [b""]);
        assert!(of("").is_empty());
    }
}

//! Bytes in: [`Chunks`] reads a file or standard input in large pieces of
//! whole lines, and [`lines`] walks such a piece.
//!
//! One read, then its lines, then the next read: a consumer that prints
//! before it asks for more has answered everything it was given, and a
//! million lines cost a few hundred system calls and no allocation each.

use std::fs::File;
use std::io::{self, Read};

use common::{Error, Kind};

/// What is read at once.
const CHUNK: usize = 256 * 1024;

/// Longer lines are no networks; they are reported and passed over.
pub(crate) const LINE_MAX: usize = 64 * 1024 - 1;

/// What is said of one.
pub(crate) fn too_long() -> Error {
    let message = format!("line longer than {LINE_MAX} bytes");
    Error::new(Kind::Input, message)
}

/// A reader of whole lines.
pub(crate) struct Chunks {
    reader: Box<dyn Read + Send>,
    /// The beginning of a line whose end has not been read yet.
    carry: Vec<u8>,
    size: usize,
    /// Of a longer line only the beginning is kept, one byte more than this.
    longest: usize,
    ended: bool,
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
    /// The whole lines; the very last one may lack its newline.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Chunks {
    /// Reads pieces of `reader`. Lines longer than [`LINE_MAX`] lose bytes,
    /// but stay longer than that: input without newlines takes no memory.
    pub(crate) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            longest: LINE_MAX,
            ..Self::with_size(reader, CHUNK)
        }
    }

    /// Reads pieces of `size` bytes at most, but for longer lines, which are
    /// kept whole.
    pub(crate) fn with_size(reader: Box<dyn Read + Send>, size: usize) -> Self {
        Self {
            reader,
            carry: Vec::new(),
            size,
            longest: usize::MAX,
            ended: false,
        }
    }

    /// Fills a piece with whole lines: as many as are there, so that a pipe
    /// is never waited for while it has given some. `false` at the end. A
    /// line longer than a piece makes the piece grow.
    pub(crate) fn fill(&mut self, piece: &mut Piece) -> io::Result<bool> {
        let room = self.size.max(2 * self.carry.len());
        if piece.buffer.len() < room {
            piece.buffer.resize(room, 0);
        }
        piece.buffer[..self.carry.len()].copy_from_slice(&self.carry);
        let mut filled = self.carry.len();
        self.carry.clear();
        while !self.ended {
            if filled == piece.buffer.len() && filled > self.longest {
                filled = self.longest + 1;
                // What is left must not pass for blanks.
                piece.buffer[self.longest] = 0;
            } else if filled == piece.buffer.len() {
                piece.buffer.resize(2 * filled, 0);
            }
            match self.reader.read(&mut piece.buffer[filled..]) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    let newline = memchr::memrchr(b'\n', &piece.buffer[filled..filled + n]);
                    let end = newline.map(|at| filled + at + 1);
                    filled += n;
                    if let Some(end) = end {
                        self.carry.extend_from_slice(&piece.buffer[end..filled]);
                        piece.filled = end;
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        piece.filled = filled;
        Ok(filled > 0)
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

/// Standard input as it is handed to whoever reads it; there is one.
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

    fn pieces(input: &'static [u8], size: usize) -> Vec<String> {
        let mut chunks = Chunks::with_size(Box::new(input), size);
        let mut piece = Piece::default();
        let mut all = Vec::new();
        while chunks.fill(&mut piece).unwrap() {
            all.push(String::from_utf8(piece.bytes().to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn pieces_are_whole_lines() {
        assert_eq!(pieces(b"", 4), [""; 0]);
        assert_eq!(pieces(b"a\nb\nccc\nd", 5), ["a\nb\n", "ccc\n", "d"]);
        assert_eq!(pieces(b"long line\nx\n", 2).concat(), "long line\nx\n");
        assert_eq!(pieces(b"no newline", 3), ["no newline"]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let endless = io::repeat(b' ').take(50 << 20);
        let mut chunks = Chunks::new(Box::new(endless.chain(&b"\n10.0.0.0/8\n"[..])));
        let mut piece = Piece::default();
        assert!(chunks.fill(&mut piece).unwrap());
        assert!(piece.buffer.len() <= CHUNK);
        let all: Vec<&[u8]> = lines(piece.bytes()).collect();
        assert!(all[0].trim_ascii().len() > LINE_MAX || all[0].contains(&0));
        assert_eq!(all[1], b"10.0.0.0/8");
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

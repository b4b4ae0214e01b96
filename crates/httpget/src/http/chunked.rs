//! A strict decoder of the chunked transfer coding (RFC 9112, section 7.1).
//!
//! [`Decoder::decode`] takes the bytes as they are received, keeps its state between
//! calls, and appends the data to a buffer. The body is complete only after the last
//! chunk and the blank line after the trailers; the caller must check
//! [`Decoder::is_done`] when the connection ends. As in curl, lines may end in LF.

use common::{Error, Kind, Result};

/// The longest chunk-size line with its extensions, and the largest size of all
/// trailers, in bytes.
const LINE_MAX: usize = 16 * 1024;

/// The part of the coding that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The digits of a size; `true` after the first digit.
    Size(u64, bool),
    /// The rest of a chunk-size line after the size.
    Extension(u64),
    /// The data of a chunk, of which this many bytes are missing.
    Data(u64),
    /// The line end after the data.
    DataEnd,
    /// A trailer line; `true` while it is empty.
    Trailer(bool),
    Done,
}

/// A decoder of chunked bodies.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// The length of the current line, or of all trailers.
    line: usize,
    /// Whether the last byte was a CR, which an LF must follow.
    cr: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Size(0, false),
            line: 0,
            cr: false,
        }
    }
}

fn decode_error(what: &str) -> Error {
    Error::new(Kind::Protocol, format!("invalid chunked body: {what}"))
}

impl Decoder {
    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes `input`, appends at most `room` bytes to `data`, and returns the number
    /// of input bytes that were used. Bytes after the body are not used.
    pub fn decode(&mut self, input: &[u8], data: &mut Vec<u8>, room: usize) -> Result<usize> {
        let mut at = 0;
        let full = data.len() + room;
        while at < input.len() && !self.is_done() {
            if let State::Data(left) = self.state {
                let free = full - data.len();
                if free == 0 {
                    break;
                }
                let some = usize::try_from(left).unwrap_or(usize::MAX);
                let some = some.min(input.len() - at).min(free);
                data.extend_from_slice(&input[at..at + some]);
                at += some;
                let left = left - some as u64;
                self.state = if left == 0 {
                    State::DataEnd
                } else {
                    State::Data(left)
                };
                continue;
            }
            self.byte(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// Processes one byte outside of data.
    fn byte(&mut self, b: u8) -> Result<()> {
        if self.cr && b != b'\n' {
            return Err(decode_error("CR without LF"));
        }
        if b == 0 {
            return Err(decode_error("a NUL byte outside of data"));
        }
        self.cr = b == b'\r';
        self.line += 1;
        if self.line > LINE_MAX {
            return Err(decode_error("a chunk header line is too long"));
        }
        if b == b'\r' {
            return Ok(());
        }
        self.state = match (self.state, b) {
            (State::Size(size, true) | State::Extension(size), b'\n') => {
                self.line = 0;
                match size {
                    0 => State::Trailer(true),
                    size => State::Data(size),
                }
            }
            (State::Size(size, _), b) if b.is_ascii_hexdigit() => {
                let digit = char::from(b).to_digit(16).unwrap_or_default();
                let size = size
                    .checked_mul(16)
                    .ok_or_else(|| decode_error("a chunk size is out of range"))?;
                State::Size(size + u64::from(digit), true)
            }
            (State::Size(size, true), b';' | b' ' | b'\t') | (State::Extension(size), _) => {
                State::Extension(size)
            }
            (State::Size(..), _) => return Err(decode_error("invalid chunk size")),
            (State::DataEnd, b'\n') => {
                self.line = 0;
                State::Size(0, false)
            }
            (State::DataEnd, _) => return Err(decode_error("a chunk is longer than its size")),
            (State::Trailer(true), b'\n') => State::Done,
            (State::Trailer(false), b'\n') => State::Trailer(true),
            (State::Trailer(_), _) => State::Trailer(false),
            (State::Data(_) | State::Done, _) => self.state,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize)> {
        let mut decoder = Decoder::default();
        let mut data = Vec::new();
        let mut used = 0;
        for part in input.chunks(step) {
            let mut part = part;
            while !part.is_empty() && !decoder.is_done() {
                let n = decoder.decode(part, &mut data, 3)?;
                part = &part[n..];
                used += n;
            }
        }
        Ok((data, decoder.is_done(), used))
    }

    #[test]
    fn chunked_bodies_are_decoded() {
        for (input, data, done, used) in [
            (&b"2\r\nab\r\n0\r\n\r\n"[..], &b"ab"[..], true, 12),
            (b"2\nab\n0\n\n", b"ab", true, 8),
            (
                b"0A;ext=\"1\"\r\n0123456789\r\n00\r\n\r\n",
                b"0123456789",
                true,
                30,
            ),
            (b"1 \r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\nNEXT", b"a", true, 24),
            (b"2\r\nab\r\n0\r\n", b"ab", false, 10),
            (b"2\r\na", b"a", false, 4),
            (b"", b"", false, 0),
        ] {
            for step in [1, 2, 5, 100] {
                let got = decode(input, step).unwrap();
                assert_eq!(got, (data.to_vec(), done, used), "{input:?}");
            }
        }
    }

    #[test]
    fn invalid_bodies_are_refused() {
        for input in [
            &b"+5\r\nhello\r\n0\r\n\r\n"[..],
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"\r\nab\r\n",
            b"g\r\n",
            b"2\rab\r\n",
            b"2\r\nabc\r\n",
            b"11111111111111111\r\n",
        ] {
            assert!(decode(input, 100).is_err(), "{input:?}");
            assert!(decode(input, 1).is_err(), "{input:?}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut input = b"5;".to_vec();
        input.resize(20_000, b'x');
        assert!(decode(&input, 1000).is_err());
    }

    proptest! {
        #[test]
        fn what_was_coded_is_decoded(parts: Vec<Vec<u8>>, step in 1..50usize) {
            let mut coded = Vec::new();
            let mut all = Vec::new();
            for part in parts.iter().filter(|part| !part.is_empty()) {
                coded.extend(format!("{:X}\r\n", part.len()).as_bytes());
                coded.extend(part);
                coded.extend(b"\r\n");
                all.extend(part);
            }
            coded.extend(b"0\r\n\r\n");
            let length = coded.len();
            prop_assert_eq!(decode(&coded, step).unwrap(), (all, true, length));
        }

        #[test]
        fn steps_make_no_difference(input: Vec<u8>, step in 1..9usize) {
            let (a, b) = (decode(&input, step), decode(&input, 1000));
            prop_assert_eq!(a.is_ok(), b.is_ok());
            if let (Ok(a), Ok(b)) = (a, b) {
                prop_assert_eq!(a, b);
            }
        }
    }
}

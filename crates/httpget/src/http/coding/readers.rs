//! Readers that decode one content coding each, with errors in this tool's words.

use std::io::{self, BufRead, Read};

use brotli_decompressor::Decompressor;
use flate2::bufread::GzDecoder;

use super::WINDOW_LOG_MAX;

pub(super) fn is_at_end(source: &mut impl BufRead) -> io::Result<bool> {
    Ok(source.fill_buf()?.is_empty())
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

fn window_too_large() -> io::Error {
    invalid("the window is larger than 8 MiB")
}

/// Returns the largest decoded length of a brotli stream, by its first byte (RFC
/// 7932, section 9.1). The brotli program announces a window of 16 MiB for any
/// input from a pipe, so such a stream is accepted until it uses more than 8 MiB.
/// Windows of the "large window" extension are refused.
pub(super) fn brotli_length_max(first: u8) -> io::Result<u64> {
    let is_16_mib = first & 0x0f == 0x0f;
    let is_large_window = first & 0x7f == 0x11;
    match (is_large_window, is_16_mib) {
        (true, _) => Err(window_too_large()),
        (false, true) => Ok(1 << WINDOW_LOG_MAX),
        (false, false) => Ok(u64::MAX),
    }
}

/// A reader that records whether its end has been reached.
pub(super) struct EndTracking<R> {
    pub(super) source: R,
    pub(super) has_ended: bool,
}

impl<R: Read> Read for EndTracking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.has_ended = n == 0 && !buffer.is_empty();
        Ok(n)
    }
}

/// A brotli decoder with a limit on the decoded length. The library has a single
/// error for every kind of invalid data.
pub(super) struct Brotli<R: Read> {
    pub(super) decoder: Decompressor<EndTracking<R>>,
    /// Bytes that may still be decoded.
    pub(super) remaining: u64,
}

impl<R: BufRead> Read for Brotli<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.decoder.read(buffer);
        let n = outcome.map_err(|error| match error.kind() {
            // It reads to the end of the source only while the data is valid.
            io::ErrorKind::InvalidData if self.decoder.get_mut().has_ended => {
                io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected end of data")
            }
            io::ErrorKind::InvalidData => invalid("the data is corrupt"),
            _ => error,
        })?;
        if n == 0 && !buffer.is_empty() {
            // The first read after the end fails if the decoder's buffer still
            // holds bytes.
            match self.decoder.read(&mut [0]) {
                Ok(0) if is_at_end(&mut self.decoder.get_mut().source)? => {}
                Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
                _ => return Err(trailing_bytes()),
            }
        }
        self.remaining = self
            .remaining
            .checked_sub(n as u64)
            .ok_or_else(window_too_large)?;
        Ok(n)
    }
}

fn trailing_bytes() -> io::Error {
    invalid("bytes follow the end of the compressed data")
}

/// A decoder of consecutive gzip members (RFC 1952).
pub(super) struct Gzip<R: BufRead> {
    /// The current member; `None` after the last one.
    pub(super) member: Option<GzDecoder<R>>,
    /// Whether at least one member is complete.
    pub(super) is_later: bool,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => {}
                Err(error) if self.is_later && member.header().is_none() => {
                    return Err(match error.kind() {
                        io::ErrorKind::InvalidInput => trailing_bytes(),
                        _ => error,
                    });
                }
                outcome => return outcome,
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            let next = source.fill_buf()?;
            if next.is_empty() {
                break;
            }
            if next[0] != 0x1f {
                return Err(trailing_bytes());
            }
            self.is_later = true;
            self.member = Some(GzDecoder::new(source));
        }
        Ok(0)
    }
}

/// A decoder that fails if bytes follow the end of its stream.
pub(super) struct SingleStream<D> {
    pub(super) decoder: D,
    /// Returns whether the source of the decoder is at its end.
    pub(super) is_at_end: fn(&mut D) -> io::Result<bool>,
}

impl<D: Read> Read for SingleStream<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer)?;
        if n == 0 && !buffer.is_empty() && !(self.is_at_end)(&mut self.decoder)? {
            return Err(trailing_bytes());
        }
        Ok(n)
    }
}

/// A decoder of consecutive Zstandard frames (RFC 8878).
pub(super) struct Zstd<R: BufRead>(pub(super) zstd::stream::read::Decoder<'static, R>);

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            // Errors of the library have the kind `Other` and its own text.
            match error.to_string().as_str() {
                _ if error.kind() != io::ErrorKind::Other => error,
                "Frame requires too much memory for decoding" => window_too_large(),
                "Restored data doesn't match checksum" => invalid("the checksum does not match"),
                "Dictionary mismatch" => invalid("the data needs a dictionary"),
                "Unknown frame descriptor" => invalid("not a zstd frame"),
                "Unsupported frame parameter" => invalid("a frame header is invalid"),
                "Data corruption detected"
                | "Src size is incorrect"
                | "Destination buffer is too small" => {
                    invalid("the data is corrupt, or its length differs from the announced one")
                }
                _ => error,
            }
        })
    }
}

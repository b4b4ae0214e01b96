//! Content codings (RFC 9110, section 8.4), decoded while the body is received.
//!
//! A window of more than 8 MiB is refused before its memory is allocated.
//! Checksums and announced lengths are verified, and bytes after the end of the
//! coded data are an error, as in curl. The decoders are in [`readers`].

mod readers;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read};

use brotli_decompressor::Decompressor;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use readers::{Brotli, EndTracking, Gzip, SingleStream, Zstd, brotli_length_max, is_at_end};

/// The value of Accept-Encoding with `--compressed`.
pub const ACCEPT: &str = "gzip, deflate, br, zstd";

/// The base-2 logarithm of the largest window: 8 MiB, the limit of RFC 9659 for
/// zstd over HTTP.
const WINDOW_LOG_MAX: u32 = 23;

/// The maximum number of codings of one body; more are an attack.
const CODINGS_MAX: usize = 2;

const BUFFER: usize = 64 * 1024;

/// Returns the codings of Content-Encoding values in the order in which they were
/// applied. The error is a sentence.
pub fn codings<'a>(values: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let codings: Vec<String> = values
        .flat_map(|value| value.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        // Some servers send "none", which curl accepts, too.
        .filter(|coding| !matches!(coding.as_str(), "" | "identity" | "none"))
        .collect();
    if codings.len() > CODINGS_MAX {
        return Err(format!(
            "the body has {} content codings; at most {CODINGS_MAX} are supported",
            codings.len()
        ));
    }
    match codings.iter().find(|coding| {
        !matches!(
            coding.as_str(),
            "gzip" | "x-gzip" | "deflate" | "br" | "zstd"
        )
    }) {
        Some(unknown) => Err(format!("unsupported content coding {unknown}")),
        None => Ok(codings),
    }
}

/// Returns a reader of the decoded body. Errors of `source` keep their kind;
/// invalid data is `InvalidData` or `UnexpectedEof`.
pub fn decoder<'a>(source: impl Read + 'a, codings: &[String]) -> io::Result<Box<dyn Read + 'a>> {
    let mut reader: Box<dyn Read + 'a> = Box::new(source);
    for coding in codings.iter().rev() {
        let mut buffered = BufReader::with_capacity(BUFFER, reader);
        let start = buffered.fill_buf()?;
        // An empty body is valid in every coding.
        if start.is_empty() {
            return Ok(Box::new(io::empty()));
        }
        reader = match coding.as_str() {
            // The RFC demands zlib; some servers send a raw deflate stream.
            "deflate" if is_zlib(start) => Box::new(SingleStream {
                decoder: ZlibDecoder::new(buffered),
                is_at_end: |decoder| is_at_end(decoder.get_mut()),
            }),
            "deflate" => Box::new(SingleStream {
                decoder: DeflateDecoder::new(buffered),
                is_at_end: |decoder| is_at_end(decoder.get_mut()),
            }),
            "br" => {
                let length_max = brotli_length_max(start[0])?;
                let source = EndTracking {
                    source: buffered,
                    has_ended: false,
                };
                Box::new(Brotli {
                    decoder: Decompressor::new(source, BUFFER),
                    remaining: length_max,
                })
            }
            "zstd" => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(Zstd(decoder))
            }
            _ => Box::new(Gzip {
                member: Some(GzDecoder::new(buffered)),
                is_later: false,
            }),
        };
    }
    Ok(reader)
}

fn is_zlib(start: &[u8]) -> bool {
    match start {
        [cmf, flg, ..] => cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)) % 31 == 0,
        // With one byte only: the first byte of any zlib stream in use.
        [cmf] => cmf & 0x8f == 0x08,
        [] => false,
    }
}

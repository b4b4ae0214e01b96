//! Content codings (RFC 9110, section 8.4), decoded while the body comes in.
//!
//! A window larger than `WINDOW_MAX` is refused before memory for it is
//! allocated, checksums and announced lengths are verified, and bytes behind
//! the end of a coding are an error, as in curl.

use std::io::{self, BufRead, BufReader, Read};

use brotli_decompressor::Decompressor;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// Value of Accept-Encoding with `--compressed`.
pub const ACCEPT: &str = "gzip, deflate, br, zstd";

/// The largest window in bytes, as a power of two: 8 MiB, the most that RFC
/// 9659 allows for zstd over HTTP.
const WINDOW_LOG_MAX: u32 = 23;

/// Most codings on one body; more are an attack.
const CODINGS_MAX: usize = 2;

const BUFFER: usize = 64 * 1024;

/// The codings of a Content-Encoding, in the order they were applied.
pub fn codings<'a>(values: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let codings: Vec<String> = values
        .flat_map(|value| value.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        // curl takes "none" for identity as well.
        .filter(|coding| !matches!(coding.as_str(), "" | "identity" | "none"))
        .collect();
    if codings.len() > CODINGS_MAX {
        return Err(format!("{} content codings on one body", codings.len()));
    }
    match codings.iter().find(|coding| {
        !matches!(
            coding.as_str(),
            "gzip" | "x-gzip" | "deflate" | "br" | "zstd"
        )
    }) {
        Some(unknown) => Err(format!("unknown content coding {unknown}")),
        None => Ok(codings),
    }
}

/// A reader of the decoded body. Errors of `source` keep their kind; what is
/// wrong with the coding is `InvalidData` or `UnexpectedEof`.
pub fn decoder<'a>(source: impl Read + 'a, codings: &[String]) -> io::Result<Box<dyn Read + 'a>> {
    let mut reader: Box<dyn Read + 'a> = Box::new(source);
    for coding in codings.iter().rev() {
        let mut buffered = BufReader::with_capacity(BUFFER, reader);
        let start = buffered.fill_buf()?;
        // An empty body stands for an empty one in every coding.
        if start.is_empty() {
            return Ok(Box::new(io::empty()));
        }
        reader = match coding.as_str() {
            // zlib by the RFC; some servers send the bare stream.
            "deflate" if is_zlib(start) => Box::new(SingleStream {
                decoder: ZlibDecoder::new(buffered),
                is_at_end: |decoder| is_at_end(decoder.get_mut()),
            }),
            "deflate" => Box::new(SingleStream {
                decoder: DeflateDecoder::new(buffered),
                is_at_end: |decoder| is_at_end(decoder.get_mut()),
            }),
            "br" => {
                let most = brotli_length_max(start[0])?;
                let source = EndTracking {
                    source: buffered,
                    ended: false,
                };
                Box::new(Brotli {
                    decoder: Decompressor::new(source, BUFFER),
                    left: most,
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
        // With one byte: the first byte of every zlib stream in use.
        [cmf] => cmf & 0x8f == 0x08,
        [] => false,
    }
}

fn is_at_end(source: &mut impl BufRead) -> io::Result<bool> {
    Ok(source.fill_buf()?.is_empty())
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

fn window_too_large() -> io::Error {
    invalid("its window is larger than 8 MiB")
}

/// The most bytes that a brotli stream may decode to, by its first byte (RFC
/// 7932, section 9.1). A window of 16 MiB, which the brotli program announces
/// for whatever it reads from a pipe, is harmless until 8 MiB of it are used;
/// those of the "large window" extension are refused.
fn brotli_length_max(first: u8) -> io::Result<u64> {
    let is_16_mib = first & 0x0f == 0x0f;
    let is_large_window = first & 0x7f == 0x11;
    match (is_large_window, is_16_mib) {
        (true, _) => Err(window_too_large()),
        (false, true) => Ok(1 << WINDOW_LOG_MAX),
        (false, false) => Ok(u64::MAX),
    }
}

/// A reader that knows whether its end has been read.
struct EndTracking<R> {
    source: R,
    ended: bool,
}

impl<R: Read> Read for EndTracking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.ended = n == 0 && !buffer.is_empty();
        Ok(n)
    }
}

/// A brotli decoder that fails beyond a length, with errors in our words: the
/// library has one for all that may be wrong.
struct Brotli<R: Read> {
    decoder: Decompressor<EndTracking<R>>,
    left: u64,
}

impl<R: BufRead> Read for Brotli<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.decoder.read(buffer);
        let n = outcome.map_err(|error| match error.kind() {
            // It reads on only while the data is valid.
            io::ErrorKind::InvalidData if self.decoder.get_mut().ended => {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the data ends too early")
            }
            io::ErrorKind::InvalidData => invalid("the data is corrupt"),
            _ => error,
        })?;
        if n == 0 && !buffer.is_empty() {
            // The first read after the end fails if its buffer has bytes left.
            match self.decoder.read(&mut [0]) {
                Ok(0) if is_at_end(&mut self.decoder.get_mut().source)? => {}
                Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
                _ => return Err(trailing_bytes()),
            }
        }
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(window_too_large)?;
        Ok(n)
    }
}

fn trailing_bytes() -> io::Error {
    invalid("bytes follow the end of the compressed data")
}

/// A decoder of gzip members, one after the other (RFC 1952).
struct Gzip<R: BufRead> {
    /// `None` after the last one.
    member: Option<GzDecoder<R>>,
    /// Whether one is complete.
    is_later: bool,
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
struct SingleStream<D> {
    decoder: D,
    /// Whether the source is at its end, too.
    is_at_end: fn(&mut D) -> io::Result<bool>,
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

/// Zstandard frames one after the other (RFC 8878), with errors in our words.
struct Zstd<R: BufRead>(zstd::stream::read::Decoder<'static, R>);

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            // Those of the library are of the kind `Other`, with its text.
            match error.to_string().as_str() {
                _ if error.kind() != io::ErrorKind::Other => error,
                "Frame requires too much memory for decoding" => window_too_large(),
                "Restored data doesn't match checksum" => invalid("the checksum does not match"),
                "Dictionary mismatch" => invalid("it needs a dictionary"),
                "Unknown frame descriptor" => invalid("not a zstd frame"),
                "Unsupported frame parameter" => invalid("a frame header is not valid"),
                "Data corruption detected"
                | "Src size is incorrect"
                | "Destination buffer is too small" => {
                    invalid("the data is corrupt, or not as long as announced")
                }
                _ => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn decode(bytes: &[u8], codings: &[&str]) -> io::Result<Vec<u8>> {
        let codings: Vec<String> = codings.iter().map(ToString::to_string).collect();
        let mut all = Vec::new();
        decoder(bytes, &codings)?.read_to_end(&mut all)?;
        Ok(all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_of_them() {
        let text = b"hello hello hello";
        let gz = gzip(text);
        assert_eq!(decode(&gz, &["gzip"]).unwrap(), text);
        assert_eq!(
            decode(&[&gz[..], &gz[..]].concat(), &["gzip"])
                .unwrap()
                .len(),
            34
        );
        assert_eq!(decode(&gzip(&gz), &["gzip", "x-gzip"]).unwrap(), text);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(text).unwrap();
        assert_eq!(decode(&zlib.finish().unwrap(), &["deflate"]).unwrap(), text);
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(text).unwrap();
        assert_eq!(decode(&raw.finish().unwrap(), &["deflate"]).unwrap(), text);
        // Brotli and Zstandard of "hi\n", by their own tools.
        let br = b"\x0b\x01\x80hi\n\x03";
        assert_eq!(decode(br, &["br"]).unwrap(), b"hi\n");
        let zstd = b"\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00hi\n";
        assert_eq!(decode(zstd, &["zstd"]).unwrap(), b"hi\n");
        assert_eq!(
            decode(&[zstd, &zstd[..]].concat(), &["zstd"]).unwrap(),
            b"hi\nhi\n"
        );
        assert_eq!(decode(b"", &["gzip"]).unwrap(), b"");
    }

    #[test]
    fn cut_and_broken_bodies_fail() {
        let gz = gzip(b"hello hello hello");
        for end in 1..gz.len() {
            assert!(decode(&gz[..end], &["gzip"]).is_err(), "{end}");
        }
        assert!(decode(b"junk", &["gzip"]).is_err());
        assert!(decode(b"junk", &["br"]).is_err());
        assert!(decode(b"junk", &["zstd"]).is_err());
        assert!(decode(b"\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00h", &["zstd"]).is_err());
    }

    #[test]
    fn what_is_wrong_in_plain_words() {
        let says = |bytes: &[u8], coding: &str| decode(bytes, &[coding]).unwrap_err().to_string();
        let br = b"\x0b\x01\x80hi\n\x03";
        for end in 1..br.len() {
            assert_eq!(says(&br[..end], "br"), "the data ends too early", "{end}");
        }
        // A reserved bit.
        assert_eq!(says(b"\x1c\0\0\0\0\0\0\0", "br"), "the data is corrupt");
        let gz = gzip(b"hello");
        for behind in [
            &b"x"[..],
            b"\0\0\0\0",
            b"more bytes than a header",
            b"\x1fmore bytes, also",
        ] {
            let follow = "bytes follow the end of the compressed data";
            assert_eq!(says(&[br, behind].concat(), "br"), follow);
            assert_eq!(says(&[&gz, behind].concat(), "gzip"), follow, "{behind:?}");
        }
        // A member whose header is cut is one that is cut.
        assert_eq!(
            says(&[&gz, &gz[..5]].concat(), "gzip"),
            says(&gz[..5], "gzip")
        );
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A zstd frame that announces this window (RFC 8878, section 3.1.1.1.2),
    /// and holds `blocks` RLE blocks of 128 KiB.
    fn zstd_rle(window: u8, blocks: usize) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
        for number in 1..=blocks {
            frame.extend([2 | u8::from(number == blocks), 0, 0x10, b'x']);
        }
        frame
    }

    /// A brotli stream with these four window bits, and so many uncompressed
    /// meta-blocks of 64 KiB.
    fn brotli(window: u8, pieces: usize) -> Vec<u8> {
        // ISLAST 0, MNIBBLES 0 (four), MLEN - 1 = 0xffff, ISUNCOMPRESSED 1.
        let header = |start: u32, bits: u32| {
            let value = start | (0xffff << 3 | 1 << 19) << bits;
            value.to_le_bytes()[..3].to_vec()
        };
        let mut stream = Vec::new();
        for number in 0..pieces {
            let (start, bits) = if number == 0 { (window, 4) } else { (0, 0) };
            stream.extend(header(start.into(), bits));
            stream.extend(vec![b'x'; 1 << 16]);
        }
        // ISLAST and ISLASTEMPTY.
        stream.push(3);
        stream
    }

    #[test]
    fn windows_over_8_mib_are_refused() {
        let refused = |bytes: &[u8], coding| {
            let error = decode(bytes, &[coding]).unwrap_err().to_string();
            assert!(error.contains("8 MiB"), "{coding}: {error}");
        };
        // 2^(10 + 13): 8 MiB, the largest, and one step of 1/8 more.
        assert_eq!(
            decode(&zstd_rle(13 << 3, 3), &["zstd"]).unwrap().len(),
            3 << 17
        );
        for window in [13 << 3 | 1, 136, 160, 248, 255] {
            refused(&zstd_rle(window, 3), "zstd");
            // Also in a later frame, and behind a skippable one.
            refused(&[zstd(b"x"), zstd_rle(window, 3)].concat(), "zstd");
            refused(
                &[b"\x50\x2a\x4d\x18\0\0\0\0", &zstd_rle(window, 3)[..]].concat(),
                "zstd",
            );
        }
        // A single segment: its content size is its window.
        for (size, fits) in [
            (8_u64 << 20, true),
            ((8 << 20) + 1, false),
            (1 << 60, false),
        ] {
            let mut frame = b"\x28\xb5\x2f\xfd\xe0".to_vec();
            frame.extend(size.to_le_bytes());
            frame.extend(&zstd_rle(0, 64)[6..]);
            if fits {
                assert_eq!(decode(&frame, &["zstd"]).unwrap().len() as u64, size);
            } else {
                refused(&frame, "zstd");
            }
        }
        // Brotli: the large window of 2^30, and 16 MiB where more than 8 are used:
        // uncompressed meta-blocks of 64 KiB (RFC 7932, section 9.2).
        refused(b"\x11\x1e\x00\x00", "br");
        assert_eq!(decode(b"\x0f\x01\x80hi\n\x03", &["br"]).unwrap(), b"hi\n");
        for (first, pieces) in [(0x0f, 129), (0x0d, 129), (0x0f, 128)] {
            let fits = first != 0x0f || pieces == 128;
            let brotli = brotli(first, pieces);
            if fits {
                assert_eq!(decode(&brotli, &["br"]).unwrap().len(), pieces << 16);
            } else {
                refused(&brotli, "br");
            }
        }
    }

    #[test]
    fn checksums_and_lengths_are_verified() {
        let fails = |bytes: &[u8]| assert!(decode(bytes, &["zstd"]).is_err(), "{bytes:x?}");
        let good = zstd(b"hello");
        for at in 0..4 {
            let mut bad = good.clone();
            let last = bad.len() - 1;
            bad[last - at] ^= 1;
            fails(&bad);
            // In a frame before another, too.
            fails(&[bad, good.clone()].concat());
        }
        // 1000 bytes and 10^14 announced, 3 there; 2 announced, 3 there.
        for announced in [1000_u64, 100_000_000_000_000, 2] {
            let mut frame = b"\x28\xb5\x2f\xfd\xc0\x58".to_vec();
            frame.extend(announced.to_le_bytes());
            frame.extend(b"\x19\0\0abc");
            fails(&frame);
        }
        // A dictionary that nobody has, and a reserved bit.
        fails(b"\x28\xb5\x2f\xfd\x21\x07\x03\x19\0\0abc");
        fails(b"\x28\xb5\x2f\xfd\x28\x03\x19\0\0abc");
    }

    #[test]
    fn skippable_frames_are_skipped() {
        let skip = b"\x5f\x2a\x4d\x18\x05\0\0\0junk!";
        let all = [&skip[..], &zstd(b"a"), skip, skip, &zstd(b"b"), skip].concat();
        assert_eq!(decode(&all, &["zstd"]).unwrap(), b"ab");
        assert!(decode(&all[..all.len() - 1], &["zstd"]).is_err());
        assert_eq!(decode(skip, &["zstd"]).unwrap(), b"");
    }

    #[test]
    fn bytes_behind_the_end_are_an_error() {
        let text = b"hello hello hello";
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(text).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(text).unwrap();
        let br = b"\x8f\x02\x80hello\n\x03".to_vec();
        for (coding, whole) in [
            ("gzip", gzip(text)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("br", br[..].to_vec()),
            ("zstd", zstd(text)),
        ] {
            if coding != "br" {
                assert_eq!(decode(&whole, &[coding]).unwrap(), text);
            }
            // More than one buffer, too.
            for more in [1, 20, 200_000] {
                let longer = [&whole[..], &vec![0; more]].concat();
                assert!(decode(&longer, &[coding]).is_err(), "{coding} {more}");
            }
            for end in 1..whole.len() {
                assert!(decode(&whole[..end], &[coding]).is_err(), "{coding} {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn zstd_of_the_reference_comes_back(bytes: Vec<u8>, flip: usize, bit in 0..8) {
            let coded = zstd(&bytes);
            prop_assert_eq!(&decode(&coded, &["zstd"]).unwrap(), &bytes);
            let mut changed = coded.clone();
            changed[flip % coded.len()] ^= 1_u8 << bit;
            // Nothing but the right content passes.
            if let Ok(decoded) = decode(&changed, &["zstd"]) {
                prop_assert!(decoded == bytes || decoded.is_empty());
            }
        }
    }

    #[test]
    fn which_codings() {
        let of = |values: &[&'static str]| codings(values.iter().copied());
        assert_eq!(of(&["GZIP, identity"]).unwrap(), ["gzip"]);
        assert!(of(&["gzip, gzip", "gzip"]).is_err());
        assert!(of(&["compress"]).is_err());
    }
}

//! Content codings (RFC 9110, section 8.4), undone while the body comes in.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// What is asked for with `--compressed`.
pub(crate) const ACCEPT: &str = "gzip, deflate, br, zstd";

/// More codings on one body than this are an attack.
const MOST: usize = 2;

const BUFFER: usize = 64 * 1024;

/// The codings of a Content-Encoding, in the order they were applied.
pub(crate) fn codings<'a>(values: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let codings: Vec<String> = values
        .flat_map(|value| value.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    if codings.len() > MOST {
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

/// A reader of the decoded body.
pub(crate) fn decoder<'a>(
    source: impl Read + 'a,
    codings: &[String],
) -> io::Result<Box<dyn Read + 'a>> {
    let mut reader: Box<dyn Read + 'a> = Box::new(source);
    for coding in codings.iter().rev() {
        let mut buffered = BufReader::with_capacity(BUFFER, reader);
        let start = buffered.fill_buf()?;
        // Nothing at all stands for nothing, whatever the coding.
        if start.is_empty() {
            return Ok(Box::new(io::empty()));
        }
        reader = match coding.as_str() {
            "deflate" => {
                // Meant is zlib; some servers send the bare stream.
                if is_zlib(start) {
                    Box::new(ZlibDecoder::new(buffered))
                } else {
                    Box::new(DeflateDecoder::new(buffered))
                }
            }
            "br" => Box::new(brotli_decompressor::Decompressor::new(buffered, BUFFER)),
            "zstd" => Box::new(Zstd::new(buffered)?),
            _ => Box::new(MultiGzDecoder::new(buffered)),
        };
    }
    Ok(reader)
}

fn is_zlib(start: &[u8]) -> bool {
    match start {
        [cmf, flg, ..] => cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)) % 31 == 0,
        // One byte so far: what every zlib stream in use begins with.
        [cmf] => cmf & 0x8f == 0x08,
        [] => false,
    }
}

/// Zstandard frames one after the other (RFC 8878, section 3).
struct Zstd<R: BufRead> {
    frame: Option<Frame<R>>,
}

type Frame<R> = ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>;

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> io::Result<Self> {
        Ok(Self {
            frame: Some(frame(source)?),
        })
    }
}

fn frame<R: BufRead>(source: R) -> io::Result<Frame<R>> {
    Frame::new(source).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(current) = &mut self.frame else {
                return Ok(0);
            };
            let n = current.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(done) = self.frame.take() else {
                return Ok(0);
            };
            let mut source = done.into_inner();
            if !source.fill_buf()?.is_empty() {
                self.frame = Some(frame(source)?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let br = b"\x0f\x01\x80hi\n\x03";
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
    fn which_codings() {
        let of = |values: &[&'static str]| codings(values.iter().copied());
        assert_eq!(of(&["GZIP, identity"]).unwrap(), ["gzip"]);
        assert!(of(&["gzip, gzip", "gzip"]).is_err());
        assert!(of(&["compress"]).is_err());
    }
}

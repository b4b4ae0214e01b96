//! Content codings: a coded body decodes to itself, also after itself, a changed
//! body never decodes to anything else, and arbitrary bytes decode as in zstd's
//! own decoder.
#![no_main]

use std::io::{Read, Write};

use httpget::http::coding;
use libfuzzer_sys::fuzz_target;

/// The largest decoded length, however small the input is.
const LIMIT: u64 = 1 << 20;

fn decode(bytes: &[u8], codings: &[&str]) -> Option<Vec<u8>> {
    let codings: Vec<String> = codings.iter().map(ToString::to_string).collect();
    let mut all = Vec::new();
    coding::decoder(bytes, &codings)
        .and_then(|reader| reader.take(LIMIT).read_to_end(&mut all))
        .ok()
        .map(|_| all)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(bytes).expect("writing to memory succeeds");
    coder.finish().expect("writing to memory succeeds")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut coder = zstd::stream::Encoder::new(Vec::new(), 1).expect("writing to memory succeeds");
    coder
        .include_checksum(true)
        .expect("writing to memory succeeds");
    coder.write_all(bytes).expect("writing to memory succeeds");
    coder.finish().expect("writing to memory succeeds")
}

fuzz_target!(|input: (&[u8], u16, u8)| {
    let (bytes, at, mask) = input;
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let _ = decode(bytes, &[coding]);
    }
    if let Ok(expected) = zstd::stream::decode_all(bytes)
        && (expected.len() as u64) < LIMIT
        && let Some(decoded) = decode(bytes, &["zstd"])
    {
        assert_eq!(decoded, expected);
    }
    for (coding, coded) in [("gzip", gzip(bytes)), ("zstd", zstd(bytes))] {
        assert_eq!(decode(&coded, &[coding]).as_deref(), Some(bytes));
        let twice = [&coded[..], &coded].concat();
        assert_eq!(decode(&twice, &[coding]), Some([bytes, bytes].concat()));
        let end = usize::from(at) % coded.len();
        if end > 0 {
            assert_eq!(decode(&coded[..end], &[coding]), None);
        }
        // The checksums allow only the right content, or none if the frame has
        // become a skippable one.
        let mut changed = coded;
        changed[end] ^= mask;
        if let Some(decoded) = decode(&changed, &[coding]) {
            assert!(decoded == bytes || decoded.is_empty());
        }
    }
});

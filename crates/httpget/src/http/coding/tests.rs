//! Tests of the content codings.

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
fn every_coding_is_decoded() {
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
    // "hi\n" as coded by the brotli and zstd programs.
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
fn truncated_and_invalid_bodies_fail() {
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
fn errors_say_what_is_wrong() {
    let message = |bytes: &[u8], coding: &str| decode(bytes, &[coding]).unwrap_err().to_string();
    let br = b"\x0b\x01\x80hi\n\x03";
    for end in 1..br.len() {
        assert_eq!(message(&br[..end], "br"), "unexpected end of data", "{end}");
    }
    // A reserved bit.
    assert_eq!(message(b"\x1c\0\0\0\0\0\0\0", "br"), "the data is corrupt");
    let gz = gzip(b"hello");
    for trailing in [
        &b"x"[..],
        b"\0\0\0\0",
        b"more bytes than a header",
        b"\x1fmore bytes, also",
    ] {
        let follow = "bytes follow the end of the compressed data";
        assert_eq!(message(&[br, trailing].concat(), "br"), follow);
        assert_eq!(
            message(&[&gz, trailing].concat(), "gzip"),
            follow,
            "{trailing:?}"
        );
    }
    // A second member with a truncated header is a truncated body.
    assert_eq!(
        message(&[&gz, &gz[..5]].concat(), "gzip"),
        message(&gz[..5], "gzip")
    );
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns a zstd frame that announces this window (RFC 8878, section 3.1.1.1.2)
/// and holds `blocks` RLE blocks of 128 KiB.
fn zstd_rle(window: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for number in 1..=blocks {
        frame.extend([2 | u8::from(number == blocks), 0, 0x10, b'x']);
    }
    frame
}

/// Returns a brotli stream with these four window bits and `pieces` uncompressed
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
    // 2^(10 + 13) is 8 MiB, the largest window; the next step is 1/8 more.
    assert_eq!(
        decode(&zstd_rle(13 << 3, 3), &["zstd"]).unwrap().len(),
        3 << 17
    );
    for window in [13 << 3 | 1, 136, 160, 248, 255] {
        refused(&zstd_rle(window, 3), "zstd");
        // Also in a later frame, and after a skippable one.
        refused(&[zstd(b"x"), zstd_rle(window, 3)].concat(), "zstd");
        refused(
            &[b"\x50\x2a\x4d\x18\0\0\0\0", &zstd_rle(window, 3)[..]].concat(),
            "zstd",
        );
    }
    // The window of a single segment is its content size.
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
    // Brotli: a large window of 2^30, and a window of 16 MiB of which more than
    // 8 MiB are used, by uncompressed meta-blocks (RFC 7932, section 9.2).
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
    let assert_fails = |bytes: &[u8]| assert!(decode(bytes, &["zstd"]).is_err(), "{bytes:x?}");
    let good = zstd(b"hello");
    for at in 0..4 {
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last - at] ^= 1;
        assert_fails(&bad);
        // Also in a frame before another one.
        assert_fails(&[bad, good.clone()].concat());
    }
    // Announced lengths of 1000, 10^14 and 2 bytes for 3 bytes of data.
    for announced in [1000_u64, 100_000_000_000_000, 2] {
        let mut frame = b"\x28\xb5\x2f\xfd\xc0\x58".to_vec();
        frame.extend(announced.to_le_bytes());
        frame.extend(b"\x19\0\0abc");
        assert_fails(&frame);
    }
    // An unknown dictionary, and a reserved bit.
    assert_fails(b"\x28\xb5\x2f\xfd\x21\x07\x03\x19\0\0abc");
    assert_fails(b"\x28\xb5\x2f\xfd\x28\x03\x19\0\0abc");
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
fn trailing_bytes_are_an_error() {
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
        // Up to more than one buffer.
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
    fn zstd_round_trips(bytes: Vec<u8>, flip: usize, bit in 0..8) {
        let coded = zstd(&bytes);
        prop_assert_eq!(&decode(&coded, &["zstd"]).unwrap(), &bytes);
        let mut changed = coded.clone();
        changed[flip % coded.len()] ^= 1_u8 << bit;
        // A changed body never decodes to other content.
        if let Ok(decoded) = decode(&changed, &["zstd"]) {
            prop_assert!(decoded == bytes || decoded.is_empty());
        }
    }
}

#[test]
fn values_of_content_encoding() {
    let of = |values: &[&'static str]| codings(values.iter().copied());
    assert_eq!(of(&["GZIP, identity"]).unwrap(), ["gzip"]);
    assert!(of(&["gzip, gzip", "gzip"]).is_err());
    assert!(of(&["compress"]).is_err());
}

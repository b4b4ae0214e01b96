//! Encodings of bytes as text, as dig prints them: names and strings with RFC 1035
//! escapes, hexadecimal, base64, base32hex, and DNSSEC timestamps.
//!
//! The escapes are our own: those of the `domain` crate differ from dig's for spaces,
//! quotes, parentheses, `;`, `@` and `$`.

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXUPPER};
use domain::base::name::ToLabelIter;
use jiff::Timestamp;
use jiff::tz::Offset;

/// The length of the words into which dig breaks hexadecimal and base64 fields.
const WORD: usize = 56;

/// Shows a name with its final dot. Bytes outside 0x21-0x7e become `\DDD`, and
/// characters with a meaning in zone files `\X`.
pub(crate) fn name(name: &impl ToLabelIter) -> String {
    let mut text = String::new();
    for label in name.iter_labels() {
        if label.is_root() {
            break;
        }
        for &byte in label.as_slice() {
            match byte {
                b'"' | b'(' | b')' | b'.' | b';' | b'\\' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(byte));
                }
                0x21..=0x7e => text.push(char::from(byte)),
                _ => decimal(&mut text, byte),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// Shows a character string without quotes; bytes outside 0x20-0x7e become `\DDD`.
pub(crate) fn string(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            0x20..=0x7e => text.push(char::from(byte)),
            _ => decimal(&mut text, byte),
        }
    }
    text
}

/// Shows a character string in double quotes.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", string(bytes))
}

fn decimal(text: &mut String, byte: u8) {
    text.push('\\');
    text.push(char::from(b'0' + byte / 100));
    text.push(char::from(b'0' + byte / 10 % 10));
    text.push(char::from(b'0' + byte % 10));
}

/// Encodes bytes in upper-case hexadecimal, in one word.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXUPPER.encode(bytes)
}

/// Encodes bytes in padded base64 (RFC 4648, section 4), in one word.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Encodes bytes in unpadded base32 with the extended hex alphabet (RFC 5155).
pub(crate) fn base32hex(bytes: &[u8]) -> String {
    BASE32HEX_NOPAD.encode(bytes)
}

/// Breaks a long field into words, as dig does.
pub(crate) fn split_words(text: &str) -> String {
    let mut broken = String::with_capacity(text.len() + text.len() / WORD);
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i % WORD == 0 {
            broken.push(' ');
        }
        broken.push(c);
    }
    broken
}

/// Shows seconds since 1970 as `YYYYMMDDHHmmSS` (RFC 4034, section 3.2).
pub(crate) fn timestamp(seconds: u32) -> String {
    // Every 32-bit number of seconds is in range, so the default is never used.
    let at = Timestamp::from_second(seconds.into()).unwrap_or_default();
    let at = Offset::UTC.to_datetime(at);
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_encoded() {
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base32hex(b"foobar"), "CPNMUOJ1E8");
        assert_eq!(timestamp(0), "19700101000000");
        assert_eq!(timestamp(1_709_164_800), "20240229000000");
        assert_eq!(timestamp(u32::MAX), "21060207062815");
        assert_eq!(hex(b"\x00\xaf"), "00AF");
        assert_eq!(string(b"a\"b\\c\x07\xc3"), "a\\\"b\\\\c\\007\\195");
        assert_eq!(split_words(&"a".repeat(57)).len(), 58);
    }
}

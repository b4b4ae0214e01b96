//! Encodings of bytes as text, as dig prints them: names and strings with RFC 1035
//! escapes, hexadecimal, base64, base32hex, and DNSSEC timestamps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::base::name::ToLabelIter;

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
    let digit = |n: u8| char::from(b"0123456789ABCDEF"[usize::from(n)]);
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(b & 15)])
        .collect()
}

/// Encodes bytes in padded base64 (RFC 4648, section 4), in one word.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Encodes bytes in unpadded base32 with the extended hex alphabet (RFC 5155).
pub(crate) fn base32hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
    let (mut text, mut bits, mut count) = (String::new(), 0u32, 0);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(DIGITS[(bits >> count & 31) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(char::from(DIGITS[(bits << (5 - count) & 31) as usize]));
    }
    text
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
    let (days, rest) = (i64::from(seconds / 86400), seconds % 86400);
    // Converts days to a date of the Gregorian calendar, with years from March on.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}{:02}{:02}{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
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
        assert_eq!(string(b"a\"b\\c\x07\xc3"), "a\\\"b\\\\c\\007\\195");
        assert_eq!(split_words(&"a".repeat(57)).len(), 58);
    }
}

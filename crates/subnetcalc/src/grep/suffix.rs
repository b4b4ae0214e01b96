//! The text that can follow an address: its end, a zone, a prefix length, or a port
//! after a dot.

use super::found::{Address, Found};

/// The longest zone in bytes: on Linux, names of interfaces have at most 15.
pub(super) const MAX_ZONE_LEN: usize = 15;

/// Returns whether an address may end at this index.
#[inline]
pub(super) fn may_end(text: &[u8], end: usize, dot_port: bool) -> bool {
    match text.get(end) {
        None => true,
        Some(b'.') => {
            !text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
                || dot_port && is_port(&text[end + 1..])
        }
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

/// Returns whether text starts with a complete port number, 1 to 65535.
pub(super) fn is_port(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_complete = text
        .get(digits)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
    let value = text[..digits.min(6)]
        .iter()
        .fold(0_u32, |value, byte| value * 10 + u32::from(byte - b'0'));
    is_complete && text.first() != Some(&b'0') && (1..=65535).contains(&value)
}

/// Returns the number of bytes of a complete `/LEN` at the start of text.
pub(super) fn prefix_length(text: &[u8], max: u32) -> Option<usize> {
    let digits = text.strip_prefix(b"/")?;
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let has_leading_zero = count > 1 && digits[0] == b'0';
    let value = digits[..count.min(4)]
        .iter()
        .fold(0_u32, |value, byte| value * 10 + u32::from(byte - b'0'));
    let is_valid = count > 0 && !has_leading_zero && value <= max;
    (is_valid && may_end(digits, count, false)).then_some(1 + count)
}

/// Returns the `/LEN` that follows an address, possibly after a zone, or an empty
/// text. An address after `//` or `@` has none: there the slash starts the path of a
/// URL.
pub(crate) fn written_length(text: &[u8], found: Found) -> &[u8] {
    let (before, after) = (&text[..found.start], &text[found.end..]);
    if before.ends_with(b"//") || before.ends_with(b"@") {
        return b"";
    }
    let (max, after) = match found.address {
        Address::V4(_) => (32, after),
        Address::V6(_) => (128, &after[zone_length(after)..]),
    };
    &after[..prefix_length(after, max).unwrap_or(0)]
}

/// Returns the number of bytes of a zone (`%eth0`, RFC 4007 section 11) at the start
/// of text, 0 without a zone.
pub(super) fn zone_length(text: &[u8]) -> usize {
    let Some(name) = text.strip_prefix(b"%") else {
        return 0;
    };
    let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let length = name
        .iter()
        .take_while(|byte| is_valid(byte))
        .take(MAX_ZONE_LEN + 1);
    match length.count() {
        length @ 1..=MAX_ZONE_LEN => 1 + length,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grep::scan::Scan;

    #[test]
    fn prefix_lengths_follow_addresses() {
        let of = |line: &'static str| {
            let text = line.as_bytes();
            let all: Vec<String> = Scan::new(text, false)
                .map(|found| {
                    let length = std::str::from_utf8(written_length(text, found)).unwrap();
                    format!("{}{length}", &line[found.start..found.end])
                })
                .collect();
            all.join(" ")
        };
        for (line, expected) in [
            ("{\"ip_prefix\":\"3.5.140.0/22\"}", "3.5.140.0/22"),
            ("10.0.0.1/24, 2001:db8::/32.", "10.0.0.1/24 2001:db8::/32"),
            (
                "10.0.0.0/33 10.0.0.0/024 10.0.0.0/24x",
                "10.0.0.0 10.0.0.0 10.0.0.0",
            ),
            (
                "10.0.0.0/24.5 10.0.0.0/255.255.255.0",
                "10.0.0.0 10.0.0.0 255.255.255.0",
            ),
            ("http://10.0.0.1/24 user@10.0.0.2/24", "10.0.0.1 10.0.0.2"),
            ("::/0 ::1/129", "::/0 ::1"),
            ("10.0.0.1/ 10.0.0.0/8/9", "10.0.0.1 10.0.0.0/8"),
            // A zone is not part of the result.
            ("fe80::1%eth0/64 fe80::2%br-lan.7", "fe80::1/64 fe80::2"),
            (
                "fe80::1%/64 fe80::2%a_name_of_16_by/64 fe80::3%a_name_of_16_byt/64",
                "fe80::1 fe80::2/64 fe80::3",
            ),
            ("10.0.0.1%eth0/24", "10.0.0.1"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}

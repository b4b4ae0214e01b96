//! Finds the address in the first field of a line.

use crate::parse;

use super::found::{Address, Found};
use super::scan::{MAX_ADDRESS_LEN, is_bare_double_colon};
use super::suffix::{MAX_ZONE_LEN, is_port, prefix_length, zone_length};

/// Returns the address if the first field of a line consists of one: bare or in
/// brackets, with a zone, with `/LEN`, or with `:PORT` (for IPv6 only after
/// brackets). The field ends at white space, a comma, a semicolon or a bar.
#[inline]
pub(crate) fn first_field(line: &[u8], dot_port: bool) -> Option<Found> {
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let field = &line[start..];
    if let Some((bits, length)) = parse::v4(field) {
        let found = Found {
            start,
            end: start + length,
            address: Address::V4(bits),
        };
        return field_ends(&field[length..], 32, true, dot_port).then_some(found);
    }
    if let Some(inside) = field.strip_prefix(b"[") {
        let close = inside[..inside.len().min(MAX_ADDRESS_LEN + 1 + MAX_ZONE_LEN + 1)]
            .iter()
            .position(|byte| *byte == b']')?;
        let (address, length, max) = bracketed_address(&inside[..close])?;
        let found = Found {
            start: start + 1,
            end: start + 1 + length,
            address,
        };
        return field_ends(&inside[close + 1..], max, true, false).then_some(found);
    }
    let (bits, length) = parse::v6(field, |end| field_ends(&field[end..], 128, false, dot_port))?;
    if bits == 0 && is_bare_double_colon(line, start, start + length) {
        return None;
    }
    Some(Found {
        start,
        end: start + length,
        address: Address::V6(bits),
    })
}

/// Returns whether a field ends after its address, with a port, a prefix length of
/// at most `max` or a zone between them.
#[inline]
fn field_ends(rest: &[u8], max: u32, allows_port: bool, dot_port: bool) -> bool {
    let ends = |at: usize| match rest.get(at) {
        None => true,
        Some(byte) => byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'|'),
    };
    if ends(0) {
        return true;
    }
    let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit());
    let digits = digits.count();
    match rest[0] {
        b':' => allows_port && (1..=5).contains(&digits) && ends(1 + digits),
        b'.' => dot_port && is_port(&rest[1..]) && ends(1 + digits),
        b'/' => prefix_length(rest, max).is_some_and(ends),
        b'%' if max == 128 && !allows_port => match zone_length(rest) {
            0 => false,
            zone => {
                ends(zone) || prefix_length(&rest[zone..], max).is_some_and(|at| ends(zone + at))
            }
        },
        _ => false,
    }
}

/// Parses the text in brackets, an address with or without a zone. Returns the
/// address, its length in bytes and the longest prefix length of its family.
fn bracketed_address(text: &[u8]) -> Option<(Address, usize, u32)> {
    if let Some((bits, length)) = parse::v4(text) {
        return (length == text.len()).then_some((Address::V4(bits), length, 32));
    }
    let ends = |end: usize| end + zone_length(&text[end..]) == text.len();
    parse::v6(text, ends).map(|(bits, length)| (Address::V6(bits), length, 128))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_field_can_have_many_forms() {
        let field = |line: &str, dot_port| {
            first_field(line.as_bytes(), dot_port).map(|f| line[f.start..f.end].to_owned())
        };
        let of = |line: &str| field(line, false);
        for (line, expected) in [
            ("10.0.0.1 x", "10.0.0.1"),
            ("  10.0.0.1\tx", "10.0.0.1"),
            ("10.0.0.1:80 x", "10.0.0.1"),
            ("[10.0.0.1]:80", "10.0.0.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443 -", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:10.0.0.1 -", "::ffff:10.0.0.1"),
            ("10.0.0.1,foo", "10.0.0.1"),
            ("10.0.0.2;x", "10.0.0.2"),
            ("10.0.0.3|y", "10.0.0.3"),
            ("10.0.0.4/24 z", "10.0.0.4"),
            ("10.0.0.4/24,z", "10.0.0.4"),
            ("2001:db8::/32|z", "2001:db8::"),
            ("2001:db8::1,z", "2001:db8::1"),
            ("[2001:db8::1]/64;z", "2001:db8::1"),
            ("10.0.0.1:80,z", "10.0.0.1"),
            ("::/0 default", "::"),
            ("[::]:80", "::"),
            ("2001:db8::1%lo", "2001:db8::1"),
            ("fe80::1%eth0 x", "fe80::1"),
            ("fe80::1%br-lan.7,x", "fe80::1"),
            ("fe80::1%eth0/64 x", "fe80::1"),
            ("[fe80::1%eth0]:80 x", "fe80::1"),
            ("[fe80::1%eth0]/64", "fe80::1"),
            (
                "[1111:2222:3333:4444:5555:6666:123.123.123.123%interface-names]:80",
                "1111:2222:3333:4444:5555:6666:123.123.123.123",
            ),
        ] {
            assert_eq!(of(line).as_deref(), Some(expected), "{line}");
        }
        for line in [
            "",
            " ",
            "x 10.0.0.1",
            ",10.0.0.1",
            ":: INFO",
            "::",
            "10.0.0.1/33",
            "10.0.0.1/024",
            "10.0.0.1/24/8",
            "10.0.0.1-10.0.0.9",
            "10.0.0.1.443",
            "2001:db8::1/129",
            "[2001:db8::1/32]",
            "10.0.0.1:",
            "10.0.0.1:x",
            "10.0.0.1:123456",
            "[10.0.0.1",
            "[10.0.0.1]x",
            "10.0.0.1.",
            "10.0.0.1:80:90",
            "2001:db8::1%",
            "2001:db8::1%lo:80",
            "2001:db8::1%a_name_of_16_byt",
            "[fe80::1%]",
            "[fe80::1]%eth0",
            "10.0.0.1%eth0",
            "[10.0.0.1%eth0]",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_port_may_follow_a_dot() {
        let field = |line: &str| first_field(line.as_bytes(), true).map(|found| found.end);
        assert_eq!(field("10.0.0.1.443 x"), Some(8));
        assert_eq!(field("2001:db8::1.443 x"), Some(11));
        assert_eq!(field("10.0.0.1.443.1 x"), None);
    }

    proptest! {
        #[test]
        fn a_field_that_is_found_is_an_address(text: Vec<u8>, line in "[0-9a-f:.,/\\[\\] ]{0,40}", dot_port: bool) {
            for text in [&text, line.as_bytes()] {
                if let Some(found) = first_field(text, dot_port) {
                    let text = std::str::from_utf8(&text[found.start..found.end]).unwrap();
                    prop_assert!(text.parse::<std::net::IpAddr>().is_ok());
                }
            }
        }
    }
}

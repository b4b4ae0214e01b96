//! Addresses in text, by the rules of a word: no letter, digit or dot stands
//! before one, nor after it, except a dot that ends a sentence or, if asked
//! for, one before a port as tcpdump writes it. At each place the longest
//! address counts, and what has been part of one is part of no other: the quad
//! at the end of `::ffff:10.0.0.9` is not an IPv4 address. A bare `::` separates
//! words in many logs and is not an address.
//!
//! Every address has a dot or a colon, so the scan goes from one to the next
//! and looks around it. Most are no address, which three or four bytes tell.

use crate::parse;

/// No address is longer: eight groups, the last two as a dotted quad.
pub(super) const LONGEST: usize = 45;

/// Bytes before a dot or colon that decide whether it belongs to an address:
/// a group of four digits and what stands before it.
pub(crate) const BEFORE: usize = 8;
/// Bytes from a dot or colon on that decide what the address is and where it
/// ends.
pub(crate) const AFTER: usize = LONGEST + 1 + ZONE_MAX + 8;

/// The longest zone that is taken for one: names of interfaces on Linux have at
/// most 15 bytes.
pub(super) const ZONE_MAX: usize = 15;

/// An address and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its first byte.
    pub(crate) start: usize,
    /// Behind its last byte.
    pub(crate) end: usize,
    /// The address.
    pub(crate) address: Address,
}

/// An address of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// IPv4.
    V4(u32),
    /// IPv6.
    V6(u128),
}

/// Walks the addresses of a text from left to right.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    text: &'a [u8],
    /// Where to look for the next dot or colon.
    at: usize,
    /// What lies before this was part of an address.
    taken: usize,
    /// Only IPv4 addresses are asked for.
    v4_only: bool,
    /// An address may be followed by a dot and a port.
    dot_port: bool,
}

impl<'a> Scan<'a> {
    /// All addresses of a text.
    pub(crate) fn new(text: &'a [u8], dot_port: bool) -> Self {
        Self {
            text,
            at: 0,
            taken: 0,
            v4_only: false,
            dot_port,
        }
    }

    /// Its IPv4 addresses, without stopping at every colon.
    pub(crate) fn v4_only(text: &'a [u8], dot_port: bool) -> Self {
        Self {
            v4_only: true,
            ..Self::new(text, dot_port)
        }
    }

    /// Continues at the [`Scan::position`] of another scan. The [`BEFORE`] bytes
    /// before that place must still be in the text.
    pub(crate) fn resumed(text: &'a [u8], (at, taken): (usize, usize), dot_port: bool) -> Self {
        Self {
            at,
            taken,
            ..Self::new(text, dot_port)
        }
    }

    /// Where the next dot or colon is looked for, and where the last address
    /// ended.
    pub(crate) fn position(&self) -> (usize, usize) {
        (self.at, self.taken)
    }

    /// The next address whose first dot or colon is before `limit`. If there
    /// is none, the scan stops at the next dot or colon.
    #[inline]
    pub(crate) fn next_before(&mut self, limit: usize) -> Option<Found> {
        loop {
            let rest = &self.text[self.at..];
            let hit = if self.v4_only {
                memchr::memchr(b'.', rest)
            } else {
                memchr::memchr2(b'.', b':', rest)
            };
            let Some(hit) = hit.map(|hit| self.at + hit).filter(|hit| *hit < limit) else {
                self.at += hit.unwrap_or(rest.len());
                return None;
            };
            if self.text[hit] == b':' {
                match self.groups(hit) {
                    Ok(found) => return Some(self.take(found)),
                    Err(at) => self.at = at,
                }
                continue;
            }
            self.at = hit + 1;
            if let Some(found) = self.quad(hit) {
                if self.v4_only
                    && found.start > self.taken
                    && self.text[found.start - 1] == b':'
                    && let Some(longer) = self.around(found)
                {
                    // It is of the other family.
                    self.take(longer);
                    continue;
                }
                return Some(self.take(found));
            }
        }
    }

    fn take(&mut self, found: Found) -> Found {
        self.at = found.end;
        self.taken = found.end;
        found
    }

    /// The dotted quad whose first dot is at `dot`.
    #[inline]
    fn quad(&self, dot: usize) -> Option<Found> {
        let text = self.text;
        let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
        if dot == self.taken || !digit(dot - 1) || !digit(dot + 1) {
            return None;
        }
        let mut start = dot - 1;
        while start > self.taken && dot - start < 3 && digit(start - 1) {
            start -= 1;
        }
        if start > 0 && !opens(text[start - 1]) {
            return None;
        }
        let (bits, length) = parse::v4(&text[start..])?;
        let end = start + length;
        let found = Found {
            start,
            end,
            address: Address::V4(bits),
        };
        closes(text, end, self.dot_port).then_some(found)
    }

    /// The IPv6 address whose first colon is at `colon`, or where to go on.
    fn groups(&self, colon: usize) -> Result<Found, usize> {
        let text = self.text;
        // Without a `::` and with few colons there is none here. The look ahead
        // has an end, or a line of nothing but colons would take for ever.
        let limit = text.len().min(colon + LONGEST);
        let mut end = colon;
        let (mut colons, mut double) = (0, false);
        while end < limit {
            if text[end] == b':' {
                colons += 1;
                double |= text.get(end + 1) == Some(&b':');
            } else if !text[end].is_ascii_hexdigit() {
                break;
            }
            end += 1;
        }
        if !double && colons < 6 {
            return Err(if end < limit { end } else { colon + 1 });
        }
        let mut start = colon;
        while start > self.taken && colon - start < 4 && text[start - 1].is_ascii_hexdigit() {
            start -= 1;
        }
        if start > 0 && !opens(text[start - 1]) {
            return Err(colon + 1);
        }
        let rest = &text[start..];
        match parse::v6(rest, |end| closes(rest, end, self.dot_port)) {
            Some((bits, length)) if bits != 0 || !is_bare(text, start, start + length) => {
                Ok(Found {
                    start,
                    end: start + length,
                    address: Address::V6(bits),
                })
            }
            _ => Err(colon + 1),
        }
    }

    /// The IPv6 address that a quad behind a colon is the end of.
    #[cold]
    fn around(&self, quad: Found) -> Option<Found> {
        let before = self.text[self.taken..quad.start].iter();
        let run = before
            .rev()
            .take_while(|byte| byte.is_ascii_hexdigit() || **byte == b':' || **byte == b'.')
            .count();
        let mut scan = Self {
            at: quad.start - run,
            v4_only: false,
            ..self.clone()
        };
        scan.find(|found| found.end > quad.start)
            .filter(|found| found.start < quad.start)
    }
}

impl Iterator for Scan<'_> {
    type Item = Found;

    #[inline]
    fn next(&mut self) -> Option<Found> {
        self.next_before(usize::MAX)
    }
}

/// Whether an address may follow this byte.
#[inline]
fn opens(before: u8) -> bool {
    !before.is_ascii_alphanumeric() && before != b'.'
}

/// Whether an address may end here.
#[inline]
fn closes(text: &[u8], end: usize, dot_port: bool) -> bool {
    match text.get(end) {
        None => true,
        Some(b'.') => {
            !text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
                || dot_port && is_port(&text[end + 1..])
        }
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

/// Whether text begins with a port from 1 to 65535 that ends there.
pub(super) fn is_port(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = text
        .get(digits)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
    let value = text[..digits.min(6)]
        .iter()
        .fold(0_u32, |value, byte| value * 10 + u32::from(byte - b'0'));
    ends && text.first() != Some(&b'0') && (1..=65535).contains(&value)
}

/// Whether the text from `start` to `end` is a `::` that stands for nothing:
/// without a prefix length, and not in brackets.
pub(super) fn is_bare(text: &[u8], start: usize, end: usize) -> bool {
    let bracketed = start > 0 && text[start - 1] == b'[' && text.get(end) == Some(&b']');
    text[start..end] == *b"::" && !bracketed && prefix_length(&text[end..], 128).is_none()
}

/// The bytes of a `/LEN` at the start of text that stands free.
pub(super) fn prefix_length(text: &[u8], max: u32) -> Option<usize> {
    let digits = text.strip_prefix(b"/")?;
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let leading_zero = count > 1 && digits[0] == b'0';
    let value = digits[..count.min(4)]
        .iter()
        .fold(0_u32, |value, byte| value * 10 + u32::from(byte - b'0'));
    let valid = count > 0 && !leading_zero && value <= max;
    (valid && closes(digits, count, false)).then_some(1 + count)
}

/// The `/LEN` that is written after a found address, empty if there is none.
/// Between them there may be a zone. After `//` and `@` a slash begins the path
/// of a URL.
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

/// The bytes of a zone (`%eth0`, RFC 4007 section 11) at the start of text; 0 if
/// there is none.
pub(super) fn zone_length(text: &[u8]) -> usize {
    let Some(name) = text.strip_prefix(b"%") else {
        return 0;
    };
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let length = name.iter().take_while(|byte| part(byte)).take(ZONE_MAX + 1);
    match length.count() {
        length @ 1..=ZONE_MAX => 1 + length,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Looking ahead to the end of the run from each colon, these took minutes.
    #[test]
    fn a_line_of_colons_takes_no_longer_than_others() {
        for piece in [":", "a:", "::", "1:2:3:4:5:6:7:8:", ":::1.2.3.4"] {
            let line = piece.repeat(60_000);
            let scan = Scan::new(line.as_bytes(), true);
            assert!(scan.count() <= line.len() / 2, "{piece}");
        }
    }

    fn texts(line: &str) -> Vec<&str> {
        Scan::new(line.as_bytes(), false)
            .map(|found| &line[found.start..found.end])
            .collect()
    }

    /// The rule taken literally: at each place from the left the longest text
    /// that is an address and stands free.
    fn literally(line: &[u8], dot_port: bool) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        let (mut start, mut taken) = (0, 0);
        while start < line.len() {
            let free = start == 0 || opens(line[start - 1]);
            let end = (start + 1..=line.len().min(start + 45)).rev().find(|&end| {
                free && closes(line, end, dot_port)
                    && !is_bare(line, start, end)
                    && std::str::from_utf8(&line[start..end])
                        .is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok())
            });
            match end {
                Some(end) => {
                    all.push((start, end));
                    taken = end;
                    start = end;
                }
                None => start += 1,
            }
        }
        let _ = taken;
        all
    }

    #[test]
    fn words() {
        for (line, expected) in [
            ("10.0.0.6", &["10.0.0.6"][..]),
            ("seen 10.0.0.6.", &["10.0.0.6"]),
            ("10.0.0.6. And", &["10.0.0.6"]),
            (
                "10.0.0.1:80 [10.0.0.2] a=10.0.0.3,b",
                &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            ),
            ("[2001:db8::1]:443", &["2001:db8::1"]),
            (
                "2001:db8::1. 2001:db8::2: refused",
                &["2001:db8::1", "2001:db8::2"],
            ),
            ("x10.0.0.7y 10.0.0.7y x10.0.0.7", &[]),
            ("1.2.3.4.5 1.2.10.0.0.6 10.0.0.6.example.com", &[]),
            (
                "10.0.0.0/8 10.0.0.1-10.0.0.9",
                &["10.0.0.0", "10.0.0.1", "10.0.0.9"],
            ),
            (
                "::ffff:10.0.0.9 ::10.0.0.8",
                &["::ffff:10.0.0.9", "::10.0.0.8"],
            ),
            ("src:10.0.0.1 a:10.0.0.2", &["10.0.0.1", "10.0.0.2"]),
            ("010.0.0.1 10.0.0.01 256.1.1.1 1.2.3.256", &[]),
            ("fe80::1%eth0 dst=fe80::2;", &["fe80::1", "fe80::2"]),
            (
                "[10/Oct/2023:13:55:36 +0000] http://x Chrome/91.0.4472.124",
                &[],
            ),
            ("00:1b:21:3c:9d:f8 12:34:56", &[]),
            ("1:2:3:4:5:6:7:8 std::fmt", &["1:2:3:4:5:6:7:8"]),
            ("addr:2001:db8::1:", &["2001:db8::1"]),
            ("", &[]),
            (".", &[]),
            (":", &[]),
            ("1.2.3.4", &["1.2.3.4"]),
            ("..1.2.3.4 1.2.3.4..", &["1.2.3.4"]),
        ] {
            assert_eq!(texts(line), expected, "{line}");
        }
    }

    #[test]
    fn ports_behind_a_dot() {
        let of = |line: &'static str| {
            let scan = Scan::new(line.as_bytes(), true);
            let all: Vec<&str> = scan.map(|found| &line[found.start..found.end]).collect();
            all.join(" ")
        };
        for (line, expected) in [
            (
                "IP 10.1.1.117.4222 > 1.1.1.1.443: Flags",
                "10.1.1.117 1.1.1.1",
            ),
            (
                "IP6 2001:db8::1.443 > fe80::2.53: UDP",
                "2001:db8::1 fe80::2",
            ),
            ("::ffff:10.0.0.1.22 x", "::ffff:10.0.0.1"),
            ("10.0.0.1.65535", "10.0.0.1"),
            ("10.0.0.1.65536 10.0.0.2.0 10.0.0.3.080", ""),
            ("1.2.3.4.5.6 1.2.3.4.5. 1.2.3.4.5a", ""),
            ("10.0.0.1 10.0.0.2. x", "10.0.0.1 10.0.0.2"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn a_bare_double_colon_is_not_an_address() {
        for (line, expected) in [
            ("2024-01-01 :: INFO :: started", &[][..]),
            ("::", &[]),
            ("std:: ::x", &[]),
            ("::/0 via [::]:80", &["::", "::"]),
            (":: ::1", &["::1"]),
            ("0:: 0::0", &["0::", "0::0"]),
        ] {
            assert_eq!(texts(line), expected, "{line}");
        }
    }

    #[test]
    fn prefix_lengths() {
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
            // The zone is not part of the result.
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

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[0-9a-f:. ]{1,6}",
            2 => any::<u32>().prop_map(|bits| std::net::Ipv4Addr::from_bits(bits).to_string()),
            2 => any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string()),
            1 => "(2001:db8)?::[0-9a-f]{0,4}",
            1 => "::ffff:1\\.2\\.3\\.[0-9]{1,3}",
            1 => "[a-z:./\\[\\]_-]{1,3}",
            1 => "[0-9]{1,3}\\.[0-9]\\.[0-9]\\.[0-9]{1,2}",
        ];
        proptest::collection::vec(piece, 0..10).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn as_the_rule_says(line in pieces(), dot_port: bool) {
            let scan = Scan::new(line.as_bytes(), dot_port);
            let found: Vec<_> = scan.clone().map(|f| (f.start, f.end)).collect();
            prop_assert_eq!(&found, &literally(line.as_bytes(), dot_port), "{}", line);
            let all: Vec<_> = scan.filter(|f| matches!(f.address, Address::V4(_))).collect();
            let only: Vec<_> = Scan::v4_only(line.as_bytes(), dot_port).collect();
            prop_assert_eq!(only, all, "{}", line);
        }

        #[test]
        fn bytes_of_any_kind(text: Vec<u8>) {
            for found in Scan::new(&text, true) {
                let text = std::str::from_utf8(&text[found.start..found.end]).unwrap();
                prop_assert!(text.parse::<std::net::IpAddr>().is_ok());
            }
        }
    }
}

//! Addresses in text, by the rules of a word: nothing that is a letter, a
//! digit or a dot stands before one, nor after it, except a dot that ends a
//! sentence. At each place the longest address counts, and what has been part
//! of one is part of no other: the quad at the end of `::ffff:10.0.0.9` is no
//! IPv4 address.
//!
//! Every address has a dot or a colon, so the scan goes from one to the next
//! and looks around it. Most are no address, which three or four bytes tell.

use crate::parse;

/// No address is longer: eight groups, the last two as a dotted quad.
const LONGEST: usize = 45;

/// Bytes before a dot or colon that decide whether it belongs to an address:
/// a group of four digits and what stands before it.
pub(crate) const BEFORE: usize = 8;
/// Bytes from a dot or colon on that decide what the address is and where it
/// ends.
pub(crate) const AFTER: usize = LONGEST + 8;

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
}

impl<'a> Scan<'a> {
    /// All addresses of a text.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            taken: 0,
            v4_only: false,
        }
    }

    /// Its IPv4 addresses, without stopping at every colon.
    pub(crate) fn v4_only(text: &'a [u8]) -> Self {
        Self {
            v4_only: true,
            ..Self::new(text)
        }
    }

    /// Continues where another scan stopped: at [`Scan::at`], with the
    /// [`BEFORE`] bytes before that place still in the text.
    pub(crate) fn resumed(text: &'a [u8], at: usize, taken: usize) -> Self {
        Self {
            at,
            taken,
            ..Self::new(text)
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
                    // Of the other family, so nobody asked for it.
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
        closes(text, end).then_some(found)
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
        match parse::v6(rest, |end| closes(rest, end)) {
            Some((bits, length)) => Ok(Found {
                start,
                end: start + length,
                address: Address::V6(bits),
            }),
            None => Err(colon + 1),
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
fn closes(text: &[u8], end: usize) -> bool {
    match text.get(end) {
        None => true,
        Some(b'.') => !text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric),
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

/// The address that a line's first white-space field is: bare, in brackets,
/// and with `:PORT` where that is no part of the address.
#[inline]
pub(crate) fn first_field(line: &[u8]) -> Option<Found> {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let start = line.iter().position(|byte| !blank(byte))?;
    let field = &line[start..];
    if let Some((bits, length)) = parse::v4(field) {
        let found = Found {
            start,
            end: start + length,
            address: Address::V4(bits),
        };
        return port_or_end(&field[length..]).then_some(found);
    }
    let end = field.iter().position(blank).unwrap_or(field.len());
    let field = &field[..end];
    if let Some(inside) = field.strip_prefix(b"[") {
        let close = memchr::memchr(b']', inside)?;
        let address = whole(&inside[..close])?;
        let found = Found {
            start: start + 1,
            end: start + 1 + close,
            address,
        };
        return port_or_end(&inside[close + 1..]).then_some(found);
    }
    Some(Found {
        start,
        end: start + end,
        address: whole(field)?,
    })
}

/// Nothing more in the field, or a port.
#[inline]
fn port_or_end(rest: &[u8]) -> bool {
    let ends = |at: usize| rest.get(at).is_none_or(u8::is_ascii_whitespace);
    if ends(0) {
        return true;
    }
    let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit());
    let digits = digits.count();
    rest[0] == b':' && (1..=5).contains(&digits) && ends(1 + digits)
}

/// Text that is an address and nothing else.
fn whole(text: &[u8]) -> Option<Address> {
    if let Some((bits, length)) = parse::v4(text) {
        return (length == text.len()).then_some(Address::V4(bits));
    }
    parse::v6(text, |end| end == text.len()).map(|(bits, _)| Address::V6(bits))
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
            let scan = Scan::new(line.as_bytes());
            assert!(scan.count() <= line.len() / 2, "{piece}");
        }
    }

    fn texts(line: &str) -> Vec<&str> {
        Scan::new(line.as_bytes())
            .map(|found| &line[found.start..found.end])
            .collect()
    }

    /// The rule taken literally: at each place from the left the longest text
    /// that is an address and stands free.
    fn literally(line: &[u8]) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        let (mut start, mut taken) = (0, 0);
        while start < line.len() {
            let free = start == 0 || opens(line[start - 1]);
            let end = (start + 1..=line.len().min(start + 45)).rev().find(|&end| {
                free && closes(line, end)
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
    fn fields() {
        let of = |line: &str| first_field(line.as_bytes()).map(|f| line[f.start..f.end].to_owned());
        for (line, expected) in [
            ("10.0.0.1 x", "10.0.0.1"),
            ("  10.0.0.1\tx", "10.0.0.1"),
            ("10.0.0.1:80 x", "10.0.0.1"),
            ("[10.0.0.1]:80", "10.0.0.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443 -", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:10.0.0.1 -", "::ffff:10.0.0.1"),
        ] {
            assert_eq!(of(line).as_deref(), Some(expected), "{line}");
        }
        for line in [
            "",
            " ",
            "x 10.0.0.1",
            "10.0.0.1, x",
            "10.0.0.1:",
            "10.0.0.1:x",
            "10.0.0.1:123456",
            "[10.0.0.1",
            "[10.0.0.1]x",
            "10.0.0.1.",
            "10.0.0.1:80:90",
            "2001:db8::1%lo",
        ] {
            assert_eq!(of(line), None, "{line}");
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
        fn as_the_rule_says(line in pieces()) {
            let found: Vec<_> = Scan::new(line.as_bytes()).map(|f| (f.start, f.end)).collect();
            prop_assert_eq!(&found, &literally(line.as_bytes()), "{}", line);
            let all: Vec<_> = Scan::new(line.as_bytes())
                .filter(|f| matches!(f.address, Address::V4(_)))
                .collect();
            let only: Vec<_> = Scan::v4_only(line.as_bytes()).collect();
            prop_assert_eq!(only, all, "{}", line);
        }

        #[test]
        fn bytes_of_any_kind(text: Vec<u8>) {
            for found in Scan::new(&text) {
                let text = std::str::from_utf8(&text[found.start..found.end]).unwrap();
                prop_assert!(text.parse::<std::net::IpAddr>().is_ok());
            }
            let _ = first_field(&text);
        }
    }
}

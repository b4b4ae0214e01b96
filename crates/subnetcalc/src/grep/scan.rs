//! Finds addresses in text by word rules.
//!
//! An address is not preceded or followed by a letter, digit or dot, except for a dot
//! at the end of a sentence and, optionally, a dot and a port as in tcpdump. The
//! longest match at each position wins. Addresses do not overlap: the dotted quad at
//! the end of `::ffff:10.0.0.9` is not an IPv4 address. A bare `::` is not an address,
//! because it separates words in many logs.
//!
//! Every address has a dot or a colon. The scan jumps from one to the next and
//! examines the bytes around it. Three or four of them rule out most candidates.

use crate::parse;

use super::found::{Address, Found};
use super::suffix::{MAX_ZONE_LEN, may_end, prefix_length};

/// The maximum length of an address in bytes: six groups and a dotted quad.
pub(super) const MAX_ADDRESS_LEN: usize = 45;

/// The number of bytes before a dot or colon that decide whether it belongs to an
/// address: a group of four digits and the byte before it, rounded up.
pub(crate) const LOOK_BEHIND: usize = 8;
/// The number of bytes after a dot or colon that determine the address, its end, its
/// zone and its prefix length.
pub(crate) const LOOK_AHEAD: usize = MAX_ADDRESS_LEN + 1 + MAX_ZONE_LEN + 8;

/// Iterates over the addresses of a text from left to right.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    text: &'a [u8],
    /// The index from which the next dot or colon is searched.
    at: usize,
    /// The end of the last address. The next one must not start before it.
    last_end: usize,
    /// Whether only IPv4 addresses are returned.
    v4_only: bool,
    /// Whether an address may be followed by a dot and a port.
    dot_port: bool,
}

impl<'a> Scan<'a> {
    /// Finds all addresses of a text.
    pub(crate) fn new(text: &'a [u8], dot_port: bool) -> Self {
        Self {
            text,
            at: 0,
            last_end: 0,
            v4_only: false,
            dot_port,
        }
    }

    /// Finds only the IPv4 addresses, without stopping at every colon.
    pub(crate) fn v4_only(text: &'a [u8], dot_port: bool) -> Self {
        Self {
            v4_only: true,
            ..Self::new(text, dot_port)
        }
    }

    /// Continues at the [`Scan::position`] of another scan. The text must still have
    /// the [`LOOK_BEHIND`] bytes before that position.
    pub(crate) fn resume(text: &'a [u8], (at, last_end): (usize, usize), dot_port: bool) -> Self {
        Self {
            at,
            last_end,
            ..Self::new(text, dot_port)
        }
    }

    /// Returns the index from which the next dot or colon is searched, and the end of
    /// the last address.
    pub(crate) fn position(&self) -> (usize, usize) {
        (self.at, self.last_end)
    }

    /// Returns the next address with its first dot or colon before `limit`. If there is
    /// none, the scan stops at the first dot or colon after `limit`.
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
                match self.v6_at(hit) {
                    Ok(found) => return Some(self.consume(found)),
                    Err(at) => self.at = at,
                }
                continue;
            }
            self.at = hit + 1;
            if let Some(found) = self.v4_at(hit) {
                if self.v4_only
                    && found.start > self.last_end
                    && self.text[found.start - 1] == b':'
                    && let Some(longer) = self.v6_around(found)
                {
                    // The quad is the end of an IPv6 address.
                    self.consume(longer);
                    continue;
                }
                return Some(self.consume(found));
            }
        }
    }

    /// Continues after an address.
    fn consume(&mut self, found: Found) -> Found {
        self.at = found.end;
        self.last_end = found.end;
        found
    }

    /// Returns the IPv4 address with its first dot at `dot`.
    #[inline]
    fn v4_at(&self, dot: usize) -> Option<Found> {
        let text = self.text;
        let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
        let is_dot = |at: usize| text.get(at) == Some(&b'.');
        if !is_digit(dot + 1) || !(is_dot(dot + 2) || is_dot(dot + 3) || is_dot(dot + 4)) {
            return None;
        }
        let before = &text[self.last_end..dot];
        let digits = match before {
            [.., a, b, c] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => 3,
            [.., b, c] if b.is_ascii_digit() && c.is_ascii_digit() => 2,
            [.., c] if c.is_ascii_digit() => 1,
            _ => return None,
        };
        let start = dot - digits;
        if start > 0 && !may_precede(text[start - 1]) {
            return None;
        }
        let (bits, length) = parse::v4(&text[start..])?;
        let end = start + length;
        let found = Found {
            start,
            end,
            address: Address::V4(bits),
        };
        may_end(text, end, self.dot_port).then_some(found)
    }

    /// Returns the IPv6 address with its first colon at `colon`, or the index from which
    /// the scan continues.
    fn v6_at(&self, colon: usize) -> Result<Found, usize> {
        let text = self.text;
        // An address has six colons or a `::`. The look-ahead is limited;
        // otherwise a line of colons would take quadratic time.
        let limit = text.len().min(colon + MAX_ADDRESS_LEN);
        let mut end = colon;
        let (mut colons, mut has_double) = (0, false);
        while end < limit {
            if text[end] == b':' {
                colons += 1;
                has_double |= text.get(end + 1) == Some(&b':');
            } else if !text[end].is_ascii_hexdigit() {
                break;
            }
            end += 1;
        }
        if !has_double && colons < 6 {
            return Err(if end < limit { end } else { colon + 1 });
        }
        let mut start = colon;
        while start > self.last_end && colon - start < 4 && text[start - 1].is_ascii_hexdigit() {
            start -= 1;
        }
        if start > 0 && !may_precede(text[start - 1]) {
            return Err(colon + 1);
        }
        let rest = &text[start..];
        match parse::v6(rest, |end| may_end(rest, end, self.dot_port)) {
            Some((bits, length))
                if bits != 0 || !is_bare_double_colon(text, start, start + length) =>
            {
                Ok(Found {
                    start,
                    end: start + length,
                    address: Address::V6(bits),
                })
            }
            _ => Err(colon + 1),
        }
    }

    /// Returns the IPv6 address that ends with a dotted quad after a colon.
    #[cold]
    fn v6_around(&self, quad: Found) -> Option<Found> {
        let before = self.text[self.last_end..quad.start].iter();
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

/// Returns whether an address may start after this byte.
#[inline]
fn may_precede(before: u8) -> bool {
    !before.is_ascii_alphanumeric() && before != b'.'
}

/// Returns whether the text from `start` to `end` is a `::` without brackets and
/// without a prefix length.
pub(super) fn is_bare_double_colon(text: &[u8], start: usize, end: usize) -> bool {
    let is_bracketed = start > 0 && text[start - 1] == b'[' && text.get(end) == Some(&b']');
    text[start..end] == *b"::" && !is_bracketed && prefix_length(&text[end..], 128).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// With an unlimited look-ahead from each colon these lines took minutes.
    #[test]
    fn a_line_of_colons_takes_linear_time() {
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

    /// A reference implementation: at each position from the left, the longest text that is an
    /// address between allowed bytes.
    fn reference_scan(line: &[u8], dot_port: bool) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        let mut start = 0;
        while start < line.len() {
            let may_start = start == 0 || may_precede(line[start - 1]);
            let end = (start + 1..=line.len().min(start + 45)).rev().find(|&end| {
                may_start
                    && may_end(line, end, dot_port)
                    && !is_bare_double_colon(line, start, end)
                    && std::str::from_utf8(&line[start..end])
                        .is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok())
            });
            match end {
                Some(end) => {
                    all.push((start, end));
                    start = end;
                }
                None => start += 1,
            }
        }
        all
    }

    #[test]
    fn addresses_are_found_by_word_rules() {
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
            (
                "1:2:3:4:5:6:1.2.3.4 1:2:3:4:5:1.2.3.4",
                &["1:2:3:4:5:6:1.2.3.4", "1.2.3.4"],
            ),
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
    fn a_port_may_follow_a_dot() {
        let scan_line = |line: &'static str| {
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
            assert_eq!(scan_line(line), expected, "{line}");
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

    fn lines() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            4 => "[0-9a-f:. ]{1,6}",
            2 => any::<u32>().prop_map(|bits| std::net::Ipv4Addr::from_bits(bits).to_string()),
            2 => any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string()),
            1 => "(2001:db8)?::[0-9a-f]{0,4}",
            1 => "::ffff:1\\.2\\.3\\.[0-9]{1,3}",
            1 => "[a-z:./\\[\\]_-]{1,3}",
            1 => "[0-9]{1,3}\\.[0-9]\\.[0-9]\\.[0-9]{1,2}",
        ];
        proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_scan_agrees_with_the_reference(line in lines(), dot_port: bool) {
            let scan = Scan::new(line.as_bytes(), dot_port);
            let found: Vec<_> = scan.clone().map(|f| (f.start, f.end)).collect();
            prop_assert_eq!(&found, &reference_scan(line.as_bytes(), dot_port), "{}", line);
            let all: Vec<_> = scan.filter(|f| matches!(f.address, Address::V4(_))).collect();
            let only: Vec<_> = Scan::v4_only(line.as_bytes(), dot_port).collect();
            prop_assert_eq!(only, all, "{}", line);
        }

        #[test]
        fn any_bytes_can_be_scanned(text: Vec<u8>) {
            for found in Scan::new(&text, true) {
                let text = std::str::from_utf8(&text[found.start..found.end]).unwrap();
                prop_assert!(text.parse::<std::net::IpAddr>().is_ok());
            }
        }
    }
}

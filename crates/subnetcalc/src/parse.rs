//! Fast, strict parsers of addresses, networks and ranges.
//!
//! [`v4`] and [`v6`] parse an address at the start of bytes and return its length.
//! [`fast_member`] is built on them. It accepts the usual forms of a line in a list
//! and nothing else. [`crate::operand`] has the slow parser, which accepts all forms
//! and explains its errors.

use crate::bits::Bits;
use crate::interval::Interval;
use crate::prefix::Prefix;

/// Parses a dotted quad without leading zeros at the start of `bytes`. Returns the
/// address and its length in bytes. The caller checks the bytes that follow.
#[inline]
pub(crate) fn v4(bytes: &[u8]) -> Option<(u32, usize)> {
    // In a chunk of 16 bytes, which no address fills, indices need no checks.
    match bytes.first_chunk::<16>() {
        Some(chunk) => quad(|at| chunk[at % 16]),
        None => quad(|at| bytes.get(at).copied().unwrap_or(0)),
    }
}

/// Parses a dotted quad, given the byte at each index.
#[inline]
fn quad(byte: impl Fn(usize) -> u8) -> Option<(u32, usize)> {
    let dot = |at: usize| (byte(at) == b'.').then_some(at + 1);
    // A loop would take longer.
    let (first, end) = octet(&byte, 0)?;
    let (second, end) = octet(&byte, dot(end)?)?;
    let (third, end) = octet(&byte, dot(end)?)?;
    let (fourth, end) = octet(&byte, dot(end)?)?;
    Some((first << 24 | second << 16 | third << 8 | fourth, end))
}

/// Parses an octet that starts at an index. Returns its value and the index after it.
#[allow(
    clippy::inline_always,
    reason = "a build that is optimized for size would call it"
)]
#[inline(always)]
fn octet(byte: &impl Fn(usize) -> u8, at: usize) -> Option<(u32, usize)> {
    let digit = |at: usize| u32::from(byte(at).wrapping_sub(b'0'));
    let (first, second, third) = (digit(at), digit(at + 1), digit(at + 2));
    if first > 9 {
        return None;
    }
    if first == 0 || second > 9 {
        return Some((first, at + 1));
    }
    let value = first * 10 + second;
    if third > 9 {
        return Some((value, at + 2));
    }
    let value = value * 10 + third;
    (value <= 255).then_some((value, at + 3))
}

/// Parses the longest IPv6 address at the start of `bytes` that `may_end` accepts,
/// given its length. Returns the address and its length in bytes. RFC 4291 section
/// 2.2 defines the form: `::` stands for one or more groups, a dotted quad for the
/// last two.
pub(crate) fn v6(bytes: &[u8], may_end: impl Fn(usize) -> bool) -> Option<(u128, usize)> {
    let mut groups = Groups::default();
    let mut best = None;
    let mut at = 0;
    if bytes.starts_with(b"::") {
        groups.gap = Some(0);
        at = 2;
        if may_end(at) {
            best = Some((0, at));
        }
    }
    loop {
        let (group, digits) = hex_group(&bytes[at..]);
        if digits == 0 {
            return best;
        }
        // A dotted quad replaces the last two groups, and an address ends with it.
        if bytes.get(at + digits) == Some(&b'.')
            && groups.quad_fits()
            && let Some((quad, length)) = v4(&bytes[at..])
            && may_end(at + length)
        {
            groups.push((quad >> 16) as u16);
            groups.push(quad as u16);
            return Some((groups.address(), at + length));
        }
        groups.push(group);
        at += digits;
        let is_full = groups.count + usize::from(groups.gap.is_some()) == 8;
        if (is_full || groups.gap.is_some()) && may_end(at) {
            best = Some((groups.address(), at));
        }
        if is_full || bytes.get(at) != Some(&b':') {
            return best;
        }
        at += 1;
        if bytes.get(at) == Some(&b':') {
            if groups.gap.is_some() {
                return best;
            }
            groups.gap = Some(groups.count);
            at += 1;
            if may_end(at) {
                best = Some((groups.address(), at));
            }
            if groups.count == 7 {
                return best;
            }
        }
    }
}

/// The groups of an IPv6 address, as far as they have been parsed.
#[derive(Default)]
struct Groups {
    /// The groups as one number, the first in its highest bits.
    bits: u128,
    /// The number of groups.
    count: usize,
    /// The number of groups before `::`.
    gap: Option<usize>,
}

impl Groups {
    #[inline]
    fn push(&mut self, group: u16) {
        self.bits = self.bits << 16 | u128::from(group);
        self.count += 1;
    }

    /// Returns whether two more groups complete the address, or fit beside a gap.
    fn quad_fits(&self) -> bool {
        match self.gap {
            None => self.count == 6,
            Some(_) => self.count <= 5,
        }
    }

    /// Returns the address, with zeros in the gap.
    fn address(&self) -> u128 {
        let Some(head @ 1..) = self.gap else {
            return self.bits;
        };
        let after_gap = self.bits & ((1 << (16 * (self.count - head))) - 1);
        (self.bits ^ after_gap) << (128 - 16 * self.count) | after_gap
    }
}

/// The value of each byte as a hexadecimal digit, 16 if it is not one.
static HEX_DIGITS: [u8; 256] = {
    let mut table = [16; 256];
    let mut value = 0;
    // Constants cannot use `for` yet.
    while value < 16 {
        let lower = b"0123456789abcdef"[value as usize];
        table[lower as usize] = value;
        table[lower.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

/// Parses up to four hexadecimal digits at the start of `bytes`. Returns the value
/// and the number of digits, which is 0 if there are five or more.
#[inline]
fn hex_group(bytes: &[u8]) -> (u16, usize) {
    let digit = |byte: u8| u16::from(HEX_DIGITS[usize::from(byte)]);
    let chunk: [u8; 5] = match bytes.first_chunk() {
        Some(chunk) => *chunk,
        None => std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0)),
    };
    let (mut group, second) = (digit(chunk[0]), digit(chunk[1]));
    let (third, fourth, fifth) = (digit(chunk[2]), digit(chunk[3]), digit(chunk[4]));
    if group > 15 {
        return (0, 0);
    }
    if second > 15 {
        return (group, 1);
    }
    group = group << 4 | second;
    if third > 15 {
        return (group, 2);
    }
    group = group << 4 | third;
    if fourth > 15 {
        return (group, 3);
    }
    if fifth <= 15 {
        return (0, 0);
    }
    (group << 4 | fourth, 4)
}

/// A member of a set, in the form in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member<N> {
    /// An address without a prefix length.
    Address(N),
    /// An address with a prefix length; host bits may be set.
    Network(N, u32),
    /// A range, its end not below its start.
    Range(N, N),
}

/// A [`Member`] of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyMember {
    V4(Member<u32>),
    V6(Member<u128>),
}

impl<N: Bits> Member<N> {
    /// Returns the addresses, or `None` if host bits are set and `strict` refuses
    /// them.
    pub(crate) fn interval(self, strict: bool) -> Option<Interval<N>> {
        match self {
            Self::Address(address) => Some(Interval {
                first: address,
                last: address,
            }),
            Self::Network(address, length) => {
                let prefix = Prefix::containing(address, length);
                (!strict || prefix.first == address).then(|| prefix.interval())
            }
            Self::Range(first, last) => Some(Interval { first, last }),
        }
    }
}

/// Parses the usual forms `ADDR`, `ADDR/LEN` and `ADDR-ADDR`. Returns `None` for all
/// other texts, valid or not.
#[inline]
pub(crate) fn fast_member(bytes: &[u8]) -> Option<AnyMember> {
    if let Some((first, at)) = v4(bytes) {
        let rest = &bytes[at..];
        return Some(AnyMember::V4(match rest.first() {
            None => Member::Address(first),
            Some(b'/') => Member::Network(first, prefix_length(&rest[1..], 32)?),
            Some(b'-') => {
                let (last, length) = v4(&rest[1..])?;
                if length + 1 != rest.len() || last < first {
                    return None;
                }
                Member::Range(first, last)
            }
            _ => return None,
        }));
    }
    let may_end = |at: usize| matches!(bytes.get(at), None | Some(b'/' | b'-'));
    let (first, at) = v6(bytes, may_end)?;
    let rest = &bytes[at..];
    Some(AnyMember::V6(match rest.first() {
        None => Member::Address(first),
        Some(b'/') => Member::Network(first, prefix_length(&rest[1..], 128)?),
        _ => {
            let rest = &rest[1..];
            let (last, _) = v6(rest, |at| at == rest.len())?;
            if last < first {
                return None;
            }
            Member::Range(first, last)
        }
    }))
}

/// Parses digits without a leading zero, at most `max`.
fn prefix_length(digits: &[u8], max: u32) -> Option<u32> {
    if digits.is_empty() || digits.len() > 3 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut length = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u32::from(byte - b'0');
    }
    (length <= max).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operand::{Rules, parse_member, parse_network};
    use common::address::Family;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PLAIN: Rules = Rules {
        strict: false,
        wildcard: false,
        family: Family::Any,
    };

    fn parse_v4(text: &str) -> Option<Ipv4Addr> {
        let (bits, length) = v4(text.as_bytes())?;
        (length == text.len()).then(|| Ipv4Addr::from_bits(bits))
    }

    fn parse_v6(text: &str) -> Option<Ipv6Addr> {
        let (bits, length) = v6(text.as_bytes(), |at| at == text.len())?;
        assert_eq!(length, text.len());
        Some(Ipv6Addr::from_bits(bits))
    }

    #[test]
    fn the_longest_address_is_parsed() {
        let any =
            |text: &str| v6(text.as_bytes(), |_| true).map(|(bits, n)| (bits.ip().to_string(), n));
        assert_eq!(any("2001:db8::1: x"), Some(("2001:db8::1".to_owned(), 11)));
        assert_eq!(
            any("::ffff:10.0.0.9x"),
            Some(("::ffff:10.0.0.9".to_owned(), 15))
        );
        assert_eq!(any("::"), Some(("::".to_owned(), 2)));
        assert_eq!(
            any("1:2:3:4:5:6:7:8:9"),
            Some(("1:2:3:4:5:6:7:8".to_owned(), 15))
        );
        assert_eq!(any("12:34:56"), None);
        assert_eq!(any(""), None);
    }

    #[test]
    fn host_bits_are_refused_if_strict() {
        let strict = Rules {
            strict: true,
            ..PLAIN
        };
        assert_eq!(
            parse_network("10.0.0.5/24", strict).unwrap_err(),
            "host bits are set; the network is 10.0.0.0/24"
        );
        assert!(parse_network("10.0.0.5", strict).is_ok());
        let Some(AnyMember::V4(parsed)) = fast_member(b"10.0.0.5/24") else {
            panic!("not an IPv4 member")
        };
        assert_eq!(parsed.interval(true), None);
        assert_eq!(parsed.interval(false).map(|i| i.first), Some(0x0a00_0000));
    }

    /// An IPv6 address in one of its many forms.
    fn v6_text() -> impl Strategy<Value = String> {
        // The groups, the start and the length of the gap, whether a quad replaces
        // the last two, and whether groups have leading zeros.
        (
            any::<[u16; 8]>(),
            0..8_usize,
            0..8_usize,
            any::<bool>(),
            any::<bool>(),
        )
            .prop_map(|(groups, from, length, quad, zeros)| {
                let group = |n: u16| {
                    if zeros {
                        format!("{n:04x}")
                    } else {
                        format!("{n:X}")
                    }
                };
                let texts = groups.map(group);
                let hex = if quad { 6 } else { 8 };
                let mut parts = texts[..hex].to_vec();
                if quad {
                    let [a, b] = groups[6].to_be_bytes();
                    let [c, d] = groups[7].to_be_bytes();
                    parts.push(format!("{a}.{b}.{c}.{d}"));
                }
                let to = (from + length).min(hex);
                if from >= to {
                    return parts.join(":");
                }
                format!("{}::{}", parts[..from].join(":"), parts[to..].join(":"))
            })
    }

    /// A text with one byte removed, repeated, replaced or inserted.
    fn with_a_fault(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let fault = "[0-9a-fg:./ -]";
        (text, any::<prop::sample::Index>(), 0..4, fault).prop_map(|(text, at, kind, other)| {
            let at = at.index(text.len());
            let (before, after) = text.split_at(at);
            match kind {
                0 => format!("{before}{}", &after[1..]),
                1 => format!("{before}{}{after}", &after[..1]),
                2 => format!("{before}{other}{}", &after[1..]),
                _ => format!("{before}{other}{after}"),
            }
        })
    }

    /// Texts that are addresses, or nearly.
    fn almost() -> impl Strategy<Value = String> {
        let v4_text = any::<u32>().prop_map(|bits| bits.ip().to_string());
        prop_oneof![
            "[0-9a-f:.]{0,24}",
            v4_text.clone(),
            with_a_fault(v4_text),
            v6_text(),
            with_a_fault(v6_text()),
            with_a_fault(with_a_fault(v6_text())),
        ]
    }

    #[test]
    fn a_quad_replaces_two_groups() {
        for (text, valid) in [
            ("1:2:3:4:5:6:1.2.3.4", true),
            ("1:2:3:4:5:1.2.3.4", false),
            ("1:2:3:4:5:6:7:1.2.3.4", false),
            ("1:2:3:4:5::1.2.3.4", true),
            ("::2:3:4:5:6:1.2.3.4", true),
            ("1::3:4:5:6:1.2.3.4", true),
            ("1:2:3:4:5:6::1.2.3.4", false),
            ("::1:2:3:4:5:6:1.2.3.4", false),
            ("1::2:3:4:5:6:1.2.3.4", false),
            ("1.2.3.4::", false),
            ("1.2.3.4:1:2:3:4:5:6", false),
        ] {
            assert_eq!(parse_v6(text).is_some(), valid, "{text}");
            assert_eq!(text.parse::<Ipv6Addr>().is_ok(), valid, "{text}");
        }
    }

    proptest! {
        #[test]
        fn std_accepts_the_same_addresses(text in almost()) {
            prop_assert_eq!(parse_v4(&text), text.parse().ok());
            prop_assert_eq!(parse_v6(&text), text.parse().ok());
        }

        #[test]
        fn the_fast_and_the_slow_parser_agree(
            a in almost(),
            b in almost(),
            length in prop_oneof![0..200_u16, 31..34_u16, 127..130_u16],
            form in 0..5,
        ) {
            let text = match form {
                0 => a,
                1 => format!("{a}/{length}"),
                2 => format!("{a}/0{length}"),
                3 => format!("{a}-{a}"),
                _ => format!("{a}-{b}"),
            };
            // The fast parser does not accept masks, white space, counts and ranges
            // of networks.
            let mask = |(_, length): (&str, &str)| length.contains(['.', ':', '-']);
            let other = text.contains([' ', '+']) || text.split_once('/').is_some_and(mask);
            if let Some(fast) = fast_member(text.as_bytes()) {
                prop_assert_eq!(parse_member(&text, PLAIN), Ok(fast));
            } else if !other {
                prop_assert!(parse_member(&text, PLAIN).is_err(), "{}", text);
            }
        }

        #[test]
        fn parsers_never_panic(text in ".*") {
            let _ = fast_member(text.as_bytes());
            let _ = parse_member(&text, PLAIN);
            let _ = v6(text.as_bytes(), |_| true);
        }
    }
}

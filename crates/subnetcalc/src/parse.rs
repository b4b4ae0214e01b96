//! Text to addresses, networks and ranges, strictly: one meaning or an error.
//!
//! There are two ways in. [`v4`] and [`v6`] read an address at the start of
//! bytes and say how far it goes; [`item`] is built on them, takes the usual
//! forms of a line of input and says nothing about the others. The careful way
//! is [`crate::network`], which takes all forms and explains its errors.

use crate::bits::Bits;
use crate::prefix::Prefix;
use crate::set::Interval;

/// Reads a dotted quad at the start; the address and its length in bytes.
/// No leading zeros. What follows is the caller's to judge.
#[inline]
pub(crate) fn v4(bytes: &[u8]) -> Option<(u32, usize)> {
    let digit = |at: usize| match bytes.get(at) {
        Some(&byte) if byte.is_ascii_digit() => Some(u32::from(byte - b'0')),
        _ => None,
    };
    let (mut address, mut at) = (0_u32, 0);
    for place in 0..4 {
        if place > 0 {
            if bytes.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let mut octet = digit(at)?;
        at += 1;
        if octet != 0
            && let Some(second) = digit(at)
        {
            octet = octet * 10 + second;
            at += 1;
            if let Some(third) = digit(at) {
                octet = octet * 10 + third;
                at += 1;
                if octet > 255 {
                    return None;
                }
            }
        }
        address = address << 8 | octet;
    }
    Some((address, at))
}

/// Reads the longest IPv6 address at the start whose end `ends` admits
/// (RFC 4291 section 2.2: `::` for one group or more, a dotted quad for the
/// last two). The address and its length in bytes.
pub(crate) fn v6(bytes: &[u8], ends: impl Fn(usize) -> bool) -> Option<(u128, usize)> {
    let mut groups = [0_u16; 8];
    let mut count = 0;
    let mut gap = None;
    let mut best = None;
    let mut at = 0;
    if bytes.starts_with(b"::") {
        gap = Some(0);
        at = 2;
        if ends(at) {
            best = Some((0, at));
        }
    }
    loop {
        // A dotted quad takes the place of two groups at the end.
        let quad_fits = count == 6 && gap.is_none() || count <= 5 && gap.is_some();
        let (group, digits) = hex_group(&bytes[at..]);
        if digits == 0 {
            return best;
        }
        if quad_fits
            && bytes.get(at + digits) == Some(&b'.')
            && let Some((quad, length)) = v4(&bytes[at..])
            && ends(at + length)
        {
            groups[count] = (quad >> 16) as u16;
            groups[count + 1] = quad as u16;
            // Nothing goes on behind a quad, and it is longer than its first octet.
            return Some((assemble(groups, count + 2, gap), at + length));
        }
        groups[count] = group;
        count += 1;
        at += digits;
        let whole = match gap {
            None => count == 8,
            Some(_) => count <= 7,
        };
        if whole && ends(at) {
            best = Some((assemble(groups, count, gap), at));
        }
        if count + usize::from(gap.is_some()) == 8 || bytes.get(at) != Some(&b':') {
            return best;
        }
        at += 1;
        if bytes.get(at) == Some(&b':') {
            if gap.is_some() {
                return best;
            }
            gap = Some(count);
            at += 1;
            if ends(at) {
                best = Some((assemble(groups, count, gap), at));
            }
            if count == 7 {
                return best;
            }
        }
    }
}

/// The value of each byte as a hexadecimal digit, 16 for none.
static HEX_DIGITS: [u8; 256] = {
    let mut table = [16; 256];
    let mut value = 0;
    // `for` is not yet for constants.
    while value < 16 {
        let lower = b"0123456789abcdef"[value as usize];
        table[lower as usize] = value;
        table[lower.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

/// Up to four hexadecimal digits at the start; a fifth makes it none.
#[inline]
fn hex_group(bytes: &[u8]) -> (u16, usize) {
    let mut group = 0_u16;
    let mut digits = 0;
    for &byte in bytes.iter().take(5) {
        let digit = HEX_DIGITS[usize::from(byte)];
        if digit == 16 {
            break;
        }
        if digits == 4 {
            return (0, 0);
        }
        group = group << 4 | u16::from(digit);
        digits += 1;
    }
    (group, digits)
}

/// Puts `count` groups together, zeros standing in the gap.
fn assemble(groups: [u16; 8], count: usize, gap: Option<usize>) -> u128 {
    let head = gap.unwrap_or(count);
    let join = |groups: &[u16]| {
        groups
            .iter()
            .fold(0_u128, |bits, &group| bits << 16 | u128::from(group))
    };
    let high = match head {
        0 => 0,
        _ => join(&groups[..head]) << (128 - 16 * head),
    };
    high | join(&groups[head..count])
}

/// One word of a set, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<N> {
    /// An address without a prefix length.
    Address(N),
    /// An address with a prefix length; host bits may be set.
    Network(N, u32),
    /// A range, not reversed.
    Range(N, N),
}

/// An [`Item`] of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyItem {
    /// IPv4.
    V4(Item<u32>),
    /// IPv6.
    V6(Item<u128>),
}

impl<N: Bits> Item<N> {
    /// Its addresses, or `None` if host bits are set and `strict` forbids it.
    pub(crate) fn interval(self, strict: bool) -> Option<Interval<N>> {
        match self {
            Self::Address(address) => Some(Interval {
                first: address,
                last: address,
            }),
            Self::Network(address, length) => {
                let prefix = Prefix::of(address, length);
                (!strict || prefix.first == address).then(|| prefix.interval())
            }
            Self::Range(first, last) => Some(Interval { first, last }),
        }
    }
}

/// The usual forms, quickly: `ADDR`, `ADDR/LEN`, `ADDR-ADDR`. `None` for all
/// else, good or bad.
#[inline]
pub(crate) fn item(bytes: &[u8]) -> Option<AnyItem> {
    if let Some((first, at)) = v4(bytes) {
        let rest = &bytes[at..];
        return Some(AnyItem::V4(match rest.first() {
            None => Item::Address(first),
            Some(b'/') => Item::Network(first, prefix_length(&rest[1..], 32)?),
            Some(b'-') => {
                let (last, length) = v4(&rest[1..])?;
                if length + 1 != rest.len() || last < first {
                    return None;
                }
                Item::Range(first, last)
            }
            _ => return None,
        }));
    }
    let ends = |at: usize| matches!(bytes.get(at), None | Some(b'/' | b'-'));
    let (first, at) = v6(bytes, ends)?;
    let rest = &bytes[at..];
    Some(AnyItem::V6(match rest.first() {
        None => Item::Address(first),
        Some(b'/') => Item::Network(first, prefix_length(&rest[1..], 128)?),
        _ => {
            let rest = &rest[1..];
            let (last, _) = v6(rest, |at| at == rest.len())?;
            if last < first {
                return None;
            }
            Item::Range(first, last)
        }
    }))
}

/// Digits without a leading zero, at most `max`.
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
    use crate::network::{Rules, member, network};
    use common::address::Family;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PLAIN: Rules = Rules {
        strict: false,
        wildcard: false,
        family: Family::Any,
    };

    fn whole4(text: &str) -> Option<Ipv4Addr> {
        let (bits, length) = v4(text.as_bytes())?;
        (length == text.len()).then(|| Ipv4Addr::from_bits(bits))
    }

    fn whole6(text: &str) -> Option<Ipv6Addr> {
        let (bits, length) = v6(text.as_bytes(), |at| at == text.len())?;
        assert_eq!(length, text.len());
        Some(Ipv6Addr::from_bits(bits))
    }

    #[test]
    fn the_longest_address_is_taken() {
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
    fn strict_refuses_host_bits() {
        let strict = Rules {
            strict: true,
            ..PLAIN
        };
        assert_eq!(
            network("10.0.0.5/24", strict).unwrap_err(),
            "host bits are set; the network is 10.0.0.0/24"
        );
        assert!(network("10.0.0.5", strict).is_ok());
        let Some(AnyItem::V4(read)) = item(b"10.0.0.5/24") else {
            panic!()
        };
        assert_eq!(read.interval(true), None);
        assert_eq!(read.interval(false).map(|i| i.first), Some(0x0a00_0000));
    }

    /// An IPv6 address written out, in one of the many ways there are.
    fn v6_text() -> impl Strategy<Value = String> {
        // Groups before and after the gap, a quad for the last two, and
        // leading zeros.
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

    /// A text with one change: a byte gone, doubled, or another.
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

    /// Texts that are addresses or nearly so.
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
    fn a_quad_takes_two_groups() {
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
            assert_eq!(whole6(text).is_some(), valid, "{text}");
            assert_eq!(text.parse::<Ipv6Addr>().is_ok(), valid, "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_as_std_takes_them(text in almost()) {
            prop_assert_eq!(whole4(&text), text.parse().ok());
            prop_assert_eq!(whole6(&text), text.parse().ok());
        }

        #[test]
        fn both_ways_agree(
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
            // The quick way knows no masks, no blanks, no counts, and no ranges of
            // networks.
            let mask = |(_, length): (&str, &str)| length.contains(['.', ':', '-']);
            let other = text.contains([' ', '+']) || text.split_once('/').is_some_and(mask);
            if let Some(quick) = item(text.as_bytes()) {
                prop_assert_eq!(member(&text, PLAIN), Ok(quick));
            } else if !other {
                prop_assert!(member(&text, PLAIN).is_err(), "{}", text);
            }
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = item(text.as_bytes());
            let _ = member(&text, PLAIN);
            let _ = v6(text.as_bytes(), |_| true);
        }
    }
}

//! Text to addresses, networks and ranges, strictly: one meaning or an error.
//!
//! There are two ways in. [`v4`] and [`v6`] read an address at the start of
//! bytes and say how far it goes; [`item`] is built on them, takes the usual
//! forms of a line of input and says nothing about what it does not know. The
//! careful way ([`network`], [`member`]) takes the rest, masks above all, and
//! explains its errors; addresses there are std's. ipnet's own text parser
//! is used nowhere, for it takes `010.0.0.1` and `/08`.

use std::net::IpAddr;

use common::address::{self, Family};
use ipnet::IpNet;

use crate::bits::Bits;
use crate::prefix::Prefix;
use crate::set::Interval;

/// What is asked of input beyond being well formed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Refuse networks with host bits set.
    pub(crate) strict: bool,
    /// Read a mask after the slash as a wildcard (inverse) mask.
    pub(crate) wildcard: bool,
    /// Which family is wanted; the other is passed over.
    pub(crate) family: Family,
}

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

/// Parses `ADDR`, `ADDR/LEN` or `ADDR/MASK`; the address keeps its host bits.
/// The error is a sentence.
pub(crate) fn network(text: &str, rules: Rules) -> Result<IpNet, String> {
    if text.contains(char::is_whitespace) {
        return Err("blank inside".to_owned());
    }
    let Some((address, length)) = text.split_once('/') else {
        if text.contains('-') {
            return Err(match member(text, rules) {
                Ok(_) => "a range, where one network is needed".to_owned(),
                Err(why) => why,
            });
        }
        let address = address::parse(text)?;
        return Ok(IpNet::from(address));
    };
    let address = address::parse(address)?;
    let length = if length.contains(['.', ':']) {
        mask_for(length, &address, rules)?
    } else {
        if rules.wildcard && length.is_empty() {
            return Err("a wildcard mask is missing after the slash".to_owned());
        }
        address::parse_prefix(length, &address)?
    };
    let net = IpNet::new(address, length).map_err(|error| error.to_string())?;
    // What is passed over is not judged.
    if rules.strict && rules.family.admits(&address) && net.trunc() != net {
        return Err(format!("host bits are set; the network is {}", net.trunc()));
    }
    Ok(net)
}

/// A mask after the slash, of the address's own family.
fn mask_for(text: &str, address: &IpAddr, rules: Rules) -> Result<u8, String> {
    let mask = address::parse(text).map_err(|why| format!("bad mask: {why}"))?;
    if mask.is_ipv4() != address.is_ipv4() {
        return Err("address and mask are of different families".to_owned());
    }
    mask_length(mask, rules.wildcard)
}

/// The prefix length a netmask stands for, or with `wildcard` an inverse mask.
pub(crate) fn mask_length(mask: IpAddr, wildcard: bool) -> Result<u8, String> {
    fn of<N: Bits>(mask: N, wildcard: bool) -> Result<u8, String> {
        let (wanted, other) = if wildcard {
            (!mask, mask)
        } else {
            (mask, !mask)
        };
        match (wanted.mask_length(), other.mask_length(), wildcard) {
            (Some(length), _, _) => Ok(length as u8),
            (None, Some(_), false) => {
                Err("a wildcard mask, not a netmask; --wildcard takes it".to_owned())
            }
            (None, Some(_), true) => Err("a netmask, not a wildcard mask".to_owned()),
            (None, None, false) => Err("not a netmask: its ones are not contiguous".to_owned()),
            (None, None, true) => {
                Err("not a wildcard mask: its zeros are not contiguous".to_owned())
            }
        }
    }
    match mask {
        IpAddr::V4(mask) => of(mask.to_bits(), wildcard),
        IpAddr::V6(mask) => of(mask.to_bits(), wildcard),
    }
}

/// Parses one word of a set: a network, an address or a range `A-B`. The
/// error is a sentence.
pub(crate) fn member(text: &str, rules: Rules) -> Result<AnyItem, String> {
    if text.contains(char::is_whitespace) {
        return Err("blank inside; one network, address or range a word".to_owned());
    }
    let Some((first, last)) = text.split_once('-').filter(|_| !text.contains('/')) else {
        if text.contains('-') && !text.contains("/-") {
            return Err("a range joins two addresses, without prefix lengths".to_owned());
        }
        let net = network(text, rules)?;
        if !text.contains('/') {
            return Ok(match net.addr() {
                IpAddr::V4(address) => AnyItem::V4(Item::Address(address.to_bits())),
                IpAddr::V6(address) => AnyItem::V6(Item::Address(address.to_bits())),
            });
        }
        return Ok(match net {
            IpNet::V4(net) => {
                AnyItem::V4(Item::Network(net.addr().to_bits(), net.prefix_len().into()))
            }
            IpNet::V6(net) => {
                AnyItem::V6(Item::Network(net.addr().to_bits(), net.prefix_len().into()))
            }
        });
    };
    let reversed = || "the range is reversed: its end is below its start".to_owned();
    match (address::parse(first)?, address::parse(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Ok(AnyItem::V4(Item::Range(first.to_bits(), last.to_bits())))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Ok(AnyItem::V6(Item::Range(first.to_bits(), last.to_bits())))
        }
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Err(reversed()),
        _ => Err("the two ends of the range are of different families".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn masks() {
        let length = |text: &str, wildcard| {
            network(text, Rules { wildcard, ..PLAIN }).map(|net| net.prefix_len())
        };
        assert_eq!(length("10.0.0.0/255.255.255.0", false), Ok(24));
        assert_eq!(length("10.0.0.0/0.0.0.0", false), Ok(0));
        assert_eq!(length("10.0.0.0/0.0.0.255", true), Ok(24));
        assert_eq!(length("10.0.0.0/0.0.0.0", true), Ok(32));
        assert_eq!(length("2001:db8::/ffff:ffff::", false), Ok(32));
        assert!(
            length("10.0.0.0/0.0.0.255", false)
                .unwrap_err()
                .contains("--wildcard")
        );
        assert!(length("10.0.0.0/255.255.255.0", true).is_err());
        assert!(
            length("10.0.0.0/255.0.255.0", false)
                .unwrap_err()
                .contains("contiguous")
        );
        assert!(
            length("10.0.0.0/ffff::", false)
                .unwrap_err()
                .contains("families")
        );
        assert!(length("10.0.0.0/255.255.255.00", false).is_err());
    }

    #[test]
    fn ranges() {
        assert_eq!(
            member("10.0.0.1-10.0.0.2", PLAIN),
            Ok(AnyItem::V4(Item::Range(0x0a00_0001, 0x0a00_0002)))
        );
        for (bad, why) in [
            ("10.0.0.2-10.0.0.1", "reversed"),
            ("10.0.0.1-::1", "families"),
            ("10.0.0.1-5", "four numbers"),
            ("10.0.0.0/24-10.0.1.0", "without prefix"),
            ("10.0.0.1-", "missing"),
            ("-10.0.0.1", "missing"),
            ("10.0.0.1 - 10.0.0.2", "blank"),
        ] {
            let error = member(bad, PLAIN).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
            assert_eq!(item(bad.as_bytes()), None, "{bad}");
        }
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

    /// Texts that are addresses or nearly so.
    fn almost() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9a-f:.]{0,24}",
            "([0-9]{1,3}\\.){3}[0-9]{1,3}",
            "([0-9a-fA-F]{0,5}:){1,8}[0-9a-f]{0,4}",
            "(::)?([0-9a-f]{1,4}:){0,7}(:[0-9a-f]{1,4}){0,4}([0-9]{1,3}\\.){3}[0-9]{1,2}",
            any::<u128>().prop_map(|bits| bits.ip().to_string()),
            any::<u32>().prop_map(|bits| format!("::ffff:{}", bits.ip())),
        ]
    }

    proptest! {
        #[test]
        fn addresses_as_std_takes_them(text in almost()) {
            prop_assert_eq!(whole4(&text), text.parse().ok());
            prop_assert_eq!(whole6(&text), text.parse().ok());
        }

        #[test]
        fn both_ways_agree(a in almost(), b in almost(), length in 0..200_u16, form in 0..4) {
            let text = match form {
                0 => a,
                1 => format!("{a}/{length}"),
                2 => format!("{a}/0{length}"),
                _ => format!("{a}-{b}"),
            };
            // What the quick way does not know may still be good: a mask.
            if let Some(quick) = item(text.as_bytes()) {
                prop_assert_eq!(member(&text, PLAIN), Ok(quick));
            } else {
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

//! Parses TARGET operands: a name, an address, or a range of addresses (the
//! usable hosts of a network, or `A-B`). A range is two numbers and is never
//! expanded into a list. It does no I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::address::{self, Family};
use common::{Error, Result};

use crate::shuffle::Shuffle;

/// A parsed TARGET operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A name to look up, in ASCII.
    Name(String),
    /// An address without a zone.
    Address(IpAddr),
    /// A link-local or multicast address with its interface, such as
    /// `fe80::1%eth0`.
    Zoned(Ipv6Addr, String),
    /// All addresses from the first to the last.
    Range(Range),
}

/// A range of consecutive addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    first: u128,
    last: u128,
    /// The number of bits in an address, 32 or 128.
    width: u8,
}

/// Parses an operand. A text that looks like an address but is not one is an
/// error and never a name.
pub(crate) fn parse(text: &str, family: Family) -> Result<Operand> {
    let operand = parse_text(text).map_err(|reason| Error::input(text, reason))?;
    let address = match &operand {
        Operand::Name(_) => return Ok(operand),
        Operand::Address(address) => *address,
        Operand::Zoned(address, _) => (*address).into(),
        Operand::Range(range) => address::from_bits(range.first, range.width),
    };
    if family.admits(&address) {
        Ok(operand)
    } else {
        let option = match family {
            Family::V6 => "-6",
            Family::V4 | Family::Any => "-4",
        };
        let reason = format!("not an {family} address; {option} or -I selects {family} only");
        Err(Error::input(text, reason))
    }
}

/// Returns why a form that other programs accept is refused, and the form to
/// use instead.
fn explain_unsupported_form(text: &str) -> Option<String> {
    if let Some(reason) = address::explain_other_form(text) {
        return Some(reason);
    }
    // nmap takes 192.0.2.1-9.
    if let Some((first, last)) = text.split_once('-')
        && let Ok(IpAddr::V4(first)) = address::parse(first)
        && let Ok(last) = last.parse::<u8>()
    {
        let [a, b, c, _] = first.octets();
        return Some(format!(
            "a range has two addresses; use {first}-{a}.{b}.{c}.{last}"
        ));
    }
    None
}

fn parse_text(text: &str) -> Result<Operand, String> {
    if text.is_empty() {
        return Err("missing address or name".to_owned());
    }
    if text == "-" {
        return Err("not a target; '-' means stdin only on the command line".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("not a host name: it contains a space or control character".to_owned());
    }
    if let Some(reason) = explain_unsupported_form(text) {
        return Err(reason);
    }
    if let Some((address, zone)) = text.split_once('%')
        && let Ok(address) = address::parse(address)
    {
        return parse_zoned(address, zone);
    }
    if text.contains('/') {
        let (address, length) = address::parse_cidr(text)?;
        return Ok(Operand::Range(Range::hosts(address, length)));
    }
    if let Some((first, last)) = text.split_once('-')
        && let Ok(first) = address::parse(first)
        && (address::looks_numeric(last) || address::parse(last).is_ok())
    {
        return Range::between(first, address::parse(last)?).map(Operand::Range);
    }
    match address::parse(text) {
        Ok(address) => Ok(Operand::Address(match address {
            // connect(2) also treats the unspecified address as this host.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        })),
        Err(reason) if address::looks_numeric(text) => Err(reason),
        Err(_) => {
            let name = common::zone::to_ascii(text)?;
            // Unicode digits and full stops are mapped to ASCII.
            if name != text && address::looks_numeric(&name) {
                return Err("not a host name: its ASCII form is an address".to_owned());
            }
            Ok(Operand::Name(name))
        }
    }
}

fn parse_zoned(address: IpAddr, zone: &str) -> Result<Operand, String> {
    match address {
        _ if zone.is_empty() => Err("missing interface after '%'".to_owned()),
        _ if zone.contains('/') => Err("a network cannot have a zone".to_owned()),
        _ if contains_range(zone) => Err("a range cannot have a zone".to_owned()),
        IpAddr::V6(v6) if is_scoped(v6) => Ok(Operand::Zoned(v6, zone.to_owned())),
        _ => Err("only IPv6 link-local and multicast addresses can have a zone".to_owned()),
    }
}

/// Whether a zone contains the last address of a range, as `lo-fe80::2` and
/// `lo-fe80::2%lo` do. A dash alone may be part of an interface name.
fn contains_range(zone: &str) -> bool {
    zone.match_indices('-').any(|(dash, _)| {
        let last = zone[dash + 1..].split('%').next().unwrap_or_default();
        last.contains(':') && address::parse(last).is_ok()
    })
}

/// Whether an address is ambiguous without its interface.
pub(crate) fn is_scoped(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.is_multicast()
}

impl Range {
    /// Whether the addresses are IPv4.
    pub(crate) fn is_v4(self) -> bool {
        self.width == 32
    }

    /// Returns the number of addresses, capped at `u64::MAX`.
    pub(crate) fn count(self) -> u64 {
        u64::try_from(self.last - self.first)
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// Returns the usable hosts of a network: all but the first and the last
    /// address of an IPv4 network up to /30, every address of any other.
    fn hosts(address: IpAddr, length: u8) -> Self {
        let (bits, width) = address::to_bits(address);
        let host_bits = u32::from(width - length);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let (first, last) = (bits & mask, bits & mask | (!mask & width_mask(width)));
        let excludes_ends = width == 32 && host_bits > 1;
        Self {
            first: first + u128::from(excludes_ends),
            last: last - u128::from(excludes_ends),
            width,
        }
    }

    fn between(first: IpAddr, last: IpAddr) -> Result<Self, String> {
        let ((first, width), (last, other)) = (address::to_bits(first), address::to_bits(last));
        if width != other {
            return Err("the start and the end of the range are of different families".to_owned());
        }
        if first > last {
            return Err("the end of the range is below its start".to_owned());
        }
        Ok(Self { first, last, width })
    }

    /// Iterates over the addresses in order, or in an order that depends on the
    /// seed.
    pub(crate) fn addresses(self, seed: Option<u64>) -> RangeAddresses {
        let count = self.last - self.first;
        RangeAddresses {
            range: self,
            next: Some(0),
            shuffle: seed.map(|seed| Shuffle::new(count, seed)),
        }
    }
}

fn width_mask(width: u8) -> u128 {
    u128::MAX >> (128 - u32::from(width))
}

/// Iterates over a [`Range`].
#[derive(Clone, Debug)]
pub(crate) struct RangeAddresses {
    range: Range,
    next: Option<u128>,
    shuffle: Option<Shuffle>,
}

impl Iterator for RangeAddresses {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        let index = self.next?;
        let last = self.range.last - self.range.first;
        self.next = (index < last).then(|| index + 1);
        let index = match &self.shuffle {
            Some(shuffle) => shuffle.nth(index),
            None => index,
        };
        Some(address::from_bits(
            self.range.first + index,
            self.range.width,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Vec<String> {
        match parse(text, Family::Any) {
            Ok(Operand::Range(range)) => range.addresses(None).map(|a| a.to_string()).collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn networks_and_ranges_are_expanded() {
        assert_eq!(list("10.0.0.7/30"), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(list("10.0.0.0/31"), ["10.0.0.0", "10.0.0.1"]);
        assert_eq!(list("10.0.0.9/32"), ["10.0.0.9"]);
        assert_eq!(list("::/127"), ["::", "::1"]);
        assert_eq!(list("10.0.0.254-10.0.1.1").len(), 4);
        assert_eq!(list("::1-::1"), ["::1"]);
        let Ok(Operand::Range(all)) = parse("::/0", Family::Any) else {
            panic!("not a range");
        };
        assert_eq!((all.first, all.last), (0, u128::MAX));
        assert_eq!(all.addresses(None).nth(2).unwrap().to_string(), "::2");
        let Ok(Operand::Range(all)) = parse("0.0.0.0/0", Family::Any) else {
            panic!("not a range");
        };
        assert_eq!(all.addresses(None).next().unwrap().to_string(), "0.0.0.1");
    }

    #[test]
    fn unusual_names_are_names() {
        for name in [
            "localhost",
            "my-host",
            "10-0-0-1.example.com",
            "a.b-c",
            "x1",
        ] {
            let expected = Operand::Name(name.to_owned());
            assert_eq!(parse(name, Family::Any), Ok(expected));
        }
    }

    #[test]
    fn a_wrong_address_is_not_a_name() {
        for bad in [
            "127.1",
            "0x7f.1",
            "010.0.0.1",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.5-10.0.0.1",
            "10.0.0.1-5",
            "10.0.0.1-300",
            "10.0.0.1-::1",
            "1.2.3.4.5",
            "::1::",
            "fe80::1%",
            "2001:db8::1%lo",
            "::1%lo",
            "fe80::/64%lo",
            "fe80::1%lo/64",
            "fe80::1%lo-fe80::2%lo",
            "fe80::1%lo-fe80::2",
            "127.0.0.1%lo",
            "",
            "a b",
            "12345",
        ] {
            let error = parse(bad, Family::Any).unwrap_err();
            assert_eq!(error.kind(), common::Kind::Input, "{bad}");
        }
        let error = parse("::1", Family::V4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "::1: not an IPv4 address; -4 or -I selects IPv4 only"
        );
        assert!(parse("10.0.0.0/8", Family::V6).is_err());
    }

    #[test]
    fn forms_of_other_programs_get_a_hint() {
        for (text, reason) in [
            ("http://10.0.0.1/x", "this is a URL; use its host, 10.0.0.1"),
            ("[::1]", "unexpected brackets; use ::1"),
            ("example.com:80", "unexpected port; use example.com"),
            (
                "10.0.0.1-3",
                "a range has two addresses; use 10.0.0.1-10.0.0.3",
            ),
        ] {
            let error = parse(text, Family::Any).unwrap_err();
            assert_eq!(error.message(), reason, "{text}");
            assert_eq!(error.kind(), common::Kind::Input, "{text}");
        }
        for address in ["::1", "fe80::1", "abcd::12"] {
            assert!(parse(address, Family::Any).is_ok(), "{address}");
        }
    }

    #[test]
    fn names_are_converted_to_ascii() {
        for (text, name) in [
            ("münchen.lab", "xn--mnchen-3ya.lab"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
        ] {
            let expected = Operand::Name(name.to_owned());
            assert_eq!(parse(text, Family::Any), Ok(expected));
        }
        for bad in ["\u{200b}", "１０.0.0.1", "１２７。1", "a\u{202e}b"] {
            assert!(parse(bad, Family::Any).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_may_have_a_zone() {
        for (text, address, zone) in [
            ("fe80::1%lo", "fe80::1", "lo"),
            ("ff02::1%2", "ff02::1", "2"),
        ] {
            let zoned = Operand::Zoned(address.parse().unwrap(), zone.to_owned());
            assert_eq!(parse(text, Family::Any), Ok(zoned));
        }
        assert!(parse("fe80::1%lo", Family::V4).is_err());
        let error = parse("fe80::1%lo-fe80::2%lo", Family::Any).unwrap_err();
        let text = "fe80::1%lo-fe80::2%lo: a range cannot have a zone";
        assert_eq!(error.to_string(), text);
        assert!(parse("fe80::1%br-lan", Family::Any).is_ok());
    }

    #[test]
    fn addresses_are_counted() {
        for (text, count) in [("10.0.0.0/24", 254), ("::/0", u64::MAX), ("::1-::4", 4)] {
            let Ok(Operand::Range(range)) = parse(text, Family::Any) else {
                panic!("{text}");
            };
            assert_eq!(range.count(), count, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shuffled_network_has_the_same_hosts(
            bits: u32, length in 20u8..=32, seed: u64,
        ) {
            let range = Range::hosts(Ipv4Addr::from_bits(bits).into(), length);
            let ordered: Vec<IpAddr> = range.addresses(None).collect();
            let mut shuffled: Vec<IpAddr> = range.addresses(Some(seed)).collect();
            shuffled.sort();
            prop_assert_eq!(ordered, shuffled);
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text, Family::Any);
        }
    }
}

//! What a TARGET operand stands for: a name, an address, or a range of
//! addresses (a network's usable hosts, or `A-B`), as numbers to count through
//! and never as a list. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::address::{self, Family};
use common::{Error, Result};

use crate::shuffle::Shuffle;

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// To be looked up, in ASCII.
    Name(String),
    /// One address.
    Address(IpAddr),
    /// An address of a link, with the interface that leads there:
    /// `fe80::1%eth0`.
    Zoned(Ipv6Addr, String),
    /// Every address from the first to the last.
    Range(Range),
}

/// Consecutive addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    first: u128,
    last: u128,
    width: u8,
}

/// Reads an operand. A text that looks like an address but is none is an
/// error, never a name.
pub(crate) fn parse(text: &str, family: Family) -> Result<Operand> {
    let operand = read(text).map_err(|why| Error::input(text, why))?;
    let address = match &operand {
        Operand::Name(_) => return Ok(operand),
        Operand::Address(address) => *address,
        Operand::Zoned(address, _) => (*address).into(),
        Operand::Range(range) => address::from_bits(range.first, range.width),
    };
    if family.admits(&address) {
        Ok(operand)
    } else {
        let text_of = format!("not an {family} address, which -4, -6 or -I asks for");
        Err(Error::input(text, text_of))
    }
}

/// The reason why a form that other programs accept is refused, with the form
/// to use here.
fn other(text: &str) -> Option<String> {
    if let Some(sentence) = address::explain_other_form(text) {
        return Some(sentence);
    }
    // As nmap has it.
    if let Some((first, last)) = text.split_once('-')
        && let Ok(IpAddr::V4(first)) = address::parse(first)
        && let Ok(last) = last.parse::<u8>()
    {
        let [a, b, c, _] = first.octets();
        return Some(format!(
            "a range needs two addresses, {first}-{a}.{b}.{c}.{last}"
        ));
    }
    None
}

fn read(text: &str) -> Result<Operand, String> {
    if text.is_empty() {
        return Err("an address or a name is missing".to_owned());
    }
    if text == "-" {
        return Err("no target; as an operand it stands for standard input".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("not a host name: blank or control character inside".to_owned());
    }
    if let Some(why) = other(text) {
        return Err(why);
    }
    if let Some((address, zone)) = text.split_once('%')
        && let Ok(address) = address::parse(address)
    {
        return zoned(address, zone);
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
            // As connect(2) has it: this host.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        })),
        Err(why) if address::looks_numeric(text) => Err(why),
        Err(_) => {
            let name = common::zone::to_ascii(text)?;
            // Other digits than ASCII's, and full stops, become these.
            if name != text && address::looks_numeric(&name) {
                return Err("not a host name: it turns into an address".to_owned());
            }
            Ok(Operand::Name(name))
        }
    }
}

fn zoned(address: IpAddr, zone: &str) -> Result<Operand, String> {
    match address {
        _ if zone.is_empty() => Err("an interface is missing after %".to_owned()),
        _ if zone.contains('/') => Err("a network with a zone is not taken".to_owned()),
        _ if is_range(zone) => Err("a range with a zone is not taken".to_owned()),
        IpAddr::V6(v6) if has_scope(v6) => Ok(Operand::Zoned(v6, zone.to_owned())),
        _ => Err("only IPv6 link-local and multicast addresses have a zone".to_owned()),
    }
}

/// Whether the zone goes on with the last address of a range: `lo-fe80::2`,
/// `lo-fe80::2%lo`. A dash alone is in many an interface's name.
fn is_range(zone: &str) -> bool {
    zone.match_indices('-').any(|(at, _)| {
        let last = zone[at + 1..].split('%').next().unwrap_or_default();
        last.contains(':') && address::parse(last).is_ok()
    })
}

/// Whether an address says nothing without its interface.
pub(crate) fn has_scope(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.is_multicast()
}

impl Range {
    /// Whether these are IPv4 addresses.
    pub(crate) fn is_v4(self) -> bool {
        self.width == 32
    }

    /// How many addresses, up to the most a `u64` holds.
    pub(crate) fn count(self) -> u64 {
        u64::try_from(self.last - self.first)
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// The usable hosts of a network: all but the first and the last address
    /// of an IPv4 network up to /30, every address of any other.
    fn hosts(address: IpAddr, length: u8) -> Self {
        let (bits, width) = address::to_bits(address);
        let host_bits = u32::from(width - length);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let (first, last) = (bits & mask, bits & mask | (!mask & width_mask(width)));
        let inner = width == 32 && host_bits > 1;
        Self {
            first: first + u128::from(inner),
            last: last - u128::from(inner),
            width,
        }
    }

    fn between(first: IpAddr, last: IpAddr) -> Result<Self, String> {
        let ((first, width), (last, other)) = (address::to_bits(first), address::to_bits(last));
        if width != other {
            return Err("a range must stay within one address family".to_owned());
        }
        if first > last {
            return Err("a range must not end before it begins".to_owned());
        }
        Ok(Self { first, last, width })
    }

    /// The addresses in order, or in an order that the seed decides.
    pub(crate) fn addresses(self, seed: Option<u64>) -> Addresses {
        let count = self.last - self.first;
        Addresses {
            range: self,
            next: Some(0),
            shuffle: seed.map(|seed| Shuffle::new(count, seed)),
        }
    }
}

fn width_mask(width: u8) -> u128 {
    u128::MAX >> (128 - u32::from(width))
}

/// Counts through a [`Range`].
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    range: Range,
    next: Option<u128>,
    shuffle: Option<Shuffle>,
}

impl Iterator for Addresses {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        let index = self.next?;
        let last = self.range.last - self.range.first;
        self.next = (index < last).then(|| index + 1);
        let index = match &self.shuffle {
            Some(shuffle) => shuffle.at(index),
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
    fn networks_and_ranges() {
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
    fn names_may_look_odd() {
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
    fn what_looks_like_an_address_is_one_or_an_error() {
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
            "::1: not an IPv4 address, which -4, -6 or -I asks for"
        );
        assert!(parse("10.0.0.0/8", Family::V6).is_err());
    }

    #[test]
    fn what_other_programs_take_is_told_apart() {
        for (text, why) in [
            (
                "http://10.0.0.1/x",
                "this is a URL; give its host, 10.0.0.1",
            ),
            ("[::1]", "brackets do not belong here; give ::1"),
            (
                "example.com:80",
                "a port does not belong here; give example.com",
            ),
            (
                "10.0.0.1-3",
                "a range needs two addresses, 10.0.0.1-10.0.0.3",
            ),
        ] {
            let error = parse(text, Family::Any).unwrap_err();
            assert_eq!(error.message(), why, "{text}");
            assert_eq!(error.kind(), common::Kind::Input, "{text}");
        }
        for address in ["::1", "fe80::1", "abcd::12"] {
            assert!(parse(address, Family::Any).is_ok(), "{address}");
        }
    }

    #[test]
    fn names_that_are_not_ascii() {
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
    fn a_zone_is_an_interface() {
        for (text, address, zone) in [
            ("fe80::1%lo", "fe80::1", "lo"),
            ("ff02::1%2", "ff02::1", "2"),
        ] {
            let zoned = Operand::Zoned(address.parse().unwrap(), zone.to_owned());
            assert_eq!(parse(text, Family::Any), Ok(zoned));
        }
        assert!(parse("fe80::1%lo", Family::V4).is_err());
        let error = parse("fe80::1%lo-fe80::2%lo", Family::Any).unwrap_err();
        let text = "fe80::1%lo-fe80::2%lo: a range with a zone is not taken";
        assert_eq!(error.to_string(), text);
        assert!(parse("fe80::1%br-lan", Family::Any).is_ok());
    }

    #[test]
    fn ranges_are_counted() {
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

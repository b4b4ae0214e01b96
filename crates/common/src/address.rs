//! Strict parsing of addresses and networks.
//!
//! `010.0.0.1` is 8.0.0.1 for some programs and 10.0.0.1 for others; `127.1` and
//! `0x7f.1` are addresses only for libc. Such differences have been used to bypass
//! filters. Ambiguous text is therefore an error and never reaches a resolver
//! ([`looks_numeric`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address family that the user selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 or IPv6, the default.
    #[default]
    Any,
    /// IPv4 addresses only (`-4`).
    V4,
    /// IPv6 addresses only (`-6`).
    V6,
}

impl Family {
    /// Whether an address belongs to this family.
    pub fn admits(self, address: &IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "IP",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Parses an IPv4 or IPv6 address in its standard text form (RFC 4291
/// section 2.2 for IPv6), without zone, leading zeros or short forms. The error
/// is the reason why the text is not an address.
pub fn parse(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| explain_invalid(text))
}

/// Parses `ADDR/LEN`, with only digits after the slash and a length in range.
/// Host bits may be set; the address is returned unchanged.
pub fn parse_cidr(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, length) = text
        .split_once('/')
        .ok_or_else(|| "missing prefix length; use ADDR/LEN".to_owned())?;
    let address = parse(address)?;
    Ok((address, parse_prefix(length, &address)?))
}

/// Parses a prefix length for the family of `address`: digits only, no
/// leading zero, at most 32 or 128.
pub fn parse_prefix(text: &str, address: &IpAddr) -> Result<u8, String> {
    let max = if address.is_ipv4() { 32 } else { 128 };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("the prefix length is not a number; use 0 to {max}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err("the prefix length has a leading zero".to_owned());
    }
    match text.parse::<u8>() {
        Ok(length) if length <= max => Ok(length),
        _ => Err(format!("the prefix length is out of range; use 0 to {max}")),
    }
}

/// Whether a text was meant as an address, valid or not: it consists of digits and dots,
/// contains a colon, or ends with a number. Such a text must not
/// be looked up as a name.
pub fn looks_numeric(text: &str) -> bool {
    let text = text.trim_end_matches('.');
    if text.is_empty() {
        return false;
    }
    if text.contains(':') {
        return true;
    }
    // A network, a range, a zone: `10.0.0.0/8`, `10.0.0.1-9`, `127.0.0.1%1`.
    let numeral = |c: char| c.is_ascii_digit() || matches!(c, '.' | '/' | '-' | '%');
    if let Some((head, _)) = text.split_once(['/', '-', '%'])
        && text.chars().all(numeral)
        && head.parse::<IpAddr>().is_ok()
    {
        return true;
    }
    // The rule "ends in a number" of WHATWG: inet_aton accepts any mixture.
    let last = text.rsplit('.').next().unwrap_or(text);
    let hex = |s: &str| {
        s.strip_prefix("0x")
            .or_else(|| s.strip_prefix("0X"))
            .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) || hex(last)
}

/// Explains that a text is a URL, an address in brackets or a host with a port
/// instead of an address or a name. Returns `None` for any other text.
pub fn explain_other_form(text: &str) -> Option<String> {
    if let Some((scheme, rest)) = text.split_once("://")
        && !scheme.is_empty()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = bracketed(host).map_or_else(
            || host.split(':').next().unwrap_or_default(),
            |(address, _)| address,
        );
        return Some(match host {
            "" => "this is a URL; use a host name".to_owned(),
            host => format!("this is a URL; use its host, {host}"),
        });
    }
    if let Some((address, rest)) = bracketed(text) {
        return match rest.strip_prefix(':') {
            Some(port) if is_port(port) => Some(unexpected("port", address)),
            None if rest.is_empty() => Some(unexpected("brackets", address)),
            _ => None,
        };
    }
    let (host, port) = text.split_once(':')?;
    if !is_port(port) {
        return None;
    }
    // A host contains a dot or a letter that is not a hexadecimal digit.
    let name = host.contains(|c: char| c == '.' || (c.is_alphanumeric() && !c.is_ascii_hexdigit()));
    name.then(|| unexpected("port", host))
}

fn unexpected(part: &str, host: &str) -> String {
    format!("unexpected {part}; use {host}")
}

/// Splits `[ADDR]REST` with an IPv6 address, with or without a zone, into ADDR and
/// REST.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (address, rest) = text.strip_prefix('[')?.split_once(']')?;
    let bare = address.split('%').next().unwrap_or_default();
    bare.parse::<Ipv6Addr>().is_ok().then_some((address, rest))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Returns the reason why a text is not an address.
fn explain_invalid(text: &str) -> String {
    if text.is_empty() {
        return "missing address".to_owned();
    }
    if let Some(reason) = explain_other_form(text) {
        return reason;
    }
    if text.contains(char::is_whitespace) {
        return "not an address: it contains white space".to_owned();
    }
    if text.contains('%') {
        return "unexpected zone; use the address without '%'".to_owned();
    }
    if let Some((head, _)) = text.split_once(['/', '-'])
        && head.parse::<IpAddr>().is_ok()
    {
        let form = if text.contains('/') {
            "network"
        } else {
            "range"
        };
        return format!("a {form}, not an address");
    }
    if !text.contains(':') && looks_numeric(text) {
        let octets: Vec<&str> = text.split('.').collect();
        if octets
            .iter()
            .any(|o| o.starts_with("0x") || o.starts_with("0X"))
        {
            return "ambiguous address: hexadecimal; use four decimal octets".to_owned();
        }
        if octets.iter().any(|o| o.len() > 1 && o.starts_with('0')) {
            return "ambiguous address: leading zero, which some programs read as octal".to_owned();
        }
        if octets.len() != 4 {
            return format!(
                "not an address: IPv4 needs four numbers, this has {}",
                octets.len()
            );
        }
        if octets
            .iter()
            .any(|o| o.parse::<u32>().is_ok_and(|n| n > 255))
        {
            return "not an address: a number is above 255".to_owned();
        }
    }
    if text.contains(':') {
        return "not an IPv6 address".to_owned();
    }
    "not an IPv4 or IPv6 address".to_owned()
}

/// Returns an address as a number, and its width in bits, so that arithmetic is the
/// same for both families.
pub fn to_bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(a) => (u128::from(a.to_bits()), 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    }
}

/// Converts a number to an address of `width` bits, 32 or 128. Higher bits are
/// ignored.
pub fn from_bits(bits: u128, width: u8) -> IpAddr {
    if width == 32 {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_parsed_strictly() {
        assert_eq!(
            parse_cidr("192.168.1.7/24"),
            Ok(("192.168.1.7".parse().unwrap(), 24))
        );
        assert_eq!(parse_cidr("::/0"), Ok(("::".parse().unwrap(), 0)));
        for bad in [
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "10.0.0.0/ 8",
            "010.0.0.0/8",
            "10.0.0/8",
            "0x0a.0.0.0/8",
            "::/129",
            "::/064",
            "1:2:3:4:5:6:7:8::/64",
            "1::2::3/64",
            "fe80::1%lo/64",
            "10.0.0.0/8/8",
            "/8",
            "",
        ] {
            assert!(parse_cidr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numeric_text_is_recognized() {
        for text in [
            "127.1",
            "1",
            "010.0.0.1",
            "0x7f.1",
            "10.0xAf",
            "0XaF",
            "1.2.3.4.5",
            "::1",
            "256.1.1.1",
            "1.2.3.",
            "127.1..",
            "10.0.0.0/8",
            "10.0.0.1-9",
            "127.0.0.1%1",
        ] {
            assert!(looks_numeric(text), "{text}");
        }
        for text in [
            "localhost",
            "a.1b",
            "1.example",
            "0xzz",
            "",
            ".",
            "10-20",
            "0/26.1.168.192.in-addr.arpa",
            "10.0.0.1-static.example",
        ] {
            assert!(!looks_numeric(text), "{text}");
        }
    }

    #[test]
    fn errors_give_the_reason() {
        assert!(parse("010.0.0.1").unwrap_err().contains("leading zero"));
        assert!(parse("127.1").unwrap_err().contains("four numbers"));
        assert!(parse("1.2.3.256").unwrap_err().contains("above 255"));
        assert!(parse("fe80::1%lo").unwrap_err().contains("zone"));
    }

    #[test]
    fn urls_ports_and_brackets_are_explained() {
        for (text, sentence) in [
            (
                "http://10.77.2.2/",
                "this is a URL; use its host, 10.77.2.2",
            ),
            (
                "https://u:p@host:80/a?b",
                "this is a URL; use its host, host",
            ),
            ("http://[::1]:80/", "this is a URL; use its host, ::1"),
            ("file:///x", "this is a URL; use a host name"),
            ("a.b+c-d://host?x/y", "this is a URL; use its host, host"),
            ("http://host#part/x", "this is a URL; use its host, host"),
            ("[fd77:2::2]", "unexpected brackets; use fd77:2::2"),
            ("[fe80::1%lo]", "unexpected brackets; use fe80::1%lo"),
            ("[::1]:80", "unexpected port; use ::1"),
            ("10.0.0.1:80", "unexpected port; use 10.0.0.1"),
            ("host:80", "unexpected port; use host"),
            ("a.b:65535", "unexpected port; use a.b"),
        ] {
            assert_eq!(parse(text).unwrap_err(), sentence, "{text}");
        }
        // These may be meant as IPv6 addresses, or have no known form.
        for text in [
            "cafe:80",
            "host:65536",
            "host:+1",
            "1:2",
            "[x]",
            "[::1",
            "://x",
        ] {
            assert_eq!(explain_other_form(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bits_survive_a_round_trip(v4: u32, v6: u128) {
            for address in [
                IpAddr::V4(Ipv4Addr::from_bits(v4)),
                IpAddr::V6(Ipv6Addr::from_bits(v6)),
            ] {
                let (bits, width) = to_bits(address);
                prop_assert_eq!(from_bits(bits, width), address);
                prop_assert_eq!(parse(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = parse_cidr(&text);
            let _ = looks_numeric(&text);
        }
    }

    #[test]
    fn an_address_has_the_width_of_its_family() {
        assert_eq!(to_bits("0.0.1.2".parse().unwrap()), (0x102, 32));
        assert_eq!(to_bits("::1:2".parse().unwrap()), (0x1_0002, 128));
    }
}

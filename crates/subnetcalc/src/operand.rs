//! The slow parser of operands. It accepts all forms of networks and of members of a
//! set, and its errors explain the mistake.
//!
//! Addresses are parsed by std. The parser of ipnet is not used, because it accepts
//! `010.0.0.1` and `/08`.

use std::net::IpAddr;

use common::address::{self, Family};
use ipnet::IpNet;

use crate::bits::Bits;
use crate::count::Count;
use crate::mask::parse_mask;
use crate::parse::{AnyMember, Member};
use crate::prefix::Prefix;

/// Options that change how operands are parsed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Refuse networks with host bits set.
    pub(crate) strict: bool,
    /// Read a mask after the slash as a wildcard (inverse) mask.
    pub(crate) wildcard: bool,
    /// The family to use. Operands of the other one are ignored.
    pub(crate) family: Family,
}

/// Parses `ADDR`, `ADDR/LEN` or `ADDR/MASK`. The address keeps its host bits. The
/// error is the reason.
pub(crate) fn parse_network(text: &str, rules: Rules) -> Result<IpNet, String> {
    if let Some(why) = explain_unsupported_form(text) {
        return Err(why);
    }
    let Some((address, length)) = text.split_once('/') else {
        if range_parts(text).is_some() {
            return Err(match parse_member(text, rules) {
                Ok(_) => "a range, not a network; 'subnetcalc aggregate' converts it to networks"
                    .to_owned(),
                Err(why) => why,
            });
        }
        return parse_address(text).map(IpNet::from);
    };
    if address.is_empty() && length.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("missing address before '/'; write ADDR/LEN without a space".to_owned());
    }
    if address.is_empty() && !length.is_empty() {
        // This looks like a path.
        return address::parse(text).map(IpNet::from);
    }
    let address = parse_address(address)?;
    let length = if length.contains(['.', ':']) {
        parse_mask(length, &address, rules.wildcard)?
    } else {
        if rules.wildcard && length.is_empty() {
            return Err("missing wildcard mask after '/'".to_owned());
        }
        address::parse_prefix(length, &address)?
    };
    let net = IpNet::new(address, length).map_err(|error| error.to_string())?;
    // An operand of an ignored family may have host bits set.
    if rules.strict && rules.family.admits(&address) && net.trunc() != net {
        return Err(format!("host bits are set; the network is {}", net.trunc()));
    }
    Ok(net)
}

/// Parses an address. An IPv6 address may have a zone (`fe80::1%eth0`, RFC 4007
/// section 11), which is dropped: it names a link, and no result depends on it.
pub(crate) fn parse_address(text: &str) -> Result<IpAddr, String> {
    let Some((address, zone)) = text.split_once('%') else {
        return address::parse(text);
    };
    let address = address::parse(address)?;
    if address.is_ipv4() {
        return Err("an IPv4 address cannot have a zone (%)".to_owned());
    }
    if zone.is_empty() {
        return Err("missing zone after '%'; use ADDR%IFACE".to_owned());
    }
    let is_valid = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    if !zone.bytes().all(is_valid) {
        return Err("invalid zone after '%'; use the name or number of an interface".to_owned());
    }
    Ok(address)
}

/// Parses a member of a set: a network, an address, or a range `A-B`, `A - B`,
/// `A/L-B/L` or `A+COUNT`. The error is the reason.
pub(crate) fn parse_member(text: &str, rules: Rules) -> Result<AnyMember, String> {
    if let Some((first, count)) = text.split_once('+')
        && let Ok(first) = parse_address(first)
    {
        return parse_counted_range(first, count);
    }
    if let Some((first, last)) = range_parts(text) {
        return parse_range(first, last, rules);
    }
    let net = parse_network(text, rules)?;
    Ok(match (net, text.contains('/')) {
        (IpNet::V4(net), true) => AnyMember::V4(Member::Network(
            net.addr().to_bits(),
            net.prefix_len().into(),
        )),
        (IpNet::V6(net), true) => AnyMember::V6(Member::Network(
            net.addr().to_bits(),
            net.prefix_len().into(),
        )),
        (IpNet::V4(net), false) => AnyMember::V4(Member::Address(net.addr().to_bits())),
        (IpNet::V6(net), false) => AnyMember::V6(Member::Address(net.addr().to_bits())),
    })
}

/// Splits a range into its two ends. A hyphen in a prefix length or in a name does
/// not make a range.
fn range_parts(text: &str) -> Option<(&str, &str)> {
    // A zone can contain hyphens, so after a zone an address must follow the hyphen.
    let zone = text.find('%').unwrap_or(text.len());
    let (at, _) = text
        .match_indices('-')
        .find(|&(at, _)| at < zone || starts_with_address(text[at + 1..].trim_start()))?;
    let (first, last) = (&text[..at], &text[at + 1..]);
    // One end must look like an address, or this is a name with a hyphen.
    let looks_numeric = |part: &str| part.is_empty() || part.contains(['.', ':']);
    (!first.ends_with('/') && (looks_numeric(first) || looks_numeric(last)) && !text.contains(','))
        .then(|| (first.trim_end(), last.trim_start()))
}

/// Returns whether text starts with an address.
fn starts_with_address(text: &str) -> bool {
    let end = text.find(['/', '%', '-', ' ']).unwrap_or(text.len());
    text[..end].parse::<IpAddr>().is_ok()
}

/// Parses the ends of a range.
fn parse_range(first: &str, last: &str, rules: Rules) -> Result<AnyMember, String> {
    fn of<N: Bits>(start: N, end: N) -> Result<Member<N>, String> {
        if start <= end {
            Ok(Member::Range(start, end))
        } else {
            Err("the end of the range is below its start".to_owned())
        }
    }
    if first.contains('/') != last.contains('/') {
        return Err(
            "only one end of the range has a prefix length; give both or neither".to_owned(),
        );
    }
    if range_parts(last).is_some() || last.split('%').next().is_some_and(|a| a.contains('-')) {
        return Err("more than one hyphen; write a range as ADDR-ADDR".to_owned());
    }
    let end = |which: &str, text: &str| -> Result<IpNet, String> {
        parse_network(text, rules).map_err(|why| match text {
            "" => format!("the {which} of the range is missing"),
            _ => format!("invalid {which} of the range, {text}: {why}"),
        })
    };
    // An address is parsed as a network of one address.
    match (end("start", first)?, end("end", last)?) {
        (IpNet::V4(start), IpNet::V4(end)) => {
            let (start, end) = (Prefix::from(start), Prefix::from(end));
            of(start.first, end.last()).map(AnyMember::V4)
        }
        (IpNet::V6(start), IpNet::V6(end)) => {
            let (start, end) = (Prefix::from(start), Prefix::from(end));
            of(start.first, end.last()).map(AnyMember::V6)
        }
        _ => Err("the start and the end of the range are of different families".to_owned()),
    }
}

/// Parses the count of a range `A+COUNT`, which starts at A and has COUNT addresses.
fn parse_counted_range(first: IpAddr, count: &str) -> Result<AnyMember, String> {
    fn of<N: Bits>(first: N, count: &str) -> Result<Member<N>, String> {
        let room = (N::MAX - first).widen();
        // A number that does not parse is larger than the address space.
        match count.parse::<u128>().map(|count| count.checked_sub(1)) {
            Ok(None) => Err("the count after '+' must be at least 1".to_owned()),
            Ok(Some(more)) if more <= room => Ok(Member::Range(first, first + N::narrow(more))),
            _ => Err(format!(
                "the range exceeds the address space; use a count of 1 to {}",
                Count::from_last(room)
            )),
        }
    }
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the count after '+' is not a number; use ADDR+COUNT".to_owned());
    }
    match first {
        IpAddr::V4(first) => of(first.to_bits(), count).map(AnyMember::V4),
        IpAddr::V6(first) => of(first.to_bits(), count).map(AnyMember::V6),
    }
}

/// Joins the words `A - B` of a command line to one word. A and B must be addresses
/// of one family in ascending order; any other hyphen stands for standard input.
pub(crate) fn join_ranges(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if let [first, hyphen, last, ..] = &words[at..]
            && hyphen == "-"
            && let (Ok(a), Ok(b)) = (parse_address(first), parse_address(last))
            && a.is_ipv4() == b.is_ipv4()
            && a <= b
        {
            joined.push(format!("{a}-{b}"));
            at += 3;
        } else {
            joined.push(words[at].clone());
            at += 1;
        }
    }
    joined
}

/// Returns an explanation if a text is clearly not a network, an address or a range.
fn explain_unsupported_form(text: &str) -> Option<String> {
    if let Some(other) = text.chars().find(|c| !c.is_ascii()) {
        let is_dash = matches!(other, '\u{2010}'..='\u{2015}' | '\u{2212}');
        let hint = if is_dash {
            "; use a hyphen (-) for a range"
        } else {
            ""
        };
        return Some(format!(
            "not an address: contains the character U+{:04X}{hint}",
            u32::from(other)
        ));
    }
    if let Some(why) = address::explain_other_form(text) {
        return Some(why);
    }
    if text.starts_with(['{', '"', '\'', '<']) {
        return Some("not an address; use 'subnetcalc grep' to find addresses in text".to_owned());
    }
    if text.contains(',') {
        return Some(
            "contains a comma; write one network, address or range per operand".to_owned(),
        );
    }
    if text.contains(char::is_whitespace) && range_parts(text).is_none() {
        return Some(
            "contains white space; write one network, address or range per operand".to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::fast_member;

    const PLAIN: Rules = Rules {
        strict: false,
        wildcard: false,
        family: Family::Any,
    };

    #[test]
    fn a_zone_is_checked_and_dropped() {
        for (text, expected) in [
            ("fe80::1%eth0", "fe80::1/128"),
            ("fe80::1%eth0/64", "fe80::1/64"),
            ("fe80::1%eth0/ffff::", "fe80::1/16"),
            ("::1%1", "::1/128"),
            ("fe80::1%br-lan.7", "fe80::1/128"),
        ] {
            let net = parse_network(text, PLAIN).map(|net| net.to_string());
            assert_eq!(net.as_deref(), Ok(expected), "{text}");
        }
        for (text, first, last) in [
            ("fe80::1%eth0-fe80::4%eth0", 1, 4),
            ("fe80::1%br-lan - fe80::4%br-lan", 1, 4),
            ("fe80::1-fe80::4%eth0", 1, 4),
            ("fe80::1%eth0-fe80::4", 1, 4),
            ("fe80::1%eth0/127-fe80::4%eth0/127", 0, 5),
            ("fe80::1%eth0+4", 1, 4),
        ] {
            let at = |low: u128| 0xfe80 << 112 | low;
            let range = AnyMember::V6(Member::Range(at(first), at(last)));
            assert_eq!(parse_member(text, PLAIN), Ok(range), "{text}");
        }
        for (bad, why) in [
            ("fe80::1%", "missing zone after '%'"),
            ("fe80::1%/64", "missing zone after '%'"),
            ("fe80::1%eth 0", "white space"),
            ("fe80::1%eth0\t", "white space"),
            ("fe80::1%eth0\u{7}", "invalid zone"),
            ("fe80::1%eth0:80", "invalid zone"),
            ("fe80::1%a%b", "invalid zone"),
            ("fe80::1%eth0,fe80::2", "a comma"),
            ("10.0.0.1%eth0", "an IPv4 address cannot have a zone"),
            ("10.0.0.300%eth0", "above 255"),
            ("fe80::g%eth0", "not an IPv6 address"),
            ("%eth0", "missing"),
            ("fe80::/64%eth0", "not a number"),
            ("fe80::4%eth0-fe80::1%eth0", "below its start"),
            (
                "fe80::1%eth0-fe80::4%",
                "invalid end of the range, fe80::4%: missing zone",
            ),
            ("fe80::1%a-fe80::2%a-fe80::3", "one hyphen"),
        ] {
            let error = parse_member(bad, PLAIN).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        let words = ["fe80::1%eth0", "-", "fe80::4%eth0"].map(str::to_owned);
        assert_eq!(join_ranges(&words), ["fe80::1-fe80::4"]);
    }

    fn v4(first: u32, last: u32) -> AnyMember {
        AnyMember::V4(Member::Range(first, last))
    }

    #[test]
    fn ranges_have_several_forms() {
        let of = |text: &str| parse_member(text, PLAIN);
        assert_eq!(of("10.0.0.1-10.0.0.2"), Ok(v4(0x0a00_0001, 0x0a00_0002)));
        assert_eq!(of("10.0.0.1 - 10.0.0.2"), Ok(v4(0x0a00_0001, 0x0a00_0002)));
        assert_eq!(of("10.0.0.1-\t10.0.0.2"), Ok(v4(0x0a00_0001, 0x0a00_0002)));
        assert_eq!(
            of("10.0.0.0/24-10.0.1.0/24"),
            Ok(v4(0x0a00_0000, 0x0a00_01ff))
        );
        assert_eq!(
            of("10.0.0.9/24 - 10.0.1.0/24"),
            Ok(v4(0x0a00_0000, 0x0a00_01ff))
        );
        assert_eq!(
            of("10.0.0.0/255.255.255.0-10.0.0.0/8"),
            Ok(v4(0x0a00_0000, 0x0aff_ffff))
        );
        assert_eq!(of("10.0.0.1+1"), Ok(v4(0x0a00_0001, 0x0a00_0001)));
        assert_eq!(of("193.18.0.0+73728"), Ok(v4(0xc112_0000, 0xc113_1fff)));
        assert_eq!(of("0.0.0.0+4294967296"), Ok(v4(0, u32::MAX)));
        assert_eq!(
            of("::+340282366920938463463374607431768211455"),
            Ok(AnyMember::V6(Member::Range(0, u128::MAX - 1)))
        );
        for (bad, why) in [
            ("10.0.0.2-10.0.0.1", "below its start"),
            ("10.0.1.0/24-10.0.0.0/25", "below its start"),
            ("10.0.0.1-::1", "families"),
            (
                "10.0.0.1-5",
                "invalid end of the range, 5: not an address: IPv4 needs four",
            ),
            ("10.0.0.0/24-10.0.1.0", "only one end"),
            ("10.0.0.0-10.0.1.0/24", "only one end"),
            ("10.0.0.1-", "the end of the range is missing"),
            ("-10.0.0.1", "the start of the range is missing"),
            ("10.0.0.1--10.0.0.2", "one hyphen"),
            ("10.0.0.1-10.0.0.2-10.0.0.3", "one hyphen"),
            ("10.0.0.0+0", "must be at least 1"),
            ("10.0.0.0+", "not a number"),
            ("10.0.0.0+-1", "not a number"),
            ("10.0.0.0/8+1", "not a number"),
            ("255.255.255.255+2", "1 to 1"),
            ("0.0.0.0+4294967297", "1 to 4294967296"),
            (
                "::1+99999999999999999999999999999999999999999",
                "exceeds the address space",
            ),
            ("10.0.0.1\u{2013}10.0.0.9", "U+2013; use a hyphen"),
        ] {
            let error = of(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
            assert_eq!(fast_member(bad.as_bytes()), None, "{bad}");
        }
        let strict = Rules {
            strict: true,
            ..PLAIN
        };
        assert!(parse_member("10.0.0.9/24-10.0.1.0/24", strict).is_err());
        assert!(parse_member("10.0.0.9-10.0.1.0", strict).is_ok());
    }

    #[test]
    fn other_forms_are_explained() {
        for (text, why) in [
            ("http://1.2.3.4/x", "a URL; use its host, 1.2.3.4"),
            ("[2001:db8::1]:80", "unexpected port"),
            ("[2001:db8::1]", "brackets"),
            ("1.2.3.4:80", "unexpected port"),
            ("192.0.2.0/25,US,US-AL,,", "a comma"),
            ("{\"prefix\":\"10.0.0.0/8\"}", "addresses in text"),
            ("10.0.0.0/8 10.1.0.0/16", "white space"),
            ("10.0.0.1\u{200b}", "U+200B"),
            ("/24", "without a space"),
            ("/etc/hosts", "not an IPv4 or IPv6 address"),
            ("some-name", "not an IPv4 or IPv6 address"),
        ] {
            let error = parse_member(text, PLAIN).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_hyphen_between_addresses_is_a_range() {
        let of = |words: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            join_ranges(&words).join(" ")
        };
        assert_eq!(of("a 10.0.0.1 - 10.0.0.9 b"), "a 10.0.0.1-10.0.0.9 b");
        assert_eq!(of("::1 - ::9 - ::a"), "::1-::9 - ::a");
        assert_eq!(of("::1 - ::1"), "::1-::1");
        for same in [
            "10.0.0.9 - 10.0.0.1",
            "10.0.0.1 - ::1",
            "10.0.0.1 -",
            "- 10.0.0.1",
            "10.0.0.0/8 - 11.0.0.0",
        ] {
            assert_eq!(of(same), same);
        }
    }
}

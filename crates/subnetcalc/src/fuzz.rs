//! What must hold for any input at all, for the fuzz targets: each function
//! panics if the parsers break a promise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::address::Family;

use crate::bits::Bits;
use crate::count::Count;
use crate::grep::scan::{Address, Scan, first_field};
use crate::interface::Mac;
use crate::parse::{self, AnyItem, Item, Rules};
use crate::plan::Request;

/// Words of sets: the quick way takes only what the careful way takes, and
/// reads the same; addresses are those of the standard library.
pub fn words(text: &str) {
    let quick = parse::item(text.as_bytes());
    let rules = |strict, wildcard| Rules {
        strict,
        wildcard,
        family: Family::Any,
    };
    let careful = parse::member(text, rules(false, false));
    if let Some(quick) = quick {
        assert_eq!(careful, Ok(quick), "{text}");
    }
    if let Ok(item) = careful {
        let again = match item {
            AnyItem::V4(item) => shown(item),
            AnyItem::V6(item) => shown(item),
        };
        assert_eq!(
            parse::member(&again, rules(false, false)),
            Ok(item),
            "{text}"
        );
        assert_eq!(parse::item(again.as_bytes()), Some(item), "{text}");
    }
    for (strict, wildcard) in [(true, false), (false, true)] {
        let _ = parse::member(text, rules(strict, wildcard));
    }
    if let Ok(net) = parse::network(text, rules(true, false)) {
        assert_eq!(net.trunc(), net, "{text}");
    }
    let whole = |length| length == text.len();
    let v4 = parse::v4(text.as_bytes()).filter(|&(_, length)| whole(length));
    let v6 = parse::v6(text.as_bytes(), whole);
    assert_eq!(
        v4.map(|(bits, _)| Ipv4Addr::from_bits(bits)),
        text.parse().ok()
    );
    assert_eq!(
        v6.map(|(bits, _)| Ipv6Addr::from_bits(bits)),
        text.parse().ok()
    );
    if let Some((bits, _)) = v6 {
        assert_eq!(bits.text().as_bytes(), bits.ip().to_string().as_bytes());
    }
}

/// An item in the form that is read back the same.
fn shown<N: Bits>(item: Item<N>) -> String {
    match item {
        Item::Network(address, length) => format!("{}/{length}", address.ip()),
        Item::Range(first, last) => format!("{}-{}", first.ip(), last.ip()),
    }
}

/// Text of logs: every address found is one, in order, and stands free; the
/// scan for IPv4 alone finds the same.
pub fn logs(text: &[u8]) {
    let mut from = 0;
    let mut quads = Vec::new();
    for found in Scan::new(text) {
        assert!(from <= found.start && found.start < found.end);
        from = found.end;
        let before = found.start.checked_sub(1).map(|at| text[at]);
        assert!(before.is_none_or(|b| !b.is_ascii_alphanumeric() && b != b'.'));
        let after = text.get(found.end);
        assert!(after.is_none_or(|b| !b.is_ascii_alphanumeric()));
        let shown = String::from_utf8_lossy(&text[found.start..found.end]);
        let address: Result<IpAddr, _> = shown.parse();
        let expected = match found.address {
            Address::V4(bits) => bits.ip(),
            Address::V6(bits) => bits.ip(),
        };
        assert_eq!(address, Ok(expected), "{shown}");
        if let Address::V4(_) = found.address {
            quads.push(found);
        }
    }
    assert!(Scan::v4_only(text).eq(quads));
    for line in crate::source::lines(text) {
        if let Some(found) = first_field(line) {
            let shown = String::from_utf8_lossy(&line[found.start..found.end]);
            assert!(shown.parse::<IpAddr>().is_ok(), "{shown}");
        }
    }
}

/// The other words of the command line.
pub fn arguments(text: &str) {
    if let Ok(mac) = Mac::parse(text) {
        assert_eq!(Mac::parse(&mac.to_string()), Ok(mac), "{text}");
    }
    if let Ok(request) = Request::parse(text) {
        assert!(request.hosts > 0 && request.name.as_deref() != Some(""));
    }
    if let Ok(count) = Count::parse(text) {
        assert_eq!(Count::parse(&count.to_string()), Ok(count));
        assert_eq!(
            text.trim_start_matches('0'),
            count.to_string().trim_start_matches('0')
        );
    }
}

//! What must hold for any input at all, for the fuzz targets: each function
//! panics if the parsers break a promise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::address::Family;

use crate::bits::Bits;
use crate::count::Count;
use crate::grep::field::first_field;
use crate::grep::long::{LongLine, Outcome};
use crate::grep::scan::{Address, Scan};
use crate::grep::select::{SelectRules, Selector, Shown, Wanted};
use crate::interface::Mac;
use crate::ipset::IpSet;
use crate::members::{Keep, Members};
use crate::network::{self, Rules};
use crate::parse::{self, AnyItem, Item};
use crate::plan::{Request, Size};
use crate::prefix::Prefix;
use crate::set::IntervalSet;
use crate::source::{self, Chunks};

/// Words of sets: the quick way takes only what the careful way takes, and
/// reads the same; addresses are those of the standard library.
pub fn words(text: &str) {
    let quick = parse::item(text.as_bytes());
    let rules = |strict, wildcard| Rules {
        strict,
        wildcard,
        family: Family::Any,
    };
    let careful = network::member(text, rules(false, false));
    if let Some(quick) = quick {
        assert_eq!(careful, Ok(quick), "{text}");
    }
    if let Ok(item) = careful {
        let again = match item {
            AnyItem::V4(item) => shown(item),
            AnyItem::V6(item) => shown(item),
        };
        assert_eq!(
            network::member(&again, rules(false, false)),
            Ok(item),
            "{text}"
        );
        assert_eq!(parse::item(again.as_bytes()), Some(item), "{text}");
    }
    for (strict, wildcard) in [(true, false), (false, true)] {
        let _ = network::member(text, rules(strict, wildcard));
    }
    if let Ok(net) = network::network(text, rules(true, false)) {
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
        Item::Address(address) => address.ip().to_string(),
        Item::Network(address, length) => format!("{}/{length}", address.ip()),
        Item::Range(first, last) => format!("{}-{}", first.ip(), last.ip()),
    }
}

/// Text of logs: every address found is one, in order, and stands free; the
/// scan for IPv4 alone finds the same.
pub fn logs(text: &[u8]) {
    let mut from = 0;
    let mut quads = Vec::new();
    for found in Scan::new(text, false) {
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
    assert!(Scan::v4_only(text, false).eq(quads));
    for line in source::lines(text) {
        if let Some(found) = first_field(line, true) {
            let shown = String::from_utf8_lossy(&line[found.start..found.end]);
            assert!(shown.parse::<IpAddr>().is_ok(), "{shown}");
        }
    }
}

/// A line of text that comes in parts: the same lines are selected and printed
/// as if it came complete. The first bytes choose the options and the parts.
pub fn parts(text: &[u8]) {
    let [options, size, text @ ..] = text else {
        return;
    };
    let text: Vec<u8> = text.iter().copied().filter(|b| *b != b'\n').collect();
    let wanted = match options & 3 {
        0 => Wanted::NoMember,
        1 => Wanted::NoAddress,
        _ => Wanted::Member,
    };
    let shown = match (options >> 2 & 3, wanted) {
        (0, _) => Shown::Nothing,
        (1, Wanted::Member) => Shown::Addresses,
        _ => Shown::Line,
    };
    let set = IpSet {
        v4: IntervalSet::new(vec![Prefix::of(0x0a00_0000_u32, 1).interval()]),
        v6: IntervalSet::new(vec![Prefix::of(0x2001_0db8_u128 << 96, 2).interval()]),
    };
    let rules = SelectRules {
        wanted,
        first_field: options & 16 != 0,
        unmap: options & 32 != 0,
        dot_port: options & 64 != 0,
        family: Family::Any,
    };
    let selector = Selector::new(&set, rules);
    let mut expected = Vec::new();
    let with_end = [&text[..], b"\n"].concat();
    let lines = selector.piece(&with_end, shown, b"f:", &mut expected);
    let (mut out, mut count) = (Vec::new(), 0);
    let mut line = LongLine::default();
    for part in text.chunks(usize::from(*size).max(1)) {
        let outcome = line.part(&selector, part, false, shown, b"f:", &mut out);
        count += u64::from(outcome != Outcome::Nothing);
    }
    let outcome = line.part(&selector, b"", true, shown, b"f:", &mut out);
    count += u64::from(outcome != Outcome::Nothing);
    assert_eq!(count, lines);
    assert_eq!(out, expected);
}

/// A list: its lines mean what each of them means by itself, whatever the
/// reads they come in, and each line without a meaning is reported once.
pub fn list(text: &[u8]) {
    let rules = Rules::default();
    let mut bad = 0_usize;
    let mut members = Members::new(Keep::Union, rules);
    let reader = Box::new(std::io::Cursor::new(text.to_vec()));
    let mut fail = |_| {
        bad += 1;
        Ok(())
    };
    let read = members.add_file("f", Chunks::new(reader), &mut fail);
    assert!(read.is_ok());
    let mut expected = Members::new(Keep::Union, rules);
    let mut expected_bad = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let line = source::value(line);
        if line.is_empty() {
            continue;
        }
        let text = std::str::from_utf8(line);
        match text.map(|text| network::member(text, rules)) {
            Ok(Ok(item)) => assert!(expected.add(item)),
            _ => expected_bad += 1,
        }
    }
    assert_eq!(bad, expected_bad);
    assert_eq!(IpSet::from(members), IpSet::from(expected));
}

/// The other words of the command line.
pub fn arguments(text: &str) {
    if let Ok(mac) = Mac::parse(text) {
        assert_eq!(Mac::parse(&mac.to_string()), Ok(mac), "{text}");
    }
    if let Ok(request) = Request::parse(text) {
        assert!(request.size != Size::Hosts(0) && request.name.as_deref() != Some(""));
        let name = request.name.as_ref().map(|name| format!("{name}="));
        let again = format!("{}{}", name.unwrap_or_default(), request.size);
        assert_eq!(Request::parse(&again), Ok(request), "{text}");
    }
    if let Some(mask) = network::hex_mask(text) {
        let digits = match mask {
            IpAddr::V4(mask) => format!("{:08x}", mask.to_bits()),
            IpAddr::V6(mask) => format!("{:032x}", mask.to_bits()),
        };
        assert!(text.to_ascii_lowercase().ends_with(&digits), "{text}");
    }
    // A range of three words is the range of one; the other words stay.
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let joined = network::joined_ranges(&words);
    let (before, after) = (words.concat(), joined.concat());
    if joined.len() == words.len() {
        assert_eq!(before, after);
    } else {
        assert!((words.len() - joined.len()).is_multiple_of(2), "{text}");
        let ranges = joined.iter().filter(|word| !words.contains(word));
        assert!(
            ranges
                .into_iter()
                .all(|word| parse::item(word.as_bytes()).is_some())
        );
    }
    if let Ok(count) = Count::parse(text) {
        assert_eq!(Count::parse(&count.to_string()), Ok(count));
        assert_eq!(
            text.trim_start_matches('0'),
            count.to_string().trim_start_matches('0')
        );
    }
}

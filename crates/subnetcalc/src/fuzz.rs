//! The properties that the fuzz targets check. Each function panics if one of them does
//! not hold for the input.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::address::Family;

use crate::bits::Bits;
use crate::count::Count;
use crate::eui64::Mac;
use crate::grep::field::first_field;
use crate::grep::found::Address;
use crate::grep::long::{LongLine, PartOutcome};
use crate::grep::scan::Scan;
use crate::grep::select::{OutputMode, SelectRules, Selection, Selector};
use crate::input::{self, LineReader};
use crate::ipset::IpSet;
use crate::mask;
use crate::members::{Keep, Members};
use crate::operand::{self, Rules};
use crate::parse::{self, AnyMember, Member};
use crate::plan::{Request, Size};
use crate::prefix::Prefix;
use crate::set::IntervalSet;

/// Checks members of sets: what the fast parser accepts, the slow one parses to the same
/// member. Addresses are those of the standard library.
pub fn words(text: &str) {
    let fast = parse::fast_member(text.as_bytes());
    let rules = |strict, wildcard| Rules {
        strict,
        wildcard,
        family: Family::Any,
    };
    let slow = operand::parse_member(text, rules(false, false));
    if let Some(fast) = fast {
        assert_eq!(slow, Ok(fast), "{text}");
    }
    if let Ok(member) = slow {
        let canonical = match member {
            AnyMember::V4(member) => format_member(member),
            AnyMember::V6(member) => format_member(member),
        };
        assert_eq!(
            operand::parse_member(&canonical, rules(false, false)),
            Ok(member),
            "{text}"
        );
        let fast = parse::fast_member(canonical.as_bytes());
        assert_eq!(fast, Some(member), "{text}");
    }
    for (strict, wildcard) in [(true, false), (false, true)] {
        let _ = operand::parse_member(text, rules(strict, wildcard));
    }
    if let Ok(net) = operand::parse_network(text, rules(true, false)) {
        assert_eq!(net.trunc(), net, "{text}");
    }
    let is_complete = |length| length == text.len();
    let v4 = parse::v4(text.as_bytes()).filter(|&(_, length)| is_complete(length));
    let v6 = parse::v6(text.as_bytes(), is_complete);
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

/// Formats a member so that it is parsed to the same member.
fn format_member<N: Bits>(member: Member<N>) -> String {
    match member {
        Member::Address(address) => address.ip().to_string(),
        Member::Network(address, length) => format!("{}/{length}", address.ip()),
        Member::Range(first, last) => format!("{}-{}", first.ip(), last.ip()),
    }
}

/// Checks text of logs: the addresses that are found are valid, ascending and between
/// allowed bytes. The scan for IPv4 only finds the same IPv4 addresses.
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
        let written = String::from_utf8_lossy(&text[found.start..found.end]);
        let address: Result<IpAddr, _> = written.parse();
        let expected = match found.address {
            Address::V4(bits) => bits.ip(),
            Address::V6(bits) => bits.ip(),
        };
        assert_eq!(address, Ok(expected), "{written}");
        if let Address::V4(_) = found.address {
            quads.push(found);
        }
    }
    assert!(Scan::v4_only(text, false).eq(quads));
    for line in input::lines(text) {
        if let Some(found) = first_field(line, true) {
            let written = String::from_utf8_lossy(&line[found.start..found.end]);
            assert!(written.parse::<IpAddr>().is_ok(), "{written}");
        }
    }
}

/// Checks a line that is read in parts: it is selected and printed as if it were read
/// at once. The first two bytes select the options and the size of the parts.
pub fn parts(text: &[u8]) {
    let [options, size, text @ ..] = text else {
        return;
    };
    let text: Vec<u8> = text.iter().copied().filter(|b| *b != b'\n').collect();
    let selection = match options & 3 {
        0 => Selection::NoMember,
        1 => Selection::NoAddress,
        _ => Selection::Member,
    };
    let mode = match (options >> 2 & 3, selection) {
        (0, _) => OutputMode::Nothing,
        (1, Selection::Member) => OutputMode::Addresses,
        _ => OutputMode::Line,
    };
    let set = IpSet {
        v4: IntervalSet::new(vec![Prefix::containing(0x0a00_0000_u32, 1).interval()]),
        v6: IntervalSet::new(vec![
            Prefix::containing(0x2001_0db8_u128 << 96, 2).interval(),
        ]),
    };
    let rules = SelectRules {
        selection,
        first_field: options & 16 != 0,
        unmap: options & 32 != 0,
        dot_port: options & 64 != 0,
        family: Family::Any,
    };
    let selector = Selector::new(&set, rules);
    let mut expected = Vec::new();
    let with_newline = [&text[..], b"\n"].concat();
    let lines = selector.select_lines(&with_newline, mode, b"f:", &mut expected);
    let (mut out, mut count) = (Vec::new(), 0);
    let mut line = LongLine::default();
    for part in text.chunks(usize::from(*size).max(1)) {
        let outcome = line.add_part(&selector, part, false, mode, b"f:", &mut out);
        count += u64::from(outcome != PartOutcome::Nothing);
    }
    let outcome = line.add_part(&selector, b"", true, mode, b"f:", &mut out);
    count += u64::from(outcome != PartOutcome::Nothing);
    assert_eq!(count, lines.selected);
    assert_eq!(out, expected);
}

/// Checks a list: it has the members of its lines, parsed one by one, and each invalid
/// line is reported once.
pub fn list(text: &[u8]) {
    let rules = Rules::default();
    let mut invalid = 0_usize;
    let mut members = Members::new(Keep::Union, rules);
    let reader = Box::new(std::io::Cursor::new(text.to_vec()));
    let mut fail = |_| {
        invalid += 1;
        Ok(())
    };
    let read = members.add_file("f", LineReader::for_list(reader), &mut fail);
    assert!(read.is_ok());
    let mut expected = Members::new(Keep::Union, rules);
    let mut expected_invalid = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let line = input::line_operand(line);
        if line.is_empty() {
            continue;
        }
        let text = std::str::from_utf8(line);
        match text.map(|text| operand::parse_member(text, rules)) {
            Ok(Ok(member)) => assert!(expected.add(member)),
            _ => expected_invalid += 1,
        }
    }
    assert_eq!(invalid, expected_invalid);
    assert_eq!(IpSet::from(members), IpSet::from(expected));
}

/// Checks other arguments: MAC addresses, requests of plans, masks, ranges of three
/// words, and counts.
pub fn arguments(text: &str) {
    if let Ok(mac) = Mac::parse(text) {
        assert_eq!(Mac::parse(&mac.to_string()), Ok(mac), "{text}");
    }
    if let Ok(request) = Request::parse(text) {
        assert!(request.size != Size::Hosts(0) && request.name.as_deref() != Some(""));
        let name = request.name.as_ref().map(|name| format!("{name}="));
        let canonical = format!("{}{}", name.unwrap_or_default(), request.size);
        assert_eq!(Request::parse(&canonical), Ok(request), "{text}");
    }
    if let Some(mask) = mask::parse_hex_mask(text) {
        let digits = match mask {
            IpAddr::V4(mask) => format!("{:08x}", mask.to_bits()),
            IpAddr::V6(mask) => format!("{:032x}", mask.to_bits()),
        };
        assert!(text.to_ascii_lowercase().ends_with(&digits), "{text}");
    }
    // Three words of a range are joined, and all other words stay.
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let joined = operand::join_ranges(&words);
    let (before, after) = (words.concat(), joined.concat());
    if joined.len() == words.len() {
        assert_eq!(before, after);
    } else {
        assert!((words.len() - joined.len()).is_multiple_of(2), "{text}");
        let ranges = joined.iter().filter(|word| !words.contains(word));
        assert!(
            ranges
                .into_iter()
                .all(|word| parse::fast_member(word.as_bytes()).is_some())
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

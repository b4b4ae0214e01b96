//! Which lines of a piece of text are wanted, and how they are written.

use common::address::Family;

use crate::ipset::IpSet;
use crate::lookup::Membership;

use super::field::first_field;
use super::scan::{Address, Found, Scan, written_length};

/// Which lines are selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those with an address in the set.
    #[default]
    Member,
    /// Those with addresses, none of them in the set.
    NoMember,
    /// Those without any address.
    NoAddress,
}

/// What is written for a selected line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The line.
    #[default]
    Line,
    /// The addresses in the set, one a line.
    Addresses,
    /// Nothing; only the count matters.
    Nothing,
}

/// The rules of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    v4: Membership<u32>,
    v6: Membership<u128>,
    pub(super) rules: SelectRules,
}

/// Which addresses are looked at, and what of them decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SelectRules {
    /// Which lines are selected.
    pub(crate) wanted: Wanted,
    /// Only the first field of a line is looked at.
    pub(crate) first_field: bool,
    /// A v4-mapped address counts as the IPv4 one.
    pub(crate) unmap: bool,
    /// An address may be followed by a dot and a port.
    pub(crate) dot_port: bool,
    /// Addresses of the other family are not seen.
    pub(crate) family: Family,
}

impl Selector {
    /// Selects by this set.
    pub(crate) fn new(set: &IpSet, rules: SelectRules) -> Self {
        Self {
            v4: Membership::new(&set.v4),
            v6: Membership::new(&set.v6),
            rules,
        }
    }

    /// Whether an address is of a family that is looked at.
    pub(super) fn sees(&self, address: Address) -> bool {
        match (self.rules.family, address) {
            (Family::Any, _) | (Family::V4, Address::V4(_)) => true,
            (Family::V4, Address::V6(bits)) => self.rules.unmap && bits >> 32 == 0xffff,
            (Family::V6, Address::V6(bits)) => !(self.rules.unmap && bits >> 32 == 0xffff),
            (Family::V6, Address::V4(_)) => false,
        }
    }

    /// Whether an address is in the set.
    #[inline]
    pub(super) fn holds(&self, address: Address) -> bool {
        match address {
            Address::V4(bits) => self.v4.contains(bits),
            Address::V6(bits) if self.rules.unmap && bits >> 32 == 0xffff => {
                self.v4.contains(bits as u32)
            }
            Address::V6(bits) => self.v6.contains(bits),
        }
    }

    /// The addresses of a text that could be in the set.
    fn scan<'a>(&self, text: &'a [u8]) -> Scan<'a> {
        if self.v6.is_empty() && !self.rules.unmap {
            Scan::v4_only(text, self.rules.dot_port)
        } else {
            Scan::new(text, self.rules.dot_port)
        }
    }

    /// The addresses of a line that are looked at.
    fn seen<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        let SelectRules {
            first_field: only_first,
            dot_port,
            ..
        } = self.rules;
        let field = only_first.then(|| first_field(line, dot_port)).flatten();
        let scan = (!only_first).then(|| Scan::new(line, dot_port));
        let all = field.into_iter().chain(scan.into_iter().flatten());
        all.filter(|found| self.sees(found.address))
    }

    /// Whether a line is selected.
    pub(crate) fn selects(&self, line: &[u8]) -> bool {
        let mut all = self.seen(line);
        match self.rules.wanted {
            Wanted::Member => all.any(|found| self.holds(found.address)),
            Wanted::NoMember => {
                let mut any = false;
                all.all(|found| {
                    any = true;
                    !self.holds(found.address)
                }) && any
            }
            Wanted::NoAddress => all.next().is_none(),
        }
    }

    /// The addresses that a selected line is selected for: those in the set
    /// or, for a line without one, all that it has.
    pub(crate) fn addresses<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        let members = self.rules.wanted == Wanted::Member;
        let all = self.seen(line);
        all.filter(move |found| !members || self.holds(found.address))
    }

    /// Selects among the lines of a piece, writes what is shown of them to
    /// `out`, each after `prefix`, and returns how many there were.
    pub(crate) fn piece(
        &self,
        piece: &[u8],
        shown: Shown,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> u64 {
        match self.rules.wanted {
            Wanted::Member if self.rules.first_field => {
                let mut next = 0;
                let fields =
                    std::iter::from_fn(|| next_field(piece, &mut next, self.rules.dot_port));
                self.members(piece, fields, shown, prefix, out)
            }
            Wanted::Member => self.members(piece, self.scan(piece), shown, prefix, out),
            Wanted::NoMember | Wanted::NoAddress => self.others(piece, shown, prefix, out),
        }
    }

    /// Lines with a member among these addresses of the piece. The piece is
    /// one text, and the ends of a line are looked for only where there is
    /// something in it.
    fn members(
        &self,
        piece: &[u8],
        addresses: impl Iterator<Item = Found>,
        shown: Shown,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> u64 {
        let mut count = 0;
        // Addresses before this are in a line that has been counted.
        let mut counted = 0;
        for found in addresses {
            let seen = found.start < counted;
            if seen && shown != Shown::Addresses || !self.holds(found.address) {
                continue;
            }
            if shown == Shown::Addresses {
                let address = &piece[found.start..found.end];
                put(out, prefix, address, written_length(piece, found));
            }
            if seen {
                continue;
            }
            count += 1;
            let end =
                memchr::memchr(b'\n', &piece[found.end..]).map_or(piece.len(), |at| found.end + at);
            counted = end;
            if shown == Shown::Line {
                let before = &piece[..found.start];
                let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
                put(out, prefix, &piece[start..end], b"");
            }
        }
        count
    }

    /// Lines without a member.
    fn others(&self, piece: &[u8], shown: Shown, prefix: &[u8], out: &mut Vec<u8>) -> u64 {
        let mut count = 0;
        for line in crate::source::lines(piece) {
            let (mut any, mut member) = (false, false);
            let mut look = |found: Found| {
                if !self.sees(found.address) {
                    return false;
                }
                any = true;
                member = self.holds(found.address);
                // One address or one member decides.
                member || self.rules.wanted == Wanted::NoAddress
            };
            let dot_port = self.rules.dot_port;
            if self.rules.first_field {
                first_field(line, dot_port).map(&mut look);
            } else {
                let _ = Scan::new(line, dot_port).any(look);
            }
            let selected = match self.rules.wanted {
                Wanted::NoAddress => !any,
                _ => any && !member,
            };
            if selected {
                count += 1;
                if shown == Shown::Line {
                    put(out, prefix, line, b"");
                }
            }
        }
        count
    }
}

/// The address that is the first field of the next line that has one; `next`
/// is where that line begins and moves on.
#[inline]
fn next_field(piece: &[u8], next: &mut usize, dot_port: bool) -> Option<Found> {
    while *next < piece.len() {
        let start = *next;
        let line = &piece[start..];
        let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
        *next = start + end + 1;
        if let Some(found) = first_field(&line[..end], dot_port) {
            return Some(Found {
                start: start + found.start,
                end: start + found.end,
                ..found
            });
        }
    }
    None
}

/// Adds a line of output: a prefix and two parts of text.
pub(super) fn put(out: &mut Vec<u8>, prefix: &[u8], text: &[u8], more: &[u8]) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(text);
    out.extend_from_slice(more);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Prefix;
    use crate::set::IntervalSet;
    use proptest::prelude::*;

    fn set() -> IpSet {
        IpSet {
            v4: IntervalSet::new(vec![Prefix::of(0x0a00_0000, 8).interval()]),
            v6: IntervalSet::new(vec![Prefix::of(0x2001_0db8 << 96, 32).interval()]),
        }
    }

    fn only_v4() -> IpSet {
        IpSet {
            v6: IntervalSet::default(),
            ..set()
        }
    }

    fn rules(wanted: Wanted, first_field: bool, unmap: bool) -> SelectRules {
        SelectRules {
            wanted,
            first_field,
            unmap,
            ..SelectRules::default()
        }
    }

    const LOG: &str = "10.0.0.1 a 10.0.0.2\nnothing here\n192.0.2.1 b 10.0.0.3\n\
        8.8.8.8 ::ffff:10.0.0.4\n[2001:db8::5]:80 c\n9.9.9.9 d";

    fn selected(
        set: &IpSet,
        wanted: Wanted,
        first: bool,
        unmap: bool,
        shown: Shown,
    ) -> (u64, String) {
        let mut out = Vec::new();
        let selector = Selector::new(set, rules(wanted, first, unmap));
        let count = selector.piece(LOG.as_bytes(), shown, b"f:", &mut out);
        (count, String::from_utf8(out).unwrap())
    }

    #[test]
    fn lines() {
        let member = |first, unmap, shown| selected(&set(), Wanted::Member, first, unmap, shown);
        assert_eq!(
            member(false, false, Shown::Line).1,
            "f:10.0.0.1 a 10.0.0.2\nf:192.0.2.1 b 10.0.0.3\nf:[2001:db8::5]:80 c\n"
        );
        assert_eq!(member(false, true, Shown::Nothing), (4, String::new()));
        assert_eq!(
            member(true, false, Shown::Line).1,
            "f:10.0.0.1 a 10.0.0.2\nf:[2001:db8::5]:80 c\n"
        );
        assert_eq!(
            member(false, false, Shown::Addresses),
            (
                3,
                "f:10.0.0.1\nf:10.0.0.2\nf:10.0.0.3\nf:2001:db8::5\n".to_owned()
            )
        );
        let none = selected(&set(), Wanted::NoMember, false, false, Shown::Line);
        assert_eq!(none.1, "f:8.8.8.8 ::ffff:10.0.0.4\nf:9.9.9.9 d\n");
        let none = selected(&set(), Wanted::NoAddress, false, false, Shown::Line);
        assert_eq!(none, (1, "f:nothing here\n".to_owned()));
        let none = selected(&set(), Wanted::NoMember, true, false, Shown::Line);
        assert_eq!(none.0, 3);
        let v4 = selected(&only_v4(), Wanted::Member, false, false, Shown::Line);
        assert_eq!(v4.0, 2);
    }

    proptest! {
        #[test]
        fn the_whole_piece_is_as_its_lines(
            lines in proptest::collection::vec(
                "([a-z0-9.:] ?){0,3}(10\\.0\\.0\\.[0-9]{1,3}|2001:db8::[0-9a-f]{1,4}|9\\.9\\.9\\.9|x)?[ .:a1]{0,3}", 0..8),
            first: bool, unmap: bool, mode in 0..3_usize, v4: bool,
        ) {
            let wanted = [Wanted::Member, Wanted::NoMember, Wanted::NoAddress][mode];
            let set = if v4 { only_v4() } else { set() };
            let selector = Selector::new(&set, rules(wanted, first, unmap));
            let piece = lines.join("\n");
            let mut out = Vec::new();
            let count = selector.piece(piece.as_bytes(), Shown::Line, b"", &mut out);
            let mut expected = String::new();
            for line in crate::source::lines(piece.as_bytes()) {
                if selector.selects(line) {
                    expected += std::str::from_utf8(line).unwrap();
                    expected.push('\n');
                }
            }
            prop_assert_eq!(count, expected.lines().count() as u64);
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

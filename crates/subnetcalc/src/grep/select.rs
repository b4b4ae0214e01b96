//! Selects lines of text by their addresses and writes them.

use common::address::Family;

use crate::ipset::IpSet;
use crate::lookup::Membership;

use super::field::first_field;
use super::found::{Address, Found};
use super::scan::Scan;
use super::suffix::written_length;

/// Which lines are selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Lines with an address in the set.
    #[default]
    Member,
    /// Lines with addresses, none of which is in the set.
    NoMember,
    /// Lines without an address.
    NoAddress,
}

/// The output for a selected line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutputMode {
    #[default]
    Line,
    /// The addresses in the set, one per line.
    Addresses,
    /// Nothing, because only the count is needed.
    Nothing,
}

/// The numbers of lines of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    pub(crate) selected: u64,
    /// All lines, which are counted if lines are printed.
    pub(crate) examined: u64,
}

/// Decides which lines are selected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    v4: Membership<u32>,
    v6: Membership<u128>,
    pub(super) rules: SelectRules,
}

/// The rules by which lines are selected.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SelectRules {
    /// Which lines are selected.
    pub(crate) selection: Selection,
    /// Consider only the first field of a line.
    pub(crate) first_field: bool,
    /// Treat a v4-mapped address as its IPv4 address.
    pub(crate) unmap: bool,
    /// Accept a dot and a port after an address.
    pub(crate) dot_port: bool,
    /// The family to consider. Addresses of the other one are ignored.
    pub(crate) family: Family,
}

impl Selector {
    /// Creates a selector for this set.
    pub(crate) fn new(set: &IpSet, rules: SelectRules) -> Self {
        Self {
            v4: Membership::new(&set.v4),
            v6: Membership::new(&set.v6),
            rules,
        }
    }

    /// Returns whether an address is of the family to consider.
    pub(super) fn considers(&self, address: Address) -> bool {
        match (self.rules.family, address) {
            (Family::Any, _) | (Family::V4, Address::V4(_)) => true,
            (Family::V4, Address::V6(bits)) => self.rules.unmap && bits >> 32 == 0xffff,
            (Family::V6, Address::V6(bits)) => !(self.rules.unmap && bits >> 32 == 0xffff),
            (Family::V6, Address::V4(_)) => false,
        }
    }

    /// Returns whether an address is in the set.
    #[inline]
    pub(super) fn contains(&self, address: Address) -> bool {
        match address {
            Address::V4(bits) => self.v4.contains(bits),
            Address::V6(bits) if self.rules.unmap && bits >> 32 == 0xffff => {
                self.v4.contains(bits as u32)
            }
            Address::V6(bits) => self.v6.contains(bits),
        }
    }

    /// Finds the addresses of a text that can be in the set.
    fn scan<'a>(&self, text: &'a [u8]) -> Scan<'a> {
        if self.v6.is_empty() && !self.rules.unmap {
            Scan::v4_only(text, self.rules.dot_port)
        } else {
            Scan::new(text, self.rules.dot_port)
        }
    }

    /// Returns the addresses of a line that are considered.
    fn considered<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        let SelectRules {
            first_field: only_first,
            dot_port,
            ..
        } = self.rules;
        let field = only_first.then(|| first_field(line, dot_port)).flatten();
        let scan = (!only_first).then(|| Scan::new(line, dot_port));
        let all = field.into_iter().chain(scan.into_iter().flatten());
        all.filter(|found| self.considers(found.address))
    }

    /// Returns whether a line is selected.
    pub(crate) fn selects(&self, line: &[u8]) -> bool {
        let mut all = self.considered(line);
        match self.rules.selection {
            Selection::Member => all.any(|found| self.contains(found.address)),
            Selection::NoMember => {
                let mut has_address = false;
                all.all(|found| {
                    has_address = true;
                    !self.contains(found.address)
                }) && has_address
            }
            Selection::NoAddress => all.next().is_none(),
        }
    }

    /// Returns the addresses for which a line is selected: those in the set, or all of
    /// them if none must be in the set.
    pub(crate) fn addresses<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        let members = self.rules.selection == Selection::Member;
        let all = self.considered(line);
        all.filter(move |found| !members || self.contains(found.address))
    }

    /// Writes the output of the selected lines to `out`, with `prefix` before each line
    /// of output.
    pub(crate) fn select_lines(
        &self,
        text: &[u8],
        mode: OutputMode,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> LineCounts {
        match self.rules.selection {
            Selection::Member if self.rules.first_field => {
                let dot_port = self.rules.dot_port;
                let mut fields = FirstFields::new(text, dot_port);
                LineCounts {
                    selected: self.select_members(text, &mut fields, mode, prefix, out),
                    examined: fields.lines,
                }
            }
            Selection::Member => LineCounts {
                selected: self.select_members(text, self.scan(text), mode, prefix, out),
                // The scan does not look at the ends of lines.
                examined: match mode {
                    OutputMode::Line => memchr::memchr_iter(b'\n', text).count() as u64,
                    OutputMode::Addresses | OutputMode::Nothing => 0,
                },
            },
            Selection::NoMember | Selection::NoAddress => {
                self.select_others(text, mode, prefix, out)
            }
        }
    }

    /// Selects the lines with a member among these addresses of the text. The ends of
    /// a line are searched only after such an address has been found.
    fn select_members(
        &self,
        text: &[u8],
        addresses: impl Iterator<Item = Found>,
        mode: OutputMode,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> u64 {
        let mut count = 0;
        // The end of the last line that was counted.
        let mut counted_end = 0;
        for found in addresses {
            let is_counted = found.start < counted_end;
            if is_counted && mode != OutputMode::Addresses || !self.contains(found.address) {
                continue;
            }
            if mode == OutputMode::Addresses {
                let address = &text[found.start..found.end];
                push_line(out, prefix, address, written_length(text, found));
            }
            if is_counted {
                continue;
            }
            count += 1;
            let end =
                memchr::memchr(b'\n', &text[found.end..]).map_or(text.len(), |at| found.end + at);
            counted_end = end;
            if mode == OutputMode::Line {
                let before = &text[..found.start];
                let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
                push_line(out, prefix, &text[start..end], b"");
            }
        }
        count
    }

    /// Selects the lines without a member, or without an address.
    fn select_others(
        &self,
        text: &[u8],
        mode: OutputMode,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> LineCounts {
        let mut count = LineCounts::default();
        for line in crate::input::lines(text) {
            count.examined += 1;
            let (mut has_address, mut has_member) = (false, false);
            // Returns whether the address decides about the line.
            let mut examine = |found: Found| {
                if !self.considers(found.address) {
                    return false;
                }
                has_address = true;
                has_member = self.contains(found.address);
                has_member || self.rules.selection == Selection::NoAddress
            };
            let dot_port = self.rules.dot_port;
            if self.rules.first_field {
                first_field(line, dot_port).map(&mut examine);
            } else {
                let _ = Scan::new(line, dot_port).any(examine);
            }
            let selected = match self.rules.selection {
                Selection::NoAddress => !has_address,
                _ => has_address && !has_member,
            };
            if selected {
                count.selected += 1;
                if mode == OutputMode::Line {
                    push_line(out, prefix, line, b"");
                }
            }
        }
        count
    }
}

/// Iterates over the addresses that are the first field of a line.
struct FirstFields<'a> {
    text: &'a [u8],
    dot_port: bool,
    /// The start of the next line to examine.
    next: usize,
    /// The number of examined lines.
    lines: u64,
}

impl<'a> FirstFields<'a> {
    fn new(text: &'a [u8], dot_port: bool) -> Self {
        Self {
            text,
            dot_port,
            next: 0,
            lines: 0,
        }
    }
}

impl Iterator for FirstFields<'_> {
    type Item = Found;

    #[inline]
    fn next(&mut self) -> Option<Found> {
        while self.next < self.text.len() {
            let start = self.next;
            let line = &self.text[start..];
            let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
            self.next = start + end + 1;
            self.lines += 1;
            if let Some(found) = first_field(&line[..end], self.dot_port) {
                return Some(Found {
                    start: start + found.start,
                    end: start + found.end,
                    ..found
                });
            }
        }
        None
    }
}

/// Appends a line of output: a prefix and two parts of text.
pub(super) fn push_line(out: &mut Vec<u8>, prefix: &[u8], text: &[u8], more: &[u8]) {
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
            v4: IntervalSet::new(vec![Prefix::containing(0x0a00_0000, 8).interval()]),
            v6: IntervalSet::new(vec![Prefix::containing(0x2001_0db8 << 96, 32).interval()]),
        }
    }

    fn only_v4() -> IpSet {
        IpSet {
            v6: IntervalSet::default(),
            ..set()
        }
    }

    fn rules(selection: Selection, first_field: bool, unmap: bool) -> SelectRules {
        SelectRules {
            selection,
            first_field,
            unmap,
            ..SelectRules::default()
        }
    }

    const LOG: &str = "10.0.0.1 a 10.0.0.2\nnothing here\n192.0.2.1 b 10.0.0.3\n\
        8.8.8.8 ::ffff:10.0.0.4\n[2001:db8::5]:80 c\n9.9.9.9 d";

    fn selected(
        set: &IpSet,
        selection: Selection,
        first: bool,
        unmap: bool,
        mode: OutputMode,
    ) -> (u64, String) {
        let mut out = Vec::new();
        let selector = Selector::new(set, rules(selection, first, unmap));
        let count = selector.select_lines(LOG.as_bytes(), mode, b"f:", &mut out);
        (count.selected, String::from_utf8(out).unwrap())
    }

    #[test]
    fn lines_are_selected_by_their_addresses() {
        let member = |first, unmap, mode| selected(&set(), Selection::Member, first, unmap, mode);
        assert_eq!(
            member(false, false, OutputMode::Line).1,
            "f:10.0.0.1 a 10.0.0.2\nf:192.0.2.1 b 10.0.0.3\nf:[2001:db8::5]:80 c\n"
        );
        assert_eq!(member(false, true, OutputMode::Nothing), (4, String::new()));
        assert_eq!(
            member(true, false, OutputMode::Line).1,
            "f:10.0.0.1 a 10.0.0.2\nf:[2001:db8::5]:80 c\n"
        );
        assert_eq!(
            member(false, false, OutputMode::Addresses),
            (
                3,
                "f:10.0.0.1\nf:10.0.0.2\nf:10.0.0.3\nf:2001:db8::5\n".to_owned()
            )
        );
        let none = selected(&set(), Selection::NoMember, false, false, OutputMode::Line);
        assert_eq!(none.1, "f:8.8.8.8 ::ffff:10.0.0.4\nf:9.9.9.9 d\n");
        let none = selected(&set(), Selection::NoAddress, false, false, OutputMode::Line);
        assert_eq!(none, (1, "f:nothing here\n".to_owned()));
        let none = selected(&set(), Selection::NoMember, true, false, OutputMode::Line);
        assert_eq!(none.0, 3);
        let v4 = selected(
            &only_v4(),
            Selection::Member,
            false,
            false,
            OutputMode::Line,
        );
        assert_eq!(v4.0, 2);
    }

    proptest! {
        #[test]
        fn a_text_is_selected_like_its_lines(
            lines in proptest::collection::vec(
                "([a-z0-9.:] ?){0,3}(10\\.0\\.0\\.[0-9]{1,3}|2001:db8::[0-9a-f]{1,4}|9\\.9\\.9\\.9|x)?[ .:a1]{0,3}", 0..8),
            first: bool, unmap: bool, mode in 0..3_usize, v4: bool, newline: bool,
        ) {
            let selection = [Selection::Member, Selection::NoMember, Selection::NoAddress][mode];
            let set = if v4 { only_v4() } else { set() };
            let selector = Selector::new(&set, rules(selection, first, unmap));
            let end = if newline { "\n" } else { "" };
            let text = lines.join("\n") + end;
            let mut out = Vec::new();
            let count = selector.select_lines(text.as_bytes(), OutputMode::Line, b"", &mut out);
            let mut expected = String::new();
            for line in crate::input::lines(text.as_bytes()) {
                if selector.selects(line) {
                    expected += std::str::from_utf8(line).unwrap();
                    expected.push('\n');
                }
            }
            prop_assert_eq!(count.selected, expected.lines().count() as u64);
            if newline {
                prop_assert_eq!(count.examined, lines.len().max(1) as u64);
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

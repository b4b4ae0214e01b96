//! Lines longer than a piece, which are searched part by part.
//!
//! [`LongLine`] decides about a line as [`Selector::piece`] does, with memory
//! that does not depend on its length: it keeps a few bytes of the last part
//! for addresses that the boundary of two parts cuts, and at most
//! [`HELD_MAX`] bytes of a line that may have to be printed.

use super::field::first_field;
use super::scan::{AFTER, BEFORE, Found, Scan, written_length};
use super::select::{Selector, Shown, Wanted};

/// Bytes of a line that are kept until it is decided whether it is printed.
pub(crate) const HELD_MAX: usize = 64 << 20;

/// Bytes of a first field that decide whether it is an address.
const FIELD: usize = 128;

/// A line as far as it has been read.
#[derive(Debug, Default)]
pub(crate) struct LongLine {
    /// The end of the last part, in which addresses may begin.
    tail: Vec<u8>,
    /// Where in `tail` the scan goes on, and what of it is part of an address.
    at: usize,
    taken: usize,
    /// The first field, as far as it is needed.
    field: Vec<u8>,
    /// The line so far, for a line that may be printed.
    held: Vec<u8>,
    /// Whether `held` lacks bytes because there were too many.
    overflowed: bool,
    /// Whether a member was found, and whether any address was.
    member: bool,
    any: bool,
}

/// The outcome of a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The line goes on or was not selected.
    Nothing,
    /// The line has been selected, which is said once.
    Selected,
    /// It has been selected, but is too long to be printed.
    TooLong,
}

impl LongLine {
    /// Searches the next part of the line, which holds no newline, and writes
    /// to `out` the part of the line that is printed.
    pub(crate) fn part(
        &mut self,
        selector: &Selector,
        part: &[u8],
        last: bool,
        shown: Shown,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        self.part_within(HELD_MAX, selector, part, last, shown, prefix, out)
    }

    #[allow(clippy::too_many_arguments, reason = "the limit is for tests")]
    fn part_within(
        &mut self,
        held_max: usize,
        selector: &Selector,
        part: &[u8],
        last: bool,
        shown: Shown,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        let before = self.member;
        let mut look = |found: Found, text: &[u8], line: &mut Self| {
            if !selector.sees(found.address) {
                return;
            }
            line.any = true;
            if selector.holds(found.address) {
                line.member = true;
                if shown == Shown::Addresses {
                    let address = &text[found.start..found.end];
                    super::select::put(out, prefix, address, written_length(text, found));
                }
            }
        };
        let rules = selector.rules;
        if rules.first_field {
            self.scan_field(part, last, rules.dot_port, &mut look);
        } else {
            self.scan(part, last, rules.dot_port, &mut look);
        }
        let selected = match rules.wanted {
            Wanted::Member => self.member && !before,
            // Only the end of the line decides.
            Wanted::NoMember => last && self.any && !self.member,
            Wanted::NoAddress => last && !self.any,
        };
        let mut outcome = if selected {
            Outcome::Selected
        } else {
            Outcome::Nothing
        };
        if shown != Shown::Line {
            return outcome;
        }
        if before && rules.wanted == Wanted::Member {
            if !self.overflowed {
                out.extend_from_slice(part);
            }
        } else {
            self.hold(part, held_max, rules.wanted);
            if selected && self.overflowed {
                outcome = Outcome::TooLong;
            } else if selected {
                out.extend_from_slice(prefix);
                out.append(&mut self.held);
                self.held = Vec::new();
            }
        }
        let printed = selected || before && rules.wanted == Wanted::Member;
        if last && printed && !self.overflowed {
            out.push(b'\n');
        }
        outcome
    }

    /// Keeps a part if the line may still be selected.
    fn hold(&mut self, part: &[u8], held_max: usize, wanted: Wanted) {
        let dropped = match wanted {
            Wanted::Member => false,
            Wanted::NoMember => self.member,
            Wanted::NoAddress => self.any,
        };
        self.overflowed |= self.held.len() + part.len() > held_max;
        if dropped || self.overflowed {
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(part);
        }
    }

    /// Finds the addresses that end in this part, or that are known to.
    fn scan(
        &mut self,
        part: &[u8],
        last: bool,
        dot_port: bool,
        look: &mut impl FnMut(Found, &[u8], &mut Self),
    ) {
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(part);
        let limit = if last {
            usize::MAX
        } else {
            text.len().saturating_sub(AFTER)
        };
        let mut scan = Scan::resumed(&text, (self.at, self.taken), dot_port);
        while let Some(found) = scan.next_before(limit) {
            look(found, &text, self);
        }
        let (at, taken) = scan.position();
        let gone = at.saturating_sub(BEFORE);
        text.drain(..gone);
        self.at = at - gone;
        self.taken = taken.saturating_sub(gone);
        self.tail = text;
    }

    /// Looks at the first field once enough of it is there.
    fn scan_field(
        &mut self,
        part: &[u8],
        last: bool,
        dot_port: bool,
        look: &mut impl FnMut(Found, &[u8], &mut Self),
    ) {
        if self.field.len() == FIELD {
            return;
        }
        let part = if self.field.is_empty() {
            part.trim_ascii_start()
        } else {
            part
        };
        let room = FIELD - self.field.len();
        self.field.extend_from_slice(&part[..part.len().min(room)]);
        if self.field.len() == FIELD || last {
            let field = std::mem::take(&mut self.field);
            if let Some(found) = first_field(&field, dot_port) {
                look(found, &field, self);
            }
            self.field = field;
            // Nothing more is looked at.
            self.field.resize(FIELD, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grep::select::SelectRules;
    use crate::ipset::IpSet;
    use crate::prefix::Prefix;
    use crate::set::IntervalSet;
    use common::address::Family;
    use proptest::prelude::*;

    fn set() -> IpSet {
        IpSet {
            v4: IntervalSet::new(vec![Prefix::of(0x0a00_0000, 8).interval()]),
            v6: IntervalSet::new(vec![Prefix::of(0x2001_0db8 << 96, 32).interval()]),
        }
    }

    /// The line in parts of these sizes, in turn: the output, how often
    /// it was selected, whether it was too long.
    fn parts(
        selector: &Selector,
        line: &[u8],
        sizes: &[usize],
        shown: Shown,
        held_max: usize,
    ) -> (String, u64, bool) {
        let mut long = LongLine::default();
        let (mut out, mut count, mut too_long) = (Vec::new(), 0, false);
        let (mut rest, mut turn) = (line, 0);
        loop {
            let size = sizes[turn % sizes.len()].min(rest.len());
            turn += 1;
            let last = size == rest.len();
            let outcome = long.part_within(
                held_max,
                selector,
                &rest[..size],
                last,
                shown,
                b"f:",
                &mut out,
            );
            match outcome {
                Outcome::Nothing => {}
                Outcome::Selected => count += 1,
                Outcome::TooLong => {
                    count += 1;
                    too_long = true;
                }
            }
            rest = &rest[size..];
            if last {
                return (String::from_utf8(out).unwrap(), count, too_long);
            }
        }
    }

    #[test]
    fn a_line_is_printed_from_its_first_member_on() {
        let selector = Selector::new(&set(), SelectRules::default());
        let line = format!("{} 10.0.0.1 {}", "a".repeat(100), "b".repeat(1000));
        let (out, count, too_long) = parts(&selector, line.as_bytes(), &[50], Shown::Line, 250);
        assert_eq!((out, count, too_long), (format!("f:{line}\n"), 1, false));
        // Before the limit there was none, so the line cannot be printed.
        let (out, count, too_long) = parts(&selector, line.as_bytes(), &[50], Shown::Line, 150);
        assert_eq!((out.as_str(), count, too_long), ("", 1, true));
        let (out, count, too_long) = parts(&selector, line.as_bytes(), &[50], Shown::Nothing, 1);
        assert_eq!((out.as_str(), count, too_long), ("", 1, false));
        // A line that is not selected has no limit.
        let none = "a".repeat(1000);
        let (out, count, too_long) = parts(&selector, none.as_bytes(), &[50], Shown::Line, 100);
        assert_eq!((out.as_str(), count, too_long), ("", 0, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn parts_are_as_the_complete_line(
            words in proptest::collection::vec(
                "10\\.0\\.0\\.[0-9]{1,3}|2001:db8::[0-9a-f]{0,4}|::ffff:10\\.0\\.0\\.9|\
                 2001:db8::1%[a-z0-9.-]{0,17}|\
                 [0-9]{1,3}(\\.[0-9]{1,3}){2,4}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){1,9}|\
                 (1:){0,7}[0-9]\\.2\\.3\\.4|x{0,60}|[.:]{1,60}", 0..12),
            gaps in "[ .:,;a1\\[\\]/@|-]{12}",
            sizes in proptest::collection::vec(1..40_usize, 1..5),
            first: bool, unmap: bool, dot_port: bool, mode in 0..3_usize, what in 0..3_usize,
        ) {
            let wanted = [Wanted::Member, Wanted::NoMember, Wanted::NoAddress][mode];
            let shown = [Shown::Line, Shown::Addresses, Shown::Nothing][what];
            prop_assume!(wanted == Wanted::Member || shown != Shown::Addresses);
            let mut line = String::new();
            for (word, gap) in words.iter().zip(gaps.chars()) {
                line.push_str(word);
                line.push(gap);
            }
            let rules = SelectRules { wanted, first_field: first, unmap, dot_port, family: Family::Any };
            let selector = Selector::new(&set(), rules);
            let mut expected = Vec::new();
            // The newline makes one line of an empty text.
            let with_end = format!("{line}\n");
            let lines = selector.piece(with_end.as_bytes(), shown, b"f:", &mut expected);
            let (out, count, too_long) =
                parts(&selector, line.as_bytes(), &sizes, shown, usize::MAX);
            prop_assert!(!too_long);
            prop_assert_eq!(out, String::from_utf8(expected).unwrap());
            prop_assert_eq!(count, lines);
        }
    }
}

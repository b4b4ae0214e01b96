//! Searches lines that do not fit in a buffer, part by part.
//!
//! [`LongLine`] selects a line as [`Selector::select_lines`] does, with memory that
//! does not depend on its length. It keeps the last bytes of a part for addresses that
//! continue in the next one, and at most [`MAX_KEPT`] bytes of a line that may have to
//! be printed.

use common::operands::Origin;
use common::{Error, Kind};

use super::field::first_field;
use super::found::Found;
use super::scan::{LOOK_AHEAD, LOOK_BEHIND, Scan};
use super::select::{OutputMode, Selection, Selector};
use super::suffix::written_length;

/// The maximum number of bytes of a line that are kept until it is selected.
pub(crate) const MAX_KEPT: usize = 64 << 20;

/// Returns the error about a selected line that is too long to be printed.
pub(crate) fn too_long(file: &str, line: u64) -> Error {
    let message = format!("selected line not printed: it is longer than {MAX_KEPT} bytes");
    let origin = Origin {
        file: file.to_owned(),
        line,
    };
    Error::new(Kind::Input, message)
        .hint("use -o, -c or -q, which have no limit")
        .with_origin(origin.to_string())
}

/// The number of bytes of a line that decide about its first field.
const FIELD_SIZE: usize = 128;

/// The state of a line that is read in parts.
#[derive(Debug, Default)]
pub(crate) struct LongLine {
    /// The end of the last part, in which an address may start.
    tail: Vec<u8>,
    /// The position of the scan in `tail`; see [`Scan::position`].
    at: usize,
    last_end: usize,
    /// The start of the line, if only its first field is considered.
    field: Vec<u8>,
    /// The line so far, if it may have to be printed.
    kept: Vec<u8>,
    /// Whether the line was too long to be kept.
    overflowed: bool,
    /// Whether a member was found.
    member: bool,
    /// Whether an address was found.
    any: bool,
}

/// What the search of a part of a line has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartOutcome {
    /// Nothing: the line continues, was selected before, or is not selected.
    Nothing,
    /// The line is selected. This is returned once for each line.
    Selected,
    /// The line is selected, but too long to be printed.
    TooLong,
}

impl LongLine {
    /// Searches the next part of the line, without its newline, and appends the output
    /// to `out`.
    pub(crate) fn add_part(
        &mut self,
        selector: &Selector,
        part: &[u8],
        last: bool,
        mode: OutputMode,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> PartOutcome {
        self.add_part_with_limit(MAX_KEPT, selector, part, last, mode, prefix, out)
    }

    #[allow(clippy::too_many_arguments, reason = "the limit is for tests")]
    fn add_part_with_limit(
        &mut self,
        max_kept: usize,
        selector: &Selector,
        part: &[u8],
        last: bool,
        mode: OutputMode,
        prefix: &[u8],
        out: &mut Vec<u8>,
    ) -> PartOutcome {
        let had_member = self.member;
        let mut examine = |found: Found, text: &[u8], line: &mut Self| {
            if !selector.considers(found.address) {
                return;
            }
            line.any = true;
            if selector.contains(found.address) {
                line.member = true;
                if mode == OutputMode::Addresses {
                    let address = &text[found.start..found.end];
                    super::select::push_line(out, prefix, address, written_length(text, found));
                }
            }
        };
        let rules = selector.rules;
        if rules.first_field {
            self.scan_field(part, last, rules.dot_port, &mut examine);
        } else {
            self.scan(part, last, rules.dot_port, &mut examine);
        }
        let selected = match rules.selection {
            Selection::Member => self.member && !had_member,
            // These are decided at the end of the line.
            Selection::NoMember => last && self.any && !self.member,
            Selection::NoAddress => last && !self.any,
        };
        let mut outcome = if selected {
            PartOutcome::Selected
        } else {
            PartOutcome::Nothing
        };
        if mode != OutputMode::Line {
            return outcome;
        }
        if had_member && rules.selection == Selection::Member {
            if !self.overflowed {
                out.extend_from_slice(part);
            }
        } else {
            self.keep(part, max_kept, rules.selection);
            if selected && self.overflowed {
                outcome = PartOutcome::TooLong;
            } else if selected {
                out.extend_from_slice(prefix);
                out.append(&mut self.kept);
                self.kept = Vec::new();
            }
        }
        let is_printed = selected || had_member && rules.selection == Selection::Member;
        if last && is_printed && !self.overflowed {
            out.push(b'\n');
        }
        outcome
    }

    /// Keeps a part if the line can still be selected.
    fn keep(&mut self, part: &[u8], max_kept: usize, selection: Selection) {
        let is_decided = match selection {
            Selection::Member => false,
            Selection::NoMember => self.member,
            Selection::NoAddress => self.any,
        };
        self.overflowed |= self.kept.len() + part.len() > max_kept;
        if is_decided || self.overflowed {
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(part);
        }
    }

    /// Examines the addresses that are complete with this part.
    fn scan(
        &mut self,
        part: &[u8],
        last: bool,
        dot_port: bool,
        examine: &mut impl FnMut(Found, &[u8], &mut Self),
    ) {
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(part);
        let limit = if last {
            usize::MAX
        } else {
            text.len().saturating_sub(LOOK_AHEAD)
        };
        let mut scan = Scan::resume(&text, (self.at, self.last_end), dot_port);
        while let Some(found) = scan.next_before(limit) {
            examine(found, &text, self);
        }
        let (at, last_end) = scan.position();
        let done = at.saturating_sub(LOOK_BEHIND);
        text.drain(..done);
        self.at = at - done;
        self.last_end = last_end.saturating_sub(done);
        self.tail = text;
    }

    /// Examines the first field as soon as enough of the line has been read.
    fn scan_field(
        &mut self,
        part: &[u8],
        last: bool,
        dot_port: bool,
        examine: &mut impl FnMut(Found, &[u8], &mut Self),
    ) {
        if self.field.len() == FIELD_SIZE {
            return;
        }
        let part = if self.field.is_empty() {
            part.trim_ascii_start()
        } else {
            part
        };
        let room = FIELD_SIZE - self.field.len();
        self.field.extend_from_slice(&part[..part.len().min(room)]);
        if self.field.len() == FIELD_SIZE || last {
            let field = std::mem::take(&mut self.field);
            if let Some(found) = first_field(&field, dot_port) {
                examine(found, &field, self);
            }
            self.field = field;
            // This length marks the field as examined.
            self.field.resize(FIELD_SIZE, 0);
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
            v4: IntervalSet::new(vec![Prefix::containing(0x0a00_0000, 8).interval()]),
            v6: IntervalSet::new(vec![Prefix::containing(0x2001_0db8 << 96, 32).interval()]),
        }
    }

    /// Searches a line in parts of these sizes, in turn. Returns the output, the number
    /// of times it was selected, and whether it was too long.
    fn search_in_parts(
        selector: &Selector,
        line: &[u8],
        sizes: &[usize],
        mode: OutputMode,
        max_kept: usize,
    ) -> (String, u64, bool) {
        let mut long = LongLine::default();
        let (mut out, mut count, mut too_long) = (Vec::new(), 0, false);
        let (mut rest, mut turn) = (line, 0);
        loop {
            let size = sizes[turn % sizes.len()].min(rest.len());
            turn += 1;
            let last = size == rest.len();
            let outcome = long.add_part_with_limit(
                max_kept,
                selector,
                &rest[..size],
                last,
                mode,
                b"f:",
                &mut out,
            );
            match outcome {
                PartOutcome::Nothing => {}
                PartOutcome::Selected => count += 1,
                PartOutcome::TooLong => {
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
    fn a_line_is_printed_if_a_member_is_within_the_limit() {
        let selector = Selector::new(&set(), SelectRules::default());
        let line = format!("{} 10.0.0.1 {}", "a".repeat(100), "b".repeat(1000));
        let (out, count, too_long) =
            search_in_parts(&selector, line.as_bytes(), &[50], OutputMode::Line, 250);
        assert_eq!((out, count, too_long), (format!("f:{line}\n"), 1, false));
        // The member is beyond the limit, so the line cannot be printed.
        let (out, count, too_long) =
            search_in_parts(&selector, line.as_bytes(), &[50], OutputMode::Line, 150);
        assert_eq!((out.as_str(), count, too_long), ("", 1, true));
        let (out, count, too_long) =
            search_in_parts(&selector, line.as_bytes(), &[50], OutputMode::Nothing, 1);
        assert_eq!((out.as_str(), count, too_long), ("", 1, false));
        // A line that is not selected may have any length.
        let none = "a".repeat(1000);
        let (out, count, too_long) =
            search_in_parts(&selector, none.as_bytes(), &[50], OutputMode::Line, 100);
        assert_eq!((out.as_str(), count, too_long), ("", 0, false));
    }

    #[test]
    fn blanks_before_the_first_field_may_fill_several_parts() {
        let rules = SelectRules {
            first_field: true,
            ..SelectRules::default()
        };
        let selector = Selector::new(&set(), rules);
        let line = format!("{}10.0.0.1 x", " ".repeat(3 * FIELD_SIZE));
        let result = search_in_parts(&selector, line.as_bytes(), &[50], OutputMode::Nothing, 1);
        assert_eq!(result, (String::new(), 1, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn a_line_in_parts_is_selected_like_the_complete_line(
            words in proptest::collection::vec(
                "10\\.0\\.0\\.[0-9]{1,3}|2001:db8::[0-9a-f]{0,4}|::ffff:10\\.0\\.0\\.9|\
                 2001:db8::1%[a-z0-9.-]{0,17}|\
                 [0-9]{1,3}(\\.[0-9]{1,3}){2,4}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){1,9}|\
                 (1:){0,7}[0-9]\\.2\\.3\\.4|x{0,60}|[.:]{1,60}", 0..12),
            gaps in "[ .:,;a1\\[\\]/@|-]{12}",
            sizes in proptest::collection::vec(1..40_usize, 1..5),
            first: bool, unmap: bool, dot_port: bool, mode in 0..3_usize, what in 0..3_usize,
        ) {
            let selection = [Selection::Member, Selection::NoMember, Selection::NoAddress][mode];
            let mode = [OutputMode::Line, OutputMode::Addresses, OutputMode::Nothing][what];
            prop_assume!(selection == Selection::Member || mode != OutputMode::Addresses);
            let mut line = String::new();
            for (word, gap) in words.iter().zip(gaps.chars()) {
                line.push_str(word);
                line.push(gap);
            }
            let rules = SelectRules { selection, first_field: first, unmap, dot_port, family: Family::Any };
            let selector = Selector::new(&set(), rules);
            let mut expected = Vec::new();
            // With a newline, an empty text is one line.
            let with_end = format!("{line}\n");
            let lines = selector.select_lines(with_end.as_bytes(), mode, b"f:", &mut expected);
            let (out, count, too_long) =
                search_in_parts(&selector, line.as_bytes(), &sizes, mode, usize::MAX);
            prop_assert!(!too_long);
            prop_assert_eq!(out, String::from_utf8(expected).unwrap());
            prop_assert_eq!(count, lines.selected);
        }
    }
}

//! JSON indented and coloured for a terminal while it is received.

use std::fmt::Write;

use common::text::is_dangerous;

use super::scan::{Part, Scanner};

/// Deeper levels are not indented further, or the indentation of a deeply nested document
/// would be quadratic in its length.
const INDENT_MAX: usize = 32;

const KEY: &str = "\x1b[34m";
const STRING: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[36m";
const WORD: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// The end of a top-level value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueEnd {
    /// The offset in the text.
    pub text: usize,
    /// The offset in the output.
    pub out: usize,
}

/// A printer for a sequence of JSON values. The output is at most 70 times as long as the
/// input, and only the end of a number is delayed.
#[derive(Clone, Debug, Default)]
pub struct Pretty {
    scanner: Scanner,
    color: bool,
    /// Whether the last character opened an array or an object, which stays on one line if
    /// it is empty.
    is_just_opened: bool,
    /// The end of the last value that the last piece completed.
    end: Option<ValueEnd>,
    /// Within a number or literal: whether it is a top-level value.
    word: Option<bool>,
}

impl Pretty {
    /// Returns a printer with or without colours.
    pub fn new(color: bool) -> Self {
        Self {
            color,
            ..Self::default()
        }
    }

    /// Whether all values are complete.
    pub fn is_complete(&self) -> bool {
        self.scanner.is_complete()
    }

    /// Returns the end of the last value that the last [`Self::push`] completed.
    pub fn end(&self) -> Option<ValueEnd> {
        self.end
    }

    /// Appends `text` to `out`, indented. The error is the offset of the first character
    /// that is not valid JSON.
    pub fn push(&mut self, text: &str, out: &mut String) -> Result<(), usize> {
        self.end = None;
        for (at, c) in text.char_indices() {
            let part = self.scanner.step(c).ok_or(at)?;
            if part != (Part::Word { first: false }) && self.end_word(out) {
                self.end = Some(ValueEnd {
                    text: at,
                    out: out.len(),
                });
            }
            match part {
                Part::Blank => {}
                Part::Mark(c) => self.push_mark(c, out),
                Part::String { key, first, last } => {
                    if first {
                        self.begin_token(if key { KEY } else { STRING }, out);
                    }
                    push_escaped(out, c);
                    if last {
                        self.push_color(PLAIN, out);
                    }
                }
                Part::Word { first } => {
                    if first {
                        let is_number = c == '-' || c.is_ascii_digit();
                        self.begin_token(if is_number { NUMBER } else { WORD }, out);
                        self.word = Some(self.scanner.depth() == 0);
                    }
                    out.push(c);
                }
            }
            let closes = matches!(
                part,
                Part::Mark(']' | '}') | Part::String { last: true, .. }
            );
            if closes && self.scanner.depth() == 0 {
                out.push('\n');
                self.end = Some(ValueEnd {
                    text: at + c.len_utf8(),
                    out: out.len(),
                });
            }
        }
        Ok(())
    }

    /// Appends the last word, which the end of the input completes. Returns false if
    /// the last value is incomplete.
    pub fn finish(&mut self, out: &mut String) -> bool {
        let complete = self.is_complete();
        self.end_word(out);
        complete
    }

    fn push_mark(&mut self, c: char, out: &mut String) {
        match c {
            '{' | '[' => {
                // The scanner has already entered the level that `c` opens.
                self.start_first_member(self.scanner.depth() - 1, out);
                out.push(c);
                self.is_just_opened = true;
            }
            '}' | ']' => {
                if !std::mem::take(&mut self.is_just_opened) {
                    push_line(self.scanner.depth(), out);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                push_line(self.scanner.depth(), out);
            }
            c => {
                out.push(c);
                out.push(' ');
            }
        }
    }

    fn begin_token(&mut self, color: &str, out: &mut String) {
        self.start_first_member(self.scanner.depth(), out);
        self.push_color(color, out);
    }

    /// Ends a number or literal, if there is one. Returns whether it is a top-level value.
    fn end_word(&mut self, out: &mut String) -> bool {
        let Some(alone) = self.word.take() else {
            return false;
        };
        self.push_color(PLAIN, out);
        if alone {
            out.push('\n');
        }
        alone
    }

    /// Starts a line before the first member of a level.
    fn start_first_member(&mut self, depth: usize, out: &mut String) {
        if std::mem::take(&mut self.is_just_opened) {
            push_line(depth, out);
        }
    }

    fn push_color(&self, color: &str, out: &mut String) {
        if self.color {
            out.push_str(color);
        }
    }
}

fn push_line(depth: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(INDENT_MAX)));
}

/// Appends a character; DEL, C1 and bidi controls are escaped, and C0 is never valid.
fn push_escaped(out: &mut String, c: char) {
    if is_dangerous(c) {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\u{:04x}", c as u32);
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pretty(text: &str, color: bool) -> String {
        let mut printer = Pretty::new(color);
        let mut out = String::new();
        printer.push(text, &mut out).unwrap();
        assert!(printer.finish(&mut out));
        out
    }

    #[test]
    fn values_are_indented_and_coloured() {
        assert_eq!(
            pretty("{\"a\":[1,{}, [ ]],\"b\":null}", false),
            "{\n  \"a\": [\n    1,\n    {},\n    []\n  ],\n  \"b\": null\n}\n"
        );
        assert_eq!(
            pretty("{\"a\":1}", true),
            "{\n  \x1b[34m\"a\"\x1b[0m: \x1b[36m1\x1b[0m\n}\n"
        );
        assert_eq!(
            pretty("[[\"\u{9b}\"]]", false),
            "[\n  [\n    \"\\u009b\"\n  ]\n]\n"
        );
        assert_eq!(pretty("7", true), "\x1b[36m7\x1b[0m\n");
        assert_eq!(
            pretty("7 \"x\"\n{}[]true", false),
            "7\n\"x\"\n{}\n[]\ntrue\n"
        );
    }

    #[test]
    fn invalid_json_is_reported_with_its_offset() {
        let mut out = String::new();
        let mut printer = Pretty::new(false);
        assert_eq!(printer.push("[1,x", &mut out), Err(3));
        assert_eq!(out, "[\n  1,\n  ");
        let mut printer = Pretty::new(false);
        printer.push("{\"a\":", &mut out).unwrap();
        assert!(!printer.finish(&mut out));
    }

    #[test]
    fn deep_documents_stay_short() {
        for (open, close) in [("[", "]"), ("{\"\":", "}"), ("[0,[],", "]")] {
            let depth = 20_000;
            let inner = if close == "]" { "1" } else { "{}" };
            let text = [&open.repeat(depth), inner, &close.repeat(depth)].concat();
            let shown = pretty(&text, false);
            assert!(shown.len() < 70 * text.len(), "{open}: {}", shown.len());
            let squeezed: String = shown.split_whitespace().collect();
            assert_eq!(squeezed, text);
        }
    }

    proptest! {
        #[test]
        fn the_value_stays(keys: Vec<String>, number: f64, color: bool, cut: usize) {
            let value = serde_json::json!({ "keys": keys, "number": number, "none": null });
            let text = serde_json::to_string_pretty(&value).unwrap();
            let whole = pretty(&text, false);
            let compact = crate::json::text::compact;
            prop_assert_eq!(compact(&whole), compact(&value.to_string()));
            prop_assert!(!whole.contains(|c| c != '\n' && is_dangerous(c)));
            // Split into two pieces.
            let cut = (0..=cut % (text.len() + 1)).rev().find(|&at| text.is_char_boundary(at));
            let (one, two) = text.split_at(cut.unwrap());
            let mut printer = Pretty::new(color);
            let mut out = String::new();
            printer.push(one, &mut out).unwrap();
            printer.push(two, &mut out).unwrap();
            prop_assert!(printer.finish(&mut out));
            prop_assert_eq!(out, pretty(&text, color));
        }
    }
}

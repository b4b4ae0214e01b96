//! JSON text made compact or pretty, without reading its values.

use std::fmt::Write;

use common::text::is_dangerous;

/// Colours of the terminal view.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    /// Whether there are any.
    pub on: bool,
}

const KEY: &str = "\x1b[34m";
const STRING: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[36m";
const WORD: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// Pieces of JSON text that has been found valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// `{ } [ ] , :`
    Mark(char),
    /// A string with its quotes.
    String(&'a str),
    /// A number, or `true`, `false`, `null`.
    Word(&'a str),
}

fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let first = rest.chars().next()?;
        let length = match first {
            '{' | '}' | '[' | ']' | ',' | ':' => {
                rest = &rest[1..];
                return Some(Token::Mark(first));
            }
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |at| at + 2)
            }
            _ => rest
                .find(|c: char| "{}[],:\" \t\r\n".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(if first == '"' {
            Token::String(token)
        } else {
            Token::Word(token)
        })
    })
}

/// A string's text with DEL, C1 and bidi controls escaped; C0 cannot be there.
fn push_safe(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_dangerous(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
}

/// Whether this is one JSON value.
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The value on one line without blanks, safe to look at. The text must be
/// valid.
pub fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for token in tokens(text) {
        match token {
            Token::Mark(c) => out.push(c),
            Token::String(s) => push_safe(&mut out, s),
            Token::Word(s) => out.push_str(s),
        }
    }
    out
}

/// The value indented by two blanks, with a newline at the end. The text must
/// be valid.
pub fn pretty(text: &str, paint: Paint) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut all = tokens(text).peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(token) = all.next() {
        let (color, shown) = match token {
            Token::Mark(open @ ('{' | '[')) => {
                out.push(open);
                if let Some(&Token::Mark(close @ ('}' | ']'))) = all.peek() {
                    out.push(close);
                    all.next();
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
                continue;
            }
            Token::Mark(close @ ('}' | ']')) => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(close);
                continue;
            }
            Token::Mark(',') => {
                out.push(',');
                line(&mut out, depth);
                continue;
            }
            Token::Mark(c) => {
                out.push(c);
                out.push(' ');
                continue;
            }
            Token::String(s) if all.peek() == Some(&Token::Mark(':')) => (KEY, s),
            Token::String(s) => (STRING, s),
            Token::Word(s @ ("true" | "false" | "null")) => (WORD, s),
            Token::Word(s) => (NUMBER, s),
        };
        if paint.on {
            out.push_str(color);
        }
        push_safe(&mut out, shown);
        if paint.on {
            out.push_str(PLAIN);
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str =
        "{ \"a\\\"b\" : [1.50, 12345678901234567890,\n {}, [ ] ,true], \"c\": \"x, y: \u{9b}\" }";

    #[test]
    fn compacted() {
        assert_eq!(
            compact(TEXT),
            "{\"a\\\"b\":[1.50,12345678901234567890,{},[],true],\"c\":\"x, y: \\u009b\"}"
        );
    }

    #[test]
    fn indented() {
        assert_eq!(
            pretty("{\"a\":[1,{}],\"b\":null}", Paint::default()),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": null\n}\n"
        );
        assert_eq!(
            pretty("{\"a\":1}", Paint { on: true }),
            "{\n  \x1b[34m\"a\"\x1b[0m: \x1b[36m1\x1b[0m\n}\n"
        );
        assert_eq!(pretty("7", Paint::default()), "7\n");
    }

    proptest! {
        #[test]
        fn the_value_stays(keys: Vec<String>, number: f64) {
            let value = serde_json::json!({ "keys": keys, "number": number, "none": null });
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                for text in [compact(&text), pretty(&text, Paint::default())] {
                    let back: serde_json::Value = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(&back["keys"], &value["keys"]);
                    let controls: Vec<char> = text.chars().filter(|c| is_dangerous(*c)).collect();
                    prop_assert!(controls.iter().all(|&c| c == '\n'));
                }
            }
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = compact(&text);
            let _ = pretty(&text, Paint::default());
        }
    }
}

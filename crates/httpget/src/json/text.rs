//! Compacts JSON text without converting its values, so that numbers keep all digits.

use std::io::{self, Write};

use common::text::is_dangerous;

/// A token of valid JSON text.
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

/// Whether a text is exactly one JSON value.
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Writes a valid value on one line without white space. Dangerous characters are
/// escaped.
pub fn write_compact(text: &str, out: &mut impl Write) -> io::Result<()> {
    for token in tokens(text) {
        match token {
            Token::Mark(c) => out.write_all(&[c as u8])?,
            Token::String(s) => write_safe(s, out)?,
            Token::Word(s) => out.write_all(s.as_bytes())?,
        }
    }
    Ok(())
}

/// Like [`write_compact`], but returns the text.
pub fn compact(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    // Writing to memory cannot fail.
    let _ = write_compact(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a string with DEL, C1 and bidi controls escaped. C0 controls need no
/// treatment: valid JSON contains them only in escaped form.
fn write_safe(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_dangerous(c)) {
        out.write_all(&rest.as_bytes()[..at])?;
        write!(out, "\\u{:04x}", c as u32)?;
        rest = &rest[at + c.len_utf8()..];
    }
    out.write_all(rest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str =
        "{ \"a\\\"b\" : [1.50, 12345678901234567890,\n {}, [ ] ,true], \"c\": \"x, y: \u{9b}\" }";

    #[test]
    fn a_value_is_compacted() {
        assert_eq!(
            compact(TEXT),
            "{\"a\\\"b\":[1.50,12345678901234567890,{},[],true],\"c\":\"x, y: \\u009b\"}"
        );
    }

    proptest! {
        #[test]
        fn the_value_stays(keys: Vec<String>, number: f64) {
            let value = serde_json::json!({ "keys": keys, "number": number, "none": null });
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let text = compact(&text);
                let back: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&back["keys"], &value["keys"]);
                prop_assert!(!text.contains(is_dangerous));
            }
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = compact(&text);
        }
    }
}

//! Escaping of untrusted text for terminals and line-based filters.
//!
//! Names, headers and bodies come from the network. In text output every control
//! character (C0, DEL, C1), every bidi control and every byte that is not UTF-8 is
//! escaped: `\x1b` for a byte, `\u{202e}` for a character. Other characters are
//! unchanged.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character could move the cursor, change the state of the terminal or
/// reorder the text: C0, DEL, C1, line and paragraph separators, and the bidi
/// controls of Unicode.
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes every dangerous character; borrows the text if it has none.
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_dangerous) => Cow::Borrowed(text),
        _ => {
            let mut escaped = String::with_capacity(bytes.len() + 16);
            escape_into(&mut escaped, bytes, &[]);
            Cow::Owned(escaped)
        }
    }
}

/// Like [`escape`], but keeps newlines and tabs, for text bodies.
pub fn escape_body(bytes: &[u8]) -> Cow<'_, str> {
    let mut escaped = String::with_capacity(bytes.len() + 16);
    escape_into(&mut escaped, bytes, &['\n', '\t']);
    Cow::Owned(escaped)
}

/// Returns the text in double quotes, with the C escapes of `"`, `\`, newline,
/// return and tab, so that it can be parsed and is always on one line.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c => push(&mut quoted, c),
            }
        }
        push_bytes(&mut quoted, chunk.invalid());
    }
    quoted.push('"');
    quoted
}

fn escape_into(escaped: &mut String, bytes: &[u8], allowed: &[char]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if allowed.contains(&c) {
                escaped.push(c);
            } else {
                push(escaped, c);
            }
        }
        push_bytes(escaped, chunk.invalid());
    }
}

fn push(text: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = match c {
        c if !is_dangerous(c) => {
            text.push(c);
            Ok(())
        }
        c if c.is_ascii() => write!(text, "\\x{:02x}", c as u32),
        c => write!(text, "\\u{{{:x}}}", c as u32),
    };
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dangerous_text_is_escaped() {
        assert_eq!(escape(b"plain"), "plain");
        assert_eq!(escape("caf\u{e9}".as_bytes()), "café");
        assert_eq!(escape(b"\x1b[2J\x7f\xff"), "\\x1b[2J\\x7f\\xff");
        assert_eq!(escape("\u{202e}\u{85}".as_bytes()), "\\u{202e}\\u{85}");
        assert_eq!(escape_body(b"a\tb\nc\r"), "a\tb\nc\\x0d");
        assert_eq!(quote(b"Hello\n\"\\\x00"), "\"Hello\\n\\\"\\\\\\x00\"");
    }

    proptest! {
        #[test]
        fn escaped_text_is_not_dangerous(bytes: Vec<u8>) {
            prop_assert!(!escape(&bytes).contains(is_dangerous));
            prop_assert!(!quote(&bytes).contains(is_dangerous));
        }
    }

    #[test]
    fn quoted_text_has_c_escapes() {
        assert_eq!(quote(b"\r\t\xff"), "\"\\r\\t\\xff\"");
    }

    #[test]
    fn dangerous_characters_are_controls_separators_and_bidi_controls() {
        let dangerous: Vec<u32> = ('\0'..=char::MAX)
            .filter(|&c| is_dangerous(c))
            .map(u32::from)
            .collect();
        let expected: Vec<u32> = [
            0..=0x1f,
            0x7f..=0x9f,
            0x61c..=0x61c,
            0x200e..=0x200f,
            0x2028..=0x202e,
            0x2066..=0x2069,
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(dangerous, expected);
    }
}

//! JSON Lines: one object a line, safe to look at.
//!
//! serde_json escapes C0 controls only. DEL, C1 and bidi controls are valid
//! JSON but dangerous on a terminal, so [`write_line`] writes them as `\u`
//! escapes as well; a parser sees the same string.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::text::is_dangerous;

/// Writes `record` as one line, newline included.
pub fn write_line(mut writer: impl Write, record: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut writer, Careful);
    record.serialize(&mut serializer).map_err(io::Error::from)?;
    writer.write_all(b"\n")
}

/// The compact form with every control character escaped.
struct Careful;

impl Formatter for Careful {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_dangerous(c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            // All of them lie in the basic plane: one unit each.
            write!(writer, "\\u{:04x}", c as u32)?;
            rest = &rest[at + c.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// A duration in milliseconds with fractions, for keys ending in `_ms`.
pub fn ms(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// `#[serde(serialize_with = "common::json::as_string")]`: an integer that
/// can exceed 2^53 is always a string.
pub fn as_string<T: ToString, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped_and_survive() {
        #[derive(Serialize)]
        struct Record {
            text: &'static str,
        }
        let text = "a\u{7f}\u{9b}31m\u{202e}\n\"é";
        let mut line = Vec::new();
        write_line(&mut line, &Record { text }).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line, "{\"text\":\"a\\u007f\\u009b31m\\u202e\\n\\\"é\"}\n");
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["text"], text);
    }

    #[test]
    fn milliseconds_have_fractions() {
        assert!((ms(Duration::from_micros(1500)) - 1.5).abs() < 1e-9);
    }
}

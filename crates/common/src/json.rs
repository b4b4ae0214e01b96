//! JSON Lines: one object per line, safe to print on a terminal.
//!
//! serde_json escapes C0 controls only. DEL, C1 and bidi controls are valid JSON
//! but dangerous on a terminal, so [`write_line`] also writes them as `\u` escapes;
//! for a parser the string is the same. Fractions have at most six decimals and
//! no exponent, for programs that read the lines as text.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::text::is_dangerous;

/// Writes `record` as one line with its newline.
pub fn write_line(mut writer: impl Write, record: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut writer, EscapingFormatter);
    record.serialize(&mut serializer).map_err(io::Error::from)?;
    writer.write_all(b"\n")
}

/// Writes compact JSON with every control character escaped.
struct EscapingFormatter;

impl Formatter for EscapingFormatter {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let text = format!("{value:.6}");
        let short = text.trim_end_matches('0');
        let short = if short == "-0." { "0." } else { short };
        writer.write_all(short.as_bytes())?;
        if short.ends_with('.') {
            writer.write_all(b"0")?;
        }
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // A fragment has no C0 controls, so most have nothing to escape.
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some((index, c)) = rest.char_indices().find(|&(_, c)| is_dangerous(c)) {
            writer.write_all(&rest.as_bytes()[..index])?;
            // Dangerous characters need a single UTF-16 unit.
            write!(writer, "\\u{:04x}", c as u32)?;
            rest = &rest[index + c.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// Converts a duration to milliseconds with fractions, for keys ending in `_ms`.
pub fn ms(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// Serializes an integer that can exceed 2^53 as a string:
/// `#[serde(serialize_with = "common::json::as_string")]`.
pub fn as_string<T: ToString, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped_and_parsed_again() {
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
    fn fractions_have_six_decimals_and_no_exponent() {
        for (value, text) in [
            (8e-6, "0.000008"),
            (4e-7, "0.0"),
            (-4e-7, "0.0"),
            (6e-7, "0.000001"),
            (0.0, "0.0"),
            (5.0, "5.0"),
            (100.0, "100.0"),
            (-2.5, "-2.5"),
            (0.123_456_789, "0.123457"),
            (1e20, "100000000000000000000.0"),
            (f64::NAN, "null"),
        ] {
            let mut line = Vec::new();
            write_line(&mut line, &value).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), format!("{text}\n"));
        }
    }

    #[test]
    fn large_integers_are_strings() {
        #[derive(Serialize)]
        struct Record {
            #[serde(serialize_with = "as_string")]
            total: i128,
        }
        let mut line = Vec::new();
        write_line(&mut line, &Record { total: -(1 << 70) }).unwrap();
        assert_eq!(line, b"{\"total\":\"-1180591620717411303424\"}\n");
    }

    #[test]
    fn milliseconds_have_fractions() {
        assert!((ms(Duration::from_micros(1500)) - 1.5).abs() < 1e-9);
    }
}

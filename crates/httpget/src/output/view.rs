//! Bodies on a terminal: JSON indented and coloured, text escaped, binary
//! refused.

use common::{Error, Kind, Result};

use crate::http::media::{self, Class};
use crate::json::text::{self, Paint};

/// More JSON than this is shown as the text it is.
const JSON_MAX: usize = 16 << 20;

/// A body on its way to a terminal.
#[derive(Debug)]
pub(crate) struct View {
    class: Class,
    paint: Paint,
    /// JSON so far, or the start of a character.
    held: Vec<u8>,
    /// Whether the start was looked at.
    sniffed: bool,
}

impl View {
    pub(crate) fn new(class: Class, color: bool) -> Self {
        Self {
            class,
            paint: Paint { on: color },
            held: Vec::new(),
            sniffed: false,
        }
    }

    /// Takes a piece and gives what can be shown already.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<String> {
        if !self.sniffed {
            self.sniffed = true;
            if media::looks_binary(&piece[..piece.len().min(1024)]) {
                return Err(
                    Error::new(Kind::System, "the body is binary, no text for a terminal")
                        .hint("use -o FILE, or pipe it"),
                );
            }
        }
        self.held.extend_from_slice(piece);
        if self.class == Class::Json && self.held.len() <= JSON_MAX {
            return Ok(String::new());
        }
        self.class = Class::Text;
        let whole = match std::str::from_utf8(&self.held) {
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            _ => self.held.len(),
        };
        let shown = shown(&self.held[..whole]);
        self.held.drain(..whole);
        Ok(shown)
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.class == Class::Json
            && let Ok(json) = std::str::from_utf8(&held)
            && text::is_valid(json)
        {
            return text::pretty(json, self.paint);
        }
        shown(&held)
    }
}

/// Text with its line ends as a terminal wants them, all else escaped.
fn shown(bytes: &[u8]) -> String {
    common::text::escape_body(bytes).replace("\\x0d\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(class: Class, pieces: &[&[u8]]) -> Result<String> {
        let mut view = View::new(class, false);
        let mut all = String::new();
        for piece in pieces {
            all.push_str(&view.take(piece)?);
        }
        all.push_str(&view.finish());
        Ok(all)
    }

    #[test]
    fn bodies() {
        let json = view(Class::Json, &[b"{\"a\":", b"1}"]).unwrap();
        assert_eq!(json, "{\n  \"a\": 1\n}\n");
        let broken = view(Class::Json, &[b"{\"a\":\x1b"]).unwrap();
        assert_eq!(broken, "{\"a\":\\x1b");
        let text = view(Class::Text, &[b"caf\xc3", b"\xa9\x1b[2J\r\n\t."]).unwrap();
        assert_eq!(text, "café\\x1b[2J\n\t.");
        let error = view(Class::Other, &[b"\x7fELF\0\0"]).unwrap_err();
        assert_eq!(error.exit(), common::Exit::Fault);
    }
}

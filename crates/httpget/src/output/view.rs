//! Bodies on a terminal: JSON is indented and coloured, text is escaped, and a binary
//! body is refused. Output is written while the body is received.

use std::time::{Duration, Instant};

use common::{Error, Kind, Result};

use crate::http::charset::{self, Decoder, Encoding};
use crate::http::media::{self, Class};
use crate::json::pretty::Pretty;

/// The limit on a JSON value, and on its indented form, that is held until it is known to
/// be valid; a longer value is shown before its end.
const HELD_MAX: usize = 1 << 20;

/// The limit on the time for which an incomplete value is held; a slow value is shown as
/// it is received.
const HELD_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes rendered at a time, which limits the size of their indented form.
const RENDER_MAX: usize = 4 * 1024;

/// A function that receives rendered text.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A renderer of one body.
pub(crate) struct View {
    class: Class,
    /// Decodes the declared charset; `None` for UTF-8.
    decoder: Option<Decoder>,
    printer: Pretty,
    /// The first bytes of an incomplete character.
    partial: Vec<u8>,
    /// The incomplete JSON value, as received and as indented.
    held: String,
    indented: String,
    /// Whether a part of the incomplete value has been shown.
    is_shown: bool,
    /// Whether a value has been completed.
    has_values: bool,
    /// The time since which the incomplete value is held.
    held_since: Option<Instant>,
    /// Whether the start of the body has been examined.
    is_sniffed: bool,
    /// The hint for a binary body.
    hint: &'static str,
    /// Whether the first character has been rendered.
    has_started: bool,
}

/// Leaves out the decoder, which does not implement Debug.
impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

impl View {
    /// Returns a view of a body of this class in a declared `charset`. `is_compressed`
    /// is true for a body that cannot be shown because it is compressed.
    pub(crate) fn new(
        class: Class,
        charset: Option<&'static Encoding>,
        color: bool,
        is_compressed: bool,
    ) -> Self {
        Self {
            class,
            decoder: charset.map(Encoding::new_decoder),
            printer: Pretty::new(color),
            partial: Vec::new(),
            held: String::new(),
            indented: String::new(),
            is_shown: false,
            has_values: false,
            held_since: None,
            is_sniffed: false,
            hint: if is_compressed {
                "the server compressed it; use --compressed to decode it"
            } else {
                "use -o FILE, or a pipe"
            },
            has_started: false,
        }
    }

    /// Renders a piece, as far as possible.
    pub(crate) fn push(&mut self, piece: &[u8], emit: Emit<'_>) -> Result<()> {
        let Some(mut decoder) = self.decoder.take() else {
            return self.push_utf8(piece, emit);
        };
        let mut outcome = Ok(());
        for step in piece.chunks(RENDER_MAX) {
            let text = charset::decode_piece(&mut decoder, step, false);
            outcome = self.push_utf8(text.as_bytes(), emit);
            if outcome.is_err() {
                break;
            }
        }
        self.decoder = Some(decoder);
        outcome
    }

    /// Renders a piece that is UTF-8 except for invalid bytes.
    fn push_utf8(&mut self, piece: &[u8], emit: Emit<'_>) -> Result<()> {
        if !self.is_sniffed && !piece.is_empty() {
            self.is_sniffed = true;
            if media::looks_binary(&piece[..piece.len().min(1024)]) {
                return Err(Error::new(
                    Kind::System,
                    "the body is binary and is not printed to a terminal",
                )
                .hint(self.hint));
            }
        }
        for step in piece.chunks(RENDER_MAX) {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(step);
            let whole = match std::str::from_utf8(&bytes) {
                Err(e) if e.error_len().is_none() => e.valid_up_to(),
                _ => bytes.len(),
            };
            self.partial = bytes.split_off(whole);
            self.render(&bytes, emit)?;
        }
        Ok(())
    }

    /// Renders the rest at the end of the body.
    pub(crate) fn finish(&mut self, emit: Emit<'_>) -> Result<()> {
        if let Some(mut decoder) = self.decoder.take() {
            let text = charset::decode_piece(&mut decoder, b"", true);
            self.push_utf8(text.as_bytes(), emit)?;
        }
        let partial = std::mem::take(&mut self.partial);
        self.render(&partial, emit)?;
        if self.class != Class::Json {
            return Ok(());
        }
        if self.printer.finish(&mut self.indented) || self.is_shown {
            return emit(std::mem::take(&mut self.indented).as_bytes());
        }
        let held = std::mem::take(&mut self.held);
        emit(escape_text(held.as_bytes()).as_bytes())
    }

    /// Renders bytes that end with a complete character.
    fn render(&mut self, bytes: &[u8], emit: Emit<'_>) -> Result<()> {
        if self.class != Class::Json {
            return emit(escape_text(bytes).as_bytes());
        }
        // Some programs write a byte order mark, which is not JSON.
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if !self.has_started => rest,
            _ => bytes,
        };
        self.has_started |= !bytes.is_empty();
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.fall_back_to_text(bytes, emit);
        };
        let outcome = self.printer.push(text, &mut self.indented);
        let valid = outcome.err().unwrap_or(text.len());
        let mut rest = &text[..valid];
        if let Some(end) = self.printer.end() {
            emit(&self.indented.as_bytes()[..end.out])?;
            self.indented.drain(..end.out);
            self.held.clear();
            self.is_shown = false;
            self.held_since = None;
            self.has_values = true;
            rest = &rest[end.text..];
        }
        self.hold(rest);
        if outcome.is_err() {
            return self.fall_back_to_text(&bytes[valid..], emit);
        }
        if !self.is_shown {
            let since = if self.held.is_empty() {
                None
            } else {
                Some(*self.held_since.get_or_insert_with(Instant::now))
            };
            self.held_since = since;
            self.is_shown = self.held.len() > HELD_MAX
                || self.indented.len() > HELD_MAX
                || since.is_some_and(|since| since.elapsed() >= HELD_TIME_MAX);
        }
        if self.is_shown {
            self.held.clear();
            return emit(std::mem::take(&mut self.indented).as_bytes());
        }
        Ok(())
    }

    /// Holds text that has not been shown, except for line ends between values.
    fn hold(&mut self, text: &str) {
        let is_between_values = self.has_values && self.indented.is_empty();
        if !(self.is_shown || is_between_values) {
            self.held.push_str(text);
        }
    }

    /// Renders the body as text from here on, since it is not JSON: from the start of the
    /// current value if no part of it has been shown.
    fn fall_back_to_text(&mut self, rest: &[u8], emit: Emit<'_>) -> Result<()> {
        self.class = Class::Text;
        let held = std::mem::take(&mut self.held);
        let indented = std::mem::take(&mut self.indented);
        if self.is_shown {
            emit(indented.as_bytes())?;
            emit(b"\n")?;
        } else {
            emit(escape_text(held.as_bytes()).as_bytes())?;
        }
        emit(escape_text(rest).as_bytes())
    }
}

/// Escapes text, and converts CRLF to LF.
fn escape_text(bytes: &[u8]) -> String {
    common::text::escape_body(bytes).replace("\\x0d\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(class: Class, pieces: &[&[u8]]) -> Result<String> {
        let mut view = View::new(class, None, false, false);
        let mut all = Vec::new();
        let mut emit = |bytes: &[u8]| {
            all.extend_from_slice(bytes);
            Ok(())
        };
        for piece in pieces {
            view.push(piece, &mut emit)?;
        }
        view.finish(&mut emit)?;
        Ok(String::from_utf8(all).unwrap())
    }

    #[test]
    fn bodies_are_rendered_by_their_class() {
        let json = view(Class::Json, &[b"{\"a\":", b"1}"]).unwrap();
        assert_eq!(json, "{\n  \"a\": 1\n}\n");
        for broken in [&b"{\"a\":\x1b"[..], b"{\"a\":", b"{\"a\":\"\xff\"}", b"<p>"] {
            let shown = view(Class::Json, &[broken]).unwrap();
            assert_eq!(shown, common::text::escape_body(broken));
        }
        for pieces in [
            &[&b"\xef\xbb\xbf{}"[..]][..],
            &[b"\xef", b"\xbb", b"\xbf", b"{", b"}"],
        ] {
            assert_eq!(view(Class::Json, pieces).unwrap(), "{}\n");
        }
        let text = view(Class::Text, &[b"caf\xc3", b"\xa9\x1b[2J\r\n\t."]).unwrap();
        assert_eq!(text, "café\\x1b[2J\n\t.");
        let error = view(Class::Other, &[b"\x7fELF\0\0"]).unwrap_err();
        assert_eq!(error.exit(), common::Exit::LocalError);
    }

    #[test]
    fn values_of_a_stream_are_shown_when_complete() {
        let mut view = View::new(Class::Json, None, false, false);
        let mut take = |piece: &[u8]| {
            let mut shown = Vec::new();
            view.push(piece, &mut |bytes: &[u8]| {
                shown.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
            String::from_utf8(shown).unwrap()
        };
        assert_eq!(take(b"{\"a\":1}\n"), "{\n  \"a\": 1\n}\n");
        assert_eq!(take(b"{\"a\""), "");
        assert_eq!(take(b":2}\r\n[\"\xc3"), "{\n  \"a\": 2\n}\n");
        assert_eq!(take(b"\xa9\"]\n1"), "[\n  \"é\"\n]\n");
        assert_eq!(take(b"2\n"), "12\n");
        assert_eq!(take(b"junk\n"), "junk\n");
        assert_eq!(take(b"{\"a\":1}\n"), "{\"a\":1}\n");
    }

    #[test]
    fn declared_charsets_are_decoded() {
        let shown = |label: &str, class, pieces: &[&[u8]]| -> Result<String> {
            let charset = Encoding::for_label(label.as_bytes());
            let mut view = View::new(class, charset, false, false);
            let mut all = Vec::new();
            let mut emit = |bytes: &[u8]| {
                all.extend_from_slice(bytes);
                Ok(())
            };
            for piece in pieces {
                view.push(piece, &mut emit)?;
            }
            view.finish(&mut emit)?;
            Ok(String::from_utf8(all).unwrap())
        };
        let text = |label: &str, pieces: &[&[u8]]| shown(label, Class::Text, pieces).unwrap();
        assert_eq!(
            text("iso-8859-1", &[b"caf\xe9\x1b[2J\r\n"]),
            "café\\x1b[2J\n"
        );
        assert_eq!(text("shift_jis", &[b"\x93", b"\xfa\x96\x7b"]), "日本");
        assert_eq!(text("shift_jis", &[b"a\x93"]), "a\u{fffd}");
        assert_eq!(text("utf-16", &[b"\xff", b"\xfea\0.\x20"]), "a\\u{202e}");
        let json = shown("iso-8859-1", Class::Json, &[b"[\"\xe9\"]"]).unwrap();
        assert_eq!(json, "[\n  \"é\"\n]\n");
        let error = shown("iso-8859-1", Class::Text, &[b"\x89PNG\0"]).unwrap_err();
        assert_eq!(error.exit(), common::Exit::LocalError);
    }

    #[test]
    fn long_values_are_not_held() {
        let text = format!("[{}]", vec!["\"xxxxxxxxxxxxxxx\""; 200_000].join(","));
        let shown = view(Class::Json, &[text.as_bytes()]).unwrap();
        assert!(shown.starts_with("[\n  \"xx") && shown.ends_with("\"\n]\n"));
        // If it turns out to be invalid, the rest is shown as text.
        let broken = text.replace(']', "?");
        let shown = view(Class::Json, &[broken.as_bytes()]).unwrap();
        assert!(shown.starts_with("[\n  \"xx") && shown.ends_with("\"\n?"));
    }
}

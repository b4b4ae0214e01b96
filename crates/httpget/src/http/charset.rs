//! The charset that a Content-Type declares, with the labels and the decoders of
//! the WHATWG Encoding Standard, as in browsers.
//!
//! Only text that is rendered for a terminal or becomes a JSON string is decoded; a
//! body that is piped or saved keeps its bytes. UTF-8 needs no decoder: the
//! renderers accept it, and show each invalid byte.

use encoding_rs::DecoderResult;
pub use encoding_rs::{Decoder, Encoding};

use super::disposition::parameters;

/// Returns the encoding that a Content-Type value declares; `None` for UTF-8,
/// for an unknown label, and without a charset.
pub fn declared(content_type: Option<&str>) -> Option<&'static Encoding> {
    let (_, label) = parameters(content_type?)
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("charset"))?;
    // `for_label` would map unsafe charsets to a decoder that always fails.
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
    (encoding != encoding_rs::UTF_8).then_some(encoding)
}

/// Decodes a whole body; `None` if it is invalid in its encoding. A byte order mark
/// overrides the declaration.
pub fn decode(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    let mut decoder = encoding.new_decoder();
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let (result, used) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        match result {
            DecoderResult::InputEmpty => return Some(text),
            DecoderResult::Malformed(..) => return None,
            DecoderResult::OutputFull => {
                rest = &rest[used..];
                // More than any one sequence needs.
                text.reserve(rest.len() + 16);
            }
        }
    }
}

/// Decodes the next piece of a body to UTF-8, with U+FFFD for each invalid sequence.
/// `last` is true for the last piece.
pub fn decode_piece(decoder: &mut Decoder, bytes: &[u8], last: bool) -> String {
    let length = decoder.max_utf8_buffer_length(bytes.len());
    let mut text = String::with_capacity(length.unwrap_or(bytes.len()));
    // With the capacity that the decoder asked for, all bytes are used.
    let _ = decoder.decode_to_string(bytes, &mut text, last);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_are_those_of_the_encoding_standard() {
        for (value, name) in [
            ("text/html; charset=ISO-8859-1", Some("windows-1252")),
            ("text/html;charset=\"Shift_JIS\"", Some("Shift_JIS")),
            ("text/plain; format=flowed; CHARSET=koi8-r", Some("KOI8-R")),
            ("application/json; charset=utf-16", Some("UTF-16LE")),
            ("text/plain; charset=utf-8", None),
            ("text/plain; charset=UTF8", None),
            ("text/plain; charset=no-such", None),
            ("text/plain; charset=iso-2022-kr", None),
            ("text/plain; charset=", None),
            ("text/plain", None),
        ] {
            assert_eq!(declared(Some(value)).map(Encoding::name), name, "{value}");
        }
        assert_eq!(declared(None), None);
    }

    #[test]
    fn invalid_text_is_not_decoded() {
        let of = |label: &str, bytes: &[u8]| {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            decode(encoding, bytes)
        };
        assert_eq!(of("iso-8859-1", b"caf\xe9").as_deref(), Some("café"));
        assert_eq!(
            of("shift_jis", b"\x93\xfa\x96\x7b").as_deref(),
            Some("日本")
        );
        assert_eq!(of("shift_jis", b"\x93"), None);
        assert_eq!(of("utf-16", b"\xfe\xff\0a").as_deref(), Some("a"));
        // A byte order mark overrides the declaration.
        let marked = "\u{feff}é".as_bytes();
        assert_eq!(of("iso-8859-1", marked).as_deref(), Some("é"));
    }

    proptest! {
        #[test]
        fn text_is_decoded_whole_or_in_pieces(bytes: Vec<u8>, step in 1..9_usize, pick in 0..4_usize) {
            let label = ["shift_jis", "utf-16", "gb18030", "iso-2022-jp"][pick];
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            let mut decoder = encoding.new_decoder();
            let mut text: String = bytes
                .chunks(step)
                .map(|piece| decode_piece(&mut decoder, piece, false))
                .collect();
            text += &decode_piece(&mut decoder, b"", true);
            let (expected, _, has_errors) = encoding.decode(&bytes);
            prop_assert_eq!(text, expected.as_ref());
            let whole = decode(encoding, &bytes);
            prop_assert_eq!(whole, (!has_errors).then(|| expected.into_owned()));
        }
    }
}

//! Escaping: the result contains no dangerous character, and text without them is
//! unchanged.
#![no_main]

use common::{json, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let escaped = text::escape(bytes);
    assert!(!escaped.contains(text::is_dangerous));
    assert_eq!(text::escape(escaped.as_bytes()), escaped);

    let body = text::escape_body(bytes);
    assert!(!body.contains(|c| text::is_dangerous(c) && c != '\n' && c != '\t'));

    let quoted = text::quote(bytes);
    assert!(!quoted.contains(text::is_dangerous));
    assert!(quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"'));

    let string = String::from_utf8_lossy(bytes);
    let mut line = Vec::new();
    json::write_line(&mut line, &string).expect("write to a Vec");
    assert_eq!(line.pop(), Some(b'\n'));
    let written = std::str::from_utf8(&line).expect("read JSON as UTF-8");
    assert!(!written.contains(|c: char| c.is_control()));
    let read: String = serde_json::from_str(written).expect("parse the written JSON");
    assert_eq!(read, string);
});

//! Heads of responses: parsed unambiguously, and never beyond the input.
#![no_main]

use httpget::http::framing::Framing;
use httpget::http::head::{self, Head};
use libfuzzer_sys::fuzz_target;

fn check(bytes: &[u8]) {
    let Some(end) = head::find_end(bytes) else {
        return;
    };
    assert!(end <= bytes.len());
    let Ok(head) = Head::parse(&bytes[..end]) else {
        return;
    };
    assert!((100..1000).contains(&head.status));
    assert_eq!(head.raw, &bytes[..end]);
    for (name, value) in &head.headers {
        assert!(name.bytes().all(head::is_token) && !name.is_empty());
        assert!(!value.contains(['\r', '\n', '\0']));
    }
    if let Ok(framing) = head.framing(false)
        && let Framing::Length(length) = framing
    {
        assert_eq!(head.content_length().ok().flatten(), Some(length));
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The fuzzer alone does not find a complete status line.
    check(&[b"HTTP/1.1 200 ", bytes, b"\r\n\r\n"].concat());
    check(&[b"HTTP/1.1 200 OK\r\nContent-Length: ", bytes, b"\r\n\r\n"].concat());
});

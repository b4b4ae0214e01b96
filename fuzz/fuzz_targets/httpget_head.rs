//! Heads of responses: read in one way only, and never past what is there.
#![no_main]

use httpget::http::head::{self, Framing, Head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = head::end(bytes) else { return };
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
});

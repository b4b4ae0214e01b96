//! ping's readers of what ICMP sockets deliver: no panic, and nothing outside
//! the bytes given.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ping::packet::{self, Version};

fuzz_target!(|input: (bool, bool, Vec<u8>)| {
    let (six, raw, bytes) = input;
    if let Some(advice) = packet::advice(&bytes) {
        // Both headers lie before what is quoted.
        assert!(bytes.len() >= advice.request.data.len() + 56);
        assert!(matches!(advice.kind, 4 | 5));
    }
    let version = if six { Version::V6 } else { Version::V4 };
    for echo in [
        packet::reply(version, raw, &bytes),
        packet::quoted(version, &bytes),
    ]
    .into_iter()
    .flatten()
    {
        // Header and data make up the end of what came.
        let start = bytes.len() - echo.data.len() - packet::HEADER;
        assert_eq!(&bytes[start + packet::HEADER..], echo.data);
        assert_eq!(bytes[start + 6..start + 8], echo.seq.to_be_bytes());
        assert_eq!(bytes[start + 4..start + 6], echo.id.to_be_bytes());
        assert!(start == 0 || (raw && !six && (20..=60).contains(&start)));
    }
});

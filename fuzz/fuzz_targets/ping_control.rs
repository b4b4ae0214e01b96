//! ping's parsers of control messages and socket addresses: they neither panic
//! nor loop without end, whatever the lengths are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ping::control;

fuzz_target!(|bytes: &[u8]| {
    let control = control::parse(bytes);
    if let Some(timestamp) = control.timestamp {
        // The input contains the seconds that were parsed.
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().expect("chunk of eight bytes")))
            .collect();
        assert!(words.contains(&(timestamp / 1_000_000_000)));
    }
    for start in 0..bytes.len().min(4) {
        let _ = control::address(&bytes[start..]);
    }
});

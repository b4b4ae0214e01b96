//! ping's readers of control messages and socket addresses: no panic, no
//! endless loop, whatever the lengths say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ping::control;

fuzz_target!(|bytes: &[u8]| {
    let control = control::parse(bytes);
    if let Some(stamp) = control.stamp {
        // What was read stands in the bytes: seconds and nanoseconds.
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")))
            .collect();
        assert!(words.contains(&(stamp / 1_000_000_000)));
    }
    for at in 0..bytes.len().min(4) {
        let _ = control::address(&bytes[at..]);
    }
});

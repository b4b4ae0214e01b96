//! Answers of HTTP and SOCKS proxies.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8)| {
    let (bytes, step) = input;
    fuzzing::tunnel(bytes, step.into());
    fuzzing::tunnel(&[b"HTTP/1.1 200 ", bytes].concat(), step.into());
    fuzzing::tunnel(&[&[5, 2, 1, 0, 5, 0, 0][..], bytes].concat(), step.into());
});

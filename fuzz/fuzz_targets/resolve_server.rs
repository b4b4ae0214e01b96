//! Servers as users write them, URLs among them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| resolve::fuzzing::server(text));

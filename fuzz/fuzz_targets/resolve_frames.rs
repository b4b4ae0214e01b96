//! Splits a byte stream that arrives in pieces into messages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| resolve::fuzzing::frames(bytes));

//! Messages out of a stream, in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| resolve::fuzzing::frames(bytes));

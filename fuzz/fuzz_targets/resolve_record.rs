//! Shows record data of every type, and EDNS options.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| resolve::fuzzing::record(bytes));

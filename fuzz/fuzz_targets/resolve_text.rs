//! Parses names as typed by users.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| resolve::fuzzing::text(text));

//! Parses servers as typed by users, including URLs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| resolve::fuzzing::server(text));

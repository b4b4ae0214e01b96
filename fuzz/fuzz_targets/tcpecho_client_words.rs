//! Targets, sizes and hexadecimal as users write them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| tcpecho_client::fuzzing::words(text));

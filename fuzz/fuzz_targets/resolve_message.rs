//! Processes a DNS message from a server and shows it in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| resolve::fuzzing::message(bytes));

//! A DNS message from a server, through everything that is done with one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| resolve::fuzzing::message(bytes));

//! Operands, sizes and hexadecimal bytes of the command line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| tcpecho_client::fuzzing::words(text));

//! A connection of the echo server, its rules and what happens to it as the
//! bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_server::fuzzing::machine(bytes));

//! A message, and counted echoes, against a peer that does as the bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_client::fuzzing::exchange(bytes));

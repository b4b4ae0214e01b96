//! The messages of one connection of the load engine, with a simulated network.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_client::fuzzing::bench(bytes));

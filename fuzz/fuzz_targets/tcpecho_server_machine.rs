//! Fuzzes the state machine of a connection: its rules, and the events in any
//! order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_server::fuzzing::machine(bytes));

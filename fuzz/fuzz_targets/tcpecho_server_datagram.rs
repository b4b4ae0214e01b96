//! Fuzzes the control messages of datagrams and the rules for replies.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_server::fuzzing::datagram(bytes));

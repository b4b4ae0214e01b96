//! An exchange of a message, and messages that are counted one by one, with a
//! simulated peer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_client::fuzzing::exchange(bytes));

//! Headers of datagrams, and who is answered how often, as the bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tcpecho_server::fuzzing::datagram(bytes));

//! How ping matches replies, and the requests that ICMP errors quote, with its
//! probes, for any messages in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ping::fuzzing::replies(bytes));

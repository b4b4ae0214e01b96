//! ping's judgement of replies and of the requests that ICMP errors quote,
//! whatever comes and in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ping::fuzzing::answers(bytes));

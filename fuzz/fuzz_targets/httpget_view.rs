//! Bodies on a terminal: the output contains nothing dangerous, and its length is
//! bounded by that of the input.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u16)| fuzzing::view(input.0, input.1.into()));

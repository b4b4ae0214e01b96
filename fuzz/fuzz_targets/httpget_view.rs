//! Bodies on a terminal: nothing dangerous comes out, and not much more than
//! came in.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u16)| fuzzing::view(input.0, input.1.into()));

//! Formats of `-w`: parsing and rendering never panics.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|format: &str| fuzzing::write_out(format));

//! Formats of `-w`.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|format: &str| fuzzing::template(format));

//! Lines of text that are searched in parts.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| subnetcalc::fuzz::parts(text));

//! Addresses in any text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| subnetcalc::fuzz::logs(text));

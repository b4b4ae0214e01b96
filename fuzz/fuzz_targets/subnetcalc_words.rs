//! Networks, addresses and ranges as members of a set.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| subnetcalc::fuzz::words(text));

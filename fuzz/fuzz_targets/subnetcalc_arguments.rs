//! MAC addresses, requests of plans, masks and counts.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| subnetcalc::fuzz::arguments(text));

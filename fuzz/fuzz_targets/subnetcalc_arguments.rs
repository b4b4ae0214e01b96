//! MAC addresses, requests of plans, numbers of addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| subnetcalc::fuzz::arguments(text));

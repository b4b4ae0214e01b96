//! Lists of networks with comments and line ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| subnetcalc::fuzz::list(text));

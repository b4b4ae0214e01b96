//! Parses `/etc/resolv.conf`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| resolve::fuzzing::resolv_conf(text));

//! Certificates in DER: facts are picked without a panic, and no name can look
//! like several.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| fuzzing::certificate(der));

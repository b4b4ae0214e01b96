//! Certificates in DER: parsing never panics, and no value of a name looks like
//! several parts.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| fuzzing::certificate(der));

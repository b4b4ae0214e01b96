//! Fuzzes the environment variables of socket activation.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| tcpecho_server::fuzzing::activation(text));

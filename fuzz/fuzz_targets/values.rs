//! Durations, sizes and endpoints of the command line.
#![no_main]

use common::{duration, endpoint, size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(parsed) = duration::parse(text) {
        assert_eq!(duration::parse_nonzero(text).is_ok(), !parsed.is_zero());
    }
    if let Ok(bytes) = size::parse(text) {
        assert_eq!(size::parse(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(parsed) = endpoint::parse(text) {
        assert_eq!(endpoint::parse(&parsed.to_string()), Ok(parsed));
    }
    let _ = endpoint::parse_host(text);
    let _ = endpoint::parse_port(text);
});

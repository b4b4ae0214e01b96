//! Addresses and networks: every accepted text must also be valid for the standard
//! library and survive a round trip.
#![no_main]

use std::net::IpAddr;

use common::address;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(parsed) = address::parse(text) {
        assert_eq!(text.parse::<IpAddr>(), Ok(parsed), "accepted, but invalid for std");
        assert_eq!(address::parse(&parsed.to_string()), Ok(parsed));
        assert!(
            address::looks_numeric(text),
            "{text} would be sent to a resolver"
        );
        let (bits, width) = address::to_bits(parsed);
        assert_eq!(address::from_bits(bits, width), parsed);
    }
    if let Ok((parsed, length)) = address::parse_cidr(text) {
        assert!(length <= address::to_bits(parsed).1);
        let written = format!("{parsed}/{length}");
        assert_eq!(address::parse_cidr(&written), Ok((parsed, length)));
    }
});

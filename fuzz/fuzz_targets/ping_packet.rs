//! ping's parsers of packets from ICMP sockets: they neither panic nor return
//! bytes outside the packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ping::packet::{self, IpVersion};

fuzz_target!(|input: (bool, bool, Vec<u8>)| {
    let (six, raw, bytes) = input;
    if let Some(notice) = packet::notice(&bytes) {
        // Both IP headers and the ICMP headers precede the quoted data.
        assert!(bytes.len() >= notice.request.data.len() + 56);
        assert!(matches!(notice.icmp_type, 4 | 5));
    }
    let version = if six { IpVersion::V6 } else { IpVersion::V4 };
    if let Some(error) = packet::error(version, raw && !six, &bytes) {
        // The quoted request is the end of the packet.
        let quoted = error.request.data;
        assert_eq!(&bytes[bytes.len() - quoted.len()..], quoted);
        assert_eq!(error.to.is_ipv6(), six);
    }
    for echo in [
        packet::reply(version, raw, &bytes),
        packet::quoted(version, &bytes),
    ]
    .into_iter()
    .flatten()
    {
        // The ICMP header and the data are the end of the packet.
        let start = bytes.len() - echo.data.len() - packet::HEADER;
        assert_eq!(&bytes[start + packet::HEADER..], echo.data);
        assert_eq!(bytes[start + 6..start + 8], echo.seq.to_be_bytes());
        assert_eq!(bytes[start + 4..start + 6], echo.id.to_be_bytes());
        assert!(start == 0 || (raw && !six && (20..=60).contains(&start)));
    }
});

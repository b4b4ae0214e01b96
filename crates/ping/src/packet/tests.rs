//! Tests of building and parsing packets.

use super::*;
use icmp_socket::packet::{Icmpv4Message, Icmpv6Message};
use proptest::prelude::*;

fn cookie(text: &[u8; 16]) -> [u8; COOKIE] {
    *text
}

#[test]
fn an_odd_last_byte_is_the_high_half_of_a_word() {
    assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
    assert_eq!(sum(&[]), 0);
}

#[test]
fn a_notice_is_about_an_echo_request() {
    let packet = icmpv4_about_request(5, 1, [192, 0, 2, 7]);
    let found = notice(&packet).unwrap();
    assert_eq!(
        (found.icmp_type, found.code, found.info),
        (5, 1, 0xc000_0207)
    );
    assert_eq!(found.to, Ipv4Addr::new(198, 51, 100, 9));
    assert_eq!((found.request.id, found.request.seq), (3, 4));
    for (at, bits) in [(20, 3), (30, 1), (35, 1), (37, 1), (48, 1)] {
        let mut other = packet.clone();
        other[at] ^= bits;
        assert_eq!(notice(&other), None, "byte {at}");
    }
    for length in 0..packet.len() {
        assert_eq!(notice(&packet[..length]), None, "{length} bytes");
    }
}

/// Returns an IPv4 packet with an ICMP message that quotes an echo request.
fn icmpv4_about_request(icmp_type: u8, code: u8, info: [u8; 4]) -> Vec<u8> {
    let mut message = vec![icmp_type, code, 0, 0];
    message.extend(info);
    let mut request = vec![0; 28];
    request[0] = 0x45;
    request[9] = 1;
    request[16..20].copy_from_slice(&[198, 51, 100, 9]);
    request[20..].copy_from_slice(&[8, 0, 1, 2, 0, 3, 0, 4]);
    message.extend(&request);
    let check = !sum(&message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet.extend(&message);
    packet
}

#[test]
fn an_error_without_an_error_queue_quotes_its_request() {
    let packet = icmpv4_about_request(3, 4, [0, 0, 5, 0]);
    let found = error(IpVersion::V4, true, &packet).unwrap();
    let numbers = (found.icmp_type, found.code, found.info);
    assert_eq!(numbers, (3, 4, 1280));
    assert_eq!(found.to, Ipv4Addr::new(198, 51, 100, 9));
    assert_eq!((found.request.id, found.request.seq), (3, 4));
    assert_eq!(error(IpVersion::V4, false, &packet[20..]), Some(found));
    assert_eq!(notice(&packet), None);
    for length in 0..packet.len() {
        assert_eq!(error(IpVersion::V4, true, &packet[..length]), None);
    }
    for other in [0, 4, 5, 8] {
        let packet = icmpv4_about_request(other, 0, [0; 4]);
        assert_eq!(error(IpVersion::V4, true, &packet), None, "type {other}");
    }

    let mut message = vec![2, 0, 9, 9, 0, 0, 5, 0];
    let mut ip = [0; IPV6_HEADER];
    ip[0] = 0x60;
    ip[6] = ICMPV6;
    ip[39] = 7;
    message.extend(ip);
    message.extend([128, 0, 1, 2, 0, 3, 0, 4]);
    let found = error(IpVersion::V6, false, &message).unwrap();
    let numbers = (found.icmp_type, found.code, found.info);
    assert_eq!(numbers, (2, 0, 1280));
    assert_eq!(found.to, "::7".parse::<IpAddr>().unwrap());
    assert_eq!((found.request.id, found.request.seq), (3, 4));
    // The type, the version, the next header, and the quoted type.
    for (at, value) in [(0, 0), (0, 5), (8, 0x40), (14, 17), (48, 129)] {
        let mut other = message.clone();
        other[at] = value;
        assert_eq!(error(IpVersion::V6, false, &other), None, "byte {at}");
    }
    for length in 0..message.len() {
        assert_eq!(error(IpVersion::V6, false, &message[..length]), None);
    }
}

#[test]
fn a_raw_reply_may_have_forty_bytes_of_options() {
    let mut packet = vec![0; 60];
    packet[0] = 0x4f;
    packet[8] = 63;
    packet.extend([0, 0, 0xff, 0xfe, 0, 1, 0, 0]);
    let echo = reply(IpVersion::V4, true, &packet).unwrap();
    assert_eq!((echo.id, echo.seq, echo.ttl), (1, 0, Some(63)));
    assert!(echo.checksum_ok);
    packet[62] = 0;
    assert!(!reply(IpVersion::V4, true, &packet).unwrap().checksum_ok);
}

#[test]
fn other_messages_are_not_replies() {
    assert_eq!(reply(IpVersion::V4, false, &[8, 0, 0, 0, 0, 1, 0, 1]), None);
    assert_eq!(reply(IpVersion::V4, false, &[0, 1, 0, 0, 0, 1, 0, 1]), None);
    assert_eq!(reply(IpVersion::V6, false, &[129, 0, 0, 0, 0, 1, 0]), None);
    // The IPv4 header length is less than 20 bytes.
    assert_eq!(reply(IpVersion::V4, true, &[0x44; 40]), None);
}

proptest! {
    #[test]
    fn requests_are_those_of_icmp_socket(
        id: u16, seq: u16, text: [u8; 16],
        data in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..220,
    ) {
        let size = cut.min(data.len());
        let mut expected = data[..size].to_vec();
        let room = COOKIE.min(size);
        expected[..room].copy_from_slice(&text[..room]);
        let mut bytes = vec![0xee; 3];
        let template = Template::new(IpVersion::V4, id, data.clone()).unwrap();
        let length = template.write(&mut bytes, size, seq, cookie(&text));
        let theirs = Icmpv4Packet::with_echo_request(id, seq, expected.clone()).unwrap()
            .with_checksum().get_bytes(true);
        // 0x0000 and 0xffff are equal in ones' complement.
        let same = |a: &[u8], b: &[u8]| {
            let sum = |m: &[u8]| u16::from_be_bytes([m[2], m[3]]) % 0xffff;
            a[..2] == b[..2] && a[4..] == b[4..] && sum(a) == sum(b)
        };
        prop_assert_eq!(length, HEADER + size);
        prop_assert!(same(&bytes[3..], &theirs));
        prop_assert!(has_right_checksum(&bytes[3..]) || sum(&bytes[3..]) == 0);
        let mut bytes = Vec::new();
        let template = Template::new(IpVersion::V6, id, data).unwrap();
        template.write(&mut bytes, size, seq, cookie(&text));
        let theirs = Icmpv6Packet::with_echo_request(id, seq, expected).unwrap().get_bytes(false);
        prop_assert_eq!(bytes, theirs);
    }

    #[test]
    fn icmp_socket_parses_replies_alike(
        id: u16, seq: u16, data in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut message = vec![0, 0, 0, 0];
        message.extend(id.to_be_bytes());
        message.extend(seq.to_be_bytes());
        message.extend(&data);
        let echo = reply(IpVersion::V4, false, &message).unwrap();
        prop_assert_eq!((echo.id, echo.seq, echo.data), (id, seq, &data[..]));
        let mut packet = vec![0; 20];
        packet.extend(&message);
        let theirs = Icmpv4Packet::parse(&packet).unwrap().message;
        let Icmpv4Message::EchoReply { identifier, sequence, payload } = theirs else {
            panic!("not an echo reply");
        };
        prop_assert_eq!((identifier, sequence, &payload), (id, seq, &data));
        message[0] = 129;
        let echo = reply(IpVersion::V6, true, &message).unwrap();
        prop_assert_eq!((echo.id, echo.seq, echo.data), (id, seq, &data[..]));
        let theirs = Icmpv6Packet::parse(&message).unwrap().message;
        let expected = Icmpv6Message::EchoReply { identifier: id, sequence: seq, payload: data };
        prop_assert_eq!(theirs, expected);
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), raw: bool) {
        for version in [IpVersion::V4, IpVersion::V6] {
            let _ = reply(version, raw, &bytes);
            let _ = quoted(version, &bytes);
        }
    }
}

//! Echo messages as bytes (RFC 792, RFC 4443): built into a buffer, and read
//! from one. Pure; both families in one path.
//!
//! icmp-socket's packet module makes the [`Template`] once per run; each probe
//! is a copy of it with sequence number and cookie patched in place, and, for
//! IPv4, the checksum brought up to date as RFC 1624 says. Reading borrows,
//! checks every length, and never hands foreign bytes to that crate.

use std::net::Ipv4Addr;

use common::{Error, Kind, Result};
use icmp_socket::packet::{Icmpv4Packet, Icmpv6Packet, WithEchoRequest};

/// Bytes of an ICMP echo header.
pub const HEADER: usize = 8;

/// Bytes at the start of the data that hold the cookie, if there are so many.
pub const COOKIE: usize = 16;

/// IPv4 or IPv6: what differs between the two is asked of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// IPv4 with ICMP.
    V4,
    /// IPv6 with ICMPv6.
    V6,
}

impl Version {
    /// The type of an echo request.
    pub fn echo_request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    /// The type of an echo reply.
    pub fn echo_reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }

    /// Bytes of an IP header without options.
    pub fn ip_header(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

/// An echo request with nothing but sequence number and cookie left open.
#[derive(Clone, Debug)]
pub struct Template {
    version: Version,
    bytes: Vec<u8>,
}

impl Template {
    /// A request with this identifier and data. The first [`COOKIE`] bytes of
    /// the data are overwritten in each probe, as far as they exist.
    pub fn new(version: Version, id: u16, data: Vec<u8>) -> Result<Self> {
        // The kernel fills in ICMPv6's checksum, which covers addresses.
        let bytes = match version {
            Version::V4 => Icmpv4Packet::with_echo_request(id, 0, data)
                .map(|packet| packet.with_checksum().get_bytes(true)),
            Version::V6 => {
                Icmpv6Packet::with_echo_request(id, 0, data).map(|packet| packet.get_bytes(false))
            }
        };
        let bytes = bytes.map_err(|e| Error::new(Kind::System, format!("echo request: {e:?}")))?;
        Ok(Self { version, bytes })
    }

    /// The data as it goes out, but for the cookie.
    pub fn data(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// Writes a request with `size` bytes of data, at most as many as the
    /// template has, and returns its length.
    pub fn write(&self, to: &mut Vec<u8>, size: usize, seq: u16, cookie: [u8; COOKIE]) -> usize {
        let whole = size >= self.data().len();
        let length = if whole {
            self.bytes.len()
        } else {
            HEADER + size
        };
        let start = to.len();
        to.extend_from_slice(&self.bytes[..length]);
        let message = &mut to[start..];
        message[6..8].copy_from_slice(&seq.to_be_bytes());
        let room = COOKIE.min(length - HEADER);
        message[HEADER..HEADER + room].copy_from_slice(&cookie[..room]);
        if self.version == Version::V4 {
            let sum = if whole {
                let old = &self.bytes[HEADER..HEADER + room];
                let sum = update([self.bytes[2], self.bytes[3]], &[0, 0], &message[6..8]);
                update(sum, old, &message[HEADER..HEADER + room])
            } else {
                message[2..4].fill(0);
                (!sum(message)).to_be_bytes()
            };
            message[2..4].copy_from_slice(&sum);
        }
        length
    }
}

/// The ones' complement sum of 16-bit words (RFC 1071), not yet inverted.
fn sum(bytes: &[u8]) -> u16 {
    let mut words = bytes.chunks_exact(2);
    let mut sum: u64 = (&mut words)
        .map(|w| u64::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    fold(sum)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum after `old` became `new` at an even offset (RFC 1624,
/// equation 3: HC' = ~(~HC + ~m + m')).
fn update(checksum: [u8; 2], old: &[u8], new: &[u8]) -> [u8; 2] {
    let check = u64::from(!u16::from_be_bytes(checksum));
    let total = check + u64::from(!sum(old)) + u64::from(sum(new));
    (!fold(total)).to_be_bytes()
}

/// Whether an ICMP message sums up to what its checksum says.
fn sums_up(message: &[u8]) -> bool {
    sum(message) == 0xffff
}

/// An echo message as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// The identifier.
    pub id: u16,
    /// The sequence number.
    pub seq: u16,
    /// What follows the header.
    pub data: &'a [u8],
    /// Whether the checksum is right, as far as it was our part to check.
    pub checksum_ok: bool,
    /// The time to live in the IP header, where one was received.
    pub ttl: Option<u8>,
}

/// Reads what an ICMP socket delivered; `None` if it is no echo reply.
///
/// Linux gives an IPv4 raw socket the whole IP packet, options included, and
/// every other ICMP socket the ICMP message alone.
pub fn reply(version: Version, raw: bool, packet: &[u8]) -> Option<Echo<'_>> {
    let (message, ttl) = if raw && version == Version::V4 {
        (after_header(packet)?.0, Some(packet[8]))
    } else {
        (packet, None)
    };
    let mut echo = echo(version.echo_reply(), message)?;
    // Elsewhere the kernel has checked, and dropped what was wrong.
    echo.checksum_ok = ttl.is_none() || sums_up(message);
    echo.ttl = ttl;
    Some(echo)
}

/// Reads the request of ours that an ICMP error quotes; `None` if it quotes
/// something else. A router may quote no more than eight bytes.
pub fn quoted(version: Version, message: &[u8]) -> Option<Echo<'_>> {
    echo(version.echo_request(), message)
}

/// A router's advice about a request of ours: a redirect or a source quench
/// (RFC 792), neither of which says that it did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice<'a> {
    /// The ICMP type, 4 or 5.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The second word: of a redirect, the better next hop.
    pub info: u32,
    /// Where the request went.
    pub to: Ipv4Addr,
    /// The request, as far as it is quoted.
    pub request: Echo<'a>,
}

/// Reads advice that an IPv4 raw socket delivered; other sockets have it in
/// their error queue. `None` if it is something else or not about an echo.
pub fn advice(packet: &[u8]) -> Option<Advice<'_>> {
    let (message, _) = after_header(packet)?;
    let (header, inner) = message.split_at_checked(HEADER)?;
    if !matches!(header[0], 4 | 5) || !sums_up(message) {
        return None;
    }
    let (request, to) = after_header(inner)?;
    // ICMP, and no later fragment.
    let is_first = u16::from_be_bytes([inner[6], inner[7]]) << 3 == 0;
    if inner[9] != 1 || !is_first {
        return None;
    }
    Some(Advice {
        kind: header[0],
        code: header[1],
        info: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        to,
        request: quoted(Version::V4, request)?,
    })
}

/// What follows an IPv4 header, and the destination in that.
fn after_header(packet: &[u8]) -> Option<(&[u8], Ipv4Addr)> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    if packet[0] >> 4 != 4 || header < 20 {
        return None;
    }
    let (header, rest) = packet.split_at_checked(header)?;
    Some((
        rest,
        Ipv4Addr::new(header[16], header[17], header[18], header[19]),
    ))
}

fn echo(kind: u8, message: &[u8]) -> Option<Echo<'_>> {
    let (header, data) = message.split_at_checked(HEADER)?;
    (header[0] == kind && header[1] == 0).then(|| Echo {
        id: u16::from_be_bytes([header[4], header[5]]),
        seq: u16::from_be_bytes([header[6], header[7]]),
        data,
        checksum_ok: true,
        ttl: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use icmp_socket::packet::{Icmpv4Message, Icmpv6Message};
    use proptest::prelude::*;

    fn cookie(text: &[u8; 16]) -> [u8; COOKIE] {
        *text
    }

    #[test]
    fn an_odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn advice_is_about_an_echo_request() {
        let mut message = vec![5, 1, 0, 0, 192, 0, 2, 7];
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
        let found = advice(&packet).unwrap();
        assert_eq!((found.kind, found.code, found.info), (5, 1, 0xc000_0207));
        assert_eq!(found.to, Ipv4Addr::new(198, 51, 100, 9));
        assert_eq!((found.request.id, found.request.seq), (3, 4));
        for (at, bits) in [(20, 3), (30, 1), (35, 1), (37, 1), (48, 1)] {
            let mut other = packet.clone();
            other[at] ^= bits;
            assert_eq!(advice(&other), None, "byte {at}");
        }
        for length in 0..packet.len() {
            assert_eq!(advice(&packet[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_raw_reply_with_forty_bytes_of_options() {
        let mut packet = vec![0; 60];
        packet[0] = 0x4f;
        packet[8] = 63;
        packet.extend([0, 0, 0xff, 0xfe, 0, 1, 0, 0]);
        let echo = reply(Version::V4, true, &packet).unwrap();
        assert_eq!((echo.id, echo.seq, echo.ttl), (1, 0, Some(63)));
        assert!(echo.checksum_ok);
        packet[62] = 0;
        assert!(!reply(Version::V4, true, &packet).unwrap().checksum_ok);
    }

    #[test]
    fn what_is_no_echo_reply() {
        assert_eq!(reply(Version::V4, false, &[8, 0, 0, 0, 0, 1, 0, 1]), None);
        assert_eq!(reply(Version::V4, false, &[0, 1, 0, 0, 0, 1, 0, 1]), None);
        assert_eq!(reply(Version::V6, false, &[129, 0, 0, 0, 0, 1, 0]), None);
        // An IPv4 header that claims to be shorter than it can be.
        assert_eq!(reply(Version::V4, true, &[0x44; 40]), None);
    }

    proptest! {
        #[test]
        fn our_bytes_are_those_of_icmp_socket(
            id: u16, seq: u16, text: [u8; 16],
            data in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..220,
        ) {
            let size = cut.min(data.len());
            let mut expected = data[..size].to_vec();
            let room = COOKIE.min(size);
            expected[..room].copy_from_slice(&text[..room]);
            let mut bytes = vec![0xee; 3];
            let template = Template::new(Version::V4, id, data.clone()).unwrap();
            let length = template.write(&mut bytes, size, seq, cookie(&text));
            let theirs = Icmpv4Packet::with_echo_request(id, seq, expected.clone()).unwrap()
                .with_checksum().get_bytes(true);
            // 0x0000 and 0xffff are the same number in ones' complement.
            let same = |a: &[u8], b: &[u8]| {
                let sum = |m: &[u8]| u16::from_be_bytes([m[2], m[3]]) % 0xffff;
                a[..2] == b[..2] && a[4..] == b[4..] && sum(a) == sum(b)
            };
            prop_assert_eq!(length, HEADER + size);
            prop_assert!(same(&bytes[3..], &theirs));
            prop_assert!(sums_up(&bytes[3..]) || sum(&bytes[3..]) == 0);
            let mut bytes = Vec::new();
            let template = Template::new(Version::V6, id, data).unwrap();
            template.write(&mut bytes, size, seq, cookie(&text));
            let theirs = Icmpv6Packet::with_echo_request(id, seq, expected).unwrap().get_bytes(false);
            prop_assert_eq!(bytes, theirs);
        }

        #[test]
        fn icmp_socket_reads_what_we_read(
            id: u16, seq: u16, data in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut message = vec![0, 0, 0, 0];
            message.extend(id.to_be_bytes());
            message.extend(seq.to_be_bytes());
            message.extend(&data);
            let echo = reply(Version::V4, false, &message).unwrap();
            prop_assert_eq!((echo.id, echo.seq, echo.data), (id, seq, &data[..]));
            let mut packet = vec![0; 20];
            packet.extend(&message);
            let theirs = Icmpv4Packet::parse(&packet).unwrap().message;
            let Icmpv4Message::EchoReply { identifier, sequence, payload } = theirs else {
                panic!("not an echo reply");
            };
            prop_assert_eq!((identifier, sequence, &payload), (id, seq, &data));
            message[0] = 129;
            let echo = reply(Version::V6, true, &message).unwrap();
            prop_assert_eq!((echo.id, echo.seq, echo.data), (id, seq, &data[..]));
            let theirs = Icmpv6Packet::parse(&message).unwrap().message;
            let expected = Icmpv6Message::EchoReply { identifier: id, sequence: seq, payload: data };
            prop_assert_eq!(theirs, expected);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), raw: bool) {
            for version in [Version::V4, Version::V6] {
                let _ = reply(version, raw, &bytes);
                let _ = quoted(version, &bytes);
            }
        }
    }
}

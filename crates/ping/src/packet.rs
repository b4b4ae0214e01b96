//! Builds and parses ICMP echo messages (RFC 792, RFC 4443). Pure; one code path
//! for both families.
//!
//! icmp-socket's packet module makes the [`Template`] once per run. Each probe
//! is a copy of it with the sequence number and the cookie patched in, and, for
//! IPv4, with the checksum updated by RFC 1624. The parsers borrow, check every
//! length, and never pass received bytes to that crate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::{Error, Kind, Result};
use icmp_socket::packet::{Icmpv4Packet, Icmpv6Packet, WithEchoRequest};

/// The size of an ICMP echo header in bytes.
pub const HEADER: usize = 8;

/// The size of an IPv6 header in bytes.
const IPV6_HEADER: usize = 40;

/// The protocol number of ICMPv6.
const ICMPV6: u8 = 58;

/// The size of the cookie at the start of the data, in bytes. Shorter data holds
/// the first part of it.
pub const COOKIE: usize = 16;

/// IPv4 or IPv6, with the numbers that differ between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4 with ICMP (RFC 792).
    V4,
    /// IPv6 with ICMPv6 (RFC 4443).
    V6,
}

impl IpVersion {
    /// Returns the ICMP type of an echo request.
    pub fn echo_request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    /// Returns the ICMP type of an echo reply.
    pub fn echo_reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }

    /// Returns the size of an IP header without options, in bytes.
    pub fn ip_header(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// Returns the largest number of data bytes in an echo message.
    pub const fn max_data(self) -> u16 {
        match self {
            // The IPv4 length field counts the IP header, the IPv6 one does not.
            Self::V4 => u16::MAX - 28,
            Self::V6 => u16::MAX - 8,
        }
    }
}

/// An echo request from which probes are copied. Only the sequence number and
/// the cookie differ between probes.
#[derive(Clone, Debug)]
pub struct Template {
    version: IpVersion,
    bytes: Vec<u8>,
}

impl Template {
    /// Creates a request with this identifier and data. Each probe overwrites
    /// the first [`COOKIE`] bytes of the data.
    pub fn new(version: IpVersion, id: u16, data: Vec<u8>) -> Result<Self> {
        // The kernel computes the ICMPv6 checksum, which covers the addresses.
        let bytes = match version {
            IpVersion::V4 => Icmpv4Packet::with_echo_request(id, 0, data)
                .map(|packet| packet.with_checksum().get_bytes(true)),
            IpVersion::V6 => {
                Icmpv6Packet::with_echo_request(id, 0, data).map(|packet| packet.get_bytes(false))
            }
        };
        let bytes = bytes.map_err(|e| Error::new(Kind::System, format!("echo request: {e:?}")))?;
        Ok(Self { version, bytes })
    }

    /// Returns the data of every probe except for its cookie.
    pub fn data(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// Appends a request with `size` bytes of data to a buffer, and returns its
    /// length. If `size` is larger than the template's data, that is used.
    pub fn write(&self, to: &mut Vec<u8>, size: usize, seq: u16, cookie: [u8; COOKIE]) -> usize {
        let is_full = size >= self.data().len();
        let length = if is_full {
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
        if self.version == IpVersion::V4 {
            let sum = if is_full {
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

/// Returns the ones' complement sum of 16-bit words (RFC 1071), not inverted.
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

/// Returns the checksum after `old` was replaced by `new` at an even offset
/// (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')).
fn update(checksum: [u8; 2], old: &[u8], new: &[u8]) -> [u8; 2] {
    let check = u64::from(!u16::from_be_bytes(checksum));
    let total = check + u64::from(!sum(old)) + u64::from(sum(new));
    (!fold(total)).to_be_bytes()
}

/// Whether the checksum of an ICMP message is correct.
fn has_right_checksum(message: &[u8]) -> bool {
    sum(message) == 0xffff
}

/// A parsed echo message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// The identifier of the sender.
    pub id: u16,
    /// The sequence number of the request.
    pub seq: u16,
    /// The data after the header.
    pub data: &'a [u8],
    /// Whether the checksum is correct. Always true if the kernel has checked it.
    pub checksum_ok: bool,
    /// The time to live, if the IP header was received.
    pub ttl: Option<u8>,
}

/// Parses a packet from an ICMP socket. Returns `None` if it is not an echo
/// reply.
///
/// On Linux an IPv4 raw socket receives the complete IP packet, options
/// included, and every other ICMP socket only the ICMP message.
pub fn reply(version: IpVersion, raw: bool, packet: &[u8]) -> Option<Echo<'_>> {
    let (message, ttl) = if raw && version == IpVersion::V4 {
        (ipv4_payload(packet)?.0, Some(packet[8]))
    } else {
        (packet, None)
    };
    let mut echo = echo(version.echo_reply(), message)?;
    // For other sockets the kernel drops messages with a wrong checksum.
    echo.checksum_ok = ttl.is_none() || has_right_checksum(message);
    echo.ttl = ttl;
    Some(echo)
}

/// Parses the echo request that an ICMP error quotes. Returns `None` if it
/// quotes another message. A router may quote only the first eight bytes.
pub fn quoted(version: IpVersion, message: &[u8]) -> Option<Echo<'_>> {
    echo(version.echo_request(), message)
}

/// An ICMP message about an echo request, which it quotes (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpNotice<'a> {
    /// The ICMP type, 4 or 5.
    pub icmp_type: u8,
    /// The code of the ICMP message.
    pub code: u8,
    /// The second word of the message: in a redirect, the better next hop.
    pub info: u32,
    /// The destination of the request.
    pub to: IpAddr,
    /// The quoted part of the request.
    pub request: Echo<'a>,
}

/// Parses a redirect or a source quench from an IPv4 raw socket; other sockets have it
/// in their error queue. Neither means that the request was not delivered. Returns
/// `None` if the packet is not a notice about an echo request.
pub fn notice(packet: &[u8]) -> Option<IcmpNotice<'_>> {
    let (message, _) = ipv4_payload(packet)?;
    icmpv4_about_request(message, |icmp_type| matches!(icmp_type, 4 | 5))
}

/// Parses an ICMP error about an echo request from a socket without an error queue.
/// Returns `None` for other packets.
pub fn error(version: IpVersion, has_ip_header: bool, packet: &[u8]) -> Option<IcmpNotice<'_>> {
    let message = if has_ip_header {
        ipv4_payload(packet)?.0
    } else {
        packet
    };
    match version {
        IpVersion::V4 => {
            icmpv4_about_request(message, |icmp_type| matches!(icmp_type, 3 | 11 | 12))
        }
        IpVersion::V6 => icmpv6_about_request(message),
    }
}

fn icmpv4_about_request(message: &[u8], is_wanted: fn(u8) -> bool) -> Option<IcmpNotice<'_>> {
    let (header, inner) = message.split_at_checked(HEADER)?;
    if !is_wanted(header[0]) || !has_right_checksum(message) {
        return None;
    }
    let (request, to) = ipv4_payload(inner)?;
    // The protocol must be ICMP, and the fragment the first.
    let is_first = u16::from_be_bytes([inner[6], inner[7]]) << 3 == 0;
    if inner[9] != 1 || !is_first {
        return None;
    }
    Some(IcmpNotice {
        icmp_type: header[0],
        code: header[1],
        info: second_word(header),
        to: to.into(),
        request: quoted(IpVersion::V4, request)?,
    })
}

/// The system has verified the checksum (RFC 3542, section 3.1).
fn icmpv6_about_request(message: &[u8]) -> Option<IcmpNotice<'_>> {
    let (header, inner) = message.split_at_checked(HEADER)?;
    let (ip, request) = inner.split_at_checked(IPV6_HEADER)?;
    if !(1..=4).contains(&header[0]) || ip[0] >> 4 != 6 || ip[6] != ICMPV6 {
        return None;
    }
    let to: [u8; 16] = ip[24..40].try_into().ok()?;
    Some(IcmpNotice {
        icmp_type: header[0],
        code: header[1],
        info: second_word(header),
        to: Ipv6Addr::from(to).into(),
        request: quoted(IpVersion::V6, request)?,
    })
}

/// Returns the second word of an ICMP header: an MTU, a pointer or an address. In an
/// IPv4 error the MTU is its lower half.
fn second_word(header: &[u8]) -> u32 {
    u32::from_be_bytes([header[4], header[5], header[6], header[7]])
}

/// Returns the payload of an IPv4 packet, and its destination address.
fn ipv4_payload(packet: &[u8]) -> Option<(&[u8], Ipv4Addr)> {
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

fn echo(icmp_type: u8, message: &[u8]) -> Option<Echo<'_>> {
    let (header, data) = message.split_at_checked(HEADER)?;
    (header[0] == icmp_type && header[1] == 0).then(|| Echo {
        id: u16::from_be_bytes([header[4], header[5]]),
        seq: u16::from_be_bytes([header[6], header[7]]),
        data,
        checksum_ok: true,
        ttl: None,
    })
}

#[cfg(test)]
mod tests;

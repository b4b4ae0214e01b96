//! Echo requests, the messages that answer them, and their bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const ICMPV6: u8 = 58;
const REQUEST6: u8 = 128;
const REPLY6: u8 = 129;
const ELSEWHERE6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 7);

/// A received echo request.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The number of earlier requests of its family.
    pub number: usize,
    /// The source address of the request.
    pub source: IpAddr,
    /// The destination address of the request.
    pub destination: IpAddr,
    /// The identifier of the echo request.
    pub id: u16,
    /// The sequence number, from the header.
    pub seq: u16,
    /// The ICMP message: a header of eight bytes, then the data.
    pub message: Vec<u8>,
    /// The IP header of the packet.
    header: Vec<u8>,
}

impl Probe {
    /// Whether it is an ICMPv6 message.
    pub fn is_v6(&self) -> bool {
        self.destination.is_ipv6()
    }

    /// Returns the correct echo reply.
    pub fn reply(&self) -> IcmpMessage {
        let mut message = self.message.clone();
        message[0] = if self.is_v6() { REPLY6 } else { 0 };
        self.answer(message)
    }

    /// Returns an ICMP error about this request, such as type 3 code 1 (host
    /// unreachable) or type 11 code 0 (time exceeded). `rest` is the second word
    /// of its header, which contains the next hop's MTU for type 3 code 4.
    pub fn error(&self, kind: u8, code: u8, rest: u32) -> IcmpMessage {
        let mut message = vec![kind, code, 0, 0];
        message.extend(rest.to_be_bytes());
        message.extend(&self.header);
        message.extend(&self.message);
        self.answer(message)
    }

    fn answer(&self, message: Vec<u8>) -> IcmpMessage {
        let mut answer = IcmpMessage {
            delay: Duration::ZERO,
            from: self.destination,
            to: self.source,
            options: Vec::new(),
            message,
            checksum_ok: true,
        };
        answer.write_checksum();
        answer
    }
}

/// An ICMP message to send, by default immediately and from the probed address.
#[derive(Debug, Clone)]
#[must_use]
pub struct IcmpMessage {
    pub(super) delay: Duration,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) options: Vec<u8>,
    pub(super) message: Vec<u8>,
    /// Whether the checksum is correct.
    pub(super) checksum_ok: bool,
}

impl IcmpMessage {
    /// Sets the delay between the request and this message.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the message from another address than the probed one.
    pub fn from_other_address(mut self) -> Self {
        self.from = match self.from {
            IpAddr::V4(_) => Ipv4Addr::new(127, 0, 0, 7).into(),
            IpAddr::V6(_) => ELSEWHERE6.into(),
        };
        self
    }

    /// Sends the message from this address of the loopback device.
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = address;
        self.write_checksum();
        self
    }

    /// Inverts the byte at `offset`; the checksum is correct.
    pub fn corrupt(mut self, offset: usize) -> Self {
        self.message[offset] = !self.message[offset];
        self.write_checksum();
        self
    }

    /// Overwrites the data from `offset` on with zeros; the checksum is correct.
    pub fn zeroed(mut self, offset: usize) -> Self {
        self.message[offset..].fill(0);
        self.write_checksum();
        self
    }

    /// Sets the identifier; the checksum is correct.
    pub fn id(mut self, id: u16) -> Self {
        self.message[4..6].copy_from_slice(&id.to_be_bytes());
        self.write_checksum();
        self
    }

    /// Adds IP options of this length, up to 40 bytes, all of them "no
    /// operation". For IPv6 it adds a destination options header of this length,
    /// rounded up to a multiple of eight bytes.
    pub fn options(mut self, length: usize) -> Self {
        self.options = vec![1; length];
        if self.from.is_ipv6() {
            let units = length.div_ceil(8).max(1);
            let padding = u8::try_from(units * 8 - 4).expect("use a short header");
            // Next header (filled by the kernel), length, then one option of
            // RFC 4727, which receivers that do not know it skip.
            self.options = vec![0, (units - 1) as u8, 0x1e, padding];
            self.options.resize(units * 8, 0);
        }
        self
    }

    /// Makes the checksum wrong.
    pub fn bad_checksum(mut self) -> Self {
        self.message[2] = !self.message[2];
        self.checksum_ok = false;
        self
    }

    /// Truncates the ICMP message to `length` bytes; the checksum is correct.
    pub fn cut(mut self, length: usize) -> Self {
        self.message.truncate(length);
        self.write_checksum();
        self
    }

    /// Whether the unbound socket can send the message: routing selects the probed
    /// address as its source only if that is also the destination.
    pub(super) fn is_plain(&self) -> bool {
        self.checksum_ok && self.options.is_empty() && self.from == self.to
    }

    /// Writes the checksum of RFC 792, or that of RFC 4443, which also covers the
    /// addresses.
    fn write_checksum(&mut self) {
        self.message[2..4].fill(0);
        let mut covered = self.message.clone();
        if let (IpAddr::V6(from), IpAddr::V6(to)) = (self.from, self.to) {
            covered.extend(from.octets().iter().chain(&to.octets()));
            covered.extend((self.message.len() as u32).to_be_bytes());
            covered.extend(u32::from(ICMPV6).to_be_bytes());
        }
        let words = covered.chunks(2).map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u32::from(u16::from_be_bytes([pair[0], low]))
        });
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        self.message[2..4].copy_from_slice(&(!sum as u16).to_be_bytes());
    }
}

/// Returns the IPv6 header of an ICMPv6 message of this length.
pub(super) fn header6(from: Ipv6Addr, to: Ipv6Addr, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).expect("use a message that fits a packet");
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([ICMPV6, 64]);
    header.extend(from.octets().iter().chain(&to.octets()));
    header
}

/// Parses the echo request in an ICMPv6 message. A raw socket receives it without
/// the IPv6 header; both addresses can only be `::1` here.
pub(super) fn parse6(message: &[u8], number: usize) -> Option<Probe> {
    let here = Ipv6Addr::LOCALHOST;
    let is_request = message.len() >= 8 && message[0] == REQUEST6;
    is_request.then(|| Probe {
        number,
        source: here.into(),
        destination: here.into(),
        id: word(message, 4),
        seq: word(message, 6),
        message: message.to_vec(),
        header: header6(here, here, message.len()),
    })
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Parses the echo request in an IPv4 packet.
pub(super) fn parse(packet: &[u8], number: usize) -> Option<Probe> {
    let length = usize::from(packet.first()? & 0xf) * 4;
    let (header, message) = packet.split_at_checked(length)?;
    if message.len() < 8 || message[0] != 8 || header.len() < 20 {
        return None;
    }
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Some(Probe {
        number,
        source: address(12).into(),
        destination: address(16).into(),
        id: word(message, 4),
        seq: word(message, 6),
        message: message.to_vec(),
        header: header.to_vec(),
    })
}

//! The local address and interface of datagrams: the control messages of ip(7)
//! `IP_PKTINFO` and RFC 3542 `IPV6_PKTINFO`, parsed and written.
//!
//! A reply is sent from the address to which the datagram was sent. For a
//! datagram to a broadcast or multicast address, the source is the address that
//! the kernel suggests (IPv4) or selects (IPv6), and routers must not forward
//! the reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The size of the buffer for the control messages of one received datagram. A
/// dual-stack socket gets those of both families.
pub(crate) const RECV_CONTROL_LEN: usize = 128;

/// The size of the buffer for the control messages of one reply.
pub(crate) const SEND_CONTROL_LEN: usize = 64;

/// The size of `struct cmsghdr`, which consists of the length as a `usize`, the
/// protocol level and the type.
const HEADER: usize = align(size_of::<usize>() + 2 * size_of::<i32>());

const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// The local address and interface at which a datagram arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PacketInfo {
    /// The address of this host from which to send the reply, if known.
    pub(crate) local: Option<IpAddr>,
    /// The index of the network interface; 0 if not known.
    pub(crate) interface: u32,
    /// Whether the datagram was sent to a broadcast or multicast address.
    pub(crate) is_group: bool,
}

impl PacketInfo {
    /// Parses the control messages of a received datagram. Missing or malformed
    /// messages leave the choice of the source address to the kernel.
    pub(crate) fn parse(mut control: &[u8]) -> Self {
        let mut pktinfo = Self::default();
        while let Some((length, level, kind)) = first_header(control) {
            let data = &control[HEADER..length];
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    if let Some(found) = Self::parse_v4(data) {
                        return found;
                    }
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    pktinfo = Self::parse_v6(data).unwrap_or(pktinfo);
                }
                _ => {}
            }
            control = control.get(align(length)..).unwrap_or_default();
        }
        pktinfo
    }

    /// Parses `struct in_pktinfo`: the interface index, the local address, and
    /// the destination address of the IP header.
    fn parse_v4(data: &[u8]) -> Option<Self> {
        let index = data.first_chunk()?;
        let local = Ipv4Addr::from(*data.get(4..)?.first_chunk::<4>()?);
        let destination = Ipv4Addr::from(*data.get(8..)?.first_chunk::<4>()?);
        Some(Self {
            local: (!local.is_unspecified()).then_some(local.into()),
            interface: u32::from_ne_bytes(*index),
            // They are equal if the datagram was sent to this host alone.
            is_group: local != destination,
        })
    }

    /// Parses `struct in6_pktinfo`: the destination address of the IP header
    /// and the interface index.
    fn parse_v6(data: &[u8]) -> Option<Self> {
        let destination = Ipv6Addr::from(*data.first_chunk::<16>()?);
        let interface = u32::from_ne_bytes(*data.get(16..)?.first_chunk()?);
        let mapped = destination.to_ipv4_mapped();
        let is_group = destination.is_multicast()
            || mapped.is_some_and(|a| a.is_multicast() || a.is_broadcast());
        Some(Self {
            local: (!is_group).then_some(destination.to_canonical()),
            interface,
            is_group,
        })
    }

    /// Writes the control messages of a reply to `destination` into `control`
    /// and returns their total length.
    pub(crate) fn write(&self, destination: IpAddr, control: &mut [u8; SEND_CONTROL_LEN]) -> usize {
        let mut used = 0;
        match (destination.to_canonical(), self.local) {
            (IpAddr::V4(_), Some(IpAddr::V4(local))) => {
                // Without the interface: the kernel would take a destination
                // for directly attached, whatever the routing table says.
                let mut data = [0; 12];
                data[4..8].copy_from_slice(&local.octets());
                push_message(
                    control,
                    &mut used,
                    (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    &data,
                );
            }
            (IpAddr::V6(destination), local) => {
                let (local, interface) = match local {
                    Some(IpAddr::V6(local)) if local.is_unicast_link_local() => {
                        (local, self.interface)
                    }
                    // Routing selects the interface.
                    Some(IpAddr::V6(local)) => (local, 0),
                    _ if self.is_group => (Ipv6Addr::UNSPECIFIED, self.interface),
                    _ => return 0,
                };
                let mut data = [0; 20];
                data[..16].copy_from_slice(&local.octets());
                data[16..].copy_from_slice(&interface.to_ne_bytes());
                push_message(
                    control,
                    &mut used,
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    &data,
                );
                if self.is_group && !destination.is_unicast_link_local() {
                    // A router discards a packet with this hop limit (RFC 8200,
                    // section 3).
                    let hop_limit = 1_i32.to_ne_bytes();
                    push_message(
                        control,
                        &mut used,
                        (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
                        &hop_limit,
                    );
                }
            }
            _ => {}
        }
        used
    }
}

/// Returns the length, level and type of the first message, if it is complete.
fn first_header(control: &[u8]) -> Option<(usize, i32, i32)> {
    let word = size_of::<usize>();
    let length = usize::from_ne_bytes(*control.first_chunk()?);
    let level = i32::from_ne_bytes(*control.get(word..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*control.get(word + 4..)?.first_chunk()?);
    (HEADER..=control.len())
        .contains(&length)
        .then_some((length, level, kind))
}

/// Appends a message to `control`, of which `used` bytes are taken.
fn push_message(
    control: &mut [u8; SEND_CONTROL_LEN],
    used: &mut usize,
    (level, kind): (i32, i32),
    data: &[u8],
) {
    let word = size_of::<usize>();
    let length = HEADER + data.len();
    let message = &mut control[*used..*used + length];
    message[..word].copy_from_slice(&length.to_ne_bytes());
    message[word..word + 4].copy_from_slice(&level.to_ne_bytes());
    message[word + 4..word + 8].copy_from_slice(&kind.to_ne_bytes());
    message[HEADER..].copy_from_slice(data);
    *used += align(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The control message that the kernel passes with a datagram to
    /// `destination`.
    fn received(local: &str, destination: &str, interface: u32) -> Vec<u8> {
        let mut control = [0; SEND_CONTROL_LEN];
        let mut used = 0;
        match (address(local), address(destination)) {
            (IpAddr::V4(local), IpAddr::V4(destination)) => {
                let data = [
                    interface.to_ne_bytes(),
                    local.octets(),
                    destination.octets(),
                ]
                .concat();
                push_message(
                    &mut control,
                    &mut used,
                    (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    &data,
                );
            }
            (_, IpAddr::V6(destination)) => {
                let data = [&destination.octets()[..], &interface.to_ne_bytes()].concat();
                push_message(
                    &mut control,
                    &mut used,
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    &data,
                );
            }
            _ => panic!("addresses of different families"),
        }
        control[..used].to_vec()
    }

    #[test]
    fn unicast_and_group_destinations_are_told_apart() {
        for (local, destination, expected, is_group) in [
            ("10.9.0.1", "10.9.0.1", Some("10.9.0.1"), false),
            ("10.9.0.1", "10.9.0.255", Some("10.9.0.1"), true),
            ("10.9.0.1", "255.255.255.255", Some("10.9.0.1"), true),
            ("10.9.0.1", "224.0.0.1", Some("10.9.0.1"), true),
            ("::", "fd00::1", Some("fd00::1"), false),
            ("::", "ff02::1", None, true),
            ("::", "::ffff:10.9.0.1", Some("10.9.0.1"), false),
            ("::", "::ffff:224.0.0.1", None, true),
            ("::", "::ffff:255.255.255.255", None, true),
        ] {
            let pktinfo = PacketInfo::parse(&received(local, destination, 7));
            let expected = PacketInfo {
                local: expected.map(address),
                interface: 7,
                is_group,
            };
            assert_eq!(pktinfo, expected, "{destination}");
        }
        // A dual-stack socket gets both messages, in either order.
        let (v4, v6) = (
            received("10.9.0.1", "10.9.0.255", 7),
            received("::", "::ffff:10.9.0.255", 7),
        );
        for both in [[&v4[..], &v6[..]].concat(), [&v6[..], &v4[..]].concat()] {
            let pktinfo = PacketInfo::parse(&both);
            assert_eq!(
                (pktinfo.local, pktinfo.is_group),
                (Some(address("10.9.0.1")), true)
            );
        }
        assert_eq!(PacketInfo::parse(&[]), PacketInfo::default());
    }

    #[test]
    fn a_reply_is_sent_from_the_address_that_received_the_datagram() {
        let reply = |local: Option<&str>, is_group, to: &str| {
            let pktinfo = PacketInfo {
                local: local.map(address),
                interface: 7,
                is_group,
            };
            let mut control = [0; SEND_CONTROL_LEN];
            let used = pktinfo.write(address(to), &mut control);
            (used, PacketInfo::parse(&control[..used]))
        };
        let (_, sent) = reply(Some("10.9.0.1"), false, "10.9.0.2");
        assert_eq!((sent.local, sent.interface), (Some(address("10.9.0.1")), 0));
        let (_, sent) = reply(Some("10.9.0.1"), true, "::ffff:10.9.0.2");
        assert_eq!((sent.local, sent.interface), (Some(address("10.9.0.1")), 0));
        let (one, sent) = reply(Some("fd00::1"), false, "fd00::2");
        assert_eq!((sent.local, sent.interface), (Some(address("fd00::1")), 0));
        let (_, sent) = reply(Some("fe80::1"), false, "fe80::2");
        assert_eq!((sent.local, sent.interface), (Some(address("fe80::1")), 7));
        let (used, sent) = reply(None, true, "fe80::2");
        assert_eq!((sent.local, sent.interface), (Some(address("::")), 7));
        assert_eq!(used, one);
        // With a hop limit in addition.
        assert!(reply(None, true, "fd00::2").0 > one);
        assert_eq!(reply(None, false, "fd00::2").0, 0);
        assert_eq!(reply(None, false, "10.9.0.2").0, 0);
    }

    proptest! {
        #[test]
        fn parsing_accepts_any_bytes(control: Vec<u8>) {
            let _ = PacketInfo::parse(&control);
        }
    }
}

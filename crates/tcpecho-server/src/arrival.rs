//! Where a datagram came to and where its answer leaves from: the control
//! messages of ip(7) `IP_PKTINFO` and RFC 3542 `IPV6_PKTINFO`, read and made.
//!
//! The answer leaves from the address that was asked. One to a broadcast or
//! multicast address has no such address: the kernel's suggestion is taken for
//! IPv4 and its choice for IPv6, and the answer must not pass a router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for the control messages of one received datagram: those of both
/// families, which a socket for both gets.
pub(crate) const RECEIVED: usize = 128;

/// Room for those of one answer.
pub(crate) const SENT: usize = 64;

/// The size of a message's header, whose fields are its length as a `usize`,
/// the protocol level and the type.
const HEADER: usize = align(size_of::<usize>() + 2 * size_of::<i32>());

const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// Where a datagram came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The address of this host that the answer leaves from, if it is known.
    pub(crate) local: Option<IpAddr>,
    /// The network interface, by its index; 0 if it is not known.
    pub(crate) interface: u32,
    /// Whether the datagram was sent to a broadcast or multicast address.
    pub(crate) group: bool,
}

impl Arrival {
    /// Reads the control messages of a received datagram. What is not known
    /// or does not parse leaves the choice to the kernel.
    pub(crate) fn parse(mut control: &[u8]) -> Self {
        let mut arrival = Self::default();
        while let Some((length, level, kind)) = header(control) {
            let data = &control[HEADER..length];
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    if let Some(found) = Self::v4(data) {
                        return found;
                    }
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    arrival = Self::v6(data).unwrap_or(arrival);
                }
                _ => {}
            }
            control = control.get(align(length)..).unwrap_or_default();
        }
        arrival
    }

    /// `struct in_pktinfo`: index, local address, address in the header.
    fn v4(data: &[u8]) -> Option<Self> {
        let index = data.first_chunk()?;
        let local = Ipv4Addr::from(*data.get(4..)?.first_chunk::<4>()?);
        let header = Ipv4Addr::from(*data.get(8..)?.first_chunk::<4>()?);
        Some(Self {
            local: (!local.is_unspecified()).then_some(local.into()),
            interface: u32::from_ne_bytes(*index),
            // For a datagram to an address of this host the two are one.
            group: local != header,
        })
    }

    /// `struct in6_pktinfo`: address in the header, index.
    fn v6(data: &[u8]) -> Option<Self> {
        let header = Ipv6Addr::from(*data.first_chunk::<16>()?);
        let interface = u32::from_ne_bytes(*data.get(16..)?.first_chunk()?);
        let mapped = header.to_ipv4_mapped();
        let group =
            header.is_multicast() || mapped.is_some_and(|a| a.is_multicast() || a.is_broadcast());
        Some(Self {
            local: (!group).then_some(header.to_canonical()),
            interface,
            group,
        })
    }

    /// The control messages for an answer to `to`: how many bytes of `control`
    /// they take.
    pub(crate) fn write(&self, to: IpAddr, control: &mut [u8; SENT]) -> usize {
        let mut used = 0;
        match (to.to_canonical(), self.local) {
            (IpAddr::V4(_), Some(IpAddr::V4(local))) => {
                // Without an interface: with one a destination counts as
                // directly attached whatever routing says.
                let mut data = [0; 12];
                data[4..8].copy_from_slice(&local.octets());
                put(
                    control,
                    &mut used,
                    (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    &data,
                );
            }
            (IpAddr::V6(to), local) => {
                let (local, interface) = match local {
                    Some(IpAddr::V6(local)) if local.is_unicast_link_local() => {
                        (local, self.interface)
                    }
                    // Only the address matters: routing finds the interface.
                    Some(IpAddr::V6(local)) => (local, 0),
                    _ if self.group => (Ipv6Addr::UNSPECIFIED, self.interface),
                    _ => return 0,
                };
                let mut data = [0; 20];
                data[..16].copy_from_slice(&local.octets());
                data[16..].copy_from_slice(&interface.to_ne_bytes());
                put(
                    control,
                    &mut used,
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    &data,
                );
                if self.group && !to.is_unicast_link_local() {
                    // A router discards it (RFC 8200, section 3).
                    let limit = 1_i32.to_ne_bytes();
                    put(
                        control,
                        &mut used,
                        (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
                        &limit,
                    );
                }
            }
            _ => {}
        }
        used
    }
}

/// Length, level and type of the first message, if it is there whole.
fn header(control: &[u8]) -> Option<(usize, i32, i32)> {
    let word = size_of::<usize>();
    let length = usize::from_ne_bytes(*control.first_chunk()?);
    let level = i32::from_ne_bytes(*control.get(word..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*control.get(word + 4..)?.first_chunk()?);
    (HEADER..=control.len())
        .contains(&length)
        .then_some((length, level, kind))
}

/// Adds a message.
fn put(control: &mut [u8; SENT], used: &mut usize, (level, kind): (i32, i32), data: &[u8]) {
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

    /// What the kernel gives for a datagram to `header`.
    fn received(local: &str, header: &str, interface: u32) -> Vec<u8> {
        let mut control = [0; SENT];
        let mut used = 0;
        match (address(local), address(header)) {
            (IpAddr::V4(local), IpAddr::V4(header)) => {
                let data = [interface.to_ne_bytes(), local.octets(), header.octets()].concat();
                put(
                    &mut control,
                    &mut used,
                    (libc::IPPROTO_IP, libc::IP_PKTINFO),
                    &data,
                );
            }
            (_, IpAddr::V6(header)) => {
                let data = [&header.octets()[..], &interface.to_ne_bytes()].concat();
                put(
                    &mut control,
                    &mut used,
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                    &data,
                );
            }
            _ => panic!("two families"),
        }
        control[..used].to_vec()
    }

    #[test]
    fn addresses_of_this_host_and_of_groups() {
        for (local, header, expected, group) in [
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
            let arrival = Arrival::parse(&received(local, header, 7));
            let expected = Arrival {
                local: expected.map(address),
                interface: 7,
                group,
            };
            assert_eq!(arrival, expected, "{header}");
        }
        // A socket for both families gets both messages, in either order.
        let (v4, v6) = (
            received("10.9.0.1", "10.9.0.255", 7),
            received("::", "::ffff:10.9.0.255", 7),
        );
        for both in [[&v4[..], &v6[..]].concat(), [&v6[..], &v4[..]].concat()] {
            let arrival = Arrival::parse(&both);
            assert_eq!(
                (arrival.local, arrival.group),
                (Some(address("10.9.0.1")), true)
            );
        }
        assert_eq!(Arrival::parse(&[]), Arrival::default());
    }

    #[test]
    fn answers_leave_from_the_address_that_was_asked() {
        let answer = |local: Option<&str>, group, to: &str| {
            let arrival = Arrival {
                local: local.map(address),
                interface: 7,
                group,
            };
            let mut control = [0; SENT];
            let used = arrival.write(address(to), &mut control);
            (used, Arrival::parse(&control[..used]))
        };
        let (_, sent) = answer(Some("10.9.0.1"), false, "10.9.0.2");
        assert_eq!((sent.local, sent.interface), (Some(address("10.9.0.1")), 0));
        let (_, sent) = answer(Some("10.9.0.1"), true, "::ffff:10.9.0.2");
        assert_eq!((sent.local, sent.interface), (Some(address("10.9.0.1")), 0));
        let (one, sent) = answer(Some("fd00::1"), false, "fd00::2");
        assert_eq!((sent.local, sent.interface), (Some(address("fd00::1")), 0));
        let (_, sent) = answer(Some("fe80::1"), false, "fe80::2");
        assert_eq!((sent.local, sent.interface), (Some(address("fe80::1")), 7));
        let (used, sent) = answer(None, true, "fe80::2");
        assert_eq!((sent.local, sent.interface), (Some(address("::")), 7));
        assert_eq!(used, one);
        // With a hop limit besides.
        assert!(answer(None, true, "fd00::2").0 > one);
        assert_eq!(answer(None, false, "fd00::2").0, 0);
        assert_eq!(answer(None, false, "10.9.0.2").0, 0);
    }

    proptest! {
        #[test]
        fn any_bytes_parse(control: Vec<u8>) {
            let _ = Arrival::parse(&control);
        }
    }
}

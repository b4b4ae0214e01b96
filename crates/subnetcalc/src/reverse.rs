//! Reverse DNS: the zones that contain the PTR records of a network, and the name of
//! the PTR record of an address.
//!
//! Zones are cut at octets in in-addr.arpa and at nibbles in ip6.arpa (RFC 3596). A
//! network with another prefix length has several zones, those at the next
//! boundary, but an IPv4 network longer than /24 has one zone by RFC 2317.

use ipnet::IpNet;
use std::fmt::Write;

use crate::bits::Bits;
use crate::prefix::{Prefix, with_prefix};

/// Returns the zones of a network in ascending order, without trailing dots. For a
/// single address it returns the name of the PTR record.
pub(crate) fn zones(net: IpNet) -> Vec<String> {
    with_prefix!(net, |prefix| of(prefix))
}

fn of<N: Bits>(prefix: Prefix<N>) -> Vec<String> {
    let Prefix { first, length } = prefix;
    if N::FAMILY == 4 && length > 24 && length < N::WIDTH {
        let octet = (first & N::narrow(0xff)).widen();
        return vec![format!("{octet}/{length}.{}", name(first, 24))];
    }
    let label_bits = label_bits::<N>();
    let boundary = length.div_ceil(label_bits) * label_bits;
    let host_bits = N::WIDTH - boundary;
    let count = 1_u128 << (boundary - length);
    // With the boundary at the root there is one zone and no offset.
    (0..count)
        .map(|n| {
            let offset = n.checked_shl(host_bits).unwrap_or(0);
            name(first | N::narrow(offset), boundary)
        })
        .collect()
}

/// Returns the number of address bits in one label.
fn label_bits<N: Bits>() -> u32 {
    if N::FAMILY == 4 { 8 } else { 4 }
}

/// Returns the labels of the first `length` bits in reverse order, followed by the
/// name of the reverse tree.
fn name<N: Bits>(address: N, length: u32) -> String {
    let label_bits = label_bits::<N>();
    let mut name = String::new();
    for label in (1..=length / label_bits).rev() {
        let label = (address >> (N::WIDTH - label * label_bits)).widen() & ((1 << label_bits) - 1);
        // Writing to a String does not fail.
        let _ = if N::FAMILY == 4 {
            write!(name, "{label}.")
        } else {
            write!(name, "{label:x}.")
        };
    }
    name.push_str(if N::FAMILY == 4 {
        "in-addr.arpa"
    } else {
        "ip6.arpa"
    });
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones_of(text: &str) -> Vec<String> {
        zones(text.parse().unwrap())
    }

    #[test]
    fn a_network_at_a_label_boundary_has_one_zone() {
        assert_eq!(zones_of("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones_of("192.0.2.0/24"), ["2.0.192.in-addr.arpa"]);
        assert_eq!(zones_of("192.0.2.7/32"), ["7.2.0.192.in-addr.arpa"]);
        assert_eq!(zones_of("0.0.0.0/0"), ["in-addr.arpa"]);
        assert_eq!(zones_of("::/0"), ["ip6.arpa"]);
        assert_eq!(zones_of("2001:db8::/32"), ["8.b.d.0.1.0.0.2.ip6.arpa"]);
        assert_eq!(
            zones_of("2001:db8::567:89ab/128")[0],
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn a_network_between_boundaries_has_several_zones() {
        assert_eq!(
            zones_of("10.1.4.0/22"),
            [
                "4.1.10.in-addr.arpa",
                "5.1.10.in-addr.arpa",
                "6.1.10.in-addr.arpa",
                "7.1.10.in-addr.arpa"
            ]
        );
        let eight = zones_of("2001:db8::/33");
        assert_eq!(eight.len(), 8);
        assert_eq!(eight[7], "7.8.b.d.0.1.0.0.2.ip6.arpa");
        let half = zones_of("128.0.0.0/1");
        assert_eq!((half.len(), half[127].as_str()), (128, "255.in-addr.arpa"));
    }

    #[test]
    fn a_small_ipv4_network_has_a_zone_of_rfc_2317() {
        assert_eq!(zones_of("192.0.2.64/26"), ["64/26.2.0.192.in-addr.arpa"]);
        assert_eq!(zones_of("192.0.2.0/31"), ["0/31.2.0.192.in-addr.arpa"]);
        assert_eq!(zones_of("192.0.2.128/25"), ["128/25.2.0.192.in-addr.arpa"]);
    }
}

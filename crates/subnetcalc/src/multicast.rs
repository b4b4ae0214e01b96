//! Multicast addresses: their scopes, the Ethernet addresses that they map to, and
//! the solicited-node group of a unicast address.

use crate::eui64::Mac;

/// Returns whether an IPv6 address is in ff00::/8.
pub(crate) fn is_multicast(address: u128) -> bool {
    address >> 120 == 0xff
}

/// Returns the group that a host with this unicast address joins for Neighbor
/// Discovery (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(address: u128) -> Option<u128> {
    let is_unicast = !is_multicast(address) && address != 0;
    is_unicast.then_some(0xff02_0000_0000_0000_0000_0001_ff00_0000 | address & 0x00ff_ffff)
}

/// Returns the name of the scope of an IPv6 multicast address (RFC 4291, RFC 7346).
pub(crate) fn scope_v6(address: u128) -> Option<&'static str> {
    if !is_multicast(address) {
        return None;
    }
    Some(match address >> 112 & 0xf {
        0 | 0xf => "reserved",
        1 => "interface-local",
        2 => "link-local",
        3 => "realm-local",
        4 => "admin-local",
        5 => "site-local",
        8 => "organization-local",
        0xe => "global",
        _ => "unassigned",
    })
}

/// Returns the name of the scope of an IPv4 multicast address, or `None` if RFC 2365
/// sections 6 and 8 do not define one. Its "IPv4 Local Scope" has no counterpart in
/// IPv6.
pub(crate) fn scope_v4(address: u32) -> Option<&'static str> {
    match address {
        0xe000_0000..=0xe000_00ff => Some("link-local"),
        0xe000_0100..=0xeeff_ffff => Some("global"),
        0xefc0_0000..=0xefc3_ffff => Some("organization-local"),
        0xefff_0000..=0xefff_ffff => Some("local"),
        _ => None,
    }
}

/// Returns the Ethernet address of an IPv6 multicast group (RFC 2464 section 7).
pub(crate) fn mac_v6(address: u128) -> Option<Mac> {
    let [a, b, c, d] = (address as u32).to_be_bytes();
    is_multicast(address).then_some(Mac([0x33, 0x33, a, b, c, d]))
}

/// Returns the Ethernet address of an IPv4 multicast group (RFC 1112 section 6.4).
pub(crate) fn mac_v4(address: u32) -> Option<Mac> {
    let [_, b, c, d] = address.to_be_bytes();
    (address >> 28 == 0xe).then_some(Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::Bits;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn v4(text: &str) -> u32 {
        text.parse::<Ipv4Addr>().unwrap().to_bits()
    }

    fn v6(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().unwrap().to_bits()
    }

    #[test]
    fn a_unicast_address_has_a_solicited_node_group() {
        let group = |text: &str| solicited_node(v6(text)).map(|bits| bits.ip().to_string());
        assert_eq!(
            group("fe80::21b:21ff:fe3c:9df8").as_deref(),
            Some("ff02::1:ff3c:9df8")
        );
        assert_eq!(group("ff02::1"), None);
        assert_eq!(group("::"), None);
    }

    #[test]
    fn ipv6_scopes_follow_the_scope_field() {
        for (address, scope) in [
            ("ff00::1", Some("reserved")),
            ("ff01::1", Some("interface-local")),
            ("ff02::fb", Some("link-local")),
            ("ff03::1", Some("realm-local")),
            ("ff04::1", Some("admin-local")),
            ("ff05::1", Some("site-local")),
            ("ff06::1", Some("unassigned")),
            ("ff38::1", Some("organization-local")),
            ("ff0e::1", Some("global")),
            ("ff0f::1", Some("reserved")),
            ("fe80::1", None),
        ] {
            assert_eq!(scope_v6(v6(address)), scope, "{address}");
        }
    }

    #[test]
    fn ipv4_scopes_are_ranges() {
        for (address, scope) in [
            ("223.255.255.255", None),
            ("224.0.0.0", Some("link-local")),
            ("224.0.0.255", Some("link-local")),
            ("224.0.1.0", Some("global")),
            ("238.255.255.255", Some("global")),
            ("239.0.0.0", None),
            ("239.191.255.255", None),
            ("239.192.0.0", Some("organization-local")),
            ("239.195.255.255", Some("organization-local")),
            ("239.196.0.0", None),
            ("239.254.255.255", None),
            ("239.255.0.0", Some("local")),
            ("239.255.255.255", Some("local")),
            ("240.0.0.0", None),
        ] {
            assert_eq!(scope_v4(v4(address)), scope, "{address}");
        }
    }

    #[test]
    fn groups_map_to_ethernet_addresses() {
        let mac = |mac: Option<Mac>| mac.map(|mac| mac.to_string());
        assert_eq!(
            mac(mac_v6(v6("ff02::1:ff3c:9df8"))).as_deref(),
            Some("33:33:ff:3c:9d:f8")
        );
        assert_eq!(mac(mac_v6(v6("fe80::1"))), None);
        assert_eq!(
            mac(mac_v4(v4("224.128.0.251"))).as_deref(),
            Some("01:00:5e:00:00:fb")
        );
        assert_eq!(mac(mac_v4(v4("10.0.0.1"))), None);
    }
}

//! The IANA registries of special-purpose addresses, and the lookup of the row that
//! applies to a network.
//!
//! The rows are those of the "IANA IPv4 Special-Purpose Address Registry" and
//! the "IANA IPv6 Special-Purpose Address Registry" (RFC 6890, RFC 8190) at
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>, as updated
//! on 2025-10-09: the address block, its name, the RFCs and the column
//! "Globally Reachable". Multicast is not in them. The most specific row
//! wins: 192.0.0.9 is the PCP anycast address, not a protocol assignment.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A row of one of the two registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The address block of the row.
    pub(crate) entry: IpNet,
    /// The name of the block, as the registry spells it.
    pub(crate) name: &'static str,
    /// The defining documents, such as `RFC1918`, separated by commas.
    pub(crate) rfc: &'static str,
    /// Whether the addresses can be forwarded beyond an administrative domain, or
    /// `None` if the registry lists N/A.
    pub(crate) globally_reachable: Option<bool>,
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
const NA: Option<bool> = None;

const fn v4(
    address: [u8; 4],
    length: u8,
    name: &'static str,
    rfc: &'static str,
    globally_reachable: Option<bool>,
) -> Row {
    let [a, b, c, d] = address;
    Row {
        entry: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)),
        name,
        rfc,
        globally_reachable,
    }
}

const fn v6(
    groups: [u16; 8],
    length: u8,
    name: &'static str,
    rfc: &'static str,
    globally_reachable: Option<bool>,
) -> Row {
    let mut bits = 0;
    let mut at = 0;
    // Constants cannot use `for` yet.
    while at < groups.len() {
        bits = bits << 16 | groups[at] as u128;
        at += 1;
    }
    Row {
        entry: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length)),
        name,
        rfc,
        globally_reachable,
    }
}

/// The rows of the IPv4 registry, in its order.
#[rustfmt::skip]
const IPV4: [Row; 26] = [
    v4([0, 0, 0, 0], 8, "\"This network\"", "RFC791", NO),
    v4([0, 0, 0, 0], 32, "\"This host on this network\"", "RFC1122", NO),
    v4([10, 0, 0, 0], 8, "Private-Use", "RFC1918", NO),
    v4([100, 64, 0, 0], 10, "Shared Address Space", "RFC6598", NO),
    v4([127, 0, 0, 0], 8, "Loopback", "RFC1122", NO),
    v4([169, 254, 0, 0], 16, "Link Local", "RFC3927", NO),
    v4([172, 16, 0, 0], 12, "Private-Use", "RFC1918", NO),
    v4([192, 0, 0, 0], 24, "IETF Protocol Assignments", "RFC6890", NO),
    v4([192, 0, 0, 0], 29, "IPv4 Service Continuity Prefix", "RFC7335", NO),
    v4([192, 0, 0, 8], 32, "IPv4 dummy address", "RFC7600", NO),
    v4([192, 0, 0, 9], 32, "Port Control Protocol Anycast", "RFC7723", YES),
    v4([192, 0, 0, 10], 32, "Traversal Using Relays around NAT Anycast", "RFC8155", YES),
    v4([192, 0, 0, 170], 32, "NAT64/DNS64 Discovery", "RFC8880,RFC7050", NO),
    v4([192, 0, 0, 171], 32, "NAT64/DNS64 Discovery", "RFC8880,RFC7050", NO),
    v4([192, 0, 2, 0], 24, "Documentation (TEST-NET-1)", "RFC5737", NO),
    v4([192, 31, 196, 0], 24, "AS112-v4", "RFC7535", YES),
    v4([192, 52, 193, 0], 24, "AMT", "RFC7450", YES),
    v4([192, 88, 99, 0], 24, "Deprecated (6to4 Relay Anycast)", "RFC7526", NA),
    v4([192, 88, 99, 2], 32, "6a44-relay anycast address", "RFC6751", NO),
    v4([192, 168, 0, 0], 16, "Private-Use", "RFC1918", NO),
    v4([192, 175, 48, 0], 24, "Direct Delegation AS112 Service", "RFC7534", YES),
    v4([198, 18, 0, 0], 15, "Benchmarking", "RFC2544", NO),
    v4([198, 51, 100, 0], 24, "Documentation (TEST-NET-2)", "RFC5737", NO),
    v4([203, 0, 113, 0], 24, "Documentation (TEST-NET-3)", "RFC5737", NO),
    v4([240, 0, 0, 0], 4, "Reserved", "RFC1112", NO),
    v4([255, 255, 255, 255], 32, "Limited Broadcast", "RFC8190,RFC919", NO),
];

/// The rows of the IPv6 registry, in its order.
#[rustfmt::skip]
const IPV6: [Row; 25] = [
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "Loopback Address", "RFC4291", NO),
    v6([0; 8], 128, "Unspecified Address", "RFC4291", NO),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped Address", "RFC4291", NO),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "IPv4-IPv6 Translat.", "RFC6052", YES),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "IPv4-IPv6 Translat.", "RFC8215", NO),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "Discard-Only Address Block", "RFC6666", NO),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "Dummy IPv6 Prefix", "RFC9780", NO),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "IETF Protocol Assignments", "RFC2928", NO),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "TEREDO", "RFC4380,RFC8190", NA),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, "Port Control Protocol Anycast", "RFC7723", YES),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, "Traversal Using Relays around NAT Anycast", "RFC8155", YES),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, "DNS-SD Service Registration Protocol Anycast", "RFC9665", YES),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "Benchmarking", "RFC5180", NO),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "AMT", "RFC7450", YES),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, "AS112-v6", "RFC7535", YES),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "Deprecated (previously ORCHID)", "RFC4843", NA),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHIDv2", "RFC7343", YES),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC9374", YES),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "Documentation", "RFC3849", NO),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC3056", NA),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "Direct Delegation AS112 Service", "RFC7534", YES),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "Documentation", "RFC9637", NO),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "Segment Routing (SRv6) SIDs", "RFC9602", NO),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "Unique-Local", "RFC4193,RFC8190", NO),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "Link-Local Unicast", "RFC4291", NO),
];

/// Returns the most specific row that contains all addresses of a network.
pub(crate) fn lookup(net: IpNet) -> Option<&'static Row> {
    let rows: &'static [Row] = if net.addr().is_ipv4() { &IPV4 } else { &IPV6 };
    rows.iter()
        .filter(|row| row.entry.contains(&net))
        .max_by_key(|row| row.entry.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(address: &str) -> Option<(&'static str, &'static str, Option<bool>)> {
        let host: std::net::IpAddr = address.parse().unwrap();
        lookup(host.into()).map(|row| (row.name, row.rfc, row.globally_reachable))
    }

    #[test]
    fn the_most_specific_row_wins() {
        assert_eq!(
            name("192.0.0.9"),
            Some(("Port Control Protocol Anycast", "RFC7723", YES))
        );
        assert_eq!(
            name("192.0.0.7"),
            Some(("IPv4 Service Continuity Prefix", "RFC7335", NO))
        );
        assert_eq!(
            name("192.0.0.11"),
            Some(("IETF Protocol Assignments", "RFC6890", NO))
        );
        assert_eq!(name("255.255.255.255").unwrap().0, "Limited Broadcast");
        assert_eq!(name("0.0.0.0").unwrap().0, "\"This host on this network\"");
        assert_eq!(
            name("192.88.99.1"),
            Some(("Deprecated (6to4 Relay Anycast)", "RFC7526", NA))
        );
        assert_eq!(
            name("2001:1ff::"),
            Some(("IETF Protocol Assignments", "RFC2928", NO))
        );
        assert_eq!(name("2001:0:1::").unwrap().0, "TEREDO");
    }

    #[test]
    fn a_row_contains_the_complete_network() {
        let entry = |net: &str| {
            let row = lookup(net.parse().unwrap());
            row.map_or("-".to_owned(), |row| row.entry.to_string())
        };
        for (net, expected) in [
            ("0.0.0.0/0", "-"),
            ("10.0.0.0/7", "-"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.9.0.0/16", "10.0.0.0/8"),
            ("100.0.0.0/8", "-"),
            ("100.64.0.0/10", "100.64.0.0/10"),
            ("192.0.0.0/24", "192.0.0.0/24"),
            ("192.0.0.0/28", "192.0.0.0/24"),
            ("192.0.0.0/29", "192.0.0.0/29"),
            ("192.0.0.8/31", "192.0.0.0/24"),
            ("172.16.0.0/9", "-"),
            ("172.16.0.0/11", "-"),
            ("0.0.0.0/8", "0.0.0.0/8"),
            ("240.0.0.0/4", "240.0.0.0/4"),
            ("255.255.255.254/31", "240.0.0.0/4"),
            ("255.255.255.255/32", "255.255.255.255/32"),
            ("::/0", "-"),
            ("::/127", "-"),
            ("2000::/3", "-"),
            ("2001::/23", "2001::/23"),
            ("2001::/32", "2001::/32"),
            ("2001::/31", "2001::/23"),
            ("fc00::/6", "-"),
            ("fd00::/8", "fc00::/7"),
            ("64:ff9b::/95", "-"),
        ] {
            assert_eq!(entry(net), expected, "{net}");
        }
    }

    #[test]
    fn the_newest_rows_are_present() {
        assert_eq!(name("3fff:fff::1").unwrap().1, "RFC9637");
        assert_eq!(name("5f00::1").unwrap().1, "RFC9602");
        assert_eq!(name("100:0:0:1::").unwrap().1, "RFC9780");
        assert_eq!(name("100:0:0:2::"), None);
        assert_eq!(name("2001:1::3").unwrap().1, "RFC9665");
        assert_eq!(name("2001:3f:ffff::").unwrap().1, "RFC9374");
        assert_eq!(name("192.88.99.2").unwrap().1, "RFC6751");
    }

    #[test]
    fn ordinary_and_multicast_addresses_have_no_row() {
        for address in [
            "8.8.8.8",
            "224.0.0.1",
            "2600::1",
            "ff02::1",
            "fec0::1",
            "3fff:1000::",
        ] {
            assert_eq!(name(address), None, "{address}");
        }
    }

    #[test]
    fn rows_are_networks_and_occur_once() {
        let rows: Vec<&Row> = IPV4.iter().chain(&IPV6).collect();
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(row.entry.trunc(), row.entry, "{}", row.entry);
            assert!(
                !rows[..at].iter().any(|other| other.entry == row.entry),
                "{}",
                row.entry
            );
        }
    }
}

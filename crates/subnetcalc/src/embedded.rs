//! IPv4 addresses embedded in IPv6 addresses by a transition mechanism.

use std::net::Ipv4Addr;

/// An IPv4 address in an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embedded {
    /// The mechanism: `6to4`, `teredo`, `nat64` or `v4-mapped`.
    pub(crate) kind: &'static str,
    /// The IPv4 address, for Teredo that of the client.
    pub(crate) ipv4: Ipv4Addr,
    /// The IPv4 address of the Teredo server.
    pub(crate) server: Option<Ipv4Addr>,
    /// The external UDP port of the Teredo client, as mapped by its NAT.
    pub(crate) port: Option<u16>,
}

/// Returns the IPv4 address in an address of one of the prefixes 2002::/16
/// (RFC 3056), 2001::/32 (RFC 4380 section 4), 64:ff9b::/96 (RFC 6052) and
/// ::ffff:0:0/96 (RFC 4291).
pub(crate) fn embedded(address: u128) -> Option<Embedded> {
    let low = Ipv4Addr::from_bits(address as u32);
    let plain = |kind, ipv4| Embedded {
        kind,
        ipv4,
        server: None,
        port: None,
    };
    if address >> 32 == 0xffff {
        Some(plain("v4-mapped", low))
    } else if address >> 32 == 0x0064_ff9b << 64 {
        Some(plain("nat64", low))
    } else if address >> 112 == 0x2002 {
        Some(plain("6to4", Ipv4Addr::from_bits((address >> 80) as u32)))
    } else if address >> 96 == 0x2001_0000 {
        // The bits of the client's address and port are inverted.
        Some(Embedded {
            kind: "teredo",
            ipv4: Ipv4Addr::from_bits(!(address as u32)),
            server: Some(Ipv4Addr::from_bits((address >> 64) as u32)),
            port: Some(!((address >> 32) as u16)),
        })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn addresses_of_transition_mechanisms_are_decoded() {
        let of = |text: &str| embedded(text.parse::<Ipv6Addr>().unwrap().to_bits());
        assert_eq!(
            of("::ffff:192.0.2.1").unwrap().ipv4,
            Ipv4Addr::new(192, 0, 2, 1)
        );
        assert_eq!(of("64:ff9b::c000:221").unwrap().kind, "nat64");
        assert_eq!(
            of("64:ff9b::c000:221").unwrap().ipv4,
            Ipv4Addr::new(192, 0, 2, 33)
        );
        assert_eq!(of("64:ff9b:1::1"), None);
        assert_eq!(
            of("2002:c000:204::1").unwrap().ipv4,
            Ipv4Addr::new(192, 0, 2, 4)
        );
        // A well-known example: server 65.54.227.120, client 192.0.2.45, port 40000.
        assert_eq!(
            of("2001:0:4136:e378:8000:63bf:3fff:fdd2"),
            Some(Embedded {
                kind: "teredo",
                ipv4: Ipv4Addr::new(192, 0, 2, 45),
                server: Some(Ipv4Addr::new(65, 54, 227, 120)),
                port: Some(40000),
            })
        );
        assert_eq!(of("2001:db8::1"), None);
    }
}

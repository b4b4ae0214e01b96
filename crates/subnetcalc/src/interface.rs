//! What an IPv6 address says by itself: the interface it was made for, the
//! groups it belongs to, the IPv4 address inside it. And the other way, an
//! interface identifier from a MAC address.

use std::fmt;
use std::net::Ipv4Addr;

/// An IEEE 802 address of 48 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.0.map(|octet| format!("{octet:02x}"));
        f.write_str(&octets.join(":"))
    }
}

impl Mac {
    /// Parses the common spellings: 6 octets (`00:1b:21:3c:9d:f8`, the octets
    /// may lack a leading zero), 3 groups of 4 digits (`001b.213c.9df8`), 2 of 6
    /// (`001b21-3c9df8`), or 12 digits. The separator is a colon, hyphen, dot or
    /// blank. The error is a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let why = || "not a MAC address; use six octets as in 00:1b:21:3c:9d:f8".to_owned();
        let separator = text.chars().find(|c| [':', '-', '.', ' '].contains(c));
        let parts: Vec<&str> = match separator {
            Some(separator) => text.split(separator).collect(),
            None => vec![text],
        };
        let width = match parts.len() {
            6 => 2,
            3 => 4,
            2 => 6,
            1 => 12,
            _ => return Err(why()),
        };
        let mut digits = String::new();
        for part in parts {
            let short = width == 2 && part.len() == 1 && separator != Some('.');
            // Digits only: from_str_radix would take a sign.
            if part.len() != width && !short || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(why());
            }
            digits.push_str(if short { "0" } else { "" });
            digits.push_str(part);
        }
        let bits = u64::from_str_radix(&digits, 16).map_err(|_| why())?;
        let [_, _, octets @ ..] = bits.to_be_bytes();
        Ok(Self(octets))
    }

    /// The modified EUI-64 interface identifier (RFC 4291 appendix A).
    pub(crate) fn interface_id(self) -> u64 {
        let [maker @ .., _, _, _] = self.0;
        let [_, _, _, device @ ..] = self.0;
        let mut id = [0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        id[..3].copy_from_slice(&maker);
        id[5..].copy_from_slice(&device);
        // The bit for "universal" is turned over.
        id[0] ^= 2;
        u64::from_be_bytes(id)
    }

    /// The MAC address an interface identifier was made of, if it looks so.
    fn of_interface_id(id: u64) -> Option<Self> {
        let id = id.to_be_bytes();
        if id[3..5] != [0xff, 0xfe] {
            return None;
        }
        let mut octets = [0; 6];
        octets[..3].copy_from_slice(&id[..3]);
        octets[3..].copy_from_slice(&id[5..]);
        octets[0] ^= 2;
        Some(Self(octets))
    }
}

/// The MAC address in a unicast address whose interface identifier is a
/// modified EUI-64.
pub(crate) fn mac(address: u128) -> Option<Mac> {
    // ::/3 has no interface identifiers (RFC 4291 section 2.5.1).
    (!is_multicast(address) && address >> 125 != 0)
        .then(|| Mac::of_interface_id(address as u64))
        .flatten()
}

/// Whether it lies in ff00::/8.
pub(crate) fn is_multicast(address: u128) -> bool {
    address >> 120 == 0xff
}

/// The group a host with this unicast address must join for Neighbor
/// Discovery (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(address: u128) -> Option<u128> {
    let unicast = !is_multicast(address) && address != 0;
    unicast.then_some(0xff02_0000_0000_0000_0000_0001_ff00_0000 | address & 0x00ff_ffff)
}

/// The scope of a multicast address by name (RFC 4291, RFC 7346).
pub(crate) fn multicast_scope(address: u128) -> Option<&'static str> {
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

/// The scope of an IPv4 multicast address by name (RFC 2365 sections 6 and 8;
/// its "IPv4 Local Scope" has no name in IPv6); `None` where that document
/// gives none.
pub(crate) fn multicast_scope_v4(address: u32) -> Option<&'static str> {
    match address {
        0xe000_0000..=0xe000_00ff => Some("link-local"),
        0xe000_0100..=0xeeff_ffff => Some("global"),
        0xefc0_0000..=0xefc3_ffff => Some("organization-local"),
        0xefff_0000..=0xefff_ffff => Some("local"),
        _ => None,
    }
}

/// The Ethernet address of an IPv6 multicast group (RFC 2464 section 7).
pub(crate) fn multicast_mac(address: u128) -> Option<Mac> {
    let [a, b, c, d] = (address as u32).to_be_bytes();
    is_multicast(address).then_some(Mac([0x33, 0x33, a, b, c, d]))
}

/// The Ethernet address of an IPv4 multicast group (RFC 1112 section 6.4).
pub(crate) fn multicast_mac_v4(address: u32) -> Option<Mac> {
    let [_, b, c, d] = address.to_be_bytes();
    (address >> 28 == 0xe).then_some(Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
}

/// An IPv4 address inside an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embedded {
    /// `6to4`, `teredo`, `nat64` or `v4-mapped`.
    pub(crate) kind: &'static str,
    /// The IPv4 address; of Teredo the client's.
    pub(crate) ipv4: Ipv4Addr,
    /// The Teredo server.
    pub(crate) server: Option<Ipv4Addr>,
    /// The Teredo client's UDP port as its NAT shows it.
    pub(crate) port: Option<u16>,
}

/// The IPv4 address inside, by the address's well-known prefix: 2002::/16
/// (RFC 3056), 2001::/32 (RFC 4380 section 4), 64:ff9b::/96 (RFC 6052),
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
        // Port and client are written with all bits flipped.
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
    use crate::bits::Bits;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    fn bits(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().unwrap().to_bits()
    }

    #[test]
    fn mac_addresses() {
        let expected = Mac([0x00, 0x1b, 0x21, 0x3c, 0x9d, 0xf8]);
        for text in [
            "00:1b:21:3c:9d:f8",
            "00-1B-21-3C-9D-F8",
            "001b.213c.9df8",
            "001b:213c:9df8",
            "001b-213c-9df8",
            "001b213c9df8",
            "001B21-3C9DF8",
            "001b21:3c9df8",
            "0:1b:21:3c:9d:f8",
            "0-1b-21-3c-9d-f8",
            "00 1B 21 3C 9D F8",
        ] {
            assert_eq!(Mac::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(expected.to_string(), "00:1b:21:3c:9d:f8");
        for bad in [
            "",
            "00:1b:21:3c:9d",
            "00:1b:21:3c:9d:f8:00",
            ":1b:21:3c:9d:f8",
            "0.1b.21.3c.9d.f8",
            "01b.213c.9df8",
            "00:1b-21:3c:9d:f8",
            "001b213c9df",
            "001b213c9df80",
            "00:1b:21:3c:9d:+8",
            "001b.213c.9df8.0000",
            "00:1b:21:3c:9d:g8",
            "é0:1b:21:3c:9d:f8",
        ] {
            assert!(Mac::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interfaces_and_groups() {
        let address = bits("fe80::21b:21ff:fe3c:9df8");
        assert_eq!(mac(address).unwrap().to_string(), "00:1b:21:3c:9d:f8");
        assert_eq!(mac(bits("fe80::1")), None);
        assert_eq!(mac(bits("ff02::21b:21ff:fe3c:9df8")), None);
        assert_eq!(
            solicited_node(address).unwrap().ip().to_string(),
            "ff02::1:ff3c:9df8"
        );
        assert_eq!(solicited_node(bits("ff02::1")), None);
        assert_eq!(multicast_scope(bits("ff02::fb")), Some("link-local"));
        assert_eq!(multicast_scope(bits("ff0e::1")), Some("global"));
        assert_eq!(multicast_scope(bits("fe80::1")), None);
        assert_eq!(
            multicast_mac(bits("ff02::1:ff3c:9df8"))
                .unwrap()
                .to_string(),
            "33:33:ff:3c:9d:f8"
        );
        assert_eq!(
            multicast_mac_v4(0xe080_00fb).unwrap().to_string(),
            "01:00:5e:00:00:fb"
        );
        assert_eq!(multicast_mac_v4(0x0a00_0001), None);
        assert_eq!(multicast_scope_v4(0xe000_00fb), Some("link-local"));
    }

    #[test]
    fn embedded_addresses() {
        let of = |text: &str| embedded(bits(text));
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
        // The example of RFC 4380 turned into numbers.
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

    proptest! {
        #[test]
        fn eui64_both_ways(octets: [u8; 6]) {
            let there = Mac(octets);
            let address = 0xfe80_u128 << 112 | u128::from(there.interface_id());
            prop_assert_eq!(mac(address), Some(there));
            prop_assert_eq!(Mac::parse(&there.to_string()), Ok(there));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = Mac::parse(&text);
        }
    }
}

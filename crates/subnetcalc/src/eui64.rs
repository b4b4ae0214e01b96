//! MAC addresses, and the IPv6 interface identifiers made from them (modified
//! EUI-64, RFC 4291 appendix A).

use std::fmt;

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
    /// Parses the common spellings: 6 octets with or without leading zeros
    /// (`00:1b:21:3c:9d:f8`), 3 groups of 4 digits (`001b.213c.9df8`), 2 groups of 6
    /// (`001b21-3c9df8`), or 12 digits. The separator is a colon, a hyphen, a dot or
    /// a space. The error is the reason.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let error = || "not a MAC address; use six octets as in 00:1b:21:3c:9d:f8".to_owned();
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
            _ => return Err(error()),
        };
        let mut digits = String::new();
        for part in parts {
            let lacks_zero = width == 2 && part.len() == 1 && separator != Some('.');
            // `from_str_radix` would accept a sign.
            if part.len() != width && !lacks_zero || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            digits.push_str(if lacks_zero { "0" } else { "" });
            digits.push_str(part);
        }
        let bits = u64::from_str_radix(&digits, 16).map_err(|_| error())?;
        let [_, _, octets @ ..] = bits.to_be_bytes();
        Ok(Self(octets))
    }

    /// Returns the modified EUI-64 interface identifier.
    pub(crate) fn interface_id(self) -> u64 {
        let [maker @ .., _, _, _] = self.0;
        let [_, _, _, device @ ..] = self.0;
        let mut id = [0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        id[..3].copy_from_slice(&maker);
        id[5..].copy_from_slice(&device);
        // The universal/local bit is inverted.
        id[0] ^= 2;
        u64::from_be_bytes(id)
    }

    /// Returns the MAC address from which an interface identifier was made, or
    /// `None` if the identifier is not a modified EUI-64.
    fn from_interface_id(id: u64) -> Option<Self> {
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

/// Returns the MAC address in a unicast address if its interface identifier is a
/// modified EUI-64.
pub(crate) fn mac(address: u128) -> Option<Mac> {
    // Multicast addresses and those in ::/3 have no interface identifier (RFC 4291
    // section 2.5.1).
    (address >> 120 != 0xff && address >> 125 != 0)
        .then(|| Mac::from_interface_id(address as u64))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    #[test]
    fn common_spellings_of_a_mac_address_are_parsed() {
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
    fn an_eui64_address_contains_its_mac_address() {
        let mac_of = |text: &str| {
            let address: Ipv6Addr = text.parse().unwrap();
            mac(address.to_bits()).map(|mac| mac.to_string())
        };
        assert_eq!(
            mac_of("fe80::21b:21ff:fe3c:9df8").as_deref(),
            Some("00:1b:21:3c:9d:f8")
        );
        for other in [
            "fe80::1",
            "ff02::21b:21ff:fe3c:9df8",
            "::21b:21ff:fe3c:9df8",
        ] {
            assert_eq!(mac_of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn mac_addresses_are_restored_from_their_addresses(octets: [u8; 6]) {
            let expected = Mac(octets);
            let address = 0xfe80_u128 << 112 | u128::from(expected.interface_id());
            prop_assert_eq!(mac(address), Some(expected));
            prop_assert_eq!(Mac::parse(&expected.to_string()), Ok(expected));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Mac::parse(&text);
        }
    }
}

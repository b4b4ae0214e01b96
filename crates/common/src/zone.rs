//! Zones of IPv6 addresses (RFC 4007, section 11), which are interfaces after `%`,
//! and host names that are not ASCII (feature `idn`).

use std::net::{IpAddr, SocketAddr};

/// Splits the zone off a host or an endpoint, with or without brackets:
/// `[fe80::1%eth0]:80` and `[fe80::1]%eth0:80` become `[fe80::1]:80` and `eth0`.
pub fn split(text: &str) -> (String, Option<&str>) {
    let Some((before, rest)) = text.split_once('%') else {
        return (text.to_owned(), None);
    };
    // A bare address contains colons, but only before the zone.
    let ends: &[char] = if before.starts_with('[') && !before.contains(']') {
        &[']']
    } else {
        &[':']
    };
    let end = rest.find(ends).unwrap_or(rest.len());
    let (zone, after) = rest.split_at(end);
    (format!("{before}{after}"), Some(zone))
}

/// Returns the index of the interface with this name or number.
pub fn index(zone: &str) -> Result<u32, String> {
    let number = || {
        let plain = zone.bytes().all(|b| b.is_ascii_digit()) && !zone.starts_with('0');
        zone.parse().ok().filter(|_| plain)
    };
    if zone.is_empty() {
        return Err("missing zone after '%'; use ADDR%IFACE".to_owned());
    }
    by_name(zone)
        .or_else(number)
        .ok_or_else(|| format!("no network interface named {zone}"))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn by_name(name: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::INET6, SocketType::DGRAM, None)
        .or_else(|_| socket(AddressFamily::INET, SocketType::DGRAM, None))
        .ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn by_name(_: &str) -> Option<u32> {
    None
}

/// Whether an address is ambiguous without an interface.
pub fn is_needed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

/// Sets the zone of an address, as the index of an interface.
pub fn within(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(mut v6) => {
            v6.set_scope_id(index);
            v6.into()
        }
        SocketAddr::V4(_) => address,
    }
}

/// Converts a host name that is not ASCII for resolvers (UTS 46, non-transitional).
#[cfg(feature = "idn")]
pub fn to_ascii(name: &str) -> Result<String, String> {
    if name.is_ascii() {
        return Ok(name.to_owned());
    }
    // UTS 46 removes some characters, possibly all of them.
    match idna::domain_to_ascii(name) {
        Ok(ascii) if !ascii.is_empty() => Ok(ascii),
        _ => Err("not a valid internationalized name (UTS 46)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_zone_is_split_off() {
        for (text, rest, zone) in [
            ("[fe80::1%eth0]:80", "[fe80::1]:80", Some("eth0")),
            ("[fe80::1]%eth0:80", "[fe80::1]:80", Some("eth0")),
            ("fe80::1%eth0", "fe80::1", Some("eth0")),
            ("*%eth0.5:80", "*:80", Some("eth0.5")),
            ("%eth0:80", ":80", Some("eth0")),
            ("0.0.0.0%eth0:80", "0.0.0.0:80", Some("eth0")),
            ("fe80::1%", "fe80::1", Some("")),
            ("[::1]:80", "[::1]:80", None),
        ] {
            assert_eq!(split(text), (rest.to_owned(), zone), "{text}");
        }
    }

    #[test]
    fn interfaces_are_found_by_name_and_number() {
        if cfg!(any(target_os = "linux", target_os = "android")) {
            assert_eq!(index("lo"), Ok(1));
        }
        assert_eq!(index("1"), Ok(1));
        assert_eq!(
            index(""),
            Err("missing zone after '%'; use ADDR%IFACE".to_owned())
        );
        for bad in ["no-such-if", "01", "-1", "4294967296"] {
            assert!(index(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn link_local_and_multicast_addresses_need_a_zone() {
        for address in ["fe80::1", "febf::1", "ff02::1", "ff0e::1"] {
            assert!(is_needed(address.parse().unwrap()), "{address}");
        }
        for address in ["::1", "2001:db8::1", "fec0::1", "169.254.0.1", "224.0.0.1"] {
            assert!(!is_needed(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_zone_is_set_for_ipv6_only() {
        let v6: SocketAddr = "[fe80::1]:7".parse().unwrap();
        assert_eq!(within(v6, 9).to_string(), "[fe80::1%9]:7");
        let v4: SocketAddr = "127.0.0.1:7".parse().unwrap();
        assert_eq!(within(v4, 9), v4);
    }

    #[cfg(feature = "idn")]
    #[test]
    fn names_are_converted_to_ascii() {
        assert_eq!(
            to_ascii("b\u{fc}cher.example"),
            Ok("xn--bcher-kva.example".to_owned())
        );
        assert_eq!(to_ascii("a_b.example"), Ok("a_b.example".to_owned()));
        assert!(to_ascii("\u{ad}").is_err());
    }

    proptest! {
        #[test]
        fn splitting_loses_no_character(text in "[a-f0-9:%\\[\\].]{0,20}") {
            let (rest, zone) = split(&text);
            let length = rest.len() + zone.map_or(0, |zone| zone.len() + 1);
            prop_assert_eq!(length, text.len());
        }
    }
}

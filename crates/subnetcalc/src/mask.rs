//! Masks: netmasks and wildcard (inverse) masks, dotted, in groups or hexadecimal.

use std::net::{IpAddr, Ipv4Addr};

use common::address;
use ipnet::IpNet;

use crate::bits::Bits;

/// Parses two words, an IPv4 address and a netmask, as one network, as ipcalc does:
/// `192.168.1.10 255.255.255.0`. The mask is dotted or hexadecimal, and an inverse
/// one if `wildcard`. Returns `None` for other words. The error is the reason why
/// the second word, which can only be a mask, is invalid.
pub(crate) fn parse_address_and_mask(
    address: &str,
    mask: &str,
    wildcard: bool,
) -> Option<Result<IpNet, String>> {
    let address: Ipv4Addr = address.parse().ok()?;
    let (mask, is_address) = match (mask.parse::<Ipv4Addr>(), parse_hex_mask(mask)) {
        // Hosts have no addresses in 0.0.0.0/8 and 255.0.0.0/8.
        (Ok(mask), _) => (mask, !matches!(mask.octets()[0], 0 | 255)),
        (_, Some(IpAddr::V4(mask))) => (mask, false),
        _ => return None,
    };
    match mask_length(mask.into(), wildcard) {
        Ok(length) => IpNet::new(address.into(), length).ok().map(Ok),
        Err(_) if is_address => None,
        Err(reason) => Some(Err(reason)),
    }
}

/// Parses a mask of 8 or 32 hexadecimal digits, with or without `0x`.
pub(crate) fn parse_hex_mask(text: &str) -> Option<IpAddr> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        8 => u32::from_str_radix(digits, 16).ok().map(Bits::ip),
        32 => u128::from_str_radix(digits, 16).ok().map(Bits::ip),
        _ => None,
    }
}

/// Parses the mask of an address, which must be of its family.
pub(crate) fn parse_mask(text: &str, address: &IpAddr, wildcard: bool) -> Result<u8, String> {
    let mask = address::parse(text).map_err(|why| format!("invalid mask: {why}"))?;
    if mask.is_ipv4() != address.is_ipv4() {
        return Err("the address and the mask are of different families".to_owned());
    }
    mask_length(mask, wildcard)
}

/// Returns the prefix length of a netmask, or of an inverse mask if `wildcard`. The
/// error is the reason.
pub(crate) fn mask_length(mask: IpAddr, wildcard: bool) -> Result<u8, String> {
    let (netmask, inverse) = mask_lengths(mask);
    match (netmask, inverse, wildcard) {
        (Some(length), _, false) | (_, Some(length), true) => Ok(length),
        (None, Some(_), false) => {
            Err("a wildcard mask, not a netmask; add --wildcard to use it".to_owned())
        }
        (Some(_), None, true) => Err("a netmask, not a wildcard mask; omit --wildcard".to_owned()),
        (None, None, false) => Err("not a netmask: its one bits are not contiguous".to_owned()),
        (None, None, true) => {
            Err("not a wildcard mask: its zero bits are not contiguous".to_owned())
        }
    }
}

/// Returns the prefix lengths of a mask as a netmask and as a wildcard mask.
pub(crate) fn mask_lengths(mask: IpAddr) -> (Option<u8>, Option<u8>) {
    fn of<N: Bits>(mask: N) -> (Option<u8>, Option<u8>) {
        let length = |mask: N| mask.mask_length().map(|length| length as u8);
        (length(mask), length(!mask))
    }
    match mask {
        IpAddr::V4(mask) => of(mask.to_bits()),
        IpAddr::V6(mask) => of(mask.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operand::{Rules, parse_network};
    use common::address::Family;

    const PLAIN: Rules = Rules {
        strict: false,
        wildcard: false,
        family: Family::Any,
    };

    #[test]
    fn masks_give_prefix_lengths() {
        let length = |text: &str, wildcard| {
            parse_network(text, Rules { wildcard, ..PLAIN }).map(|net| net.prefix_len())
        };
        assert_eq!(length("10.0.0.0/255.255.255.0", false), Ok(24));
        assert_eq!(length("10.0.0.0/0.0.0.0", false), Ok(0));
        assert_eq!(length("10.0.0.0/0.0.0.255", true), Ok(24));
        assert_eq!(length("10.0.0.0/0.0.0.0", true), Ok(32));
        assert_eq!(length("2001:db8::/ffff:ffff::", false), Ok(32));
        assert!(
            length("10.0.0.0/0.0.0.255", false)
                .unwrap_err()
                .contains("--wildcard")
        );
        assert!(length("10.0.0.0/255.255.255.0", true).is_err());
        assert!(
            length("10.0.0.0/255.0.255.0", false)
                .unwrap_err()
                .contains("contiguous")
        );
        assert!(
            length("10.0.0.0/ffff::", false)
                .unwrap_err()
                .contains("families")
        );
        assert!(length("10.0.0.0/255.255.255.00", false).is_err());
    }

    #[test]
    fn an_address_and_a_mask_are_one_network() {
        let of = |mask, wildcard| {
            let net = parse_address_and_mask("192.168.1.10", mask, wildcard);
            net.map(|net| net.map(|net| net.prefix_len()))
        };
        assert_eq!(of("255.255.255.0", false), Some(Ok(24)));
        assert_eq!(of("0xffffff00", false), Some(Ok(24)));
        assert_eq!(of("FFFFFF00", false), Some(Ok(24)));
        assert_eq!(of("0.0.0.0", false), Some(Ok(0)));
        assert_eq!(of("0.0.0.255", true), Some(Ok(24)));
        assert_eq!(of("128.0.0.0", false), Some(Ok(1)));
        for mask in ["255.0.255.0", "255.255.255.1", "0.0.0.255", "00ff00ff"] {
            assert!(matches!(of(mask, false), Some(Err(_))), "{mask}");
        }
        for none in ["128.0.0.1", "10.0.0.1", "24", "/24", "ffff::", "ffffff0"] {
            assert_eq!(of(none, false), None, "{none}");
        }
        for other in ["::1", "10.0.0.0/8"] {
            assert_eq!(parse_address_and_mask(other, "255.0.0.0", false), None);
        }
    }
}

//! Types with data that is not a plain sequence of fields: WKS, NSAP, CERT, APL,
//! IPSECKEY, HIP and AMTRELAY. Each function returns the text of some data, or
//! `None` if it is invalid.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use domain::base::name::Name;

use super::encode;

/// Shows the bitmap of ports in a WKS record (RFC 1035, section 3.4.2).
#[allow(
    clippy::unnecessary_wraps,
    reason = "all functions in the table have the same signature"
)]
pub(crate) fn ports(bits: &[u8]) -> Option<String> {
    let mut text = String::new();
    for (at, byte) in bits.iter().enumerate() {
        for bit in (0..8).filter(|bit| byte & (0x80u8 >> bit) != 0) {
            // Writing to a String cannot fail.
            let _ = write!(text, " {}", at * 8 + bit);
        }
    }
    Some(text)
}

/// Shows an NSAP record as a hexadecimal number (RFC 1706).
pub(crate) fn nsap(data: &[u8]) -> Option<String> {
    (!data.is_empty()).then(|| format!("0x{}", encode::hex(data).to_ascii_lowercase()))
}

/// Shows a CERT record, with mnemonics if RFC 4398 and RFC 8624 define them.
pub(crate) fn cert(data: &[u8]) -> Option<String> {
    let (head, rest) = data.split_first_chunk::<5>()?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let kind = match kind {
        1 => "PKIX".to_owned(),
        2 => "SPKI".to_owned(),
        3 => "PGP".to_owned(),
        4 => "IPKIX".to_owned(),
        5 => "ISPKI".to_owned(),
        6 => "IPGP".to_owned(),
        7 => "ACPKIX".to_owned(),
        8 => "IACPKIX".to_owned(),
        253 => "URI".to_owned(),
        254 => "OID".to_owned(),
        n => n.to_string(),
    };
    let algorithm = match head[4] {
        1 => "RSAMD5".to_owned(),
        2 => "DH".to_owned(),
        3 => "DSA".to_owned(),
        5 => "RSASHA1".to_owned(),
        6 => "NSEC3DSA".to_owned(),
        7 => "NSEC3RSASHA1".to_owned(),
        8 => "RSASHA256".to_owned(),
        10 => "RSASHA512".to_owned(),
        13 => "ECDSAP256SHA256".to_owned(),
        14 => "ECDSAP384SHA384".to_owned(),
        15 => "ED25519".to_owned(),
        16 => "ED448".to_owned(),
        n => n.to_string(),
    };
    Some(format!(
        "{kind} {} {algorithm} {}",
        u16::from_be_bytes([head[2], head[3]]),
        encode::split_words(&encode::base64(rest))
    ))
}

/// Shows the prefixes of an APL record, with `!` before a negated one (RFC 3123).
pub(crate) fn apl(mut data: &[u8]) -> Option<String> {
    let mut items = Vec::new();
    while !data.is_empty() {
        let (head, rest) = data.split_first_chunk::<4>()?;
        let length = usize::from(head[3] & 0x7f);
        let part = rest.get(..length)?;
        data = &rest[length..];
        let family = u16::from_be_bytes([head[0], head[1]]);
        let address = match family {
            1 => {
                let mut bytes = [0; 4];
                bytes.get_mut(..length)?.copy_from_slice(part);
                Ipv4Addr::from(bytes).to_string()
            }
            2 => {
                let mut bytes = [0; 16];
                bytes.get_mut(..length)?.copy_from_slice(part);
                Ipv6Addr::from(bytes).to_string()
            }
            _ => return None,
        };
        let negated = if head[3] & 0x80 == 0 { "" } else { "!" };
        items.push(format!("{negated}{family}:{address}/{}", head[2]));
    }
    Some(items.join(" "))
}

/// Reads a gateway or relay, which is empty, an address or a name by its type.
/// Returns its text and the rest of the data.
fn gateway(kind: u8, data: &[u8]) -> Option<(String, &[u8])> {
    match kind {
        0 => Some((".".to_owned(), data)),
        1 => {
            let (address, rest) = data.split_first_chunk::<4>()?;
            Some((Ipv4Addr::from(*address).to_string(), rest))
        }
        2 => {
            let (address, rest) = data.split_first_chunk::<16>()?;
            Some((Ipv6Addr::from(*address).to_string(), rest))
        }
        3 => plain_name(data),
        _ => None,
    }
}

/// Reads a name that is not compressed. Returns its text and the rest of the data.
fn plain_name(data: &[u8]) -> Option<(String, &[u8])> {
    let mut at = 0;
    while let length @ 1..=63 = *data.get(at)? {
        at += usize::from(length) + 1;
    }
    let name = Name::from_slice(data.get(..=at)?).ok()?;
    Some((encode::name(&name), &data[at + 1..]))
}

/// Shows an IPSECKEY record (RFC 4025).
pub(crate) fn ipseckey(data: &[u8]) -> Option<String> {
    let (head, rest) = data.split_first_chunk::<3>()?;
    let (gateway, key) = gateway(head[1], rest)?;
    let mut text = format!("{} {} {} {gateway}", head[0], head[1], head[2]);
    if !key.is_empty() {
        text.push(' ');
        text.push_str(&encode::split_words(&encode::base64(key)));
    }
    Some(text)
}

/// Shows an AMTRELAY record (RFC 8777).
pub(crate) fn amtrelay(data: &[u8]) -> Option<String> {
    let (head, rest) = data.split_first_chunk::<2>()?;
    let kind = head[1] & 0x7f;
    let (relay, rest) = gateway(kind, rest)?;
    rest.is_empty()
        .then(|| format!("{} {} {kind} {relay}", head[0], head[1] >> 7))
}

/// Shows the tag, the key and the rendezvous servers of a HIP record (RFC 8005).
pub(crate) fn hip(data: &[u8]) -> Option<String> {
    let (head, rest) = data.split_first_chunk::<4>()?;
    let tag_length = usize::from(head[0]);
    let key_length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let tag = rest.get(..tag_length)?;
    let key = rest.get(tag_length..tag_length + key_length)?;
    let mut rest = &rest[tag_length + key_length..];
    let mut text = format!("{} {} {}", head[1], encode::hex(tag), encode::base64(key));
    while !rest.is_empty() {
        let (server, after) = plain_name(rest)?;
        text.push(' ');
        text.push_str(&server);
        rest = after;
    }
    Some(text)
}

//! The parameters of SVCB and HTTPS records (RFC 9460), as dig prints them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::encode;

/// Shows the parameters in wire order, each after a space. Returns `None` if a
/// length or a value is invalid.
pub(crate) fn params(mut data: &[u8]) -> Option<String> {
    let mut text = String::new();
    while !data.is_empty() {
        let (key, rest) = read_u16(data)?;
        let (length, rest) = read_u16(rest)?;
        let value = rest.get(..usize::from(length))?;
        data = &rest[usize::from(length)..];
        text.push(' ');
        text.push_str(&param(key, value)?);
    }
    Some(text)
}

fn read_u16(data: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = data.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

fn param(key: u16, value: &[u8]) -> Option<String> {
    let name = param_name(key);
    let list = |size: usize, show: &dyn Fn(&[u8]) -> Option<String>| {
        if value.is_empty() || !value.len().is_multiple_of(size) {
            return None;
        }
        let items: Option<Vec<String>> = value.chunks(size).map(show).collect();
        Some(items?.join(","))
    };
    let shown = match key {
        0 => list(2, &|b| {
            Some(param_name(u16::from_be_bytes(b.try_into().ok()?)))
        })?,
        1 => format!("\"{}\"", alpn(value)?),
        3 => u16::from_be_bytes(value.try_into().ok()?).to_string(),
        4 => list(4, &|b| {
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(b).ok()?).to_string())
        })?,
        5 => encode::base64(value),
        6 => list(16, &|b| {
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(b).ok()?).to_string())
        })?,
        _ if value.is_empty() => return Some(name),
        _ => encode::quoted(value),
    };
    Some(format!("{name}={shown}"))
}

fn param_name(key: u16) -> String {
    const NAMES: [&str; 9] = [
        "mandatory",
        "alpn",
        "no-default-alpn",
        "port",
        "ipv4hint",
        "ech",
        "ipv6hint",
        "dohpath",
        "ohttp",
    ];
    match NAMES.get(usize::from(key)) {
        Some(name) => (*name).to_owned(),
        None => format!("key{key}"),
    }
}

/// Joins length-prefixed protocol names by commas. A comma or backslash in a name
/// is escaped twice, once for the list and once for the string.
fn alpn(mut value: &[u8]) -> Option<String> {
    let mut names = Vec::new();
    while let Some((&length, rest)) = value.split_first() {
        let name = rest.get(..usize::from(length))?;
        value = &rest[usize::from(length)..];
        let mut escaped = Vec::new();
        for &byte in name {
            if matches!(byte, b',' | b'\\') {
                escaped.push(b'\\');
            }
            escaped.push(byte);
        }
        names.push(encode::string(&escaped));
    }
    (!names.is_empty()).then(|| names.join(","))
}

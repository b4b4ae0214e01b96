//! Domain names of operands: RFC 1035 escapes, IDNA and the limits of DNS, checked
//! before libc or a server sees a name.

use std::fmt::Write;
use std::net::IpAddr;

use domain::base::name::Name;

use crate::wire::OwnedName;

const SPACE: &str =
    "not a domain name: it contains a space or control character; write it as \\DDD";

/// Parses a name as typed. Non-ASCII text is converted by UTS 46 without
/// transitional mappings; `\X` and `\DDD` stand for a byte. The error is the
/// reason, for an error message.
pub(crate) fn parse(text: &str) -> Result<OwnedName, String> {
    let ascii;
    let text = if text.is_ascii() {
        text
    } else {
        if text.contains('\\') {
            return Err("escapes cannot be combined with non-ASCII characters".to_owned());
        }
        ascii = common::zone::to_ascii(text)?;
        &ascii
    };
    let mut wire: Vec<u8> = Vec::with_capacity(text.len() + 6);
    if text != "." {
        // Each label's length is written when its end is known.
        let mut start = 0;
        wire.push(0);
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => {
                    end_label(&mut wire, start)?;
                    if bytes.len() == 0 {
                        start = usize::MAX;
                        break;
                    }
                    start = wire.len();
                    wire.push(0);
                }
                b'\\' => wire.push(parse_escape(&mut bytes)?),
                0x21..=0x7e => wire.push(byte),
                _ => return Err(SPACE.to_owned()),
            }
        }
        if start != usize::MAX {
            end_label(&mut wire, start)?;
        }
    }
    wire.push(0);
    if wire.len() > 255 {
        return Err("not a domain name: longer than 255 bytes".to_owned());
    }
    Name::from_octets(wire).map_err(|_| "not a domain name".to_owned())
}

/// Writes the length of the label that begins at `start`.
fn end_label(wire: &mut [u8], start: usize) -> Result<(), String> {
    match wire.len() - start - 1 {
        0 => Err("not a domain name: empty label".to_owned()),
        length @ 1..=63 => {
            wire[start] = length as u8;
            Ok(())
        }
        _ => Err("not a domain name: a label is longer than 63 bytes".to_owned()),
    }
}

/// Parses an escape after its backslash.
fn parse_escape(bytes: &mut std::str::Bytes<'_>) -> Result<u8, String> {
    let invalid = || "invalid escape; use \\X or \\DDD".to_owned();
    let first = bytes.next().ok_or_else(invalid)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let digit = |b: Option<u8>| match b {
        Some(b @ b'0'..=b'9') => Ok(u32::from(b - b'0')),
        _ => Err(invalid()),
    };
    let value = digit(Some(first))? * 100 + digit(bytes.next())? * 10 + digit(bytes.next())?;
    u8::try_from(value).map_err(|_| invalid())
}

/// Returns the name of an address's PTR record, below in-addr.arpa or ip6.arpa.
pub(crate) fn reverse(address: IpAddr) -> OwnedName {
    let text = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut text = String::with_capacity(72);
            for byte in v6.octets().iter().rev() {
                // Writing to a String cannot fail.
                let _ = write!(text, "{:x}.{:x}.", byte & 15, byte >> 4);
            }
            text + "ip6.arpa"
        }
    };
    // The text always parses: it consists of digits and fixed labels.
    parse(&text).unwrap_or_else(|_| OwnedName::root_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presentation;
    use proptest::prelude::*;

    #[test]
    fn names_are_parsed_and_shown() {
        for (text, shown) in [
            (".", "."),
            ("a.b", "a.b."),
            ("a.b.", "a.b."),
            ("a\\.b.c", "a\\.b.c."),
            ("a\\032b", "a\\032b."),
            ("faß.test", "xn--fa-hia.test."),
            ("bücher.test", "xn--bcher-kva.test."),
        ] {
            assert_eq!(presentation::name(&parse(text).unwrap()), shown, "{text}");
        }
        let long = "a".repeat(64);
        for text in [
            "", "..", ".a", "a..b", "a b", "a\\", "a\\25", "a\\256", &long,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            presentation::name(&reverse("192.0.2.1".parse().unwrap())),
            "1.2.0.192.in-addr.arpa."
        );
        assert!(
            presentation::name(&reverse("2001:db8::1".parse().unwrap()))
                .ends_with(".8.b.d.0.1.0.0.2.ip6.arpa.")
        );
    }

    proptest! {
        #[test]
        fn a_shown_name_parses_back(text in "\\PC{1,40}") {
            if let Ok(name) = parse(&text) {
                prop_assert_eq!(parse(&presentation::name(&name)).unwrap(), name);
            }
        }
    }
}

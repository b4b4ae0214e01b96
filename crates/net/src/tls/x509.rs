//! The fields of a certificate that are reported: subject, issuer, validity,
//! names, and the public key (RFC 5280). rustls judges the certificate; this reader
//! only extracts fields, and returns `None` if it does not understand one. A library
//! such as x509-parser would add four crates to each tool for these five fields.

use common::time::days_from_civil;

/// Seconds since 1970-01-01T00:00:00Z, negative before.
pub type Seconds = i64;

/// The fields of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The distinguished name, its most specific part first, as in `CN=a, O=b`.
    pub subject: String,
    /// The distinguished name of the authority that signed it.
    pub issuer: String,
    /// The first second in which it is valid.
    pub not_before: Seconds,
    /// The last second in which it is valid.
    pub not_after: Seconds,
    /// The SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// The DNS names and addresses of subjectAltName.
    pub names: Vec<String>,
}

/// A public key, in the form that signatures are verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey<'a> {
    /// The content of the AlgorithmIdentifier in DER.
    pub(crate) algorithm: &'a [u8],
    /// The content of the key's bit string.
    pub(crate) bits: &'a [u8],
}

impl PublicKey<'_> {
    /// Returns the length of the modulus in bits if this is an RSA key.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        let (oid, _) = expect_tag(self.algorithm, OID)?;
        if oid.content != RSA {
            return None;
        }
        let (key, _) = expect_tag(self.bits, SEQUENCE)?;
        let (modulus, _) = expect_tag(key.content, INTEGER)?;
        let start = modulus.content.iter().position(|&b| b != 0)?;
        let digits = &modulus.content[start..];
        Some(digits.len() * 8 - digits[0].leading_zeros() as usize)
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const SEQUENCE: u8 = 0x30;
/// The explicit tag of the extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// An element in DER (X.690).
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// The tag, the length and the content.
    whole: &'a [u8],
}

/// Splits the first element off `bytes`.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        let length = digits.iter().fold(0, |n, &b| n << 8 | usize::from(b));
        (length, rest)
    };
    if rest.len() < length {
        return None;
    }
    let (content, after) = rest.split_at(length);
    let whole = &bytes[..bytes.len() - after.len()];
    Some((
        Element {
            tag,
            content,
            whole,
        },
        after,
    ))
}

fn expect_tag(bytes: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    element(bytes).filter(|(element, _)| element.tag == tag)
}

/// Parses a certificate in DER.
pub fn parse(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = expect_tag(der, SEQUENCE)?;
    let (tbs, _) = expect_tag(certificate.content, SEQUENCE)?;
    let mut rest = tbs.content;
    // The version is optional; the serial number and the algorithm are not.
    if let Some((version, after)) = element(rest)
        && version.tag == 0xa0
    {
        rest = after;
    }
    let (_serial, rest) = element(rest)?;
    let (_algorithm, rest) = expect_tag(rest, SEQUENCE)?;
    let (issuer, rest) = expect_tag(rest, SEQUENCE)?;
    let (validity, rest) = expect_tag(rest, SEQUENCE)?;
    let (subject, rest) = expect_tag(rest, SEQUENCE)?;
    let (public_key, rest) = expect_tag(rest, SEQUENCE)?;
    let (before, after) = element(validity.content)?;
    let (after, _) = element(after)?;
    Some(Certificate {
        subject: distinguished_name(subject.content)?,
        issuer: distinguished_name(issuer.content)?,
        not_before: parse_time(&before)?,
        not_after: parse_time(&after)?,
        public_key: public_key.whole.to_vec(),
        names: alternative_names(rest).unwrap_or_default(),
    })
}

/// Returns the public key of a certificate in DER.
pub(crate) fn public_key<'a>(der: &'a [u8]) -> Option<PublicKey<'a>> {
    let whole = parse(der)?.public_key;
    // Search for it in `der`, so that the result borrows from there.
    let at = der.windows(whole.len()).position(|part| part == whole)?;
    let (key, _): (Element<'a>, _) = expect_tag(&der[at..], SEQUENCE)?;
    let (algorithm, rest) = expect_tag(key.content, SEQUENCE)?;
    let (bits, _) = expect_tag(rest, BIT_STRING)?;
    // The first byte is the number of unused bits.
    let bits = bits.content.strip_prefix(&[0])?;
    Some(PublicKey {
        algorithm: algorithm.content,
        bits,
    })
}

/// Returns the names of subjectAltName; the extensions follow the public key.
fn alternative_names(mut rest: &[u8]) -> Option<Vec<String>> {
    const ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
    const DNS: u8 = 0x82;
    const ADDRESS: u8 = 0x87;
    let extensions = loop {
        let (field, after) = element(rest)?;
        if field.tag == EXTENSIONS {
            break expect_tag(field.content, SEQUENCE)?.0;
        }
        rest = after;
    };
    let mut rest = extensions.content;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (extension, after) = expect_tag(rest, SEQUENCE)?;
        rest = after;
        let (oid, mut value) = expect_tag(extension.content, OID)?;
        if oid.content != ALT_NAME {
            continue;
        }
        if let Some((_critical, after)) = expect_tag(value, BOOLEAN) {
            value = after;
        }
        let (value, _) = expect_tag(value, OCTET_STRING)?;
        let (list, _) = expect_tag(value.content, SEQUENCE)?;
        let mut entries = list.content;
        while !entries.is_empty() {
            let (entry, after) = element(entries)?;
            entries = after;
            match entry.tag {
                DNS => found.push(String::from_utf8_lossy(entry.content).into_owned()),
                ADDRESS => {
                    if let Ok(v4) = <[u8; 4]>::try_from(entry.content) {
                        found.push(std::net::Ipv4Addr::from(v4).to_string());
                    } else if let Ok(v6) = <[u8; 16]>::try_from(entry.content) {
                        found.push(std::net::Ipv6Addr::from(v6).to_string());
                    }
                }
                _ => {}
            }
        }
    }
    Some(found)
}

/// Formats a distinguished name as `CN=..., O=...`, the most specific part first.
/// Values are escaped, so that no value looks like several parts.
fn distinguished_name(mut sets: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !sets.is_empty() {
        let (set, rest) = expect_tag(sets, SET)?;
        sets = rest;
        let mut attributes = set.content;
        let mut part = String::new();
        while !attributes.is_empty() {
            let (attribute, rest) = expect_tag(attributes, SEQUENCE)?;
            attributes = rest;
            let (oid, value) = expect_tag(attribute.content, OID)?;
            let (value, _) = element(value)?;
            let value = match value.tag {
                // BMPString
                0x1e => {
                    let units: Vec<u16> = value
                        .content
                        .chunks_exact(2)
                        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                        .collect();
                    String::from_utf16_lossy(&units)
                }
                _ => String::from_utf8_lossy(value.content).into_owned(),
            };
            if !part.is_empty() {
                part.push('+');
            }
            part.extend([&attribute_name(oid.content), "=", &escape_value(&value)]);
        }
        parts.push(part);
    }
    parts.reverse();
    Some(parts.join(", "))
}

/// Escapes the value of an attribute (RFC 4514, section 2.4).
fn escape_value(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let is_first = at == 0;
        let is_last = at + c.len_utf8() == value.len();
        match c {
            '\0' => text.push_str("\\00"),
            ',' | '+' | '=' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', c]),
            '#' if is_first => text.extend(['\\', c]),
            ' ' if is_first || is_last => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

fn attribute_name(oid: &[u8]) -> String {
    match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 4] => "SN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "street",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        _ => return dotted(oid),
    }
    .to_owned()
}

fn dotted(oid: &[u8]) -> String {
    let Some((&first, rest)) = oid.split_first() else {
        return "?".to_owned();
    };
    let mut text = format!(
        "{}.{}",
        (first / 40).min(2),
        first - (first / 40).min(2) * 40
    );
    let mut value = 0u64;
    for &b in rest {
        value = value.wrapping_shl(7) | u64::from(b & 0x7f);
        if b & 0x80 == 0 {
            text.extend([".", &value.to_string()]);
            value = 0;
        }
    }
    text
}

/// Parses `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn parse_time(element: &Element<'_>) -> Option<Seconds> {
    let text = std::str::from_utf8(element.content).ok()?;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match element.tag {
        UTC_TIME if digits.len() == 12 => {
            let short: i64 = digits[..2].parse().ok()?;
            (short + if short < 50 { 2000 } else { 1900 }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<u32>().ok();
    let day = days_from_civil(year, part(0)?, part(2)?);
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    Some(day * 86_400 + Seconds::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use testkit::tls::{Authority, Leaf};

    #[test]
    fn a_certificate_is_parsed() {
        let authority = Authority::new();
        let (file, _) = authority.files(Leaf::Good);
        let der = {
            use rustls::pki_types::pem::PemObject;
            rustls::pki_types::CertificateDer::from_pem_file(file).unwrap()
        };
        let parsed = parse(&der).unwrap();
        assert!(parsed.issuer.contains("inetkit test CA"), "{parsed:?}");
        assert_eq!(parsed.not_after, days_from_civil(4096, 1, 1) * 86_400);
        assert!(parsed.not_before < parsed.not_after);
        assert!(parsed.public_key.starts_with(&[SEQUENCE]));
        assert_eq!(parsed.names, ["localhost", "127.0.0.1", "::1"]);
        let key = public_key(&der).unwrap();
        assert_eq!(key.rsa_bits(), None);
        // An uncompressed point of P-256.
        assert_eq!((key.bits.len(), key.bits[0]), (65, 4));
    }

    #[test]
    fn no_value_looks_like_several_parts() {
        for (value, shown) in [
            ("evil, O=Good Bank, Inc", "evil\\, O\\=Good Bank\\, Inc"),
            ("a+b", "a\\+b"),
            (" # ", "\\ #\\ "),
            ("#1<2>;\"\\", "\\#1\\<2\\>\\;\\\"\\\\"),
            ("nul\0byte", "nul\\00byte"),
            (" ", "\\ "),
            ("*.example.com", "*.example.com"),
        ] {
            assert_eq!(escape_value(value), shown);
        }
        let attribute = |oid: u8, value: &str| {
            let mut bytes = vec![SEQUENCE, 7 + value.len() as u8, OID, 3, 0x55, 4, oid, 12];
            bytes.push(value.len() as u8);
            bytes.extend(value.bytes());
            bytes
        };
        let set = |attributes: &[u8]| [&[SET, attributes.len() as u8], attributes].concat();
        let sets = [
            set(&attribute(10, "x")),
            set(&[attribute(3, "evil, O=Good"), attribute(11, "u")].concat()),
        ]
        .concat();
        assert_eq!(
            distinguished_name(&sets).unwrap(),
            "CN=evil\\, O\\=Good+OU=u, O=x"
        );
    }

    #[test]
    fn times_have_two_forms() {
        let at =
            |year, month, day, seconds| Some(days_from_civil(year, month, day) * 86_400 + seconds);
        for (tag, text, expected) in [
            (UTC_TIME, "260102030405Z", at(2026, 1, 2, 11_045)),
            (UTC_TIME, "491231235959Z", at(2049, 12, 31, 86_399)),
            (UTC_TIME, "500101000000Z", at(1950, 1, 1, 0)),
            (GENERALIZED_TIME, "20500102030405Z", at(2050, 1, 2, 11_045)),
            (GENERALIZED_TIME, "260102030405Z", None),
            (UTC_TIME, "260102030405", None),
            (UTC_TIME, "26010203040xZ", None),
            (OID, "260102030405Z", None),
        ] {
            let (content, whole) = (text.as_bytes(), &[][..]);
            let element = Element {
                tag,
                content,
                whole,
            };
            assert_eq!(parse_time(&element), expected, "{text}");
        }
    }

    #[test]
    fn object_identifiers_are_dotted() {
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]),
            "1.2.840.113549"
        );
        assert_eq!(dotted(&[0x55, 4, 3]), "2.5.4.3");
        assert_eq!(dotted(&[0x78, 1]), "2.40.1");
        assert_eq!(dotted(&[]), "?");
    }

    #[test]
    fn rsa_keys_have_the_length_of_their_modulus() {
        let algorithm = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let bits = |modulus: &[u8]| {
            let integer = [&[INTEGER, modulus.len() as u8], modulus].concat();
            let bits = [&[SEQUENCE, integer.len() as u8], &integer[..]].concat();
            let (algorithm, bits) = (&algorithm[..], &bits[..]);
            PublicKey { algorithm, bits }.rsa_bits()
        };
        assert_eq!(bits(&[0, 0x80, 0, 0]), Some(24));
        assert_eq!(bits(&[1, 0, 0]), Some(17));
        assert_eq!(bits(&[0, 0]), None);
    }

    #[test]
    fn lengths_have_at_most_four_bytes() {
        let content = |bytes: &[u8]| element(bytes).map(|(element, _)| element.content.to_vec());
        assert_eq!(content(&[4, 1, 7, 8]), Some(vec![7]));
        assert_eq!(content(&[4, 0x84, 0, 0, 0, 1, 7]), Some(vec![7]));
        assert_eq!(content(&[4, 0x85, 0, 0, 0, 0, 1, 7]), None);
        assert_eq!(content(&[4, 0x80, 7]), None);
        assert_eq!(content(&[4, 2, 7]), None);
    }

    proptest! {
        #[test]
        fn never_panics(der: Vec<u8>) {
            let _ = parse(&der);
            let _ = public_key(&der).map(|key| key.rsa_bits());
        }
    }
}

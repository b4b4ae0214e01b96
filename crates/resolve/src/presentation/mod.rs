//! The presentation format of names, types and record data.
//!
//! The table in [`fields()`] has one line per record type. A type with a sequence of
//! ordinary [`Field`]s needs nothing else; the others have a function in one of the
//! submodules. Types that are not in the table and data that does not
//! parse are shown in the generic form of RFC 3597 (`\# length hex`), except that a
//! name that does not parse is an error. The `domain` crate formats fewer types than
//! dig does, and some of them in another form.

mod encode;
mod fields;
mod loc;
mod special;
mod svcb;

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use domain::base::iana::Rtype;
use domain::base::name::ParsedName;
use domain::base::wire::ParseError;
use domain::dep::octseq::{Octets, Parser};

pub(crate) use self::encode::{base64, hex, name, string};
use self::fields::{Field, fields};

/// Shows the record data that `parser` is limited to, and reads all of it. Fails if
/// a name does not parse, since the message is then malformed.
pub(crate) fn rdata<Octs: Octets + ?Sized>(
    rtype: Rtype,
    parser: &mut Parser<'_, Octs>,
) -> Result<String, ParseError> {
    let start = parser.pos();
    if let Some(fields) = fields(rtype) {
        let mut text = String::new();
        let mut is_valid = true;
        for field in fields {
            let before = text.len();
            if before > 0 {
                text.push(' ');
            }
            let start_of_field = text.len();
            match read(*field, parser, &mut text) {
                Ok(true) => {}
                Err(error) if matches!(field, Field::Name) => return Err(error),
                Ok(false) | Err(_) => {
                    is_valid = false;
                    break;
                }
            }
            // Some fields start with a space, others are empty.
            if text.len() == start_of_field {
                text.truncate(before);
            } else if text[start_of_field..].starts_with(' ') {
                text.remove(start_of_field);
            }
        }
        if is_valid && parser.remaining() == 0 {
            return Ok(text);
        }
        parser.seek(start)?;
    }
    Ok(unknown(rest(parser)?))
}

/// Shows data in the generic form of RFC 3597.
pub(crate) fn unknown(data: &[u8]) -> String {
    if data.is_empty() {
        return "\\# 0".to_owned();
    }
    format!("\\# {} {}", data.len(), encode::split_words(&hex(data)))
}

fn rest<'a, Octs: Octets + ?Sized>(parser: &mut Parser<'a, Octs>) -> Result<&'a [u8], ParseError> {
    take(parser, parser.remaining())
}

fn take<'a, Octs: Octets + ?Sized>(
    parser: &mut Parser<'a, Octs>,
    length: usize,
) -> Result<&'a [u8], ParseError> {
    let all: &'a [u8] = parser.octets_ref().as_ref();
    let from = parser.pos();
    parser.advance(length)?;
    all.get(from..from + length).ok_or(ParseError::ShortInput)
}

fn length_prefixed<'a, Octs: Octets + ?Sized>(
    parser: &mut Parser<'a, Octs>,
) -> Result<&'a [u8], ParseError> {
    let length = parser.parse_u8()?;
    take(parser, usize::from(length))
}

/// Reads one field and appends it. Returns `Ok(false)` if the value is invalid.
fn read<Octs: Octets + ?Sized>(
    field: Field,
    parser: &mut Parser<'_, Octs>,
    text: &mut String,
) -> Result<bool, ParseError> {
    // Writing to a String cannot fail.
    let _ = match field {
        Field::U8 => write!(text, "{}", parser.parse_u8()?),
        Field::U16 => write!(text, "{}", parser.parse_u16_be()?),
        Field::U32 => write!(text, "{}", parser.parse_u32_be()?),
        Field::V4 => write!(text, "{}", Ipv4Addr::from(parser.parse_u32_be()?)),
        Field::V6 => write!(text, "{}", Ipv6Addr::from(parser.parse_u128_be()?)),
        Field::Type => {
            let rtype = Rtype::from_int(parser.parse_u16_be()?);
            write!(text, "{}", Mnemonic(rtype))
        }
        Field::Locator => {
            let value = parser.parse_u64_be()?;
            let group = |shift: u32| (value >> shift) as u16;
            let (a, b, c, d) = (group(48), group(32), group(16), group(0));
            // Without leading zeros, as in an address.
            write!(text, "{a:x}:{b:x}:{c:x}:{d:x}")
        }
        _ => {
            let Some(part) = bytes(field, parser)? else {
                return Ok(false);
            };
            text.push_str(&part);
            Ok(())
        }
    };
    Ok(true)
}

/// Reads a field that is a name or consists of bytes.
fn bytes<Octs: Octets + ?Sized>(
    field: Field,
    parser: &mut Parser<'_, Octs>,
) -> Result<Option<String>, ParseError> {
    Ok(Some(match field {
        Field::Name => name(&ParsedName::parse_ref(parser)?),
        Field::Text => encode::quoted(length_prefixed(parser)?),
        Field::Texts => {
            let mut texts = encode::quoted(length_prefixed(parser)?);
            while parser.remaining() > 0 {
                texts.push(' ');
                texts.push_str(&encode::quoted(length_prefixed(parser)?));
            }
            texts
        }
        Field::Word => string(length_prefixed(parser)?),
        Field::Rest => encode::quoted(rest(parser)?),
        Field::Hex => encode::split_words(&hex(rest(parser)?)),
        Field::Base64 => encode::split_words(&base64(rest(parser)?)),
        Field::Salt => match length_prefixed(parser)? {
            [] => "-".to_owned(),
            salt => hex(salt),
        },
        Field::Hash => encode::base32hex(length_prefixed(parser)?),
        Field::Bitmap => return Ok(bitmap(rest(parser)?)),
        Field::Time => encode::timestamp(parser.parse_u32_be()?),
        Field::Dashed(length) => {
            let data = take(parser, length)?;
            let pairs: Vec<String> = data.iter().map(|b| format!("{b:02x}")).collect();
            pairs.join("-")
        }
        Field::Custom(show) => return Ok(show(rest(parser)?)),
        // `read` writes numbers and addresses.
        _ => return Ok(None),
    }))
}

/// Displays the mnemonic of a type, or `TYPEnnn` if it has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mnemonic(pub(crate) Rtype);

impl fmt::Display for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rtype::A => f.write_str("A"),
            Rtype::NSAPPTR => f.write_str("NSAP-PTR"),
            other => write!(f, "{other}"),
        }
    }
}

/// Returns the mnemonic of a type.
pub(crate) fn mnemonic(rtype: Rtype) -> String {
    Mnemonic(rtype).to_string()
}

/// Returns whether a text in upper case names a record type.
pub(crate) fn is_mnemonic(text: &str) -> bool {
    rtype(text).is_some()
}

/// Iterates over all mnemonics.
pub(crate) fn mnemonics() -> impl Iterator<Item = &'static str> {
    let types = (1..=u16::MAX).map(Rtype::from_int);
    let known = types.filter_map(Rtype::to_mnemonic_str);
    known.map(|mnemonic| match mnemonic {
        "NSAPPTR" => "NSAP-PTR",
        other => other,
    })
}

/// Returns the type of a mnemonic in upper case, of `TYPEnnn`, or of a number.
pub(crate) fn rtype(text: &str) -> Option<Rtype> {
    match text {
        "NSAP-PTR" => Some(Rtype::NSAPPTR),
        _ if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().map(Rtype::from_int),
        _ => Rtype::from_str(text).ok(),
    }
}

fn bitmap(mut data: &[u8]) -> Option<String> {
    let mut text = String::new();
    while !data.is_empty() {
        let (&window, rest) = data.split_first()?;
        let (&length, rest) = rest.split_first()?;
        // RFC 4034, section 4.1.2 allows no other length.
        if !(1..=32).contains(&length) {
            return None;
        }
        let bits = rest.get(..usize::from(length))?;
        data = &rest[usize::from(length)..];
        for (at, byte) in bits.iter().enumerate() {
            for bit in (0..8u16).filter(|bit| byte & (0x80 >> bit) != 0) {
                let low = u16::try_from(at).ok()? * 8 + bit;
                let number = u16::from(window) << 8 | low;
                text.push(' ');
                text.push_str(&mnemonic(Rtype::from_int(number)));
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(rtype: u16, data: &[u8]) -> String {
        let mut parser = Parser::from_ref(data);
        rdata(Rtype::from_int(rtype), &mut parser).unwrap()
    }

    #[test]
    fn data_is_shown_as_in_zone_files() {
        assert_eq!(show(1, &[192, 0, 2, 1]), "192.0.2.1");
        assert_eq!(show(1, &[192, 0, 2]), "\\# 3 C00002");
        assert_eq!(show(15, b"\x00\x0a\x02mx\x04test\x00"), "10 mx.test.");
        assert_eq!(show(16, b"\x03one\x05t\"w\to"), "\"one\" \"t\\\"w\\009o\"");
        assert_eq!(show(257, b"\x00\x05issueca.test"), "0 issue \"ca.test\"");
        assert_eq!(show(47, b"\x01a\x00\x00\x01\x40"), "a. A");
        assert_eq!(show(65534, &[10, 0]), "\\# 2 0A00");
        assert_eq!(
            show(65, b"\x00\x01\x00\x00\x01\x00\x06\x02h2\x02h3"),
            "1 . alpn=\"h2,h3\""
        );
        assert_eq!(show(256, b"\x00\x0a\x00\x01ftp://x/"), "10 1 \"ftp://x/\"");
    }

    #[test]
    fn an_invalid_bitmap_is_shown_in_the_generic_form() {
        for (length, is_valid) in [(0, false), (1, true), (32, true), (33, false)] {
            let mut data = vec![0, 0, length];
            data.extend(vec![0x40; length.into()]);
            let is_generic = show(47, &data).starts_with("\\#");
            assert_eq!(!is_generic, is_valid, "{length} bytes");
        }
    }

    /// Compares every form with texts that other programs have printed.
    #[test]
    fn golden() {
        let mut types = std::collections::HashSet::new();
        let lines = include_str!("golden.txt").lines();
        let mut differ = Vec::new();
        for line in lines.filter(|line| !line.starts_with('#')) {
            let mut fields = line.splitn(3, '\t');
            let mut field = || fields.next().unwrap();
            let (mnemonic, hex, text) = (field(), field(), field());
            let digits = hex.trim_matches('-').as_bytes().chunks(2);
            let data: Vec<u8> = digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect();
            let rtype = rtype(mnemonic).unwrap();
            types.insert(rtype);
            let mut parser = Parser::from_ref(data.as_slice());
            let shown = rdata(rtype, &mut parser).unwrap_or_else(|_| "ERROR".to_owned());
            if shown != text {
                differ.push(format!("{mnemonic} {hex}: {shown}\nexpected: {text}"));
            }
        }
        assert!(differ.is_empty(), "{}", differ.join("\n"));
        // The file has a line for every type of the table.
        for number in 1..=u16::MAX {
            let rtype = Rtype::from_int(number);
            assert!(
                fields(rtype).is_none() || types.contains(&rtype),
                "{} is missing",
                mnemonic(rtype)
            );
        }
    }

    proptest! {
        #[test]
        fn no_data_panics(rtype in prop_oneof![0u16..300, any::<u16>()], data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut parser = Parser::from_ref(data.as_slice());
            let text = rdata(Rtype::from_int(rtype), &mut parser);
            if let Ok(text) = text {
                prop_assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)));
                prop_assert_eq!(parser.remaining(), 0);
            }
        }
    }
}

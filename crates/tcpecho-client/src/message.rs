//! Parsers for messages on the command line: bytes in hexadecimal, and the sizes
//! of generated messages.

/// The error for a digit without its pair.
const EXPECTED_HEX: &str = "each byte must have two hexadecimal digits, as in 00ff";

/// The error for the prefix of a number.
const UNEXPECTED_PREFIX: &str = "remove the 0x; only pairs of hexadecimal digits are allowed";

/// The bytes of `--hex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HexMessage(pub(crate) Vec<u8>);

impl HexMessage {
    /// Parses pairs of digits; white space and colons may separate the pairs.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("0x") || text.starts_with("0X") {
            return Err(UNEXPECTED_PREFIX.to_owned());
        }
        let mut bytes = Vec::with_capacity(text.len() / 2);
        let mut high_digit: Option<u32> = None;
        for c in text.chars() {
            match (c.to_digit(16), high_digit) {
                (Some(digit), None) => high_digit = Some(digit),
                (Some(digit), Some(high)) => {
                    bytes.push((high << 4 | digit) as u8);
                    high_digit = None;
                }
                (None, None) if c.is_ascii_whitespace() || c == ':' => {}
                (None, None) => {
                    return Err(format!(
                        "'{}' is not a hexadecimal digit",
                        c.escape_default()
                    ));
                }
                (None, Some(_)) => return Err(EXPECTED_HEX.to_owned()),
            }
        }
        match high_digit {
            None => Ok(Self(bytes)),
            Some(_) => Err(EXPECTED_HEX.to_owned()),
        }
    }
}

/// The largest payload of a UDP datagram over IPv4, in bytes.
pub(crate) const MAX_DATAGRAM: usize = 65_507;

/// The largest size of a generated message, 1 GiB.
const MAX_SIZE: u64 = 1 << 30;

/// The range of sizes of generated messages, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) min: usize,
    /// The largest size, at least `min`.
    pub(crate) max: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { min: 64, max: 64 }
    }
}

impl Sizes {
    /// Parses `N` or `N:M`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once(':').unwrap_or((text, text));
        let bound = |text| match common::size::parse(text)? {
            n @ 1..=MAX_SIZE => Ok(n as usize),
            _ => Err("must be from 1 to 1G".to_owned()),
        };
        let (min, max) = (bound(min)?, bound(max)?);
        if min > max {
            return Err("the smaller size must come first, as in 64:1k".to_owned());
        }
        Ok(Self { min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hexadecimal_bytes_may_be_separated() {
        assert_eq!(
            HexMessage::parse("00ff 0A:0b"),
            Ok(HexMessage(vec![0, 255, 10, 11]))
        );
        assert_eq!(HexMessage::parse(""), Ok(HexMessage(Vec::new())));
        for (bad, why) in [
            ("0", EXPECTED_HEX),
            ("0 0", EXPECTED_HEX),
            ("0x00", UNEXPECTED_PREFIX),
            ("gg", "'g' is not a hexadecimal digit"),
        ] {
            assert_eq!(HexMessage::parse(bad), Err(why.to_owned()), "{bad}");
        }
    }

    #[test]
    fn sizes_are_a_number_or_a_range() {
        assert_eq!(Sizes::parse("64"), Ok(Sizes { min: 64, max: 64 }));
        assert_eq!(Sizes::parse("1:4k"), Ok(Sizes { min: 1, max: 4096 }));
        for bad in ["0", "2G", "5:4", "1:", ":1", "1:2:3", "x"] {
            assert!(Sizes::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_bytes_round_trip(bytes: Vec<u8>) {
            let text = bytes.iter().fold(String::new(), |text, b| format!("{text}{b:02x}"));
            prop_assert_eq!(HexMessage::parse(&text), Ok(HexMessage(bytes)));
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in ".*") {
            let _ = (HexMessage::parse(&text), Sizes::parse(&text));
        }
    }
}

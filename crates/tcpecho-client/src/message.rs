//! Messages as the command line describes them: bytes in hexadecimal, and the
//! sizes of generated messages.

/// A message that was given in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Hex {
    /// Parses pairs of digits; white space and colons may separate the pairs.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len() / 2);
        let mut half: Option<u32> = None;
        for c in text.chars() {
            match (c.to_digit(16), half) {
                (Some(digit), None) => half = Some(digit),
                (Some(digit), Some(high)) => {
                    bytes.push((high << 4 | digit) as u8);
                    half = None;
                }
                (None, None) if c.is_ascii_whitespace() || c == ':' => {}
                (None, None) => {
                    return Err(format!(
                        "'{}' is not a hexadecimal digit",
                        c.escape_default()
                    ));
                }
                (None, Some(_)) => return Err("a byte needs two hexadecimal digits".to_owned()),
            }
        }
        match half {
            None => Ok(Self(bytes)),
            Some(_) => Err("a byte needs two hexadecimal digits".to_owned()),
        }
    }
}

/// The largest size of a generated message, 1 GiB.
const MAX_SIZE: u64 = 1 << 30;

/// The range of sizes of generated messages, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) min: usize,
    /// The largest size; not below `min`.
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
            _ => Err("size out of range; use 1 to 1G".to_owned()),
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
        assert_eq!(Hex::parse("00ff 0A:0b"), Ok(Hex(vec![0, 255, 10, 11])));
        assert_eq!(Hex::parse(""), Ok(Hex(Vec::new())));
        for (bad, why) in [
            ("0", "a byte needs two hexadecimal digits"),
            ("0 0", "a byte needs two hexadecimal digits"),
            ("0x00", "a byte needs two hexadecimal digits"),
            ("gg", "'g' is not a hexadecimal digit"),
        ] {
            assert_eq!(Hex::parse(bad), Err(why.to_owned()), "{bad}");
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
            prop_assert_eq!(Hex::parse(&text), Ok(Hex(bytes)));
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in ".*") {
            let _ = (Hex::parse(&text), Sizes::parse(&text));
        }
    }
}

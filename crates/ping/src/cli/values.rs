//! The values of options, and their parsers.

use std::time::Duration;

use clap::ValueEnum;
use common::duration;

use crate::packet::IpVersion;
use crate::schedule::DataSizes;

/// The values of `-M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pmtu {
    /// Never fragment
    Do,
    /// Fragment locally if the path MTU requires it
    Want,
    /// Let routers fragment
    Dont,
    /// Never fragment, and ignore the cached path MTU
    Probe,
}

/// The bytes that `-p` repeats in the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<u8>);

pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("must be hexadecimal digits, such as ff00".to_owned());
    }
    // As with sscanf's %2x, the last byte may have a single digit.
    let bytes: Vec<u8> = text
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    if bytes.len() > 16 {
        return Err("must have at most 16 bytes".to_owned());
    }
    Ok(Pattern(bytes))
}

/// Parses a data size. The limit of IPv4 is checked once the family is known.
pub(super) fn data_size(text: &str) -> Result<u16, String> {
    let size = common::size::parse(text)?;
    u16::try_from(size)
        .ok()
        .filter(|size| *size <= IpVersion::V6.max_data())
        .ok_or_else(|| "must be from 0 to 65507 (65527 for IPv6)".to_owned())
}

pub(super) fn sweep(text: &str) -> Result<DataSizes, String> {
    let invalid = || {
        "must be MIN:MAX or MIN:MAX:STEP, with sizes from 0 to 65507 (65527 for IPv6)".to_owned()
    };
    let numbers: Option<Vec<u16>> = text.split(':').map(|part| data_size(part).ok()).collect();
    let (min, max, step) = match numbers.as_deref() {
        Some(&[min, max]) => (min, max, 1),
        Some(&[min, max, step]) => (min, max, step),
        _ => return Err(invalid()),
    };
    if min > max || step == 0 {
        return Err(invalid());
    }
    Ok(DataSizes { min, max, step })
}

/// Parses a decimal number, or a hexadecimal one after `0x`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    // The standard parser also accepts a sign.
    let has_only_digits = digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix)
        .ok()
        .filter(|_| has_only_digits)
}

pub(super) fn tos(text: &str) -> Result<u8, String> {
    number(text)
        .and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| "must be from 0 to 255, or from 0x0 to 0xff".to_owned())
}

pub(super) fn mark(text: &str) -> Result<u32, String> {
    number(text).ok_or_else(|| "must be from 0 to 4294967295, or from 0x0 to 0xffffffff".to_owned())
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|p| (0.0..=100.0).contains(p))
        .ok_or_else(|| "must be a percentage from 0 to 100".to_owned())
}

/// Parses the value of `--watch`. Zero stands for a missing value.
pub(super) fn watch_interval(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    duration::parse_nonzero(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_strictly() {
        assert_eq!(pattern("ff00f"), Ok(Pattern(vec![0xff, 0, 0xf])));
        assert!(pattern("fg").is_err() && pattern("").is_err());
        assert!(pattern(&"0".repeat(33)).is_err());
        assert_eq!((tos("0x10"), tos("184")), (Ok(16), Ok(184)));
        assert!(tos("256").is_err() && tos("0x").is_err() && tos("-1").is_err());
        assert_eq!(mark("0xffffffff"), Ok(u32::MAX));
        assert!(mark("4294967296").is_err() && mark("+1").is_err());
        let sizes = |min, max, step| Ok(DataSizes { min, max, step });
        assert_eq!(sweep("0:65507:8"), sizes(0, 65_507, 8));
        assert_eq!(sweep("8:9"), sizes(8, 9, 1));
        for bad in ["8", "9:8", "1:2:0", "1:65528", "1:2:3:4", ":5", "-1:5"] {
            assert!(sweep(bad).is_err(), "{bad}");
        }
        assert_eq!((percent("5%"), percent("0.5")), (Ok(5.0), Ok(0.5)));
        assert!(percent("101").is_err() && percent("nan").is_err());
    }
}

//! [`Count`]: a number of addresses, from 0 to 2^128.
//!
//! The IPv6 address space has one address more than `u128` can represent. A count
//! that wraps to 0 there is a classic mistake.

use std::fmt;

/// 2^128 in decimal digits.
const MAX_DIGITS: &str = "340282366920938463463374607431768211456";

/// A number of addresses of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Count {
    /// Whether the number is 2^128. `low` is 0 then.
    is_max: bool,
    low: u128,
}

impl Count {
    pub(crate) const ZERO: Self = Self::new(0);
    /// 2^128, the size of the IPv6 address space.
    pub(crate) const MAX: Self = Self {
        is_max: true,
        low: 0,
    };

    /// Converts a number that fits in `u128`.
    pub(crate) const fn new(low: u128) -> Self {
        Self { is_max: false, low }
    }

    /// Counts the numbers from 0 to `last`, both included.
    pub(crate) fn from_last(last: u128) -> Self {
        match last.checked_add(1) {
            Some(low) => Self::new(low),
            None => Self::MAX,
        }
    }

    /// Returns 2 to the power of `bits`, which must be at most 128.
    pub(crate) fn power_of_two(bits: u32) -> Self {
        match 1_u128.checked_shl(bits) {
            Some(low) => Self::new(low),
            None => Self::MAX,
        }
    }

    /// Returns the sum, at most 2^128: parts of one address space never exceed it.
    #[must_use]
    pub(crate) fn saturating_add(self, other: Self) -> Self {
        match self.low.checked_add(other.low) {
            Some(low) if !self.is_max && !other.is_max => Self::new(low),
            _ => Self::MAX,
        }
    }

    /// Returns the difference, 0 if it would be negative.
    #[must_use]
    pub(crate) fn saturating_sub(self, other: Self) -> Self {
        if other >= self {
            Self::ZERO
        } else {
            // The difference is below 2^128, so wrapping does not change it.
            Self::new(self.low.wrapping_sub(other.low))
        }
    }

    /// Returns the number if it fits in `u128`.
    pub(crate) fn to_u128(self) -> Option<u128> {
        (!self.is_max).then_some(self.low)
    }

    /// Parses a number in decimal digits.
    pub(crate) fn parse(digits: &str) -> Result<Self, ParseCountError> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseCountError::NotANumber);
        }
        match digits.parse() {
            Ok(low) => Ok(Self::new(low)),
            Err(_) if digits.trim_start_matches('0') == MAX_DIGITS => Ok(Self::MAX),
            Err(_) => Err(ParseCountError::TooLarge),
        }
    }
}

/// The reason why a text is not a [`Count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseCountError {
    /// It has other characters than digits.
    NotANumber,
    /// The number is above 2^128.
    TooLarge,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_u128() {
            Some(low) => low.fmt(f),
            None => f.write_str(MAX_DIGITS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_ipv6_space_is_exact() {
        assert_eq!(Count::from_last(u128::MAX), Count::MAX);
        assert_eq!(Count::power_of_two(128).to_string(), MAX_DIGITS);
        assert_eq!(
            Count::power_of_two(127).saturating_add(Count::power_of_two(127)),
            Count::MAX
        );
        assert_eq!(
            Count::MAX.saturating_sub(Count::new(1)),
            Count::new(u128::MAX)
        );
        assert_eq!(Count::new(1).saturating_sub(Count::MAX), Count::ZERO);
        assert!(Count::MAX > Count::new(u128::MAX));
        assert_eq!(Count::ZERO.saturating_add(Count::MAX), Count::MAX);
    }

    #[test]
    fn digits_are_parsed() {
        assert_eq!(Count::parse("00"), Ok(Count::ZERO));
        assert_eq!(Count::parse(MAX_DIGITS), Ok(Count::MAX));
        assert_eq!(
            Count::parse(&format!("{MAX_DIGITS}0")),
            Err(ParseCountError::TooLarge)
        );
        for bad in ["", "+1", "-1", "1 ", "x"] {
            assert_eq!(Count::parse(bad), Err(ParseCountError::NotANumber), "{bad}");
        }
    }
}

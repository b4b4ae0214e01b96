//! [`Count`]: a number of addresses, from 0 to 2^128. The whole IPv6 space has
//! one address more than `u128` can say, and a count that wraps to 0 there is
//! the classic mistake.

use std::fmt;

/// 2^128 in digits.
const WHOLE: &str = "340282366920938463463374607431768211456";

/// A number of addresses of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Count {
    /// Whether it is 2^128; `low` is 0 then.
    whole: bool,
    low: u128,
}

impl Count {
    /// None.
    pub(crate) const ZERO: Self = Self::new(0);
    /// 2^128.
    pub(crate) const WHOLE: Self = Self {
        whole: true,
        low: 0,
    };

    /// A number that `u128` can say.
    pub(crate) const fn new(low: u128) -> Self {
        Self { whole: false, low }
    }

    /// The numbers from 0 to `last`, both included.
    pub(crate) fn up_to(last: u128) -> Self {
        match last.checked_add(1) {
            Some(low) => Self::new(low),
            None => Self::WHOLE,
        }
    }

    /// 2 to the power of `bits`, which is at most 128.
    pub(crate) fn power(bits: u32) -> Self {
        match 1_u128.checked_shl(bits) {
            Some(low) => Self::new(low),
            None => Self::WHOLE,
        }
    }

    /// The sum; the parts of one address space never exceed 2^128.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        match self.low.checked_add(other.low) {
            Some(low) if !self.whole && !other.whole => Self::new(low),
            _ => Self::WHOLE,
        }
    }

    /// The difference, 0 if it would be negative.
    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Self {
        if other >= self {
            Self::ZERO
        } else {
            // Below 2^128 either way, so the wrapped difference is the true one.
            Self::new(self.low.wrapping_sub(other.low))
        }
    }

    /// The number, if `u128` can say it.
    pub(crate) fn get(self) -> Option<u128> {
        (!self.whole).then_some(self.low)
    }

    /// Reads digits.
    pub(crate) fn parse(digits: &str) -> Result<Self, NoCount> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NoCount::NotANumber);
        }
        match digits.parse() {
            Ok(low) => Ok(Self::new(low)),
            Err(_) if digits.trim_start_matches('0') == WHOLE => Ok(Self::WHOLE),
            Err(_) => Err(NoCount::TooLarge),
        }
    }
}

/// Why a text is no [`Count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCount {
    /// Not digits.
    NotANumber,
    /// Above 2^128.
    TooLarge,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(low) => low.fmt(f),
            None => f.write_str(WHOLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_space_is_exact() {
        assert_eq!(Count::up_to(u128::MAX), Count::WHOLE);
        assert_eq!(Count::power(128).to_string(), WHOLE);
        assert_eq!(Count::power(127).plus(Count::power(127)), Count::WHOLE);
        assert_eq!(Count::WHOLE.minus(Count::new(1)), Count::new(u128::MAX));
        assert_eq!(Count::new(1).minus(Count::WHOLE), Count::ZERO);
        assert!(Count::WHOLE > Count::new(u128::MAX));
        assert_eq!(Count::ZERO.plus(Count::WHOLE), Count::WHOLE);
    }

    #[test]
    fn digits_are_read() {
        assert_eq!(Count::parse("00"), Ok(Count::ZERO));
        assert_eq!(Count::parse(WHOLE), Ok(Count::WHOLE));
        assert_eq!(Count::parse(&format!("{WHOLE}0")), Err(NoCount::TooLarge));
        for bad in ["", "+1", "-1", "1 ", "x"] {
            assert_eq!(Count::parse(bad), Err(NoCount::NotANumber), "{bad}");
        }
    }
}

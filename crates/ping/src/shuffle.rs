//! A random permutation of a range of numbers that is computed and not stored.
//! It does no I/O.
//!
//! A balanced Feistel network permutes the numbers of an even number of bits. A
//! result outside the range is permuted again until it is inside ("cycle
//! walking"), which takes at most four rounds on average.

use common::random::mix;

/// The number of rounds of the Feistel network.
const ROUNDS: u64 = 6;

/// A permutation of the numbers from 0 to `last`.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle {
    last: u128,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    /// Creates the permutation of 0 to `last` that the seed determines.
    pub(crate) fn new(last: u128, seed: u64) -> Self {
        let bits = 128 - last.leading_zeros();
        Self {
            last,
            half_bits: bits.div_ceil(2).max(1),
            seed,
        }
    }

    /// Returns the number at position `index` of the permutation.
    pub(crate) fn nth(&self, index: u128) -> u128 {
        let mut value = index;
        loop {
            value = self.permute(value);
            if value <= self.last {
                return value;
            }
        }
    }

    fn permute(&self, value: u128) -> u128 {
        let mask = u64::MAX >> (64 - self.half_bits);
        let mut left = (value >> self.half_bits) as u64 & mask;
        let mut right = value as u64 & mask;
        for round in 0..ROUNDS {
            let mixed = mix(right ^ self.seed.rotate_left(round as u32 * 11) ^ (round << 56));
            (left, right) = (right, left ^ (mixed & mask));
        }
        u128::from(left) << self.half_bits | u128::from(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_occurs_once(last in 0u128..3000, seed: u64) {
            let shuffle = Shuffle::new(last, seed);
            let mut seen: Vec<u128> = (0..=last).map(|index| shuffle.nth(index)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..=last).collect::<Vec<_>>());
        }

        #[test]
        fn results_stay_within_the_range(last: u128, index: u128, seed: u64) {
            prop_assert!(Shuffle::new(last, seed).nth(index.min(last)) <= last);
        }
    }

    #[test]
    fn neighbours_are_separated() {
        let shuffle = Shuffle::new(65_535, 1);
        let close = (0..65_535).filter(|i| shuffle.nth(*i).abs_diff(shuffle.nth(i + 1)) < 16);
        assert!(close.count() < 100);
    }
}

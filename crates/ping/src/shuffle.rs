//! A shuffled order of any number of things without a list of them: a
//! permutation that is computed. Pure.
//!
//! A balanced Feistel network permutes the numbers of an even number of bits;
//! what falls outside the range is permuted again until it falls inside
//! ("cycle walking"), which takes four rounds of it at most on average.

use common::random::mix;

/// Rounds of the network.
const ROUNDS: u64 = 6;

/// A permutation of 0 to `last`.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle {
    last: u128,
    half: u32,
    seed: u64,
}

impl Shuffle {
    /// The permutation of the numbers up to `last` that belongs to a seed.
    pub(crate) fn new(last: u128, seed: u64) -> Self {
        let bits = 128 - last.leading_zeros();
        Self {
            last,
            half: bits.div_ceil(2).max(1),
            seed,
        }
    }

    /// Where the number `index` goes.
    pub(crate) fn at(&self, index: u128) -> u128 {
        let mut value = index;
        loop {
            value = self.permute(value);
            if value <= self.last {
                return value;
            }
        }
    }

    fn permute(&self, value: u128) -> u128 {
        let mask = u64::MAX >> (64 - self.half);
        let mut left = (value >> self.half) as u64 & mask;
        let mut right = value as u64 & mask;
        for round in 0..ROUNDS {
            let mixed = mix(right ^ self.seed.rotate_left(round as u32 * 11) ^ (round << 56));
            (left, right) = (right, left ^ (mixed & mask));
        }
        u128::from(left) << self.half | u128::from(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_once(last in 0u128..3000, seed: u64) {
            let shuffle = Shuffle::new(last, seed);
            let mut seen: Vec<u128> = (0..=last).map(|index| shuffle.at(index)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..=last).collect::<Vec<_>>());
        }

        #[test]
        fn large_ranges_stay_inside(last: u128, index: u128, seed: u64) {
            prop_assert!(Shuffle::new(last, seed).at(index.min(last)) <= last);
        }
    }

    #[test]
    fn neighbours_part() {
        let shuffle = Shuffle::new(65_535, 1);
        let together = (0..65_535).filter(|i| shuffle.at(*i).abs_diff(shuffle.at(i + 1)) < 16);
        assert!(together.count() < 100);
    }
}

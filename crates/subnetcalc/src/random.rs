//! Pseudo-random numbers and permutations. A seed makes results repeatable.

use common::random::SplitMix64;

/// Returns the next 128 bits.
pub(crate) fn wide(random: &mut SplitMix64) -> u128 {
    u128::from(random.bits()) << 64 | u128::from(random.bits())
}

/// Rounds of [`Shuffle`]. Each of them mixes low bits into high ones and high bits
/// into low ones.
const ROUNDS: usize = 4;

/// A random permutation of the numbers below 2^bits that needs no table.
///
/// Adding a number, multiplying by an odd number and folding the upper half onto
/// the lower half are all reversible modulo 2^bits, so no two numbers are mapped to
/// the same one.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle {
    mask: u128,
    half: u32,
    rounds: [(u128, u128); ROUNDS],
}

impl Shuffle {
    /// Creates a permutation of the numbers of `bits` bits, which is at most 128.
    pub(crate) fn new(bits: u32, random: &mut SplitMix64) -> Self {
        let mask = match bits {
            0 => 0,
            bits => u128::MAX >> (128 - bits),
        };
        Self {
            mask,
            half: bits.div_ceil(2),
            rounds: std::array::from_fn(|_| (wide(random), wide(random) | 1)),
        }
    }

    /// Returns the number at position `n`, which is below 2^bits.
    pub(crate) fn at(&self, n: u128) -> u128 {
        let fold = |n: u128| n ^ n.checked_shr(self.half).unwrap_or(0);
        self.rounds.iter().fold(n, |n, &(add, odd)| {
            let mixed = n.wrapping_add(add).wrapping_mul(odd) & self.mask;
            if self.half == 0 { 0 } else { fold(mixed) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_occurs_once() {
        for bits in 0..=12 {
            for seed in 0..20 {
                let shuffle = Shuffle::new(bits, &mut SplitMix64::new(seed));
                let mut all: Vec<u128> = (0..1 << bits).map(|n| shuffle.at(n)).collect();
                all.sort_unstable();
                assert!(
                    all.iter().copied().eq(0..1 << bits),
                    "{bits} bits, seed {seed}"
                );
            }
        }
    }

    #[test]
    fn seeds_give_different_permutations() {
        let a = Shuffle::new(128, &mut SplitMix64::new(1));
        let b = Shuffle::new(128, &mut SplitMix64::new(2));
        assert_ne!(a.at(0), a.at(1));
        assert_ne!(a.at(0), b.at(0));
        let c = Shuffle::new(64, &mut SplitMix64::new(1));
        assert!((0..1000).all(|n| c.at(n) >> 64 == 0));
    }
}

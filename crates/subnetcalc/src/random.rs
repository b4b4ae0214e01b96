//! Numbers that look random: seeded, so that a result can be had again.

/// A generator after Steele, Lea and Flood's SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// The next 128 bits.
    pub(crate) fn next_wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Rounds of [`Shuffle`]; each mixes low bits upwards and high ones down.
const ROUNDS: usize = 4;

/// A random order of the numbers below 2^bits, without a table: adding,
/// multiplying by an odd number and folding the upper half onto the lower
/// one are all reversible, so no two numbers land on the same place.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle {
    mask: u128,
    half: u32,
    rounds: [(u128, u128); ROUNDS],
}

impl Shuffle {
    /// An order of the numbers of `bits` bits, at most 128.
    pub(crate) fn new(bits: u32, random: &mut Random) -> Self {
        let mask = match bits {
            0 => 0,
            bits => u128::MAX >> (128 - bits),
        };
        Self {
            mask,
            half: bits.div_ceil(2),
            rounds: std::array::from_fn(|_| (random.next_wide(), random.next_wide() | 1)),
        }
    }

    /// The number in place `n`, which has as many bits.
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
    fn every_number_once() {
        for bits in 0..=12 {
            for seed in 0..20 {
                let shuffle = Shuffle::new(bits, &mut Random::new(seed));
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
    fn wide_numbers_and_seeds_differ() {
        let a = Shuffle::new(128, &mut Random::new(1));
        let b = Shuffle::new(128, &mut Random::new(2));
        assert_ne!(a.at(0), a.at(1));
        assert_ne!(a.at(0), b.at(0));
        let c = Shuffle::new(64, &mut Random::new(1));
        assert!((0..1000).all(|n| c.at(n) >> 64 == 0));
    }
}

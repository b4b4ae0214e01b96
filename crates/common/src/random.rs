//! Reproducible pseudo-random numbers: `SplitMix64` of Steele, Lea and Flood, for
//! sampling, shuffling and fault injection. They are predictable: never use them for
//! secrets or identifiers.

/// Mixes a state into 64 pseudo-random bits, each of which depends on every bit of
/// the state.
#[inline]
pub fn mix(state: u64) -> u64 {
    let mut bits = state.wrapping_add(STEP);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The increment of the state: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator of 64-bit numbers.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Creates a generator. The same seed yields the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Creates the generator with the number `stream` for a seed. Different streams of
    /// one seed yield different numbers.
    pub fn stream(seed: u64, stream: u64) -> Self {
        Self(mix(seed) ^ stream.wrapping_mul(STEP))
    }

    /// Returns the next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let bits = mix(self.0);
        self.0 = self.0.wrapping_add(STEP);
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation yields these numbers for seed 0.
    #[test]
    fn numbers_are_those_of_the_reference() {
        let mut random = SplitMix64::new(0);
        assert_eq!(random.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.bits(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(random.bits(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn streams_of_neighbouring_seeds_have_no_number_in_common() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..8 {
            let streams = (0..8).map(|stream| SplitMix64::stream(seed, stream));
            for mut random in streams.chain([SplitMix64::new(seed << 32)]) {
                for _ in 0..100 {
                    assert!(seen.insert(random.bits()), "seed {seed}");
                }
            }
        }
    }
}

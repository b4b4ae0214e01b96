//! Deliberate faults: which of them happen to a received chunk.
//!
//! Every connection has its own [`FaultRng`], seeded with the server's seed and
//! the connection's id, and in it one random stream per fault. Each chunk takes
//! the same number of values from each stream, whatever happens to it. So the
//! effect of a fault on the Nth chunk of the Mth connection depends only on the
//! seed: a run can be repeated, and enabling another fault changes nothing.

use std::time::Duration;

use common::random::SplitMix64;

/// The faults that may happen to a chunk, with their probabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// How long each reply is held back.
    pub(crate) delay: Option<Delay>,
    /// The probability that a chunk gets no reply.
    pub(crate) drop: f64,
    /// The probability that one byte of the reply is changed.
    pub(crate) corrupt: f64,
    /// The probability that only the beginning of the reply is sent.
    pub(crate) truncate: f64,
    /// The probability that the connection is reset.
    pub(crate) reset: f64,
    /// The seed of all random streams.
    pub(crate) seed: u64,
}

/// A delay with a random part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    /// The part of the delay that is always added.
    pub(crate) base: Duration,
    /// The upper bound of the random part, which is distributed evenly.
    pub(crate) jitter: Duration,
}

impl Faults {
    /// Returns whether at least one fault can happen.
    pub(crate) fn any_enabled(&self) -> bool {
        self.delay.is_some()
            || [self.drop, self.corrupt, self.truncate, self.reset]
                .iter()
                .any(|p| *p > 0.0)
    }
}

/// The faults that happen to one reply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FaultDecision {
    /// The connection is reset; all other faults are irrelevant then.
    pub(crate) reset: bool,
    /// The reply is not sent.
    pub(crate) dropped: bool,
    /// One byte changes: its position, as a fraction of the length, and the
    /// bits to flip, which are never 0.
    pub(crate) corrupted: Option<(f64, u8)>,
    /// Only this fraction of the reply is sent, rounded down to bytes.
    pub(crate) truncated: Option<f64>,
    /// How long the reply is held back.
    pub(crate) delay: Duration,
}

impl FaultDecision {
    /// Returns how many bytes of a reply of `len` bytes are sent.
    pub(crate) fn reply_len(&self, len: usize) -> usize {
        match self.truncated {
            _ if self.dropped || self.reset => 0,
            Some(fraction) => (len as f64 * fraction) as usize,
            None => len,
        }
    }

    /// Changes one byte of `bytes` if the fault was chosen for this chunk.
    pub(crate) fn corrupt(&self, bytes: &mut [u8]) {
        if let Some((position, bits)) = self.corrupted
            && let Some(byte) = bytes.get_mut((bytes.len() as f64 * position) as usize)
        {
            *byte ^= bits;
        }
    }
}

/// The random stream of one fault on one connection.
#[derive(Clone, Debug)]
struct Stream(SplitMix64);

impl Stream {
    /// Creates the stream of one fault on one connection. `fault` is a number
    /// that must never change, or seeds would lose their meaning.
    fn new(seed: u64, fault: u64, connection: u64) -> Self {
        let seed = SplitMix64::stream(seed, fault).bits();
        Self(SplitMix64::stream(seed, connection))
    }

    /// Returns the next number, at least 0 and less than 1.
    fn next_fraction(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The random streams of one connection, one for each fault.
#[derive(Clone, Debug)]
pub(crate) struct FaultRng {
    delay: Stream,
    drop: Stream,
    corrupt: Stream,
    truncate: Stream,
    reset: Stream,
}

impl FaultRng {
    /// Creates the streams of the connection with this id.
    pub(crate) fn new(seed: u64, connection: u64) -> Self {
        let stream = |fault| Stream::new(seed, fault, connection);
        Self {
            delay: stream(1),
            drop: stream(2),
            corrupt: stream(3),
            truncate: stream(4),
            reset: stream(5),
        }
    }

    /// Decides which faults happen to the next chunk.
    pub(crate) fn decide(&mut self, faults: &Faults) -> FaultDecision {
        let corrupted = self.corrupt.next_fraction() < faults.corrupt;
        let (position, bits) = (self.corrupt.next_fraction(), self.corrupt.0.bits());
        let truncated = self.truncate.next_fraction() < faults.truncate;
        let kept = self.truncate.next_fraction();
        let jitter = self.delay.next_fraction();
        FaultDecision {
            reset: self.reset.next_fraction() < faults.reset,
            dropped: self.drop.next_fraction() < faults.drop,
            // 1 to 255: flipping no bit would not corrupt the byte.
            corrupted: corrupted.then(|| (position, (bits % 255) as u8 + 1)),
            truncated: truncated.then_some(kept),
            delay: faults.delay.map_or(Duration::ZERO, |delay| {
                delay.base + delay.jitter.mul_f64(jitter)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(p: f64) -> Faults {
        Faults {
            drop: p,
            corrupt: p,
            truncate: p,
            reset: p,
            ..Faults::default()
        }
    }

    #[test]
    fn probabilities_zero_and_one_mean_never_and_always() {
        let mut rng = FaultRng::new(1, 1);
        for _ in 0..1000 {
            assert_eq!(rng.decide(&all(0.0)), FaultDecision::default());
            let decision = rng.decide(&all(1.0));
            assert!(decision.reset && decision.dropped);
            assert!(decision.corrupted.is_some() && decision.truncated.is_some());
        }
    }

    #[test]
    fn one_fault_is_enough_to_enable_faults() {
        assert!(!all(0.0).any_enabled() && all(0.5).any_enabled());
        let fixed = Delay {
            base: Duration::from_millis(1),
            jitter: Duration::ZERO,
        };
        for fault in [
            Faults {
                delay: Some(fixed),
                ..all(0.0)
            },
            Faults {
                drop: 0.1,
                ..all(0.0)
            },
            Faults {
                corrupt: 0.1,
                ..all(0.0)
            },
            Faults {
                truncate: 0.1,
                ..all(0.0)
            },
            Faults {
                reset: 0.1,
                ..all(0.0)
            },
        ] {
            assert!(fault.any_enabled(), "{fault:?}");
        }
    }

    #[test]
    fn frequencies_match_the_probability() {
        let faults = all(0.25);
        let mut rng = FaultRng::new(7, 3);
        let decisions: Vec<FaultDecision> = (0..20_000).map(|_| rng.decide(&faults)).collect();
        for count in [
            decisions.iter().filter(|f| f.reset).count(),
            decisions.iter().filter(|f| f.dropped).count(),
            decisions.iter().filter(|f| f.corrupted.is_some()).count(),
            decisions.iter().filter(|f| f.truncated.is_some()).count(),
        ] {
            assert!((4_700..5_300).contains(&count), "{count}");
        }
        // The faults are independent of each other: all four happen to about
        // one chunk in 256.
        let together = |f: &&FaultDecision| {
            f.reset && f.dropped && f.corrupted.is_some() && f.truncated.is_some()
        };
        let together = decisions.iter().filter(together).count();
        assert!((45..115).contains(&together), "{together}");
    }

    #[test]
    fn random_values_cover_their_whole_range() {
        let jitter = Duration::from_millis(100);
        let delay = Some(Delay {
            base: jitter,
            jitter,
        });
        let faults = Faults { delay, ..all(1.0) };
        let mut rng = FaultRng::new(3, 4);
        let mut bits = [false; 256];
        let mut tenths = [[0; 10]; 3];
        for _ in 0..10_000 {
            let decision = rng.decide(&faults);
            let (position, changed) = decision.corrupted.unwrap();
            bits[usize::from(changed)] = true;
            let random = decision.delay.saturating_sub(jitter);
            let random = random.div_duration_f64(jitter);
            let kept = decision.truncated.unwrap();
            for (tenths, fraction) in tenths.iter_mut().zip([position, kept, random]) {
                tenths[(fraction * 10.0) as usize] += 1;
            }
        }
        assert!(!bits[0], "zero bits change nothing");
        assert!(bits[1..].iter().all(|seen| *seen));
        for count in tenths.as_flattened() {
            assert!((850..1150).contains(count), "{tenths:?}");
        }
    }

    #[test]
    fn connections_have_different_decisions() {
        let decisions = |id| {
            let mut rng = FaultRng::new(7, id);
            let decisions: Vec<_> = (0..20).map(|_| rng.decide(&all(0.5))).collect();
            decisions
        };
        let first = decisions(0);
        for id in [1, 2, 3, u64::MAX] {
            assert_ne!(decisions(id), first, "connection {id}");
        }
    }

    #[test]
    fn truncation_rounds_down() {
        let kept = |fraction, len| {
            let truncated = Some(fraction);
            FaultDecision {
                truncated,
                ..FaultDecision::default()
            }
            .reply_len(len)
        };
        assert_eq!((kept(0.0, 10), kept(0.59, 10), kept(0.99, 1)), (0, 5, 0));
        assert_eq!(FaultDecision::default().reply_len(10), 10);
    }

    /// A seed in a bug report must have the same meaning in every release.
    #[test]
    fn the_decisions_of_a_seed_never_change() {
        let mut rng = FaultRng::new(7, 0);
        let decisions: Vec<_> = (0..40).map(|_| rng.decide(&all(0.25))).collect();
        let row = |hit: fn(&FaultDecision) -> bool| {
            decisions
                .iter()
                .map(|d| if hit(d) { 'x' } else { '.' })
                .collect::<String>()
        };
        assert_eq!(
            row(|d| d.dropped),
            ".....x..x...xx.x...x.x.xx.....x....x...."
        );
        assert_eq!(
            row(|d| d.corrupted.is_some()),
            "..x.x.....x....x.....xx.......x.x......."
        );
        assert_eq!(
            row(|d| d.truncated.is_some()),
            ".x....x....x............x...xx....x....x"
        );
        assert_eq!(row(|d| d.reset), ".x.....x......x.x.x....x.x....x..x....xx");
    }

    proptest! {
        #[test]
        fn equal_seeds_give_equal_decisions(seed: u64, id: u64) {
            let faults = Faults { delay: Some(Delay {
                base: Duration::from_millis(5), jitter: Duration::from_millis(10) }), ..all(0.3) };
            let (mut a, mut b) = (FaultRng::new(seed, id), FaultRng::new(seed, id));
            for _ in 0..50 {
                let decision = a.decide(&faults);
                prop_assert_eq!(decision, b.decide(&faults));
                prop_assert!(decision.delay >= Duration::from_millis(5));
                prop_assert!(decision.delay < Duration::from_millis(15));
            }
        }

        /// Each fault takes its numbers from its own stream, so its decisions are
        /// the same alone and together with any other fault.
        #[test]
        fn another_fault_changes_no_decision(seed: u64, id: u64, p in 0.0..1.0) {
            let jitter = Duration::from_millis(10);
            let delay = Some(Delay { base: Duration::ZERO, jitter });
            let together = Faults { delay, ..all(p) };
            let none = Faults::default();
            let mut rng = FaultRng::new(seed, id);
            let mut alone = [
                Faults { delay, ..none.clone() },
                Faults { drop: p, ..none.clone() },
                Faults { corrupt: p, ..none.clone() },
                Faults { truncate: p, ..none.clone() },
                Faults { reset: p, ..none },
            ].map(|faults| (FaultRng::new(seed, id), faults));
            let mut drops = Stream::new(seed, 2, id);
            let mut resets = Stream::new(seed, 5, id);
            for _ in 0..50 {
                let decision = rng.decide(&together);
                let parts = alone.each_mut().map(|(rng, faults)| rng.decide(faults));
                prop_assert_eq!(decision, FaultDecision {
                    delay: parts[0].delay,
                    dropped: parts[1].dropped,
                    corrupted: parts[2].corrupted,
                    truncated: parts[3].truncated,
                    reset: parts[4].reset,
                });
                prop_assert_eq!(decision.dropped, drops.next_fraction() < p);
                prop_assert_eq!(decision.reset, resets.next_fraction() < p);
            }
        }

        #[test]
        fn corruption_changes_one_byte(bytes in prop::collection::vec(any::<u8>(), 1..100), seed: u64) {
            let decision = FaultRng::new(seed, 0).decide(&Faults { corrupt: 1.0, truncate: 1.0, ..Faults::default() });
            let mut corrupted = bytes.clone();
            decision.corrupt(&mut corrupted);
            prop_assert_eq!(bytes.iter().zip(&corrupted).filter(|(a, b)| a != b).count(), 1);
            prop_assert!(decision.reply_len(bytes.len()) < bytes.len());
        }
    }
}

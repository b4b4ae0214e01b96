//! Faults made on purpose: which of them meets a received chunk.
//!
//! Every connection has its own [`FaultRng`], seeded with the server's seed and
//! the connection's number, and in it one random stream for each fault. Each
//! chunk takes the same number of values from each stream, whatever happens to
//! it. So what a fault does to the Nth chunk of the Mth connection depends on
//! the seed alone: a run can be repeated, and another fault beside it changes
//! nothing.

use std::time::Duration;

use common::random::SplitMix64;

/// What may happen to a chunk, and how often.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// The echo is held back this long.
    pub(crate) delay: Option<Delay>,
    /// Probability that a chunk is not echoed.
    pub(crate) drop: f64,
    /// Probability that one byte of the echo is changed.
    pub(crate) corrupt: f64,
    /// Probability that only the beginning is echoed.
    pub(crate) truncate: f64,
    /// Probability that the connection is reset.
    pub(crate) reset: f64,
    /// The seed of all random streams.
    pub(crate) seed: u64,
}

/// A delay and how much may come on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    /// At least this long.
    pub(crate) base: Duration,
    /// And up to this much more, evenly distributed.
    pub(crate) jitter: Duration,
}

impl Faults {
    /// Whether any of them can happen at all.
    pub(crate) fn any(&self) -> bool {
        self.delay.is_some()
            || [self.drop, self.corrupt, self.truncate, self.reset]
                .iter()
                .any(|p| *p > 0.0)
    }
}

/// What happens to one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FaultDecision {
    /// The connection is reset; nothing else counts then.
    pub(crate) reset: bool,
    /// The answer is not sent.
    pub(crate) dropped: bool,
    /// One byte changes: where, as a share of the length, and by which bits.
    pub(crate) corrupted: Option<(f64, u8)>,
    /// Only this share of the answer is sent, rounded down.
    pub(crate) truncated: Option<f64>,
    /// It is held back this long.
    pub(crate) delay: Duration,
}

impl FaultDecision {
    /// How many of `len` bytes are sent.
    pub(crate) fn keep(&self, len: usize) -> usize {
        match self.truncated {
            _ if self.dropped || self.reset => 0,
            Some(share) => (len as f64 * share) as usize,
            None => len,
        }
    }

    /// Changes the one byte.
    pub(crate) fn corrupt(&self, bytes: &mut [u8]) {
        if let Some((share, bits)) = self.corrupted
            && let Some(byte) = bytes.get_mut((bytes.len() as f64 * share) as usize)
        {
            *byte ^= bits;
        }
    }
}

/// The random stream of one fault on one connection.
#[derive(Clone, Debug)]
struct Stream(SplitMix64);

impl Stream {
    /// The stream of fault `fault`, a number that never changes, on connection
    /// `number`.
    fn new(seed: u64, fault: u64, number: u64) -> Self {
        let seed = SplitMix64::stream(seed, fault).bits();
        Self(SplitMix64::stream(seed, number))
    }

    /// The next number, at least 0 and less than 1.
    fn fraction(&mut self) -> f64 {
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
    /// The streams of connection `number`.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let stream = |fault| Stream::new(seed, fault, number);
        Self {
            delay: stream(1),
            drop: stream(2),
            corrupt: stream(3),
            truncate: stream(4),
            reset: stream(5),
        }
    }

    /// Decides about the next chunk.
    pub(crate) fn decide(&mut self, faults: &Faults) -> FaultDecision {
        let corrupted = self.corrupt.fraction() < faults.corrupt;
        let (position, bits) = (self.corrupt.fraction(), self.corrupt.0.bits());
        let truncated = self.truncate.fraction() < faults.truncate;
        let kept = self.truncate.fraction();
        let jitter = self.delay.fraction();
        FaultDecision {
            reset: self.reset.fraction() < faults.reset,
            dropped: self.drop.fraction() < faults.drop,
            // Never zero bits, which would corrupt nothing.
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
    fn each_fault_alone_is_possible() {
        assert!(!all(0.0).any() && all(0.5).any());
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
            assert!(fault.any(), "{fault:?}");
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
        // The faults are independent of each other: all four meet in about one
        // chunk of 256.
        let together = |f: &&FaultDecision| {
            f.reset && f.dropped && f.corrupted.is_some() && f.truncated.is_some()
        };
        let together = decisions.iter().filter(together).count();
        assert!((45..115).contains(&together), "{together}");
    }

    #[test]
    fn positions_bits_lengths_and_jitter_cover_their_range() {
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
            let late = (decision.delay - jitter).div_duration_f64(jitter);
            let kept = decision.truncated.unwrap();
            for (tenths, fraction) in tenths.iter_mut().zip([position, kept, late]) {
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
    fn a_shortened_answer_is_rounded_down() {
        let kept = |fraction, len| {
            let truncated = Some(fraction);
            FaultDecision {
                truncated,
                ..FaultDecision::default()
            }
            .keep(len)
        };
        assert_eq!((kept(0.0, 10), kept(0.59, 10), kept(0.99, 1)), (0, 5, 0));
        assert_eq!(FaultDecision::default().keep(10), 10);
    }

    /// The numbers that the first release gives: a seed in a bug report must
    /// keep its meaning.
    #[test]
    fn the_decisions_of_a_seed_are_fixed() {
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
        fn the_seed_decides(seed: u64, number: u64) {
            let faults = Faults { delay: Some(Delay {
                base: Duration::from_millis(5), jitter: Duration::from_millis(10) }), ..all(0.3) };
            let (mut a, mut b) = (FaultRng::new(seed, number), FaultRng::new(seed, number));
            for _ in 0..50 {
                let decision = a.decide(&faults);
                prop_assert_eq!(decision, b.decide(&faults));
                prop_assert!(decision.delay >= Duration::from_millis(5));
                prop_assert!(decision.delay < Duration::from_millis(15));
            }
        }

        /// Each fault takes its numbers from a stream of its own, so its
        /// decisions are the same alone and beside any other fault.
        #[test]
        fn another_fault_changes_no_decision(seed: u64, number: u64, p in 0.0..1.0) {
            let jitter = Duration::from_millis(10);
            let delay = Some(Delay { base: Duration::ZERO, jitter });
            let together = Faults { delay, ..all(p) };
            let none = Faults::default();
            let mut rng = FaultRng::new(seed, number);
            let mut alone = [
                Faults { delay, ..none.clone() },
                Faults { drop: p, ..none.clone() },
                Faults { corrupt: p, ..none.clone() },
                Faults { truncate: p, ..none.clone() },
                Faults { reset: p, ..none },
            ].map(|faults| (FaultRng::new(seed, number), faults));
            let mut drops = Stream::new(seed, 2, number);
            let mut resets = Stream::new(seed, 5, number);
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
                prop_assert_eq!(decision.dropped, drops.fraction() < p);
                prop_assert_eq!(decision.reset, resets.fraction() < p);
            }
        }

        #[test]
        fn a_corrupted_answer_differs_in_one_byte(bytes in prop::collection::vec(any::<u8>(), 1..100), seed: u64) {
            let decision = FaultRng::new(seed, 0).decide(&Faults { corrupt: 1.0, truncate: 1.0, ..Faults::default() });
            let mut corrupted = bytes.clone();
            decision.corrupt(&mut corrupted);
            prop_assert_eq!(bytes.iter().zip(&corrupted).filter(|(a, b)| a != b).count(), 1);
            prop_assert!(decision.keep(bytes.len()) < bytes.len());
        }
    }
}

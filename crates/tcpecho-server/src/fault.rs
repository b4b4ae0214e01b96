//! Faults made on purpose: which of them meets a received chunk.
//!
//! Every connection throws its own [`Dice`], seeded by the server's seed and
//! the connection's number. Each chunk takes the same number of throws
//! whatever happens to it, so the fate of the Nth chunk of the Mth connection
//! depends on the seed alone: a run can be repeated.

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
    /// Where the dice start.
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
pub(crate) struct Fate {
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

impl Fate {
    /// How many of `len` bytes are sent.
    pub(crate) fn keep(&self, len: usize) -> usize {
        match self.truncated {
            _ if self.dropped || self.reset => 0,
            Some(share) => (len as f64 * share) as usize,
            None => len,
        }
    }

    /// Changes the one byte.
    pub(crate) fn spoil(&self, bytes: &mut [u8]) {
        if let Some((share, bits)) = self.corrupted
            && let Some(byte) = bytes.get_mut((bytes.len() as f64 * share) as usize)
        {
            *byte ^= bits;
        }
    }
}

/// What decides about accidents.
#[derive(Clone, Debug)]
pub(crate) struct Dice(SplitMix64);

impl Dice {
    /// The dice of connection `number`.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        Self(SplitMix64::stream(seed, number))
    }

    /// Decides about the next chunk.
    pub(crate) fn throw(&mut self, faults: &Faults) -> Fate {
        let reset = self.share() < faults.reset;
        let dropped = self.share() < faults.drop;
        let corrupted = self.share() < faults.corrupt;
        let (place, bits) = (self.share(), self.0.bits());
        let truncated = self.share() < faults.truncate;
        let (length, jitter) = (self.share(), self.share());
        Fate {
            reset,
            dropped,
            // Never zero bits: that would be no corruption.
            corrupted: corrupted.then(|| (place, (bits % 255) as u8 + 1)),
            truncated: truncated.then_some(length),
            delay: faults.delay.map_or(Duration::ZERO, |delay| {
                delay.base + delay.jitter.mul_f64(jitter)
            }),
        }
    }

    /// From 0 up to, and never, 1.
    fn share(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1_u64 << 53) as f64
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
    fn never_and_always() {
        let mut dice = Dice::new(1, 1);
        for _ in 0..1000 {
            assert_eq!(dice.throw(&all(0.0)), Fate::default());
            let fate = dice.throw(&all(1.0));
            assert!(fate.reset && fate.dropped);
            assert!(fate.corrupted.is_some() && fate.truncated.is_some());
        }
        assert!(!all(0.0).any() && all(0.5).any());
    }

    #[test]
    fn frequencies_are_as_asked() {
        let faults = all(0.25);
        let mut dice = Dice::new(7, 3);
        let fates: Vec<Fate> = (0..20_000).map(|_| dice.throw(&faults)).collect();
        for count in [
            fates.iter().filter(|f| f.reset).count(),
            fates.iter().filter(|f| f.dropped).count(),
            fates.iter().filter(|f| f.corrupted.is_some()).count(),
            fates.iter().filter(|f| f.truncated.is_some()).count(),
        ] {
            assert!((4_700..5_300).contains(&count), "{count}");
        }
    }

    proptest! {
        #[test]
        fn the_seed_decides(seed: u64, number: u64) {
            let faults = Faults { delay: Some(Delay {
                base: Duration::from_millis(5), jitter: Duration::from_millis(10) }), ..all(0.3) };
            let (mut a, mut b) = (Dice::new(seed, number), Dice::new(seed, number));
            for _ in 0..50 {
                let fate = a.throw(&faults);
                prop_assert_eq!(fate, b.throw(&faults));
                prop_assert!(fate.delay >= Duration::from_millis(5));
                prop_assert!(fate.delay < Duration::from_millis(15));
            }
        }

        #[test]
        fn a_spoiled_answer_differs_in_one_byte(bytes in prop::collection::vec(any::<u8>(), 1..100), seed: u64) {
            let fate = Dice::new(seed, 0).throw(&Faults { corrupt: 1.0, truncate: 1.0, ..Faults::default() });
            let mut spoiled = bytes.clone();
            fate.spoil(&mut spoiled);
            prop_assert_eq!(bytes.iter().zip(&spoiled).filter(|(a, b)| a != b).count(), 1);
            prop_assert!(fate.keep(bytes.len()) < bytes.len());
        }
    }
}

//! Chooses which of the possible mutants are tested.

use super::rewrite::overlap;
use super::sample::Mutant;

/// The mutants for one build, which do not overlap, with their numbers.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) chosen: Vec<(usize, &'a Mutant)>,
    count: usize,
    rest: std::iter::Enumerate<std::slice::Iter<'a, Mutant>>,
}

impl<'a> Sample<'a> {
    /// Chooses half as many more than needed, since some do not compile.
    pub(super) fn new(mutants: &'a [Mutant], count: usize) -> Self {
        let mut sample = Self {
            chosen: Vec::new(),
            count,
            rest: mutants.iter().enumerate(),
        };
        sample.fill(count + count / 2);
        sample
    }

    fn fill(&mut self, count: usize) {
        while self.chosen.len() < count {
            let Some((index, mutant)) = self.rest.next() else {
                return;
            };
            if !self.chosen.iter().any(|(_, other)| overlap(mutant, other)) {
                // 0 is the number for no mutant.
                self.chosen.push((index + 1, mutant));
            }
        }
    }

    /// Removes mutants and, if too few are left, chooses others.
    pub(super) fn replace(&mut self, numbers: &[usize]) {
        self.chosen.retain(|(number, _)| !numbers.contains(number));
        self.fill(self.count);
    }
}

/// Shuffles the items in an order that depends only on the seed.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    let mut random = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    for at in (1..items.len()).rev() {
        // The bias of the remainder does not matter for small numbers.
        let other = (random() % (at as u64 + 1)) as usize;
        items.swap(at, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::sample::mutants_of;
    use std::path::Path;

    #[test]
    fn broken_mutants_are_replaced() {
        let text = "fn f() -> u8 {\n    1 + 2 + 3 + 4 + 5 + 6\n}\n";
        let mut mutants = mutants_of(Path::new("a.rs"), text).unwrap();
        mutants.retain(|mutant| !mutant.to_string().contains('+'));
        let numbers = |sample: &Sample<'_>| -> Vec<usize> {
            sample.chosen.iter().map(|(number, _)| *number).collect()
        };
        let mut sample = Sample::new(&mutants, 2);
        assert_eq!(numbers(&sample), [1, 2, 3]);
        sample.replace(&[2]);
        assert_eq!(numbers(&sample), [1, 3]);
        sample.replace(&[1, 3]);
        assert_eq!(numbers(&sample), [4, 5]);
        sample.replace(&[4, 5]);
        assert_eq!(numbers(&sample), [6]);
        // Mutants of one expression never share a build.
        let again = [mutants[0].clone(), mutants[0].clone()];
        assert_eq!(numbers(&Sample::new(&again, 2)), [1]);
    }

    #[test]
    fn the_seed_determines_the_order() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(3);
        assert_ne!(sorted, (0..100).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        shuffle::<u8>(&mut [], 1);
    }
}

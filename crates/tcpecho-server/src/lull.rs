//! When the memory of a crowd that has gone is given back to the system.
//!
//! What connections held is free again when they end, but the allocator keeps
//! the pages: those of the largest crowd there ever was, and a few more each
//! time that pieces with a longer life lie among them. Giving them back costs a
//! walk over the heap, and taking them again costs, too, so it is done only
//! when most of a crowd has left and no other has come for a moment.

use std::time::Duration;

/// Fewer than this are no crowd.
const CROWD: usize = 16;

/// Of a crowd that has gone this share, at most, is still here.
const REST: usize = 4;

/// How long it stays away.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches a worker's number of connections.
#[derive(Debug, Default)]
pub(crate) struct Lull {
    /// The most connections since memory was last given back.
    most: usize,
    /// When the crowd has been gone for long enough.
    over: Option<Duration>,
}

impl Lull {
    /// A connection has come; now `open` are here.
    pub(crate) fn came(&mut self, open: usize) {
        self.most = self.most.max(open);
        if open > self.most / REST {
            self.over = None;
        }
    }

    /// A connection has gone; now `open` are here.
    pub(crate) fn went(&mut self, open: usize, now: Duration) {
        if self.most >= CROWD && open <= self.most / REST {
            self.over.get_or_insert(now + PAUSE);
        }
    }

    /// When to ask [`Lull::is_here`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.over
    }

    /// Whether memory is to be given back now; `open` are here.
    pub(crate) fn is_here(&mut self, open: usize, now: Duration) -> bool {
        let here = self.over.is_some_and(|over| over <= now);
        if here {
            self.over = None;
            self.most = open;
        }
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn crowd(lull: &mut Lull, count: usize) {
        (1..=count).for_each(|open| lull.came(open));
    }

    #[test]
    fn once_after_a_crowd_has_gone() {
        let mut lull = Lull::default();
        crowd(&mut lull, 40);
        for open in (10..40).rev() {
            lull.went(open, MS(open as u64));
        }
        // When the quarter was reached counts, not what left later.
        lull.went(9, MS(500));
        assert_eq!(lull.deadline(), Some(MS(1010)));
        assert!(!lull.is_here(9, MS(1009)));
        assert!(lull.is_here(9, MS(1010)));
        assert_eq!(lull.deadline(), None);
        // Nine are no crowd.
        lull.went(0, MS(2000));
        assert_eq!(lull.deadline(), None);
    }

    #[test]
    fn not_while_another_comes() {
        let mut lull = Lull::default();
        crowd(&mut lull, 40);
        lull.went(10, MS(0));
        lull.came(11);
        assert!(!lull.is_here(11, MS(2000)));
        lull.went(10, MS(3000));
        assert!(lull.is_here(10, MS(4000)));
    }

    #[test]
    fn one_after_the_other_is_no_crowd() {
        let mut lull = Lull::default();
        for n in 0..100 {
            lull.came(n % 15 + 1);
            lull.went(n % 15, MS(n as u64));
            assert_eq!(lull.deadline(), None);
        }
    }
}

//! [`Interval`]: the addresses from a first to a last one. Lists of intervals are
//! sorted and merged here.

use crate::bits::Bits;
use crate::count::Count;

/// The addresses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval<N> {
    pub(crate) first: N,
    /// The last address, not below the first.
    pub(crate) last: N,
}

impl<N: Bits> Interval<N> {
    /// Returns the number of its addresses.
    pub(crate) fn count(self) -> Count {
        Count::from_last((self.last - self.first).widen())
    }
}

/// Sorts intervals by their first address, then larger ones first. Networks are
/// then ordered by address and length, and each comes after those that contain it.
/// This is the only sort of intervals, because each use of a sort compiles to about
/// 20 kB of code.
pub(crate) fn sort_intervals<N: Bits>(intervals: &mut [Interval<N>]) {
    intervals.sort_unstable_by_key(|interval| N::pair(interval.first, !interval.last));
}

/// Merges those of sorted intervals that overlap or touch.
pub(crate) fn merge_touching<N: Bits>(intervals: &mut Vec<Interval<N>>) {
    let mut kept = 0;
    for at in 0..intervals.len() {
        let next = intervals[at];
        // The end of the address space touches nothing.
        let merges = kept > 0
            && intervals[kept - 1]
                .last
                .checked_add(N::ONE)
                .is_none_or(|after| next.first <= after);
        if merges {
            let last = &mut intervals[kept - 1].last;
            *last = next.last.max(*last);
        } else {
            intervals[kept] = next;
            kept += 1;
        }
    }
    intervals.truncate(kept);
}

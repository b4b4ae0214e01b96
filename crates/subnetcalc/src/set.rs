//! [`IntervalSet`]: a set of addresses of one family as sorted, disjoint
//! intervals, no two of which touch.
//!
//! All set commands work on this structure. A set has exactly one representation,
//! so two sets are equal if their intervals are, the size is the sum of the
//! intervals' sizes, and the shortest list of networks is the cover of each
//! interval. Intersection, difference and so on are one sweep over the edges of two
//! sets ([`IntervalSet::combine`]).

use crate::bits::Bits;
use crate::count::Count;
use crate::interval::{Interval, merge_touching, sort_intervals};
use crate::prefix::{Prefix, cover};

/// A set of addresses of one family. See the module for its invariants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IntervalSet<N> {
    intervals: Vec<Interval<N>>,
}

impl<N: Bits> IntervalSet<N> {
    /// Returns the union of intervals in any order. It reuses the vector.
    pub(crate) fn new(mut intervals: Vec<Interval<N>>) -> Self {
        sort_intervals(&mut intervals);
        merge_touching(&mut intervals);
        Self { intervals }
    }

    /// Returns the intervals in ascending order. No two touch.
    pub(crate) fn intervals(&self) -> &[Interval<N>] {
        &self.intervals
    }

    /// Returns whether the set is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Returns the number of addresses.
    pub(crate) fn count(&self) -> Count {
        self.intervals.iter().fold(Count::ZERO, |sum, interval| {
            sum.saturating_add(interval.count())
        })
    }

    /// Returns the fewest networks that have exactly these addresses, in ascending
    /// order.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Prefix<N>> + '_ {
        self.intervals.iter().copied().flat_map(cover)
    }

    /// Returns the interval from the first to the last address, or `None` if the set
    /// is empty.
    pub(crate) fn span(&self) -> Option<Interval<N>> {
        let (first, last) = (self.intervals.first()?, self.intervals.last()?);
        Some(Interval {
            first: first.first,
            last: last.last,
        })
    }

    /// Returns the addresses for which `keep` is true, given whether each of the
    /// two sets contains them.
    pub(crate) fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        // With a table instead of a type parameter this is compiled only once.
        let table = [
            [keep(false, false), keep(false, true)],
            [keep(true, false), keep(true, true)],
        ];
        let keep = |a: bool, b: bool| table[usize::from(a)][usize::from(b)];
        let mut intervals = Vec::new();
        let mut a = Edges::of(self);
        let mut b = Edges::of(other);
        let mut start = keep(false, false).then_some(N::ZERO);
        loop {
            // The next edge of either set.
            let edge = match (a.next, b.next) {
                (None, None) => break,
                (Some(edge), None) | (None, Some(edge)) => edge,
                (Some(x), Some(y)) => x.min(y),
            };
            a.pass(edge);
            b.pass(edge);
            match (start, keep(a.inside, b.inside)) {
                (None, true) => start = Some(edge),
                (Some(first), false) => {
                    // No address precedes the first one of the address space.
                    if let Some(last) = edge.checked_sub(N::ONE) {
                        intervals.push(Interval { first, last });
                    }
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(first) = start {
            intervals.push(Interval {
                first,
                last: N::MAX,
            });
        }
        Self { intervals }
    }

    /// Returns the addresses of this set that are not in the other.
    pub(crate) fn subtract(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b)
    }

    /// Returns all addresses of the family that are not in this set.
    pub(crate) fn complement(&self) -> Self {
        self.combine(&Self::default(), |a, _| !a)
    }

    /// Returns the edges in ascending order: the first address of each interval and
    /// the address after its last one, if the address space has one.
    pub(crate) fn edges(&self) -> impl Iterator<Item = N> + '_ {
        self.intervals.iter().flat_map(|interval| {
            std::iter::once(interval.first).chain(interval.last.checked_add(N::ONE))
        })
    }
}

/// A cursor that moves along the edges of a set.
struct Edges<'a, N> {
    intervals: std::slice::Iter<'a, Interval<N>>,
    /// The edge at the end of the current interval, if the address space continues
    /// after it.
    end: Option<N>,
    next: Option<N>,
    /// Whether the cursor is inside an interval.
    inside: bool,
}

impl<'a, N: Bits> Edges<'a, N> {
    fn of(set: &'a IntervalSet<N>) -> Self {
        let mut edges = Self {
            intervals: set.intervals.iter(),
            end: None,
            next: None,
            inside: false,
        };
        edges.advance();
        edges
    }

    /// Moves to the next interval.
    fn advance(&mut self) {
        let interval = self.intervals.next();
        self.next = interval.map(|interval| interval.first);
        self.end = interval.and_then(|interval| interval.last.checked_add(N::ONE));
    }

    /// Moves past an edge if it is the next one.
    fn pass(&mut self, edge: N) {
        if self.next != Some(edge) {
            return;
        }
        self.inside = !self.inside;
        if self.inside {
            self.next = self.end;
        } else {
            self.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Ranges = Vec<(u8, u8)>;

    /// Maps one of 256 points to an address near the start or the end of the
    /// address space.
    fn address_of<N: Bits>(point: u8) -> N {
        if point < 128 {
            N::narrow(u128::from(point))
        } else {
            N::MAX - N::narrow(u128::from(255 - point))
        }
    }

    fn set<N: Bits>(ranges: &Ranges) -> IntervalSet<N> {
        IntervalSet::new(
            ranges
                .iter()
                .map(|&(a, b)| Interval {
                    first: address_of(a.min(b)),
                    last: address_of(a.max(b)),
                })
                .collect(),
        )
    }

    fn model(ranges: &Ranges) -> [bool; 256] {
        let mut members = [false; 256];
        for &(a, b) in ranges {
            members[usize::from(a.min(b))..=usize::from(a.max(b))].fill(true);
        }
        members
    }

    fn contains<N: Bits>(set: &IntervalSet<N>, address: N) -> bool {
        set.intervals
            .iter()
            .any(|i| i.first <= address && address <= i.last)
    }

    /// Asserts that a set has the addresses of the model in sorted intervals that do
    /// not touch.
    fn assert_equals_model<N: Bits>(set: &IntervalSet<N>, members: &[bool; 256]) {
        for point in 0..=255 {
            assert_eq!(
                contains(set, address_of::<N>(point)),
                members[usize::from(point)],
                "{point} in {set:?}"
            );
        }
        for pair in set.intervals.windows(2) {
            assert!(pair[0].last + N::ONE < pair[1].first, "{set:?}");
        }
        assert!(set.intervals.iter().all(|i| i.first <= i.last));
        // Dividing it into networks and joining them again changes nothing.
        let mut networks: Vec<Interval<N>> = set.prefixes().map(Prefix::interval).collect();
        networks.reverse();
        assert_eq!(IntervalSet::new(networks), *set);
        let sum = set.prefixes().fold(Count::ZERO, |sum, prefix| {
            sum.saturating_add(prefix.total())
        });
        assert_eq!(sum, set.count());
        // The edges describe the same set.
        for point in 0..=255 {
            let edges = set
                .edges()
                .filter(|&edge| edge <= address_of::<N>(point))
                .count();
            assert_eq!(edges % 2 == 1, members[usize::from(point)]);
        }
    }

    fn check_operations<N: Bits>(x: &Ranges, y: &Ranges) {
        let (a, b) = (set::<N>(x), set::<N>(y));
        let (ma, mb) = (model(x), model(y));
        assert_equals_model(&a, &ma);
        let with = |f: fn(bool, bool) -> bool| {
            let mut members = [false; 256];
            for (at, member) in members.iter_mut().enumerate() {
                *member = f(ma[at], mb[at]);
            }
            members
        };
        assert_equals_model(&a.combine(&b, |p, q| p || q), &with(|p, q| p || q));
        assert_equals_model(&a.combine(&b, |p, q| p && q), &with(|p, q| p && q));
        assert_equals_model(&a.subtract(&b), &with(|p, q| p && !q));
        assert_equals_model(&a.combine(&b, |p, q| p != q), &with(|p, q| p != q));
        assert_equals_model(&a.complement(), &with(|p, _| !p));
        assert_eq!(a.complement().complement(), a);
        assert_eq!(
            a.count().saturating_add(a.complement().count()),
            Count::power_of_two(N::WIDTH)
        );
        let mut union: Vec<_> = a.intervals.clone();
        union.extend(&b.intervals);
        assert_eq!(IntervalSet::new(union), a.combine(&b, |p, q| p || q));
    }

    fn whole<N: Bits>() -> IntervalSet<N> {
        IntervalSet::default().complement()
    }

    #[test]
    fn sets_reach_the_ends_of_the_address_space() {
        assert_eq!(whole::<u128>().count(), Count::MAX);
        assert_eq!(whole::<u32>().count(), Count::power_of_two(32));
        assert!(whole::<u128>().complement().is_empty());
        let halves = |n: u32| Interval {
            first: n << 31,
            last: (n << 31) | (u32::MAX >> 1),
        };
        assert_eq!(IntervalSet::new(vec![halves(1), halves(0)]), whole());
    }

    proptest! {
        #[test]
        fn operations_return_what_the_model_returns(x: Ranges, y: Ranges) {
            check_operations::<u32>(&x, &y);
            check_operations::<u128>(&x, &y);
        }

        #[test]
        fn the_list_of_networks_is_minimal(ranges: Vec<(u32, u16)>) {
            let set = IntervalSet::new(ranges.iter().map(|&(first, size)| Interval {
                first, last: first.saturating_add(u32::from(size)),
            }).collect());
            let prefixes: Vec<_> = set.prefixes().collect();
            for pair in prefixes.windows(2) {
                prop_assert!(pair[0].last() < pair[1].first);
                let joined = Prefix::containing(pair[0].first, pair[0].length.saturating_sub(1));
                prop_assert!(pair[0].length != pair[1].length || joined.last() != pair[1].last());
            }
        }
    }
}

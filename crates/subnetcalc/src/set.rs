//! [`IntervalSet`]: a set of addresses of one family as sorted, disjoint
//! intervals, no two of which touch. It is the one structure behind all set
//! work: the same set always has the same intervals, so equality is
//! comparison, a count is a sum, and the shortest list of networks is the
//! cover of each interval.
//!
//! Union, intersection, difference and so on are one sweep over the places
//! where either set begins or ends ([`IntervalSet::combine`]).

use crate::bits::Bits;
use crate::count::Count;
use crate::prefix::{Prefix, cover};

/// The addresses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval<N> {
    /// The first address.
    pub(crate) first: N,
    /// The last address, not below the first.
    pub(crate) last: N,
}

impl<N: Bits> Interval<N> {
    /// How many addresses it has.
    pub(crate) fn count(self) -> Count {
        Count::up_to((self.last - self.first).widen())
    }
}

/// Sorts by first address, of equals the larger first: networks by address,
/// then by length, each after all those it lies in. The only sort there is:
/// every further one would be another 20 kB of code.
pub(crate) fn in_order<N: Bits>(intervals: &mut [Interval<N>]) {
    intervals.sort_unstable_by_key(|interval| N::pair(interval.first, !interval.last));
}

/// Joins intervals in order that overlap or touch.
pub(crate) fn join<N: Bits>(intervals: &mut Vec<Interval<N>>) {
    let mut kept = 0;
    for at in 0..intervals.len() {
        let next = intervals[at];
        // The end of the space touches nothing.
        let joins = kept > 0
            && intervals[kept - 1]
                .last
                .checked_add(N::ONE)
                .is_none_or(|after| next.first <= after);
        if joins {
            let last = &mut intervals[kept - 1].last;
            *last = next.last.max(*last);
        } else {
            intervals[kept] = next;
            kept += 1;
        }
    }
    intervals.truncate(kept);
}

/// A set of addresses. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IntervalSet<N> {
    intervals: Vec<Interval<N>>,
}

impl<N: Bits> IntervalSet<N> {
    /// The union of intervals in any order; the vector is used in place.
    pub(crate) fn new(mut intervals: Vec<Interval<N>>) -> Self {
        in_order(&mut intervals);
        join(&mut intervals);
        Self { intervals }
    }

    /// Its intervals, ascending and apart.
    pub(crate) fn intervals(&self) -> &[Interval<N>] {
        &self.intervals
    }

    /// Whether it has no address.
    pub(crate) fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// How many addresses it has.
    pub(crate) fn count(&self) -> Count {
        self.intervals
            .iter()
            .fold(Count::ZERO, |sum, interval| sum.plus(interval.count()))
    }

    /// The fewest networks that hold exactly these addresses, ascending.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Prefix<N>> + '_ {
        self.intervals.iter().copied().flat_map(cover)
    }

    /// The smallest interval around all, if there is any address.
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
        // A table, so that the walk calls nothing and exists once.
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
            // The next place where membership of either changes.
            let at = match (a.next, b.next) {
                (None, None) => break,
                (Some(place), None) | (None, Some(place)) => place,
                (Some(x), Some(y)) => x.min(y),
            };
            a.pass(at);
            b.pass(at);
            match (start, keep(a.inside, b.inside)) {
                (None, true) => start = Some(at),
                (Some(first), false) => {
                    // Before the first address of all there is nothing to keep.
                    if let Some(last) = at.checked_sub(N::ONE) {
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

    /// The addresses of this set that the other lacks.
    pub(crate) fn subtract(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b)
    }

    /// All other addresses of the family.
    pub(crate) fn complement(&self) -> Self {
        self.combine(&Self::default(), |a, _| !a)
    }

    /// The places where membership changes, ascending, starting outside: a
    /// change at the very end of the space is not among them.
    pub(crate) fn edges(&self) -> impl Iterator<Item = N> + '_ {
        self.intervals.iter().flat_map(|interval| {
            std::iter::once(interval.first).chain(interval.last.checked_add(N::ONE))
        })
    }
}

/// A walk along the edges of a set.
struct Edges<'a, N> {
    intervals: std::slice::Iter<'a, Interval<N>>,
    /// Where the open interval ends, if it ends before the space does.
    end: Option<N>,
    next: Option<N>,
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
        edges.open();
        edges
    }

    /// Looks at the next interval.
    fn open(&mut self) {
        let interval = self.intervals.next();
        self.next = interval.map(|interval| interval.first);
        self.end = interval.and_then(|interval| interval.last.checked_add(N::ONE));
    }

    /// Goes past `at` if that is the next edge.
    fn pass(&mut self, at: N) {
        if self.next != Some(at) {
            return;
        }
        self.inside = !self.inside;
        if self.inside {
            self.next = self.end;
        } else {
            self.open();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Ranges = Vec<(u8, u8)>;

    /// Maps a small space of 256 points onto an address space so that both
    /// ends of it are reached.
    fn place<N: Bits>(point: u8) -> N {
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
                    first: place(a.min(b)),
                    last: place(a.max(b)),
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

    fn holds<N: Bits>(set: &IntervalSet<N>, address: N) -> bool {
        set.intervals
            .iter()
            .any(|i| i.first <= address && address <= i.last)
    }

    /// The set is exactly the model, sorted, apart and not touching.
    fn agrees<N: Bits>(set: &IntervalSet<N>, members: &[bool; 256]) {
        for point in 0..=255 {
            assert_eq!(
                holds(set, place::<N>(point)),
                members[usize::from(point)],
                "{point} in {set:?}"
            );
        }
        for pair in set.intervals.windows(2) {
            assert!(pair[0].last + N::ONE < pair[1].first, "{set:?}");
        }
        assert!(set.intervals.iter().all(|i| i.first <= i.last));
        // Normal form: taking it apart and together again changes nothing.
        let again: Vec<Interval<N>> = set.prefixes().map(Prefix::interval).rev_vec();
        assert_eq!(IntervalSet::new(again), *set);
        let sum = set
            .prefixes()
            .fold(Count::ZERO, |sum, prefix| sum.plus(prefix.total()));
        assert_eq!(sum, set.count());
        // Edges say the same.
        for point in 0..=255 {
            let edges = set
                .edges()
                .filter(|&edge| edge <= place::<N>(point))
                .count();
            assert_eq!(edges % 2 == 1, members[usize::from(point)]);
        }
    }

    trait RevVec: Iterator + Sized {
        fn rev_vec(self) -> Vec<Self::Item> {
            let mut all: Vec<_> = self.collect();
            all.reverse();
            all
        }
    }
    impl<I: Iterator> RevVec for I {}

    fn both<N: Bits>(x: &Ranges, y: &Ranges) {
        let (a, b) = (set::<N>(x), set::<N>(y));
        let (ma, mb) = (model(x), model(y));
        agrees(&a, &ma);
        let with = |f: fn(bool, bool) -> bool| {
            let mut members = [false; 256];
            for (at, member) in members.iter_mut().enumerate() {
                *member = f(ma[at], mb[at]);
            }
            members
        };
        agrees(&a.combine(&b, |p, q| p || q), &with(|p, q| p || q));
        agrees(&a.combine(&b, |p, q| p && q), &with(|p, q| p && q));
        agrees(&a.subtract(&b), &with(|p, q| p && !q));
        agrees(&a.combine(&b, |p, q| p != q), &with(|p, q| p != q));
        agrees(&a.complement(), &with(|p, _| !p));
        assert_eq!(a.complement().complement(), a);
        assert_eq!(
            a.count().plus(a.complement().count()),
            Count::power(N::WIDTH)
        );
        let mut union: Vec<_> = a.intervals.clone();
        union.extend(&b.intervals);
        assert_eq!(IntervalSet::new(union), a.combine(&b, |p, q| p || q));
    }

    fn whole<N: Bits>() -> IntervalSet<N> {
        IntervalSet::default().complement()
    }

    #[test]
    fn the_ends_of_the_spaces() {
        assert_eq!(whole::<u128>().count(), Count::WHOLE);
        assert_eq!(whole::<u32>().count(), Count::power(32));
        assert!(whole::<u128>().complement().is_empty());
        let halves = |n: u32| Interval {
            first: n << 31,
            last: (n << 31) | (u32::MAX >> 1),
        };
        assert_eq!(IntervalSet::new(vec![halves(1), halves(0)]), whole());
    }

    proptest! {
        #[test]
        fn as_the_model(x: Ranges, y: Ranges) {
            both::<u32>(&x, &y);
            both::<u128>(&x, &y);
        }

        #[test]
        fn minimal(ranges: Vec<(u32, u16)>) {
            let set = IntervalSet::new(ranges.iter().map(|&(first, size)| Interval {
                first, last: first.saturating_add(u32::from(size)),
            }).collect());
            let prefixes: Vec<_> = set.prefixes().collect();
            for pair in prefixes.windows(2) {
                prop_assert!(pair[0].last() < pair[1].first);
                let joined = Prefix::of(pair[0].first, pair[0].length.saturating_sub(1));
                prop_assert!(pair[0].length != pair[1].length || joined.last() != pair[1].last());
            }
        }
    }
}

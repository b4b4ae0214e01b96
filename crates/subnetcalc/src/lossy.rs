//! Aggregation that adds addresses: no network longer than a given length, or no
//! more networks than a given number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bits::Bits;
use crate::count::Count;
use crate::fewest;
use crate::ipset::IpSet;
use crate::prefix::Prefix;
use crate::set::{Interval, IntervalSet};

/// Networks of a family that are joined step by step, at 130 bytes each. A range
/// of one line can have 254 of them.
const STEPS_MAX: usize = 1 << 21;

/// The longest prefix lengths of a result; `None` leaves a family as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaxPrefix {
    /// For IPv4.
    pub(crate) v4: Option<u32>,
    /// For IPv6.
    pub(crate) v6: Option<u32>,
}

/// Widens the set until no network of it is longer than these lengths.
pub(crate) fn max_prefix(set: &IpSet, lengths: MaxPrefix) -> IpSet {
    fn widen<N: Bits>(set: &IntervalSet<N>, length: Option<u32>) -> IntervalSet<N> {
        length.map_or_else(|| set.clone(), |length| widened(set, length))
    }
    IpSet {
        v4: widen(&set.v4, lengths.v4),
        v6: widen(&set.v6, lengths.v6),
    }
}

/// Joins networks until there are at most `count` in both families together.
/// `None` if that is impossible: every family present keeps one.
///
/// The result adds the fewest addresses if [`fewest`] can take the set. A larger
/// set is first brought down to what it takes by the best single steps.
pub(crate) fn max_count(set: &IpSet, count: u64) -> Option<IpSet> {
    let networks = set.v4.prefixes().count() + set.v6.prefixes().count();
    if networks as u64 <= count {
        return Some(set.clone());
    }
    let most = usize::try_from(count).ok().map_or(0, fewest::most_networks);
    if networks <= most {
        return fewest::max_count(set, count);
    }
    let few_enough = usize::try_from(count).map_or(usize::MAX, |count| count.max(STEPS_MAX));
    let set = IpSet {
        v4: within(&set.v4, few_enough),
        v6: within(&set.v6, few_enough),
    };
    let smaller = by_steps(&set, count.max(most as u64))?;
    if most as u64 > count {
        fewest::max_count(&smaller, count)
    } else {
        Some(smaller)
    }
}

/// The set, or if it has more networks than `most`, the set widened to the
/// longest prefix length with which it has not. The steps would join the
/// smallest networks first as well.
fn within<N: Bits>(set: &IntervalSet<N>, most: usize) -> IntervalSet<N> {
    let fits = |set: &IntervalSet<N>| set.prefixes().take(most.saturating_add(1)).count() <= most;
    if fits(set) {
        return set.clone();
    }
    // With length 0 there is one network, so some length fits.
    let (mut fitting, mut too_long) = (0, N::WIDTH);
    while too_long - fitting > 1 {
        let middle = fitting + (too_long - fitting) / 2;
        if fits(&widened(set, middle)) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    widened(set, fitting)
}

/// The set without networks longer than `length`.
fn widened<N: Bits>(set: &IntervalSet<N>, length: u32) -> IntervalSet<N> {
    let wide = |interval: &Interval<N>| Interval {
        first: interval.first & N::net_mask(length),
        last: interval.last | N::host_mask(length),
    };
    IntervalSet::new(set.intervals().iter().map(wide).collect())
}

/// Joins networks step by step. Each step replaces the two neighbours whose
/// smallest common network adds the fewest addresses, so it is the best next
/// step, though a series of best steps need not be the best of all series.
fn by_steps(set: &IpSet, count: u64) -> Option<IpSet> {
    let mut v4 = Merger::new(&set.v4);
    let mut v6 = Merger::new(&set.v6);
    while (v4.left + v6.left) as u64 > count {
        match (v4.cheapest(), v6.cheapest()) {
            (Some(a), Some(b)) if a <= b => v4.merge(),
            (_, Some(_)) => v6.merge(),
            (Some(_), None) => v4.merge(),
            (None, None) => return None,
        }
    }
    Some(IpSet {
        v4: v4.finish(),
        v6: v6.finish(),
    })
}

/// How many addresses one set has that the other, a part of it, lacks.
pub(crate) fn added<N: Bits>(wide: &IntervalSet<N>, exact: &IntervalSet<N>) -> Count {
    wide.count().minus(exact.count())
}

/// Two neighbours: what joining them adds, how long the common network is
/// (deeper first, so that a network joins only its own parts), and who they
/// were when this was worked out.
type Pair = (u128, Reverse<u32>, u32, u32, u32, u32);

/// The networks of one family as a chain, and the pairs of neighbours by cost.
struct Merger<N> {
    nodes: Vec<Node<N>>,
    heap: BinaryHeap<Reverse<Pair>>,
    left: usize,
}

struct Node<N> {
    prefix: Prefix<N>,
    before: Option<u32>,
    after: Option<u32>,
    gone: bool,
}

impl<N: Bits> Merger<N> {
    fn new(set: &IntervalSet<N>) -> Self {
        let mut nodes: Vec<Node<N>> = Vec::new();
        for (id, prefix) in (0_u32..).zip(set.prefixes()) {
            if let Some(last) = nodes.last_mut() {
                last.after = Some(id);
            }
            nodes.push(Node {
                prefix,
                before: id.checked_sub(1),
                after: None,
                gone: false,
            });
        }
        let left = nodes.len();
        let mut merger = Self {
            nodes,
            heap: BinaryHeap::new(),
            left,
        };
        let ids = 0..left.saturating_sub(1) as u32;
        merger.heap = ids.filter_map(|id| merger.pair(id)).map(Reverse).collect();
        merger
    }

    fn node(&self, id: u32) -> &Node<N> {
        &self.nodes[id as usize]
    }

    /// A network and the one after it.
    fn pair(&self, id: u32) -> Option<Pair> {
        let a = self.node(id);
        let after = a.after?;
        let b = self.node(after);
        let joined = joined(a.prefix, b.prefix);
        let adds = joined.total().minus(a.prefix.total());
        let adds = adds.minus(b.prefix.total()).get()?;
        let depth = Reverse(joined.length);
        Some((adds, depth, id, after, a.prefix.length, b.prefix.length))
    }

    /// What the cheapest pair adds; pairs that no longer are go.
    fn cheapest(&mut self) -> Option<u128> {
        while let Some(&Reverse((adds, _, a, b, length_a, length_b))) = self.heap.peek() {
            let (x, y) = (self.node(a), self.node(b));
            let current = !x.gone && !y.gone && x.after == Some(b);
            if current && x.prefix.length == length_a && y.prefix.length == length_b {
                return Some(adds);
            }
            self.heap.pop();
        }
        None
    }

    /// Joins the cheapest pair.
    fn merge(&mut self) {
        let Some(Reverse((_, _, a, b, _, _))) = self.heap.pop() else {
            return;
        };
        let after = self.node(b).after;
        let prefix = joined(self.node(a).prefix, self.node(b).prefix);
        self.nodes[b as usize].gone = true;
        let node = &mut self.nodes[a as usize];
        node.prefix = prefix;
        node.after = after;
        let before = node.before;
        if let Some(after) = after {
            self.nodes[after as usize].before = Some(a);
        }
        self.left -= 1;
        for id in before.into_iter().chain([a]) {
            let pair = self.pair(id);
            self.heap.extend(pair.map(Reverse));
        }
    }

    fn finish(self) -> IntervalSet<N> {
        let kept = self.nodes.into_iter().filter(|node| !node.gone);
        IntervalSet::new(kept.map(|node| node.prefix.interval()).collect())
    }
}

/// The smallest network around two.
fn joined<N: Bits>(a: Prefix<N>, b: Prefix<N>) -> Prefix<N> {
    Prefix::around(Interval {
        first: a.first,
        last: b.last(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(v4: &[(u32, u32)], v6: &[(u128, u32)]) -> IpSet {
        let nets = |&(first, length): &(u32, u32)| Prefix::of(first, length).interval();
        let nets6 = |&(first, length): &(u128, u32)| Prefix::of(first, length).interval();
        IpSet {
            v4: IntervalSet::new(v4.iter().map(nets).collect()),
            v6: IntervalSet::new(v6.iter().map(nets6).collect()),
        }
    }

    fn holds<N: Bits>(wide: &IntervalSet<N>, exact: &IntervalSet<N>) -> bool {
        exact.subtract(wide).is_empty()
    }

    #[test]
    fn what_adds_least_comes_first() {
        // Joining the first two adds 2, the last two 1 (.8 and .10-.11).
        let given = set(&[(0, 32), (3, 32), (8, 32), (10, 31)], &[]);
        for max_count in [max_count, by_steps] {
            let three = max_count(&given, 3).unwrap();
            assert_eq!(
                three.v4.prefixes().collect::<Vec<_>>(),
                [Prefix::of(0, 32), Prefix::of(3, 32), Prefix::of(8, 30),]
            );
            assert_eq!(added(&three.v4, &given.v4), Count::new(1));
            let one = max_count(&given, 1).unwrap();
            assert_eq!(one.v4.prefixes().collect::<Vec<_>>(), [Prefix::of(0, 28)]);
        }
    }

    #[test]
    fn the_cheaper_family_is_joined() {
        // Joining the IPv4 networks adds 131,070 addresses, the IPv6 ones 2.
        let given = set(&[(0, 32), (0x1_0000, 32)], &[(0, 128), (3, 128)]);
        for max_count in [max_count, by_steps] {
            let three = max_count(&given, 3).unwrap();
            assert_eq!(three.v4, given.v4);
            assert_eq!(added(&three.v6, &given.v6), Count::new(2));
        }
        // And the other way round.
        let given = set(&[(0, 32), (3, 32)], &[(0, 128), (0x1_0000, 128)]);
        for max_count in [max_count, by_steps] {
            let three = max_count(&given, 3).unwrap();
            assert_eq!(three.v6, given.v6);
            assert_eq!(added(&three.v4, &given.v4), Count::new(2));
        }
    }

    #[test]
    fn the_steps_bring_a_large_set_down() {
        let many: Vec<(u32, u32)> = (0..20_000).map(|n| (n * 37, 32)).collect();
        let given = set(&many, &[]);
        let count = 3_000;
        assert!(fewest::most_networks(count) < given.v4.prefixes().count());
        let few = max_count(&given, count as u64).unwrap();
        assert!(few.v4.prefixes().count() <= count);
        assert!(holds(&few.v4, &given.v4));
        let steps = by_steps(&given, count as u64).unwrap();
        assert!(added(&few.v4, &given.v4) <= added(&steps.v4, &given.v4));
    }

    #[test]
    fn a_family_present_keeps_a_network() {
        let given = set(&[(0, 32), (1 << 31, 32)], &[(0, 128), (u128::MAX, 128)]);
        assert!(max_count(&given, 1).is_none());
        let two = max_count(&given, 2).unwrap();
        assert_eq!(two.v6, IntervalSet::default().complement());
        assert_eq!(added(&two.v6, &given.v6), Count::new(u128::MAX - 1));
    }

    #[test]
    fn longest_length() {
        let given = set(&[(0x0a00_0001, 32), (0x0a00_01ff, 32)], &[(5, 128)]);
        let both = |length| MaxPrefix {
            v4: Some(length),
            v6: Some(length),
        };
        let only_v4 = MaxPrefix {
            v6: None,
            ..both(24)
        };
        let wide = max_prefix(&given, only_v4);
        assert_eq!(wide.v6, given.v6);
        assert_eq!(
            wide.v4.prefixes().collect::<Vec<_>>(),
            [Prefix::of(0x0a00_0000, 23)]
        );
        assert_eq!(max_prefix(&given, both(64)).v4, given.v4);
        assert_eq!(
            max_prefix(&given, both(0)).v6,
            IntervalSet::default().complement()
        );
    }

    #[test]
    fn a_set_of_too_many_networks_is_widened() {
        // Each range has up to 254 networks.
        let ranges = |count: u128| -> IntervalSet<u128> {
            let range = |n: u128| Interval {
                first: n << 96 | 1,
                last: (n << 96 | ((1 << 96) - 1)) - 1,
            };
            IntervalSet::new((0..count).map(range).collect())
        };
        let set = ranges(100);
        let networks = set.prefixes().count();
        assert_eq!(within(&set, networks), set);
        for most in [networks - 1, 1000, 100, 10, 1] {
            let fewer = within(&set, most);
            assert!(fewer.prefixes().count() <= most, "{most}");
            assert!(holds(&fewer, &set), "{most}");
        }
        // Only the ends are widened as long as that is enough.
        let added = added(&within(&set, networks - 1), &set);
        assert!(added <= Count::new(400), "{added}");
    }

    proptest! {
        #[test]
        fn bounds_hold_and_nothing_is_lost(
            v4 in proptest::collection::vec((any::<u32>(), 8..=32_u32), 0..40),
            near in proptest::collection::vec((0..1024_u32, 24..=32_u32), 0..40),
            v6 in proptest::collection::vec((any::<u128>(), 8..=128_u32), 0..20),
            count in 2..30_u64, length in 0..=128_u32,
        ) {
            let v4: Vec<_> = v4.into_iter().chain(near).collect();
            let given = set(&v4, &v6);
            let few = max_count(&given, count).unwrap();
            let number = few.v4.prefixes().count() + few.v6.prefixes().count();
            prop_assert!(number as u64 <= count);
            prop_assert!(holds(&few.v4, &given.v4) && holds(&few.v6, &given.v6));
            let plenty = max_count(&given, 1000).unwrap();
            prop_assert_eq!(&plenty, &given);
            let lengths = MaxPrefix { v4: Some(length), v6: Some(length) };
            let short = max_prefix(&given, lengths);
            prop_assert!(holds(&short.v4, &given.v4) && holds(&short.v6, &given.v6));
            prop_assert!(short.v4.prefixes().all(|p| p.length <= length));
            prop_assert!(short.v6.prefixes().all(|p| p.length <= length));
        }
    }
}

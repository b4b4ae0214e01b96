//! The best cover of a set by a given number of networks: the one that adds the
//! fewest addresses.
//!
//! The networks of a set are the leaves of a binary tree whose inner nodes are
//! the smallest networks around two neighbours. A cover is a choice of nodes. For
//! each node and each number of networks the least cost follows from those of
//! its two children, from the leaves to the root.

use crate::bits::Bits;
use crate::count::Count;
use crate::ipset::IpSet;
use crate::prefix::Prefix;
use crate::set::{Interval, IntervalSet};

/// Networks times wanted networks that are computed: the time, and at worst a
/// quarter of the memory in bytes.
const WORK_MAX: usize = 1 << 24;

/// The most networks that [`max_count`] takes if `count` are wanted.
pub(crate) fn most_networks(count: usize) -> usize {
    WORK_MAX / count.max(1)
}

/// The cover of both families by at most `count` networks that adds the fewest
/// addresses; `None` if each family present cannot have one.
pub(crate) fn max_count(set: &IpSet, count: u64) -> Option<IpSet> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let families = usize::from(!set.v4.is_empty()) + usize::from(!set.v6.is_empty());
    // One network is for the other family, if both are present.
    let most = count
        .saturating_add(1)
        .checked_sub(families.max(1))
        .filter(|most| *most > 0)?;
    let (v4, v6) = (Tree::new(&set.v4, most), Tree::new(&set.v6, most));
    let (Some(v4), Some(v6)) = (&v4, &v6) else {
        return Some(IpSet {
            v4: v4.map(|tree| tree.cover(most)).unwrap_or_default(),
            v6: v6.map(|tree| tree.cover(most)).unwrap_or_default(),
        });
    };
    // Of all divisions of the number the one with the least cost.
    let division = (1..=most).min_by_key(|&n| {
        let (sum, over) = v4.cost(n).overflowing_add(v6.cost(count - n));
        (over, sum)
    })?;
    Some(IpSet {
        v4: v4.cover(division),
        v6: v6.cover(count - division),
    })
}

/// The tree over the networks of one family.
#[derive(Debug)]
struct Tree<N> {
    nodes: Vec<Node<N>>,
    root: usize,
    /// The addresses that the best covers with 1, 2, ... networks add.
    costs: Vec<u128>,
}

#[derive(Debug)]
struct Node<N> {
    prefix: Prefix<N>,
    /// The nodes below, if this is not a leaf.
    children: Option<(usize, usize)>,
    /// For 2, 3, ... networks, how many of them the first child has.
    division: Vec<u32>,
}

impl<N: Bits> Tree<N> {
    /// The tree of a set, for covers of at most `most` networks; `None` if the
    /// set is empty.
    fn new(set: &IntervalSet<N>, most: usize) -> Option<Self> {
        let leaves: Vec<Prefix<N>> = set.prefixes().collect();
        let mut tree = Self {
            nodes: Vec::with_capacity(2 * leaves.len()),
            root: 0,
            costs: Vec::new(),
        };
        let (root, costs, _) = tree.add(&leaves, most)?;
        tree.root = root;
        tree.costs = costs;
        Some(tree)
    }

    /// Adds the nodes over some leaves: the top one, what its covers add, and
    /// how many addresses the leaves have. The depth is that of the family.
    fn add(&mut self, leaves: &[Prefix<N>], most: usize) -> Option<(usize, Vec<u128>, Count)> {
        let (first, last) = (leaves.first()?, leaves.last()?);
        if leaves.len() == 1 {
            self.nodes.push(Node {
                prefix: *first,
                children: None,
                division: Vec::new(),
            });
            return Some((self.nodes.len() - 1, vec![0], first.total()));
        }
        let prefix = Prefix::around(Interval {
            first: first.first,
            last: last.last(),
        });
        // The first leaf of the upper half.
        let lower = Prefix::of(prefix.first, prefix.length + 1);
        let middle = leaves.partition_point(|leaf| leaf.first <= lower.last());
        let (a, a_costs, a_total) = self.add(&leaves[..middle], most)?;
        let (b, b_costs, b_total) = self.add(&leaves[middle..], most)?;
        let total = a_total.plus(b_total);
        let length = (a_costs.len() + b_costs.len()).min(most);
        // The leaves do not fill the node, or they would be one.
        let mut costs = vec![prefix.total().minus(total).get()?];
        costs.resize(length, u128::MAX);
        let mut division = vec![0; length - 1];
        for (x, a_cost) in (1..).zip(&a_costs) {
            for (y, b_cost) in (1..).zip(&b_costs).take(length.saturating_sub(x)) {
                // Both are less than what the node itself would add.
                let cost = a_cost + b_cost;
                if cost < costs[x + y - 1] {
                    costs[x + y - 1] = cost;
                    division[x + y - 2] = x as u32;
                }
            }
        }
        self.nodes.push(Node {
            prefix,
            children: Some((a, b)),
            division,
        });
        Some((self.nodes.len() - 1, costs, total))
    }

    /// The addresses that the best cover of at most `count` networks adds.
    fn cost(&self, count: usize) -> u128 {
        // More networks never cost more.
        self.costs[count.min(self.costs.len()) - 1]
    }

    /// The best cover of at most `count` networks.
    fn cover(&self, count: usize) -> IntervalSet<N> {
        let mut networks = Vec::new();
        let mut left = vec![(self.root, count.min(self.costs.len()))];
        while let Some((id, count)) = left.pop() {
            let node = &self.nodes[id];
            match node.children {
                Some((a, b)) if count > 1 => {
                    let first = node.division[count - 2] as usize;
                    left.push((b, count - first));
                    left.push((a, first));
                }
                _ => networks.push(node.prefix.interval()),
            }
        }
        IntervalSet::new(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lossy::added;
    use proptest::prelude::*;

    fn v4(set: Vec<Interval<u32>>) -> IpSet {
        IpSet {
            v4: IntervalSet::new(set),
            ..IpSet::default()
        }
    }

    fn hosts(last_octets: &[u32]) -> IpSet {
        v4(last_octets
            .iter()
            .map(|&octet| Prefix::of(0x0a00_0000 | octet, 32).interval())
            .collect())
    }

    /// The least cost, by trying for each leaf every network it could be in.
    fn least(leaves: &[Prefix<u32>], count: usize) -> u128 {
        let Some(first) = leaves.first() else {
            return 0;
        };
        if count == 0 {
            return u128::MAX;
        }
        (0..=first.length)
            .map(|length| {
                let wide = Prefix::of(first.first, length);
                let inside = leaves.partition_point(|leaf| leaf.first <= wide.last());
                let (inside, others) = leaves.split_at(inside);
                let held: u128 = inside
                    .iter()
                    .map(|leaf| u128::from(leaf.last() - leaf.first) + 1)
                    .sum();
                let adds = wide.total().get().unwrap() - held;
                // Nothing before the first may be covered twice: it is sorted.
                adds.saturating_add(least(others, count - 1))
            })
            .min()
            .unwrap()
    }

    #[test]
    fn steps_are_not_enough() {
        let given = hosts(&[
            113, 117, 145, 191, 239, 0x298, 0x328, 0x330, 0x351, 0x35c, 0x3b2, 0x3c0,
        ]);
        let four = max_count(&given, 4).unwrap();
        assert_eq!(four.v4.prefixes().count(), 4);
        assert_eq!(added(&four.v4, &given.v4), Count::new(381));
    }

    #[test]
    fn all_of_the_space() {
        let halves = |bits: u128| IntervalSet::new(vec![Prefix::of(bits, 128).interval()]);
        let ends = IpSet {
            v4: IntervalSet::new(vec![
                Prefix::of(0, 32).interval(),
                Prefix::of(u32::MAX, 32).interval(),
            ]),
            v6: halves(0).combine(&halves(u128::MAX), |a, b| a || b),
        };
        assert_eq!(max_count(&ends, 1), None);
        let two = max_count(&ends, 2).unwrap();
        assert_eq!(two.v4.prefixes().collect::<Vec<_>>(), [Prefix::of(0, 0)]);
        assert_eq!(two.v6.prefixes().collect::<Vec<_>>(), [Prefix::of(0, 0)]);
        let three = max_count(&ends, 3).unwrap();
        assert_eq!(three.v4.prefixes().collect::<Vec<_>>(), [Prefix::of(0, 0)]);
        assert_eq!(three.v6, ends.v6);
        assert_eq!(max_count(&ends, 4), Some(ends));
        assert_eq!(max_count(&IpSet::default(), 1), Some(IpSet::default()));
    }

    proptest! {
        #[test]
        fn nothing_adds_less(
            given in proptest::collection::vec((0..256_u32, 26..=32_u32), 1..9),
            count in 1..6_usize,
        ) {
            let nets = given.iter().map(|&(n, length)| Prefix::of(n, length).interval());
            let given = v4(nets.collect());
            let leaves: Vec<_> = given.v4.prefixes().collect();
            let best = max_count(&given, count as u64).unwrap();
            prop_assert!(best.v4.prefixes().count() <= count);
            prop_assert!(given.v4.subtract(&best.v4).is_empty());
            let expected = if leaves.len() <= count { 0 } else { least(&leaves, count) };
            prop_assert_eq!(added(&best.v4, &given.v4), Count::new(expected));
        }
    }
}

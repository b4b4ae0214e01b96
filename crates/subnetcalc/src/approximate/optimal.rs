//! Covers a set with a given number of networks so that the fewest addresses are added.
//!
//! The networks of a set are the leaves of a binary tree. An inner node is the smallest
//! network that contains its two children, and a cover is a choice of nodes. Dynamic
//! programming computes the least cost of each node for each number of networks, from
//! the leaves to the root.

use crate::bits::Bits;
use crate::count::Count;
use crate::interval::Interval;
use crate::ipset::IpSet;
use crate::prefix::Prefix;
use crate::set::IntervalSet;

/// The largest product of the number of networks and the number wanted. It bounds the
/// time, and four times the product bounds the memory in bytes.
const PRODUCT_MAX: usize = 1 << 24;

/// Returns the most networks that [`max_count`] can reduce to `count`.
pub(super) fn networks_max(count: usize) -> usize {
    PRODUCT_MAX / count.max(1)
}

/// Returns the cover of both families by at most `count` networks that adds the fewest
/// addresses, or `None` if `count` is less than the number of families.
pub(super) fn max_count(set: &IpSet, count: u64) -> Option<IpSet> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let families = usize::from(!set.v4.is_empty()) + usize::from(!set.v6.is_empty());
    // If both families are present, each needs at least one network.
    let family_max = count
        .saturating_add(1)
        .checked_sub(families.max(1))
        .filter(|max| *max > 0)?;
    let (v4, v6) = (
        Tree::new(&set.v4, family_max),
        Tree::new(&set.v6, family_max),
    );
    let (Some(v4), Some(v6)) = (&v4, &v6) else {
        return Some(IpSet {
            v4: v4.map(|tree| tree.cover(family_max)).unwrap_or_default(),
            v6: v6.map(|tree| tree.cover(family_max)).unwrap_or_default(),
        });
    };
    // Divide the number between the families at the least cost.
    let v4_count = (1..=family_max).min_by_key(|&n| {
        let (sum, overflows) = v4.cost(n).overflowing_add(v6.cost(count - n));
        (overflows, sum)
    })?;
    Some(IpSet {
        v4: v4.cover(v4_count),
        v6: v6.cover(count - v4_count),
    })
}

/// The binary tree of the networks of one family.
#[derive(Debug)]
struct Tree<N> {
    nodes: Vec<Node<N>>,
    root: usize,
    /// The number of addresses that the best covers with 1, 2, ... networks add.
    costs: Vec<u128>,
}

#[derive(Debug)]
struct Node<N> {
    prefix: Prefix<N>,
    /// The two child nodes, unless this is a leaf.
    children: Option<(usize, usize)>,
    /// The number of networks of the first child in the best cover with 2, 3, ...
    /// networks.
    division: Vec<u32>,
}

impl<N: Bits> Tree<N> {
    /// Creates the tree of a set for covers of at most `max` networks. Returns `None`
    /// if the set is empty.
    fn new(set: &IntervalSet<N>, max: usize) -> Option<Self> {
        let leaves: Vec<Prefix<N>> = set.prefixes().collect();
        let mut tree = Self {
            nodes: Vec::with_capacity(2 * leaves.len()),
            root: 0,
            costs: Vec::new(),
        };
        let (root, costs, _) = tree.add(&leaves, max)?;
        tree.root = root;
        tree.costs = costs;
        Some(tree)
    }

    /// Adds the nodes above some leaves. Returns the top node, the costs of its covers
    /// and the number of addresses of the leaves. The recursion is at most as deep as
    /// an address has bits.
    fn add(&mut self, leaves: &[Prefix<N>], max: usize) -> Option<(usize, Vec<u128>, Count)> {
        let (first, last) = (leaves.first()?, leaves.last()?);
        if leaves.len() == 1 {
            self.nodes.push(Node {
                prefix: *first,
                children: None,
                division: Vec::new(),
            });
            return Some((self.nodes.len() - 1, vec![0], first.total()));
        }
        let prefix = Prefix::enclosing(Interval {
            first: first.first,
            last: last.last(),
        });
        // The first leaf of the upper half.
        let lower = Prefix::containing(prefix.first, prefix.length + 1);
        let middle = leaves.partition_point(|leaf| leaf.first <= lower.last());
        let (a, a_costs, a_total) = self.add(&leaves[..middle], max)?;
        let (b, b_costs, b_total) = self.add(&leaves[middle..], max)?;
        let total = a_total.saturating_add(b_total);
        let length = (a_costs.len() + b_costs.len()).min(max);
        // The leaves do not fill the node, or they would be one network.
        let mut costs = vec![prefix.total().saturating_sub(total).to_u128()?];
        costs.resize(length, u128::MAX);
        let mut division = vec![0; length - 1];
        for (x, a_cost) in (1..).zip(&a_costs) {
            for (y, b_cost) in (1..).zip(&b_costs).take(length.saturating_sub(x)) {
                // The sum does not overflow: it is below the cost of the node itself.
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

    /// Returns the cost of the best cover with at most `count` networks.
    fn cost(&self, count: usize) -> u128 {
        // More networks never cost more.
        self.costs[count.min(self.costs.len()) - 1]
    }

    /// Returns the best cover with at most `count` networks.
    fn cover(&self, count: usize) -> IntervalSet<N> {
        let mut networks = Vec::new();
        let mut pending = vec![(self.root, count.min(self.costs.len()))];
        while let Some((id, count)) = pending.pop() {
            let node = &self.nodes[id];
            match node.children {
                Some((a, b)) if count > 1 => {
                    let first = node.division[count - 2] as usize;
                    pending.push((b, count - first));
                    pending.push((a, first));
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
    use crate::approximate::added;
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
            .map(|&octet| Prefix::containing(0x0a00_0000 | octet, 32).interval())
            .collect())
    }

    /// The minimum cost, found by trying every network that contains the first leaf.
    fn least(leaves: &[Prefix<u32>], count: usize) -> u128 {
        let Some(first) = leaves.first() else {
            return 0;
        };
        if count == 0 {
            return u128::MAX;
        }
        (0..=first.length)
            .map(|length| {
                let wide = Prefix::containing(first.first, length);
                let inside = leaves.partition_point(|leaf| leaf.first <= wide.last());
                let (inside, others) = leaves.split_at(inside);
                let held: u128 = inside
                    .iter()
                    .map(|leaf| u128::from(leaf.last() - leaf.first) + 1)
                    .sum();
                let adds = wide.total().to_u128().unwrap() - held;
                adds.saturating_add(least(others, count - 1))
            })
            .min()
            .unwrap()
    }

    #[test]
    fn the_best_cover_beats_single_steps() {
        let given = hosts(&[
            113, 117, 145, 191, 239, 0x298, 0x328, 0x330, 0x351, 0x35c, 0x3b2, 0x3c0,
        ]);
        let four = max_count(&given, 4).unwrap();
        assert_eq!(four.v4.prefixes().count(), 4);
        assert_eq!(added(&four.v4, &given.v4), Count::new(381));
    }

    #[test]
    fn covers_reach_the_whole_address_space() {
        let halves = |bits: u128| IntervalSet::new(vec![Prefix::containing(bits, 128).interval()]);
        let ends = IpSet {
            v4: IntervalSet::new(vec![
                Prefix::containing(0, 32).interval(),
                Prefix::containing(u32::MAX, 32).interval(),
            ]),
            v6: halves(0).combine(&halves(u128::MAX), |a, b| a || b),
        };
        assert_eq!(max_count(&ends, 1), None);
        let two = max_count(&ends, 2).unwrap();
        assert_eq!(
            two.v4.prefixes().collect::<Vec<_>>(),
            [Prefix::containing(0, 0)]
        );
        assert_eq!(
            two.v6.prefixes().collect::<Vec<_>>(),
            [Prefix::containing(0, 0)]
        );
        let three = max_count(&ends, 3).unwrap();
        assert_eq!(
            three.v4.prefixes().collect::<Vec<_>>(),
            [Prefix::containing(0, 0)]
        );
        assert_eq!(three.v6, ends.v6);
        assert_eq!(max_count(&ends, 4), Some(ends));
        assert_eq!(max_count(&IpSet::default(), 1), Some(IpSet::default()));
    }

    proptest! {
        #[test]
        fn no_cover_adds_fewer_addresses(
            given in proptest::collection::vec((0..256_u32, 26..=32_u32), 1..9),
            count in 1..6_usize,
        ) {
            let nets = given.iter().map(|&(n, length)| Prefix::containing(n, length).interval());
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

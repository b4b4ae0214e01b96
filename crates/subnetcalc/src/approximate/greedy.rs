//! Reduces the number of networks step by step. Each step merges the two neighbours into
//! their smallest common network that adds the fewest addresses.
//!
//! This is fast even for millions of networks, but a series of best steps is not always
//! the best series; see [`super::optimal`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bits::Bits;
use crate::interval::Interval;
use crate::ipset::IpSet;
use crate::prefix::Prefix;
use crate::set::IntervalSet;

/// Merges networks until there are at most `count` in both families together. Returns
/// `None` if that is impossible because both families are present and `count` is 1.
pub(super) fn max_count(set: &IpSet, count: u64) -> Option<IpSet> {
    let mut v4 = Merger::new(&set.v4);
    let mut v6 = Merger::new(&set.v6);
    while (v4.remaining + v6.remaining) as u64 > count {
        match (v4.cheapest(), v6.cheapest()) {
            (Some(a), Some(b)) if a <= b => v4.merge(),
            (_, Some(_)) => v6.merge(),
            (Some(_), None) => v4.merge(),
            (None, None) => return None,
        }
    }
    Some(IpSet {
        v4: v4.into_set(),
        v6: v6.into_set(),
    })
}

/// Two neighbours, ordered by cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    /// The number of addresses that merging them adds.
    cost: u128,
    /// The prefix length of the common network. Of equal costs the longest comes
    /// first, so that a network is merged with its own parts first.
    length: Reverse<u32>,
    /// The indices of the nodes.
    first: u32,
    second: u32,
    /// The prefix lengths of the nodes when the cost was computed. If they have
    /// changed, the pair is outdated.
    first_length: u32,
    second_length: u32,
}

/// The networks of one family as a linked list, and its neighbours by cost.
struct Merger<N> {
    nodes: Vec<Node<N>>,
    heap: BinaryHeap<Reverse<Pair>>,
    /// The number of networks that remain.
    remaining: usize,
}

/// A network in the linked list.
struct Node<N> {
    prefix: Prefix<N>,
    previous: Option<u32>,
    next: Option<u32>,
    is_removed: bool,
}

impl<N: Bits> Merger<N> {
    fn new(set: &IntervalSet<N>) -> Self {
        let mut nodes: Vec<Node<N>> = Vec::new();
        for (id, prefix) in (0_u32..).zip(set.prefixes()) {
            if let Some(last) = nodes.last_mut() {
                last.next = Some(id);
            }
            nodes.push(Node {
                prefix,
                previous: id.checked_sub(1),
                next: None,
                is_removed: false,
            });
        }
        let remaining = nodes.len();
        let mut merger = Self {
            nodes,
            heap: BinaryHeap::new(),
            remaining,
        };
        let ids = 0..remaining.saturating_sub(1) as u32;
        merger.heap = ids.filter_map(|id| merger.pair(id)).map(Reverse).collect();
        merger
    }

    fn node(&self, id: u32) -> &Node<N> {
        &self.nodes[id as usize]
    }

    /// Returns the pair of a network and the next one.
    fn pair(&self, id: u32) -> Option<Pair> {
        let a = self.node(id);
        let next = a.next?;
        let b = self.node(next);
        let merged = merged(a.prefix, b.prefix);
        let added = merged.total().saturating_sub(a.prefix.total());
        Some(Pair {
            cost: added.saturating_sub(b.prefix.total()).to_u128()?,
            length: Reverse(merged.length),
            first: id,
            second: next,
            first_length: a.prefix.length,
            second_length: b.prefix.length,
        })
    }

    /// Returns the cost of the cheapest pair, after removing outdated pairs.
    fn cheapest(&mut self) -> Option<u128> {
        while let Some(&Reverse(pair)) = self.heap.peek() {
            let (a, b) = (self.node(pair.first), self.node(pair.second));
            let are_neighbours = !a.is_removed && !b.is_removed && a.next == Some(pair.second);
            let lengths = (a.prefix.length, b.prefix.length);
            if are_neighbours && lengths == (pair.first_length, pair.second_length) {
                return Some(pair.cost);
            }
            self.heap.pop();
        }
        None
    }

    /// Merges the cheapest pair.
    fn merge(&mut self) {
        let Some(Reverse(pair)) = self.heap.pop() else {
            return;
        };
        let (a, b) = (pair.first, pair.second);
        let next = self.node(b).next;
        let prefix = merged(self.node(a).prefix, self.node(b).prefix);
        self.nodes[b as usize].is_removed = true;
        let node = &mut self.nodes[a as usize];
        node.prefix = prefix;
        node.next = next;
        let previous = node.previous;
        if let Some(next) = next {
            self.nodes[next as usize].previous = Some(a);
        }
        self.remaining -= 1;
        for id in previous.into_iter().chain([a]) {
            let pair = self.pair(id);
            self.heap.extend(pair.map(Reverse));
        }
    }

    fn into_set(self) -> IntervalSet<N> {
        let kept = self.nodes.into_iter().filter(|node| !node.is_removed);
        IntervalSet::new(kept.map(|node| node.prefix.interval()).collect())
    }
}

/// Returns the smallest network that contains two others.
fn merged<N: Bits>(a: Prefix<N>, b: Prefix<N>) -> Prefix<N> {
    Prefix::enclosing(Interval {
        first: a.first,
        last: b.last(),
    })
}

//! Finding an address among many intervals in a few nanoseconds.
//!
//! [`Index`] holds the places where something changes, sorted, and tells how
//! many of them lie at or before an address. The bits that all places share
//! are skipped; the next few choose a bucket of neighbours, and what is left
//! is a short search among those. [`Membership`] is the index of a set, where
//! an odd number means inside; [`Table`] is the index of nested networks laid
//! flat, where the number finds the longest match.

use crate::bits::Bits;
use crate::prefix::Prefix;
use crate::set::IntervalSet;

/// More buckets than this would not fit the cache.
const BUCKET_BITS_MAX: u32 = 18;
/// Up to here one after the other is quicker than halving.
const FEW: usize = 8;

/// Sorted places and a way to count those up to an address.
#[derive(Clone, Debug, Default)]
struct Index<N> {
    edges: Vec<N>,
    /// How many edges lie before each bucket, and behind the last one.
    buckets: Vec<u32>,
    /// Leading bits that all edges share.
    shared: u32,
    /// Bits that number the buckets.
    bits: u32,
}

impl<N: Bits> Index<N> {
    /// The edges must ascend strictly.
    fn new(edges: Vec<N>) -> Self {
        let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else {
            return Self::default();
        };
        let shared = (first ^ last).leading_zeros();
        let wanted = (2 * edges.len()).ilog2() + 1;
        let bits = wanted.min(BUCKET_BITS_MAX).min(N::WIDTH - shared);
        let mut index = Self {
            edges,
            buckets: Vec::new(),
            shared,
            bits,
        };
        if bits > 0 {
            let mut buckets = vec![0_u32; (1 << bits) + 1];
            for &edge in &index.edges {
                buckets[index.bucket(edge) + 1] += 1;
            }
            let mut before = 0;
            for bucket in &mut buckets {
                before += *bucket;
                *bucket = before;
            }
            index.buckets = buckets;
        }
        index
    }

    /// The bucket of an address that shares the shared bits.
    #[inline]
    fn bucket(&self, address: N) -> usize {
        ((address << self.shared) >> (N::WIDTH - self.bits)).widen() as usize
    }

    /// How many edges are at or before an address.
    #[inline]
    fn rank(&self, address: N) -> usize {
        match (self.edges.first(), self.edges.last()) {
            (Some(&first), Some(&last)) if first <= address => {
                if last <= address {
                    return self.edges.len();
                }
            }
            _ => return 0,
        }
        let bucket = self.bucket(address);
        let from = self.buckets[bucket] as usize;
        let to = self.buckets[bucket + 1] as usize;
        let near = &self.edges[from..to];
        if near.len() <= FEW {
            from + near.iter().filter(|&&edge| edge <= address).count()
        } else {
            from + near.partition_point(|&edge| edge <= address)
        }
    }
}

/// Whether addresses belong to a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Membership<N>(Index<N>);

impl<N: Bits> Membership<N> {
    /// The index of a set.
    pub(crate) fn new(set: &IntervalSet<N>) -> Self {
        Self(Index::new(set.edges().collect()))
    }

    /// Whether the set has no address.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.edges.is_empty()
    }

    /// Whether the set holds an address.
    #[inline]
    pub(crate) fn contains(&self, address: N) -> bool {
        self.0.rank(address) % 2 == 1
    }
}

/// No network.
const NONE: u32 = u32::MAX;

/// Networks, and which of those that hold an address is the longest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table<N> {
    index: Index<N>,
    /// The network after so many edges; one more than there are edges.
    owners: Vec<u32>,
    prefixes: Vec<Prefix<N>>,
}

impl<N: Bits> Table<N> {
    /// The table of networks in any order, with or without repeats.
    pub(crate) fn new(mut prefixes: Vec<Prefix<N>>) -> Self {
        // A network comes after all those it lies in.
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut flat = Flat::default();
        let mut open: Vec<u32> = Vec::new();
        let last = |id: u32| prefixes[id as usize].last();
        for (id, prefix) in (0..).zip(&prefixes) {
            while let Some(&inner) = open.last()
                && last(inner) < prefix.first
            {
                open.pop();
                flat.change(last(inner) + N::ONE, open.last().copied());
            }
            open.push(id);
            flat.change(prefix.first, Some(id));
        }
        while let Some(inner) = open.pop() {
            // At the end of the space nothing follows.
            if let Some(after) = last(inner).checked_add(N::ONE) {
                flat.change(after, open.last().copied());
            }
        }
        let mut owners = vec![NONE];
        owners.extend(&flat.owners);
        Self {
            index: Index::new(flat.edges),
            owners,
            prefixes,
        }
    }

    /// The longest network that holds an address, by its number.
    #[inline]
    pub(crate) fn find(&self, address: N) -> Option<usize> {
        match self.owners.get(self.index.rank(address)) {
            None | Some(&NONE) => None,
            Some(&id) => Some(id as usize),
        }
    }

    /// The networks by number: sorted, each once.
    pub(crate) fn prefixes(&self) -> &[Prefix<N>] {
        &self.prefixes
    }
}

/// The stretches between edges and which network owns each.
#[derive(Debug)]
struct Flat<N> {
    edges: Vec<N>,
    owners: Vec<u32>,
}

impl<N> Default for Flat<N> {
    fn default() -> Self {
        Self {
            edges: Vec::new(),
            owners: Vec::new(),
        }
    }
}

impl<N: Bits> Flat<N> {
    /// From here on the owner is another; of two at one place the later.
    fn change(&mut self, at: N, owner: Option<u32>) {
        let owner = owner.unwrap_or(NONE);
        if self.edges.last() == Some(&at) {
            if let Some(last) = self.owners.last_mut() {
                *last = owner;
            }
        } else {
            self.edges.push(at);
            self.owners.push(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn longest<N: Bits>(prefixes: &[Prefix<N>], address: N) -> Option<Prefix<N>> {
        prefixes
            .iter()
            .filter(|p| p.first <= address && address <= p.last())
            .max_by_key(|p| p.length)
            .copied()
    }

    fn check<N: Bits>(prefixes: &[Prefix<N>], others: &[N]) {
        let table = Table::new(prefixes.to_vec());
        let set = IntervalSet::new(prefixes.iter().map(|p| p.interval()).collect());
        let member = Membership::new(&set);
        let near = |n: N| [n.checked_sub(N::ONE), Some(n), n.checked_add(N::ONE)];
        let ends = prefixes.iter().flat_map(|p| [p.first, p.last()]);
        let mut probes: Vec<N> = ends.flat_map(near).flatten().collect();
        probes.extend(others);
        probes.extend([N::ZERO, N::MAX]);
        for address in probes {
            let found = table.find(address).map(|id| table.prefixes()[id]);
            assert_eq!(found, longest(prefixes, address), "{}", address.ip());
            assert_eq!(
                member.contains(address),
                found.is_some(),
                "{}",
                address.ip()
            );
        }
    }

    #[test]
    fn small_tables() {
        check::<u32>(&[], &[1]);
        check(&[Prefix::of(0_u32, 0)], &[7]);
        check(&[Prefix::of(0_u128, 0), Prefix::of(u128::MAX, 128)], &[7]);
        check(&[Prefix::of(u32::MAX, 32)], &[7]);
        check(
            &[
                Prefix::of(1 << 31, 1),
                Prefix::of(0_u32, 1),
                Prefix::of(0, 2),
            ],
            &[],
        );
        assert!(Membership::new(&IntervalSet::<u32>::default()).is_empty());
    }

    #[test]
    fn many_neighbours_in_one_bucket() {
        let prefixes: Vec<_> = (0..2000_u128)
            .map(|n| Prefix::of(n * 2, 128))
            .chain([Prefix::of(1 << 127, 1)])
            .collect();
        check(&prefixes, &[]);
        let set = IntervalSet::new(prefixes.iter().map(|p| p.interval()).collect());
        assert!(Membership::new(&set).contains(3998));
        assert!(!Membership::new(&set).contains(3999));
    }

    proptest! {
        #[test]
        fn as_searching_them_all(
            v4 in proptest::collection::vec((any::<u32>(), 0..=32_u32), 0..60),
            near in proptest::collection::vec((0..4096_u32, 20..=32_u32), 0..60),
            v6 in proptest::collection::vec((any::<u128>(), 0..=128_u32), 0..60),
            probes: Vec<u32>, wide: Vec<u128>,
        ) {
            let mut nets: Vec<_> = v4.into_iter().map(|(a, l)| Prefix::of(a, l)).collect();
            nets.extend(near.into_iter().map(|(a, l)| Prefix::of(0x0a00_0000 | a, l)));
            check(&nets, &probes);
            let nets: Vec<_> = v6.into_iter().map(|(a, l)| Prefix::of(a, l)).collect();
            check(&nets, &wide);
        }
    }
}

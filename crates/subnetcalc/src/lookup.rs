//! Fast lookups of an address among many intervals.
//!
//! [`Index`] has the sorted edges of intervals and returns how many of them are at or
//! below an address, the rank of the address. It skips the bits that all edges share
//! and uses the next bits to select a bucket, so that only a few neighbours are
//! searched.
//!
//! [`Membership`] is the index of a set, in which an odd rank means that the set
//! contains the address. [`SegmentTable`] is the index of networks and ranges that are
//! divided into disjoint segments; the rank gives the most specific of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bits::Bits;
use crate::interval::{Interval, sort_intervals};
use crate::set::IntervalSet;

/// The maximum number of bits for buckets: with more, the buckets would not fit in the
/// cache.
const MAX_BUCKET_BITS: u32 = 18;
/// The maximum number of edges that are compared one by one, which is faster than a
/// binary search up to this number.
const MAX_LINEAR_EDGES: usize = 4;

/// Sorted edges that can be counted up to an address.
#[derive(Clone, Debug, Default)]
struct Index<N> {
    /// The edges, and [`MAX_LINEAR_EDGES`] more that are never counted, so that this number can
    /// always be compared.
    edges: Vec<N>,
    /// The number of edges that are counted.
    len: usize,
    /// The number of edges before each bucket, followed by the number of all edges.
    buckets: Vec<u32>,
    /// The number of leading bits that all edges share.
    shared: u32,
    /// The number of bits that select a bucket.
    bits: u32,
}

impl<N: Bits> Index<N> {
    /// Creates an index of edges, which must be in strictly ascending order.
    fn new(mut edges: Vec<N>) -> Self {
        let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else {
            return Self::default();
        };
        let shared = (first ^ last).leading_zeros();
        let wanted = (2 * edges.len()).ilog2() + 1;
        let bits = wanted.min(MAX_BUCKET_BITS).min(N::WIDTH - shared);
        let len = edges.len();
        edges.extend([N::MAX; MAX_LINEAR_EDGES]);
        let mut index = Self {
            edges,
            len,
            buckets: Vec::new(),
            shared,
            bits,
        };
        if bits > 0 {
            let mut buckets = vec![0_u32; (1 << bits) + 1];
            for &edge in &index.edges[..len] {
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

    /// Returns the first `bits` bits after the shared ones.
    #[inline]
    fn distinct_bits(&self, address: N, bits: u32) -> usize {
        ((address << self.shared) >> (N::WIDTH - bits)).widen() as usize
    }

    /// Returns the bucket of an address that has the shared bits.
    #[inline]
    fn bucket(&self, address: N) -> usize {
        self.distinct_bits(address, self.bits)
    }

    /// Returns whether an address is between the first and the last edge. If so, it has
    /// the shared bits.
    #[inline]
    fn spans(&self, address: N) -> bool {
        match (self.edges.first(), self.edges.get(self.len.wrapping_sub(1))) {
            (Some(&first), Some(&last)) => first <= address && address < last,
            _ => false,
        }
    }

    /// Returns the range of the edges that must be compared with an address.
    #[inline]
    fn candidates(&self, address: N) -> (u32, u32) {
        match (self.edges.first(), self.edges.get(self.len.wrapping_sub(1))) {
            (Some(&first), Some(&last)) if first <= address => {
                if last <= address {
                    return (self.len as u32, self.len as u32);
                }
            }
            _ => return (0, 0),
        }
        let bucket = self.bucket(address);
        (self.buckets[bucket], self.buckets[bucket + 1])
    }

    /// Returns the rank of an address, given its candidates.
    #[inline]
    fn search(&self, address: N, (from, to): (u32, u32)) -> usize {
        let (from, length) = (from as usize, (to - from) as usize);
        let near = &self.edges[from..];
        if let (true, Some(near)) = (
            length <= MAX_LINEAR_EDGES,
            near.first_chunk::<MAX_LINEAR_EDGES>(),
        ) {
            // Comparing a fixed number of edges avoids mispredicted branches.
            let before = |at: usize| usize::from(at < length && near[at] <= address);
            // An iterator would be a call in a build that is optimized for size.
            const { assert!(MAX_LINEAR_EDGES == 4) };
            from + before(0) + before(1) + before(2) + before(3)
        } else {
            from + near[..length].partition_point(|&edge| edge <= address)
        }
    }

    /// Returns the rank of an address: the number of edges at or below it.
    #[inline]
    fn rank(&self, address: N) -> usize {
        self.search(address, self.candidates(address))
    }
}

/// Which addresses of a block are in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    /// The set contains no address of the block.
    Outside,
    /// The set contains all addresses of the block.
    Inside,
    /// The block has an edge of the set, so the index must be searched.
    Mixed,
}

/// The maximum number of bits of a block's index: the table of blocks fits in the cache
/// of a core.
const MAX_BLOCK_BITS: u32 = 19;

/// Answers whether a set contains an address.
///
/// The space between the first and the last edge is divided into blocks of equal
/// size. Their table answers for most addresses. Unlike the edges of a large set, it
/// fits in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Membership<N> {
    index: Index<N>,
    blocks: Vec<Coverage>,
    /// The number of bits that select a block.
    bits: u32,
}

impl<N: Bits> Default for Membership<N> {
    fn default() -> Self {
        Self::new(&IntervalSet::default())
    }
}

impl<N: Bits> Membership<N> {
    /// Creates the index of a set.
    pub(crate) fn new(set: &IntervalSet<N>) -> Self {
        let index = Index::new(set.edges().collect());
        let wanted = (index.len + 1).ilog2() + 4;
        let bits = wanted.min(MAX_BLOCK_BITS).min(N::WIDTH - index.shared);
        let mut blocks = Vec::new();
        if bits > 0 && index.len > 0 {
            blocks = vec![Coverage::Outside; 1 << bits];
            let (mut inside, mut from) = (false, 0);
            for &edge in &index.edges[..index.len] {
                let at = index.distinct_bits(edge, bits);
                if inside && from < at {
                    blocks[from..at].fill(Coverage::Inside);
                }
                blocks[at] = Coverage::Mixed;
                from = at + 1;
                inside = !inside;
            }
        }
        Self {
            index,
            blocks,
            bits,
        }
    }

    /// Returns whether the set is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.len == 0
    }

    /// Returns whether the set contains an address.
    #[inline]
    pub(crate) fn contains(&self, address: N) -> bool {
        if self.index.spans(address) {
            match self.blocks[self.index.distinct_bits(address, self.bits)] {
                Coverage::Outside => return false,
                Coverage::Inside => return true,
                Coverage::Mixed => {}
            }
        }
        self.index.rank(address) % 2 == 1
    }
}

/// Finds the most specific of the networks and ranges that contain an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentTable<N> {
    index: Index<N>,
    /// For each rank, the index of the most specific member, or the number of members for
    /// a segment outside of all members.
    owners: Vec<u32>,
    members: Vec<Interval<N>>,
}

impl<N: Bits> SegmentTable<N> {
    /// Creates a table of networks and ranges in any order, with or without repeats.
    /// If two overlap, the one with fewer addresses is more specific. If these numbers
    /// are equal, the one with the higher first address is more specific.
    pub(crate) fn new(mut members: Vec<Interval<N>>) -> Self {
        sort_intervals(&mut members);
        members.dedup();
        let mut segments = Segments::default();
        // The members that start at or before the current edge, the most specific one
        // on top. The top contains the edge, but others may have ended.
        let mut open: BinaryHeap<Reverse<(N, Reverse<u32>)>> = BinaryHeap::new();
        let member = |id: u32| members[id as usize];
        let top = |open: &BinaryHeap<Reverse<(N, Reverse<u32>)>>| {
            open.peek().map(|&Reverse((_, Reverse(id)))| id)
        };
        let mut next = 0_u32;
        loop {
            let start = members.get(next as usize).map(|member| member.first);
            match (top(&open), start) {
                (Some(id), start) if start.is_none_or(|start| member(id).last < start) => {
                    // No segment follows the end of the address space.
                    let Some(edge) = member(id).last.checked_add(N::ONE) else {
                        break;
                    };
                    while let Some(id) = top(&open)
                        && member(id).last < edge
                    {
                        open.pop();
                    }
                    segments.start(edge, top(&open));
                }
                (_, Some(start)) => {
                    while let Some(member) = members.get(next as usize)
                        && member.first == start
                    {
                        open.push(Reverse((member.last - member.first, Reverse(next))));
                        next += 1;
                    }
                    segments.start(start, top(&open));
                }
                // Without a further start, the first arm matches any open member.
                (_, None) => break,
            }
        }
        let none = members.len() as u32;
        let owners = std::iter::once(None).chain(segments.owners);
        let owners = owners.map(|owner| owner.unwrap_or(none)).collect();
        Self {
            index: Index::new(segments.edges),
            owners,
            members,
        }
    }

    /// Returns the index of the most specific member that contains an address, or the
    /// number of members if none does.
    #[inline]
    pub(crate) fn find(&self, address: N) -> usize {
        self.owners[self.index.rank(address)] as usize
    }

    /// Calls [`SegmentTable::find`] for many addresses and stores the results as the
    /// first numbers of `found`. Each step is done for all addresses before the next
    /// one, so that the processor can load from many places in memory at a time.
    pub(crate) fn find_all(&self, addresses: &[N], found: &mut Vec<(u32, u32)>) {
        found.clear();
        found.extend(
            addresses
                .iter()
                .map(|&address| self.index.candidates(address)),
        );
        for (result, &address) in found.iter_mut().zip(addresses) {
            result.0 = self.index.search(address, *result) as u32;
        }
        for result in found {
            result.0 = self.owners[result.0 as usize];
        }
    }

    /// Returns the members in order. Each occurs once.
    pub(crate) fn members(&self) -> &[Interval<N>] {
        &self.members
    }
}

/// Disjoint segments of the address space, each with the member that owns it.
#[derive(Debug)]
struct Segments<N> {
    edges: Vec<N>,
    owners: Vec<Option<u32>>,
}

impl<N> Default for Segments<N> {
    fn default() -> Self {
        Self {
            edges: Vec::new(),
            owners: Vec::new(),
        }
    }
}

impl<N: Bits> Segments<N> {
    /// Starts a segment. It replaces a segment that starts at the same address.
    fn start(&mut self, edge: N, owner: Option<u32>) {
        if self.edges.last() == Some(&edge) {
            if let Some(last) = self.owners.last_mut() {
                *last = owner;
            }
        } else {
            self.edges.push(edge);
            self.owners.push(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Prefix;
    use proptest::prelude::*;

    fn most_specific<N: Bits>(members: &[Interval<N>], address: N) -> Option<Interval<N>> {
        members
            .iter()
            .filter(|m| m.first <= address && address <= m.last)
            .min_by_key(|m| (m.last - m.first, Reverse(m.first)))
            .copied()
    }

    fn check<N: Bits>(prefixes: &[Prefix<N>], others: &[N]) {
        let members: Vec<_> = prefixes.iter().map(|p| p.interval()).collect();
        check_members(&members, others);
    }

    fn check_members<N: Bits>(members: &[Interval<N>], others: &[N]) {
        let table = SegmentTable::new(members.to_vec());
        let set = IntervalSet::new(members.to_vec());
        let member = Membership::new(&set);
        let near = |n: N| [n.checked_sub(N::ONE), Some(n), n.checked_add(N::ONE)];
        let ends = members.iter().flat_map(|m| [m.first, m.last]);
        let mut probes: Vec<N> = ends.flat_map(near).flatten().collect();
        probes.extend(others);
        probes.extend([N::ZERO, N::MAX]);
        let mut all = Vec::new();
        table.find_all(&probes, &mut all);
        for (address, (id, _)) in probes.into_iter().zip(all) {
            assert_eq!(id as usize, table.find(address));
            let found = table.members().get(table.find(address)).copied();
            assert_eq!(found, most_specific(members, address), "{}", address.ip());
            assert_eq!(
                member.contains(address),
                found.is_some(),
                "{}",
                address.ip()
            );
        }
    }

    #[test]
    fn small_tables_are_searched() {
        check::<u32>(&[], &[1]);
        check(&[Prefix::containing(0_u32, 0)], &[7]);
        check(
            &[
                Prefix::containing(0_u128, 0),
                Prefix::containing(u128::MAX, 128),
            ],
            &[7],
        );
        check(&[Prefix::containing(u32::MAX, 32)], &[7]);
        check(
            &[
                Prefix::containing(1 << 31, 1),
                Prefix::containing(0_u32, 1),
                Prefix::containing(0, 2),
            ],
            &[],
        );
        assert!(Membership::new(&IntervalSet::<u32>::default()).is_empty());
    }

    #[test]
    fn a_bucket_can_have_many_edges() {
        let prefixes: Vec<_> = (0..2000_u128)
            .map(|n| Prefix::containing(n * 2, 128))
            .chain([Prefix::containing(1 << 127, 1)])
            .collect();
        check(&prefixes, &[]);
        let set = IntervalSet::new(prefixes.iter().map(|p| p.interval()).collect());
        assert!(Membership::new(&set).contains(3998));
        assert!(!Membership::new(&set).contains(3999));
    }

    proptest! {
        #[test]
        fn a_search_of_all_members_returns_the_same(
            v4 in proptest::collection::vec((any::<u32>(), 0..=32_u32), 0..60),
            near in proptest::collection::vec((0..4096_u32, 20..=32_u32), 0..60),
            v6 in proptest::collection::vec((any::<u128>(), 0..=128_u32), 0..60),
            ranges in proptest::collection::vec((0..64_u32, 0..64_u32), 0..20),
            probes: Vec<u32>, wide: Vec<u128>,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(a, b)| Interval {
                first: a.min(b),
                last: a.max(b),
            }).collect();
            check_members(&ranges, &(0..65).collect::<Vec<_>>());
            let high: Vec<_> = ranges.iter().map(|m| Interval {
                first: u128::MAX - u128::from(m.last),
                last: u128::MAX - u128::from(m.first),
            }).collect();
            check_members(&high, &[]);
            let mut nets: Vec<_> = v4.into_iter().map(|(a, l)| Prefix::containing(a, l)).collect();
            nets.extend(near.into_iter().map(|(a, l)| Prefix::containing(0x0a00_0000 | a, l)));
            check(&nets, &probes);
            let nets: Vec<_> = v6.into_iter().map(|(a, l)| Prefix::containing(a, l)).collect();
            check(&nets, &wide);
        }
    }
}

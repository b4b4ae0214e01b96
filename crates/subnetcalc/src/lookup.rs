//! Finding an address among many intervals in a few nanoseconds.
//!
//! [`Index`] holds the places where something changes, sorted, and tells how
//! many of them lie at or before an address. The bits that all places share
//! are skipped; the next few choose a bucket of neighbours, and what is left
//! is a short search among those. [`Membership`] is the index of a set, where
//! an odd number means inside; [`Table`] is the index of networks and ranges laid
//! flat, where the number finds the most specific one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bits::Bits;
use crate::set::{Interval, IntervalSet, in_order};

/// More buckets than this would not fit the cache.
const BUCKET_BITS_MAX: u32 = 18;
/// Up to so many all are compared, which is quicker than halving.
const FEW: usize = 4;

/// Sorted places and a way to count those up to an address.
#[derive(Clone, Debug, Default)]
struct Index<N> {
    /// Behind the last edge some more that are never counted, so that a few
    /// can always be compared at once.
    edges: Vec<N>,
    /// How many edges there are without those.
    len: usize,
    /// How many edges lie before each bucket, and behind the last one.
    buckets: Vec<u32>,
    /// Leading bits that all edges share.
    shared: u32,
    /// Bits that number the buckets.
    bits: u32,
}

impl<N: Bits> Index<N> {
    /// The edges must ascend strictly.
    fn new(mut edges: Vec<N>) -> Self {
        let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else {
            return Self::default();
        };
        let shared = (first ^ last).leading_zeros();
        let wanted = (2 * edges.len()).ilog2() + 1;
        let bits = wanted.min(BUCKET_BITS_MAX).min(N::WIDTH - shared);
        let len = edges.len();
        edges.extend([N::MAX; FEW]);
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

    /// The first `bits` bits behind the shared ones.
    #[inline]
    fn number(&self, address: N, bits: u32) -> usize {
        ((address << self.shared) >> (N::WIDTH - bits)).widen() as usize
    }

    /// The bucket of an address that shares the shared bits.
    #[inline]
    fn bucket(&self, address: N) -> usize {
        self.number(address, self.bits)
    }

    /// Whether an address lies between the first edge and the last, and so
    /// shares the shared bits.
    #[inline]
    fn surrounds(&self, address: N) -> bool {
        match (self.edges.first(), self.edges.get(self.len.wrapping_sub(1))) {
            (Some(&first), Some(&last)) => first <= address && address < last,
            _ => false,
        }
    }

    /// Which edges are left to compare with an address: from, to.
    #[inline]
    fn span(&self, address: N) -> (u32, u32) {
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

    /// How many edges are at or before an address, given its span.
    #[inline]
    fn search(&self, address: N, (from, to): (u32, u32)) -> usize {
        let (from, length) = (from as usize, (to - from) as usize);
        let near = &self.edges[from..];
        if let (true, Some(near)) = (length <= FEW, near.first_chunk::<FEW>()) {
            // All are compared, whatever their number: no branch to guess.
            let before = |at: usize| usize::from(at < length && near[at] <= address);
            from + (0..FEW).map(before).sum::<usize>()
        } else {
            from + near[..length].partition_point(|&edge| edge <= address)
        }
    }

    /// How many edges are at or before an address.
    #[inline]
    fn rank(&self, address: N) -> usize {
        self.search(address, self.span(address))
    }
}

/// What is known of all addresses of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Outside,
    Inside,
    /// There is an edge in it: look closer.
    Mixed,
}

/// Stretches are counted in bits: so many that they fit a core's own cache,
/// and so few that they are made in no time for a small set.
const STRETCH_BITS_MAX: u32 = 19;

/// Whether addresses belong to a set.
///
/// Before the index a table of equal stretches answers for most addresses:
/// it is small enough to be near, which the edges of a large set are not.
#[derive(Clone, Debug)]
pub(crate) struct Membership<N> {
    index: Index<N>,
    stretches: Vec<Stretch>,
    bits: u32,
}

impl<N: Bits> Default for Membership<N> {
    fn default() -> Self {
        Self::new(&IntervalSet::default())
    }
}

impl<N: Bits> Membership<N> {
    /// The index of a set.
    pub(crate) fn new(set: &IntervalSet<N>) -> Self {
        let index = Index::new(set.edges().collect());
        let wanted = (index.len + 1).ilog2() + 4;
        let bits = wanted.min(STRETCH_BITS_MAX).min(N::WIDTH - index.shared);
        let mut stretches = Vec::new();
        if bits > 0 && index.len > 0 {
            stretches = vec![Stretch::Outside; 1 << bits];
            let (mut inside, mut from) = (false, 0);
            for &edge in &index.edges[..index.len] {
                let at = index.number(edge, bits);
                if inside && from < at {
                    stretches[from..at].fill(Stretch::Inside);
                }
                stretches[at] = Stretch::Mixed;
                from = at + 1;
                inside = !inside;
            }
        }
        Self {
            index,
            stretches,
            bits,
        }
    }

    /// Whether the set has no address.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.len == 0
    }

    /// Whether the set holds an address.
    #[inline]
    pub(crate) fn contains(&self, address: N) -> bool {
        if self.index.surrounds(address) {
            match self.stretches[self.index.number(address, self.bits)] {
                Stretch::Outside => return false,
                Stretch::Inside => return true,
                Stretch::Mixed => {}
            }
        }
        self.index.rank(address) % 2 == 1
    }
}

/// Networks and ranges, and which of those that hold an address is the most
/// specific.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table<N> {
    index: Index<N>,
    /// The member after so many edges; one more than there are edges.
    owners: Vec<u32>,
    members: Vec<Interval<N>>,
}

impl<N: Bits> Table<N> {
    /// The table of networks and ranges in any order, with or without repeats.
    /// Of two that overlap in part the one with fewer addresses is the more
    /// specific, of equally large ones the later.
    pub(crate) fn new(mut members: Vec<Interval<N>>) -> Self {
        in_order(&mut members);
        members.dedup();
        let mut flat = Flat::default();
        // The members that may hold the place reached, the most specific one on
        // top. That one does; one below may have ended.
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
                    // At the end of the space nothing follows.
                    let Some(at) = member(id).last.checked_add(N::ONE) else {
                        break;
                    };
                    while let Some(id) = top(&open)
                        && member(id).last < at
                    {
                        open.pop();
                    }
                    flat.change(at, top(&open));
                }
                (_, Some(start)) => {
                    while let Some(member) = members.get(next as usize)
                        && member.first == start
                    {
                        open.push(Reverse((member.last - member.first, Reverse(next))));
                        next += 1;
                    }
                    flat.change(start, top(&open));
                }
                // Without a start the guard of the first arm holds.
                (_, None) => break,
            }
        }
        let none = members.len() as u32;
        let owners = std::iter::once(None).chain(flat.owners);
        let owners = owners.map(|owner| owner.unwrap_or(none)).collect();
        Self {
            index: Index::new(flat.edges),
            owners,
            members,
        }
    }

    /// The most specific member that holds an address, by its number; the number
    /// of members if none does.
    #[inline]
    pub(crate) fn find(&self, address: N) -> usize {
        self.owners[self.index.rank(address)] as usize
    }

    /// [`Table::find`] of many at once. Each step is taken for all addresses
    /// before the next one, so that the processor can wait for many places
    /// in memory at the same time.
    pub(crate) fn find_all(&self, addresses: &[N], spans: &mut Vec<(u32, u32)>) {
        spans.clear();
        spans.extend(addresses.iter().map(|&address| self.index.span(address)));
        for (span, &address) in spans.iter_mut().zip(addresses) {
            span.0 = self.index.search(address, *span) as u32;
        }
        for span in spans {
            span.0 = self.owners[span.0 as usize];
        }
    }

    /// The members by number: sorted, each once.
    pub(crate) fn members(&self) -> &[Interval<N>] {
        &self.members
    }
}

/// The stretches between edges and which network owns each.
#[derive(Debug)]
struct Flat<N> {
    edges: Vec<N>,
    owners: Vec<Option<u32>>,
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
        let table = Table::new(members.to_vec());
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
            let mut nets: Vec<_> = v4.into_iter().map(|(a, l)| Prefix::of(a, l)).collect();
            nets.extend(near.into_iter().map(|(a, l)| Prefix::of(0x0a00_0000 | a, l)));
            check(&nets, &probes);
            let nets: Vec<_> = v6.into_iter().map(|(a, l)| Prefix::of(a, l)).collect();
            check(&nets, &wide);
        }
    }
}

//! [`Members`]: collects the networks, addresses and ranges of a SET.
//!
//! The caller chooses how much to keep of them ([`Keep`]). Unless it keeps all, memory
//! follows the number of different members: new ones are collected in a list that is
//! sorted and merged into the list of the others when it has grown long.

use common::address::Family;
use ipnet::IpNet;

use crate::bits::Bits;
use crate::operand::Rules;
use crate::parse::{AnyMember, Member};
use crate::set::{Interval, IntervalSet, merge_touching, sort_intervals};

/// The minimum number of new members that are merged with the others.
const RUN: usize = if cfg!(test) { 1 << 10 } else { 1 << 19 };

/// How much to keep of the members of a SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The addresses, but not the members that they came from.
    Union,
    /// Each member once, with ranges in a list of their own.
    Distinct,
    /// All members, with ranges and plain addresses in lists of their own.
    All,
}

/// The members of a SET.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) v4: FamilyMembers<u32>,
    pub(crate) v6: FamilyMembers<u128>,
    /// The rules that members must follow.
    pub(crate) rules: Rules,
    /// The first network with host bits set, as it was written.
    pub(crate) host_bits: Option<IpNet>,
}

/// The members of one family. Those that [`Keep`] does not keep apart are all in
/// `networks`.
#[derive(Debug)]
pub(crate) struct FamilyMembers<N> {
    keep: Keep,
    networks: Runs<N>,
    ranges: Runs<N>,
    addresses: Vec<N>,
}

impl Members {
    /// Creates an empty collection. [`Members::add`] follows the rules.
    pub(crate) fn new(keep: Keep, rules: Rules) -> Self {
        Self {
            v4: FamilyMembers::new(keep),
            v6: FamilyMembers::new(keep),
            rules,
            host_bits: None,
        }
    }

    /// Adds a member unless it is of a family that is ignored. Returns `false` if it
    /// has host bits set and the rules refuse them.
    pub(crate) fn add(&mut self, member: AnyMember) -> bool {
        match member {
            AnyMember::V4(_) if self.rules.family == Family::V6 => true,
            AnyMember::V6(_) if self.rules.family == Family::V4 => true,
            AnyMember::V4(member) => {
                note_host_bits(member, &mut self.host_bits);
                self.v4.add(member, self.rules.strict)
            }
            AnyMember::V6(member) => {
                note_host_bits(member, &mut self.host_bits);
                self.v6.add(member, self.rules.strict)
            }
        }
    }
}

/// Notes the first network with host bits set.
#[inline]
fn note_host_bits<N: Bits>(member: Member<N>, noted: &mut Option<IpNet>) {
    if let Member::Network(address, length) = member
        && address & N::host_mask(length) != N::ZERO
        && noted.is_none()
    {
        *noted = IpNet::new(address.ip(), length as u8).ok();
    }
}

impl<N: Bits> FamilyMembers<N> {
    fn new(keep: Keep) -> Self {
        Self {
            keep,
            networks: Runs::default(),
            ranges: Runs::default(),
            addresses: Vec::new(),
        }
    }

    /// Adds a member. Returns `false` if `strict` refuses its host bits.
    #[inline]
    fn add(&mut self, member: Member<N>, strict: bool) -> bool {
        let Some(interval) = member.interval(strict) else {
            return false;
        };
        match (self.keep, member) {
            (Keep::All, Member::Address(address)) => self.addresses.push(address),
            (Keep::All | Keep::Distinct, Member::Range(..)) => {
                self.ranges.push(interval, self.keep);
            }
            _ => self.networks.push(interval, self.keep),
        }
        true
    }

    /// Returns the addresses of all members.
    pub(crate) fn into_set(self) -> IntervalSet<N> {
        let mut all = self.networks.finish(self.keep);
        all.extend(self.ranges.finish(self.keep));
        all.extend(self.addresses.iter().map(|&address| Interval {
            first: address,
            last: address,
        }));
        IntervalSet::new(all)
    }

    /// Returns the networks, the ranges and the plain addresses, unsorted.
    pub(crate) fn into_lists(self) -> (Vec<Interval<N>>, Vec<Interval<N>>, Vec<N>) {
        let networks = self.networks.finish(self.keep);
        let ranges = self.ranges.finish(self.keep);
        (networks, ranges, self.addresses)
    }
}

/// A list of intervals in two runs: a sorted one, and one of recent intervals.
#[derive(Clone, Debug, Default)]
struct Runs<N> {
    sorted: Vec<Interval<N>>,
    recent: Vec<Interval<N>>,
}

impl<N: Bits> Runs<N> {
    /// Adds an interval, and merges the runs if the recent one has grown long.
    #[inline]
    fn push(&mut self, interval: Interval<N>, keep: Keep) {
        self.recent.push(interval);
        // With this limit each member is merged only a few times, and the recent run
        // has at most half the size of the sorted one.
        if self.recent.len() >= RUN.max(self.sorted.len() / 2) && keep != Keep::All {
            self.merge(keep);
        }
    }

    /// Merges the recent run into the sorted one.
    #[cold]
    fn merge(&mut self, keep: Keep) {
        let mut recent = std::mem::take(&mut self.recent);
        sort_intervals(&mut recent);
        // Removing repeats first keeps the sorted run from growing by them.
        normalize(&mut recent, keep);
        merge_sorted(&mut self.sorted, &recent);
        normalize(&mut self.sorted, keep);
    }

    /// Returns all intervals, unsorted if they were never merged.
    fn finish(mut self, keep: Keep) -> Vec<Interval<N>> {
        if self.sorted.is_empty() {
            return self.recent;
        }
        self.merge(keep);
        self.sorted
    }
}

/// Merges sorted intervals that touch, or only removes repeats if members are kept.
fn normalize<N: Bits>(list: &mut Vec<Interval<N>>, keep: Keep) {
    if keep == Keep::Union {
        merge_touching(list);
    } else {
        list.dedup();
    }
}

/// Merges a sorted list into another sorted list.
fn merge_sorted<N: Bits>(list: &mut Vec<Interval<N>>, other: &[Interval<N>]) {
    let key = |interval: &Interval<N>| N::pair(interval.first, !interval.last);
    let mut remaining = list.len();
    list.reserve_exact(other.len());
    list.resize(remaining + other.len(), Interval::default());
    // Starting from the end, no interval is overwritten before it has moved.
    let mut others = other;
    while let Some((last, before)) = others.split_last() {
        let to = remaining + others.len() - 1;
        if remaining > 0 && key(&list[remaining - 1]) > key(last) {
            list[to] = list[remaining - 1];
            remaining -= 1;
        } else {
            list[to] = *last;
            others = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn members_of(keep: Keep, numbers: impl Iterator<Item = u32>) -> Members {
        let mut members = Members::new(keep, Rules::default());
        for n in numbers {
            assert!(members.add(AnyMember::V4(Member::Network(n * 2, 32))));
            assert!(members.add(AnyMember::V6(Member::Range(u128::from(n), 1 << 100))));
        }
        members
    }

    #[test]
    fn repeated_members_take_no_memory() {
        let count = 5 * RUN as u32;
        for keep in [Keep::Union, Keep::Distinct] {
            let members = members_of(keep, (0..count).map(|n| n * 7 % 1000));
            assert!(members.v4.networks.sorted.len() <= 1000);
            let runs = [&members.v6.networks, &members.v6.ranges];
            assert!(runs.iter().all(|runs| runs.recent.len() < RUN));
            let (networks, ranges, addresses) = members.v4.into_lists();
            assert_eq!(
                (networks.len(), ranges.len(), addresses.len()),
                (1000, 0, 0)
            );
            let (networks, ranges, _) = members.v6.into_lists();
            let expected = if keep == Keep::Union {
                (1, 0)
            } else {
                (0, 1000)
            };
            assert_eq!((networks.len(), ranges.len()), expected);
        }
        let members = members_of(Keep::All, (0..count).map(|n| n % 1000));
        assert_eq!(members.v4.into_lists().0.len(), count as usize);
    }

    #[test]
    fn merging_keeps_every_member() {
        let count = 5 * RUN as u32 + 17;
        // The numbers are neither ascending nor in ascending runs.
        let numbers = || (0..count).map(|n| (u64::from(n) * 7919 % u64::from(count)) as u32);
        let set = members_of(Keep::Union, numbers()).v4.into_set();
        assert_eq!(set.intervals().len(), count as usize);
        let (mut networks, ..) = members_of(Keep::Distinct, numbers()).v4.into_lists();
        sort_intervals(&mut networks);
        let firsts = networks.iter().map(|network| network.first);
        assert!(firsts.eq((0..count).map(|n| n * 2)));
    }

    #[test]
    fn networks_ranges_and_addresses_are_kept_apart() {
        let mut members = Members::new(Keep::All, Rules::default());
        for text in [
            "10.0.0.1",
            "10.0.0.1/32",
            "10.0.0.0-10.0.0.255",
            "::1",
            "10.0.0.9/24",
        ] {
            assert!(
                members.add(parse::fast_member(text.as_bytes()).unwrap()),
                "{text}"
            );
        }
        let (networks, ranges, addresses) = members.v4.into_lists();
        assert_eq!((networks.len(), ranges.len(), addresses.len()), (2, 1, 1));
        assert_eq!(members.v6.into_lists().2, [1]);
    }
}

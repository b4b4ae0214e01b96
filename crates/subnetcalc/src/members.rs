//! [`Members`]: collects the networks, addresses and ranges of a SET.
//!
//! [`Keep`] selects how much is kept of them. Except with [`Keep::All`], memory is
//! proportional to the number of distinct members: a list that has grown to four
//! times its size without repeats is sorted, and its repeats are removed.

use common::address::Family;
use ipnet::IpNet;

use crate::bits::Bits;
use crate::interval::{Interval, merge_touching, sort_intervals};
use crate::operand::Rules;
use crate::parse::{AnyMember, Member};
use crate::set::IntervalSet;

/// The size in bytes up to which a list may have any number of repeats.
const MIN_LIMIT: usize = if cfg!(test) { 1 << 13 } else { 1 << 23 };

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
    /// The rules by which members are parsed.
    pub(crate) rules: Rules,
    /// The first network with host bits set, as it was written.
    pub(crate) host_bits: Option<IpNet>,
}

/// The members of one family. Members that [`Keep`] does not separate are
/// in `networks`.
#[derive(Debug)]
pub(crate) struct FamilyMembers<N> {
    keep: Keep,
    networks: DistinctList<N>,
    ranges: DistinctList<N>,
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
                record_host_bits(member, &mut self.host_bits);
                self.v4.add(member, self.rules.strict)
            }
            AnyMember::V6(member) => {
                record_host_bits(member, &mut self.host_bits);
                self.v6.add(member, self.rules.strict)
            }
        }
    }
}

/// Notes the first network with host bits set.
#[inline]
fn record_host_bits<N: Bits>(member: Member<N>, noted: &mut Option<IpNet>) {
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
            networks: DistinctList::default(),
            ranges: DistinctList::default(),
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
        let mut all = self.networks.intervals;
        all.extend(self.ranges.intervals);
        all.extend(self.addresses.iter().map(|&address| Interval {
            first: address,
            last: address,
        }));
        IntervalSet::new(all)
    }

    /// Returns the networks, the ranges and the plain addresses, unsorted. They may
    /// have repeats.
    pub(crate) fn into_lists(self) -> (Vec<Interval<N>>, Vec<Interval<N>>, Vec<N>) {
        (
            self.networks.intervals,
            self.ranges.intervals,
            self.addresses,
        )
    }
}

/// A list of intervals that removes repeats when it has grown long.
#[derive(Clone, Debug)]
struct DistinctList<N> {
    intervals: Vec<Interval<N>>,
    /// The length at which repeats are removed.
    limit: usize,
}

impl<N> Default for DistinctList<N> {
    fn default() -> Self {
        Self {
            intervals: Vec::new(),
            limit: MIN_LIMIT / size_of::<Interval<N>>(),
        }
    }
}

impl<N: Bits> DistinctList<N> {
    /// Adds an interval, and removes repeats if the list has grown long.
    #[inline]
    fn push(&mut self, interval: Interval<N>, keep: Keep) {
        self.intervals.push(interval);
        if self.intervals.len() >= self.limit && keep != Keep::All {
            self.remove_repeats(keep);
        }
    }

    /// Sorts the intervals and removes repeats. If only the union is kept, merges those
    /// that touch.
    #[cold]
    fn remove_repeats(&mut self, keep: Keep) {
        sort_intervals(&mut self.intervals);
        if keep == Keep::Union {
            merge_touching(&mut self.intervals);
        } else {
            self.intervals.dedup();
        }
        // With this factor, sorting again and again takes a third of the time of the
        // last sort.
        self.limit = self.limit.max(4 * self.intervals.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    /// The number of IPv4 members up to which there may be repeats.
    const LIMIT: usize = MIN_LIMIT / size_of::<Interval<u32>>();

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
        let count = 5 * LIMIT as u32;
        for keep in [Keep::Union, Keep::Distinct] {
            let members = members_of(keep, (0..count).map(|n| n * 7 % 1000));
            let FamilyMembers {
                networks, ranges, ..
            } = members.v6;
            assert!(networks.intervals.len() <= 4 * 1000 && ranges.intervals.len() <= 4 * 1000);
            let (mut networks, ranges, addresses) = members.v4.into_lists();
            assert!(networks.len() <= 4 * 1000);
            sort_intervals(&mut networks);
            networks.dedup();
            assert_eq!(
                (networks.len(), ranges.len(), addresses.len()),
                (1000, 0, 0)
            );
        }
        let members = members_of(Keep::All, (0..count).map(|n| n % 1000));
        assert_eq!(members.v4.into_lists().0.len(), count as usize);
    }

    #[test]
    fn removing_repeats_keeps_every_member() {
        let count = 5 * LIMIT as u32 + 17;
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

//! [`Members`]: the networks, addresses and ranges of a SET as they are read.
//!
//! The caller chooses how much of them is kept ([`Keep`]). Unless all are
//! needed, memory depends on how many different ones there are: new members
//! are collected, and sorted and merged with the others when there are many.

use common::address::Family;
use ipnet::IpNet;

use crate::bits::Bits;
use crate::network::Rules;
use crate::parse::{AnyItem, Item};
use crate::set::{Interval, IntervalSet, in_order, join};

/// New members that are collected before they are merged with the others.
const RUN: usize = if cfg!(test) { 1 << 10 } else { 1 << 19 };

/// How much of the members of a SET is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The addresses; how they were divided and written is lost.
    Union,
    /// Each member once, ranges apart from networks and addresses.
    Distinct,
    /// All of them, ranges and plain addresses apart from networks.
    All,
}

/// The members of a SET.
#[derive(Debug)]
pub(crate) struct Members {
    /// IPv4.
    pub(crate) v4: List<u32>,
    /// IPv6.
    pub(crate) v6: List<u128>,
    /// Which members are taken.
    pub(crate) rules: Rules,
    /// The first network with host bits, as it was given.
    pub(crate) host_bits: Option<IpNet>,
}

/// The members of one family, by how they are written if [`Keep`] says so;
/// else all are `networks`.
#[derive(Debug)]
pub(crate) struct List<N> {
    keep: Keep,
    networks: Runs<N>,
    ranges: Runs<N>,
    addresses: Vec<N>,
}

impl Members {
    /// No members yet. The rules are those for [`Members::add`].
    pub(crate) fn new(keep: Keep, rules: Rules) -> Self {
        Self {
            v4: List::new(keep),
            v6: List::new(keep),
            rules,
            host_bits: None,
        }
    }

    /// Adds a member, unless its family is not wanted; `false` if it has host
    /// bits and the rules refuse them.
    pub(crate) fn add(&mut self, item: AnyItem) -> bool {
        match item {
            AnyItem::V4(_) if self.rules.family == Family::V6 => true,
            AnyItem::V6(_) if self.rules.family == Family::V4 => true,
            AnyItem::V4(item) => {
                note_host_bits(item, &mut self.host_bits);
                self.v4.add(item, self.rules.strict)
            }
            AnyItem::V6(item) => {
                note_host_bits(item, &mut self.host_bits);
                self.v6.add(item, self.rules.strict)
            }
        }
    }
}

#[inline]
fn note_host_bits<N: Bits>(item: Item<N>, noted: &mut Option<IpNet>) {
    if let Item::Network(address, length) = item
        && address & N::host_mask(length) != N::ZERO
        && noted.is_none()
    {
        *noted = IpNet::new(address.ip(), length as u8).ok();
    }
}

impl<N: Bits> List<N> {
    fn new(keep: Keep) -> Self {
        Self {
            keep,
            networks: Runs::default(),
            ranges: Runs::default(),
            addresses: Vec::new(),
        }
    }

    #[inline]
    fn add(&mut self, item: Item<N>, strict: bool) -> bool {
        let Some(interval) = item.interval(strict) else {
            return false;
        };
        match (self.keep, item) {
            (Keep::All, Item::Address(address)) => self.addresses.push(address),
            (Keep::All | Keep::Distinct, Item::Range(..)) => {
                self.ranges.push(interval, self.keep);
            }
            _ => self.networks.push(interval, self.keep),
        }
        true
    }

    /// The addresses of all members.
    pub(crate) fn into_set(self) -> IntervalSet<N> {
        let mut all = self.networks.finish(self.keep);
        all.extend(self.ranges.finish(self.keep));
        all.extend(self.addresses.iter().map(|&address| Interval {
            first: address,
            last: address,
        }));
        IntervalSet::new(all)
    }

    /// Networks, ranges and plain addresses, each in no order.
    pub(crate) fn into_parts(self) -> (Vec<Interval<N>>, Vec<Interval<N>>, Vec<N>) {
        let networks = self.networks.finish(self.keep);
        let ranges = self.ranges.finish(self.keep);
        (networks, ranges, self.addresses)
    }
}

/// Intervals in two runs: those that have been merged, and the recent ones.
#[derive(Clone, Debug, Default)]
struct Runs<N> {
    merged: Vec<Interval<N>>,
    recent: Vec<Interval<N>>,
}

impl<N: Bits> Runs<N> {
    #[inline]
    fn push(&mut self, interval: Interval<N>, keep: Keep) {
        self.recent.push(interval);
        // Half as many as there are already: each is merged a few times only, and
        // both lists together need little more memory than one.
        if self.recent.len() >= RUN.max(self.merged.len() / 2) && keep != Keep::All {
            self.merge(keep);
        }
    }

    #[cold]
    fn merge(&mut self, keep: Keep) {
        let mut recent = std::mem::take(&mut self.recent);
        in_order(&mut recent);
        // Repeats go first, so that no room is made for them.
        reduce(&mut recent, keep);
        merge_in_order(&mut self.merged, &recent);
        reduce(&mut self.merged, keep);
    }

    fn finish(mut self, keep: Keep) -> Vec<Interval<N>> {
        if self.merged.is_empty() {
            return self.recent;
        }
        self.merge(keep);
        self.merged
    }
}

/// Joins the members of a list in order, or drops the repeats if each is kept.
fn reduce<N: Bits>(list: &mut Vec<Interval<N>>, keep: Keep) {
    if keep == Keep::Union {
        join(list);
    } else {
        list.dedup();
    }
}

/// Merges a list in order into another, which stays in order.
fn merge_in_order<N: Bits>(list: &mut Vec<Interval<N>>, other: &[Interval<N>]) {
    let key = |interval: &Interval<N>| N::pair(interval.first, !interval.last);
    let mut left = list.len();
    list.reserve_exact(other.len());
    list.resize(left + other.len(), Interval::default());
    // From the end, so that nothing is overwritten before it has moved.
    let mut others = other;
    while let Some((last, before)) = others.split_last() {
        let to = left + others.len() - 1;
        if left > 0 && key(&list[left - 1]) > key(last) {
            list[to] = list[left - 1];
            left -= 1;
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

    fn gathered(keep: Keep, numbers: impl Iterator<Item = u32>) -> Members {
        let mut members = Members::new(keep, Rules::default());
        for n in numbers {
            assert!(members.add(AnyItem::V4(Item::Network(n * 2, 32))));
            assert!(members.add(AnyItem::V6(Item::Range(u128::from(n), 1 << 100))));
        }
        members
    }

    #[test]
    fn repeats_take_no_memory() {
        let count = 5 * RUN as u32;
        for keep in [Keep::Union, Keep::Distinct] {
            let members = gathered(keep, (0..count).map(|n| n * 7 % 1000));
            assert!(members.v4.networks.merged.len() <= 1000);
            let runs = [&members.v6.networks, &members.v6.ranges];
            assert!(runs.iter().all(|runs| runs.recent.len() < RUN));
            let (networks, ranges, addresses) = members.v4.into_parts();
            assert_eq!(
                (networks.len(), ranges.len(), addresses.len()),
                (1000, 0, 0)
            );
            let (networks, ranges, _) = members.v6.into_parts();
            let expected = if keep == Keep::Union {
                (1, 0)
            } else {
                (0, 1000)
            };
            assert_eq!((networks.len(), ranges.len()), expected);
        }
        let members = gathered(Keep::All, (0..count).map(|n| n % 1000));
        assert_eq!(members.v4.into_parts().0.len(), count as usize);
    }

    #[test]
    fn merging_loses_nothing() {
        let count = 5 * RUN as u32 + 17;
        // Neither in order nor in runs.
        let numbers = || (0..count).map(|n| (u64::from(n) * 7919 % u64::from(count)) as u32);
        let set = gathered(Keep::Union, numbers()).v4.into_set();
        assert_eq!(set.intervals().len(), count as usize);
        let (mut networks, ..) = gathered(Keep::Distinct, numbers()).v4.into_parts();
        in_order(&mut networks);
        let firsts = networks.iter().map(|network| network.first);
        assert!(firsts.eq((0..count).map(|n| n * 2)));
    }

    #[test]
    fn forms_are_kept_apart() {
        let mut members = Members::new(Keep::All, Rules::default());
        for text in [
            "10.0.0.1",
            "10.0.0.1/32",
            "10.0.0.0-10.0.0.255",
            "::1",
            "10.0.0.9/24",
        ] {
            assert!(members.add(parse::item(text.as_bytes()).unwrap()), "{text}");
        }
        let (networks, ranges, addresses) = members.v4.into_parts();
        assert_eq!((networks.len(), ranges.len(), addresses.len()), (2, 1, 1));
        assert_eq!(members.v6.into_parts().2, [1]);
    }
}

//! Aggregation that adds addresses, so that networks have at most a given prefix length
//! ([`max_prefix`]) or that there are at most a given number of them ([`max_count`]).
//!
//! [`max_count`] adds the fewest addresses that are possible ([`optimal`]). A set that is
//! too large for that is first reduced by the best single steps ([`greedy`]), so that time
//! and memory stay bounded.

mod greedy;
mod optimal;

use crate::bits::Bits;
use crate::count::Count;
use crate::interval::Interval;
use crate::ipset::IpSet;
use crate::set::IntervalSet;

/// The maximum number of networks of a family that are merged step by step, at 130
/// bytes each. A range on one line of a list can have 254 networks.
const GREEDY_NETWORKS_MAX: usize = 1 << 21;

/// The longest prefix lengths of a result. `None` leaves a family unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaxPrefix {
    /// The length for IPv4.
    pub(crate) v4: Option<u32>,
    /// The length for IPv6.
    pub(crate) v6: Option<u32>,
}

/// Widens all networks that are longer than these lengths.
pub(crate) fn max_prefix(set: &IpSet, lengths: MaxPrefix) -> IpSet {
    fn widen<N: Bits>(set: &IntervalSet<N>, length: Option<u32>) -> IntervalSet<N> {
        length.map_or_else(|| set.clone(), |length| widen_to_length(set, length))
    }
    IpSet {
        v4: widen(&set.v4, lengths.v4),
        v6: widen(&set.v6, lengths.v6),
    }
}

/// Merges networks until there are at most `count` in both families together. Returns
/// `None` if that is impossible because both families are present and `count` is 1.
///
/// The result adds the fewest addresses if the set is small enough for [`optimal`]. A
/// larger set is first reduced to that size by [`greedy`].
pub(crate) fn max_count(set: &IpSet, count: u64) -> Option<IpSet> {
    let networks = set.v4.prefixes().count() + set.v6.prefixes().count();
    if networks as u64 <= count {
        return Some(set.clone());
    }
    let optimal_max = usize::try_from(count).ok().map_or(0, optimal::networks_max);
    if networks <= optimal_max {
        return optimal::max_count(set, count);
    }
    let greedy_max = usize::try_from(count).map_or(usize::MAX, |n| n.max(GREEDY_NETWORKS_MAX));
    let set = IpSet {
        v4: widen_to_count(&set.v4, greedy_max),
        v6: widen_to_count(&set.v6, greedy_max),
    };
    let smaller = greedy::max_count(&set, count.max(optimal_max as u64))?;
    if optimal_max as u64 > count {
        optimal::max_count(&smaller, count)
    } else {
        Some(smaller)
    }
}

/// Widens a set with more than `max` networks to the longest prefix length with which
/// it has at most `max`. Like single steps, this merges the smallest networks first.
fn widen_to_count<N: Bits>(set: &IntervalSet<N>, max: usize) -> IntervalSet<N> {
    let fits = |set: &IntervalSet<N>| set.prefixes().take(max.saturating_add(1)).count() <= max;
    if fits(set) {
        return set.clone();
    }
    // With length 0 there is one network, so there is a length that fits.
    let (mut fitting, mut too_long) = (0, N::WIDTH);
    while too_long - fitting > 1 {
        let middle = fitting + (too_long - fitting) / 2;
        if fits(&widen_to_length(set, middle)) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    widen_to_length(set, fitting)
}

/// Widens all networks that are longer than `length`.
fn widen_to_length<N: Bits>(set: &IntervalSet<N>, length: u32) -> IntervalSet<N> {
    let wide = |interval: &Interval<N>| Interval {
        first: interval.first & N::net_mask(length),
        last: interval.last | N::host_mask(length),
    };
    IntervalSet::new(set.intervals().iter().map(wide).collect())
}

/// Returns the number of addresses that a set has in addition to one of its subsets.
pub(crate) fn added<N: Bits>(wide: &IntervalSet<N>, exact: &IntervalSet<N>) -> Count {
    wide.count().saturating_sub(exact.count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Prefix;
    use proptest::prelude::*;

    fn set(v4: &[(u32, u32)], v6: &[(u128, u32)]) -> IpSet {
        let nets = |&(first, length): &(u32, u32)| Prefix::containing(first, length).interval();
        let nets6 = |&(first, length): &(u128, u32)| Prefix::containing(first, length).interval();
        IpSet {
            v4: IntervalSet::new(v4.iter().map(nets).collect()),
            v6: IntervalSet::new(v6.iter().map(nets6).collect()),
        }
    }

    fn contains<N: Bits>(wide: &IntervalSet<N>, exact: &IntervalSet<N>) -> bool {
        exact.subtract(wide).is_empty()
    }

    #[test]
    fn the_cheapest_networks_are_merged() {
        // Merging the first two adds 2 addresses, merging the last two 1.
        let given = set(&[(0, 32), (3, 32), (8, 32), (10, 31)], &[]);
        for max_count in [max_count, greedy::max_count] {
            let three = max_count(&given, 3).unwrap();
            assert_eq!(
                three.v4.prefixes().collect::<Vec<_>>(),
                [
                    Prefix::containing(0, 32),
                    Prefix::containing(3, 32),
                    Prefix::containing(8, 30),
                ]
            );
            assert_eq!(added(&three.v4, &given.v4), Count::new(1));
            let one = max_count(&given, 1).unwrap();
            assert_eq!(
                one.v4.prefixes().collect::<Vec<_>>(),
                [Prefix::containing(0, 28)]
            );
        }
    }

    #[test]
    fn networks_of_the_cheaper_family_are_merged() {
        // Merging the IPv4 networks adds 131,070 addresses, the IPv6 ones 2.
        let given = set(&[(0, 32), (0x1_0000, 32)], &[(0, 128), (3, 128)]);
        for max_count in [max_count, greedy::max_count] {
            let three = max_count(&given, 3).unwrap();
            assert_eq!(three.v4, given.v4);
            assert_eq!(added(&three.v6, &given.v6), Count::new(2));
        }
        // With the families exchanged.
        let given = set(&[(0, 32), (3, 32)], &[(0, 128), (0x1_0000, 128)]);
        for max_count in [max_count, greedy::max_count] {
            let three = max_count(&given, 3).unwrap();
            assert_eq!(three.v6, given.v6);
            assert_eq!(added(&three.v4, &given.v4), Count::new(2));
        }
    }

    #[test]
    fn a_large_set_is_reduced_by_steps_first() {
        let many: Vec<(u32, u32)> = (0..20_000).map(|n| (n * 37, 32)).collect();
        let given = set(&many, &[]);
        let count = 3_000;
        assert!(optimal::networks_max(count) < given.v4.prefixes().count());
        let few = max_count(&given, count as u64).unwrap();
        assert!(few.v4.prefixes().count() <= count);
        assert!(contains(&few.v4, &given.v4));
        let steps = greedy::max_count(&given, count as u64).unwrap();
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
    fn networks_are_widened_to_the_longest_length() {
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
            [Prefix::containing(0x0a00_0000, 23)]
        );
        assert_eq!(max_prefix(&given, both(64)).v4, given.v4);
        assert_eq!(
            max_prefix(&given, both(0)).v6,
            IntervalSet::default().complement()
        );
    }

    #[test]
    fn a_set_with_too_many_networks_is_widened() {
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
        assert_eq!(widen_to_count(&set, networks), set);
        for most in [networks - 1, 1000, 100, 10, 1] {
            let fewer = widen_to_count(&set, most);
            assert!(fewer.prefixes().count() <= most, "{most}");
            assert!(contains(&fewer, &set), "{most}");
        }
        // Only the ends are widened if that is enough.
        let added = added(&widen_to_count(&set, networks - 1), &set);
        assert!(added <= Count::new(400), "{added}");
    }

    proptest! {
        #[test]
        fn limits_hold_and_no_address_is_lost(
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
            prop_assert!(contains(&few.v4, &given.v4) && contains(&few.v6, &given.v6));
            let plenty = max_count(&given, 1000).unwrap();
            prop_assert_eq!(&plenty, &given);
            let lengths = MaxPrefix { v4: Some(length), v6: Some(length) };
            let short = max_prefix(&given, lengths);
            prop_assert!(contains(&short.v4, &given.v4) && contains(&short.v6, &given.v6));
            prop_assert!(short.v4.prefixes().all(|p| p.length <= length));
            prop_assert!(short.v6.prefixes().all(|p| p.length <= length));
        }
    }
}

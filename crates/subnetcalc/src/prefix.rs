//! [`Prefix`]: a network, which is an aligned block of 2^n addresses. [`cover`]
//! divides a range of addresses into the fewest networks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::bits::Bits;
use crate::count::Count;
use crate::interval::Interval;

/// A network: its first address and its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix<N> {
    /// The network address, without host bits.
    pub(crate) first: N,
    /// The prefix length, at most the family's width.
    pub(crate) length: u32,
}

impl<N: Bits> Prefix<N> {
    /// Returns the network of this length that contains an address.
    pub(crate) fn containing(address: N, length: u32) -> Self {
        Self {
            first: address & N::net_mask(length),
            length,
        }
    }

    /// Returns the last address, which is the broadcast address in IPv4.
    pub(crate) fn last(self) -> N {
        self.first | N::host_mask(self.length)
    }

    /// Returns the interval of all its addresses.
    pub(crate) fn interval(self) -> Interval<N> {
        Interval {
            first: self.first,
            last: self.last(),
        }
    }

    /// Returns the number of its addresses.
    pub(crate) fn total(self) -> Count {
        Count::power_of_two(N::WIDTH - self.length)
    }

    /// Returns the addresses that hosts can use: in IPv4 all but the first and the
    /// last up to /30, both of a /31 (RFC 3021) and the one of a /32; in IPv6 all
    /// of them (RFC 6164 for /127).
    pub(crate) fn usable(self) -> Interval<N> {
        let all = self.interval();
        if N::FAMILY == 4 && self.length < 31 {
            Interval {
                first: all.first + N::ONE,
                last: all.last - N::ONE,
            }
        } else {
            all
        }
    }

    /// Returns the network of the same length that is `steps` networks ahead, or
    /// behind if not `forward`. Returns `None` outside the address space.
    pub(crate) fn step(self, steps: u128, forward: bool) -> Option<Self> {
        let host_bits = N::WIDTH - self.length;
        // The networks of this length are numbered from 0.
        let number = self.first.widen().checked_shr(host_bits).unwrap_or(0);
        let number = if forward {
            number.checked_add(steps)?
        } else {
            number.checked_sub(steps)?
        };
        let most = N::MAX.widen().checked_shr(host_bits).unwrap_or(0);
        (number <= most).then(|| Self {
            first: N::narrow(number.checked_shl(host_bits).unwrap_or(0)),
            length: self.length,
        })
    }

    /// Returns the smallest network that contains an interval.
    pub(crate) fn enclosing(interval: Interval<N>) -> Self {
        let length = (interval.first ^ interval.last).leading_zeros();
        Self::containing(interval.first, length)
    }
}

/// Evaluates an expression with `$prefix` bound to the [`Prefix`] of an `IpNet` of
/// either family.
macro_rules! with_prefix {
    ($net:expr, |$prefix:ident| $body:expr) => {
        match $net {
            ipnet::IpNet::V4(net) => {
                let $prefix = $crate::prefix::Prefix::<u32>::from(net);
                $body
            }
            ipnet::IpNet::V6(net) => {
                let $prefix = $crate::prefix::Prefix::<u128>::from(net);
                $body
            }
        }
    };
}
pub(crate) use with_prefix;

impl From<Ipv4Net> for Prefix<u32> {
    fn from(net: Ipv4Net) -> Self {
        Self::containing(net.addr().to_bits(), u32::from(net.prefix_len()))
    }
}

impl From<Ipv6Net> for Prefix<u128> {
    fn from(net: Ipv6Net) -> Self {
        Self::containing(net.addr().to_bits(), u32::from(net.prefix_len()))
    }
}

impl<N: Bits> From<Prefix<N>> for IpNet {
    fn from(prefix: Prefix<N>) -> Self {
        let bits = prefix.first.widen();
        let length = prefix.length as u8;
        if N::FAMILY == 4 {
            let address = Ipv4Addr::from_bits(bits as u32);
            Self::V4(Ipv4Net::new_assert(address, length))
        } else {
            Self::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length))
        }
    }
}

/// Divides a range into the fewest networks that have exactly its addresses, in
/// ascending order.
pub(crate) fn cover<N: Bits>(range: Interval<N>) -> Cover<N> {
    Cover { rest: Some(range) }
}

/// The iterator that [`cover`] returns.
#[derive(Clone, Debug)]
pub(crate) struct Cover<N> {
    rest: Option<Interval<N>>,
}

impl<N: Bits> Iterator for Cover<N> {
    type Item = Prefix<N>;

    fn next(&mut self) -> Option<Prefix<N>> {
        let rest = self.rest?;
        // The largest block that is aligned here and fits into the range.
        let aligned = rest.first.trailing_zeros();
        let fits = match (rest.last - rest.first).checked_add(N::ONE) {
            Some(size) => N::WIDTH - 1 - size.leading_zeros(),
            None => N::WIDTH,
        };
        let prefix = Prefix {
            first: rest.first,
            length: N::WIDTH - aligned.min(fits),
        };
        let last = prefix.last();
        self.rest = (last < rest.last).then(|| Interval {
            first: last + N::ONE,
            last: rest.last,
        });
        Some(prefix)
    }
}

/// The networks of many ranges in one order: by address, then larger ones first.
/// Only one network of each range is in memory at a time.
#[derive(Debug)]
pub(crate) struct MergedCovers<N: Bits> {
    /// Ranges that start after the networks returned so far.
    later: std::iter::Peekable<std::vec::IntoIter<Interval<N>>>,
    /// The next network of each of the other ranges, with the end of the range.
    open: BinaryHeap<Reverse<(Prefix<N>, N)>>,
}

impl<N: Bits> MergedCovers<N> {
    /// Merges the networks of ranges, which must be sorted.
    pub(crate) fn new(ranges: Vec<Interval<N>>) -> Self {
        Self {
            later: ranges.into_iter().peekable(),
            open: BinaryHeap::new(),
        }
    }

    /// Returns the network that [`Iterator::next`] will return.
    pub(crate) fn peek(&mut self) -> Option<Prefix<N>> {
        while let Some(&range) = self.later.peek()
            && self
                .open
                .peek()
                .is_none_or(|Reverse((next, _))| range.first <= next.first)
        {
            self.later.next();
            self.push(range);
        }
        self.open.peek().map(|Reverse((next, _))| *next)
    }

    fn push(&mut self, range: Interval<N>) {
        let first = cover(range).next();
        self.open
            .extend(first.map(|next| Reverse((next, range.last))));
    }
}

impl<N: Bits> Iterator for MergedCovers<N> {
    type Item = Prefix<N>;

    fn next(&mut self) -> Option<Prefix<N>> {
        self.peek()?;
        let Reverse((next, last)) = self.open.pop()?;
        // The range continues with the networks after this one.
        if next.last() < last {
            self.push(Interval {
                first: next.last() + N::ONE,
                last,
            });
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered<N: Bits>(first: N, last: N) -> Vec<Prefix<N>> {
        cover(Interval { first, last }).collect()
    }

    #[test]
    fn covers_reach_the_ends_of_the_address_space() {
        assert_eq!(covered(0_u32, u32::MAX), [Prefix::containing(0, 0)]);
        assert_eq!(covered(0_u128, u128::MAX), [Prefix::containing(0, 0)]);
        assert_eq!(
            covered(u32::MAX, u32::MAX),
            [Prefix::containing(u32::MAX, 32)]
        );
        assert_eq!(covered(0_u128, 0), [Prefix::containing(0, 128)]);
        assert_eq!(covered(1_u32, u32::MAX).len(), 32);
        assert_eq!(covered(1_u128, u128::MAX - 1).len(), 254);
    }

    #[test]
    fn steps_end_with_the_address_space() {
        let last = Prefix::containing(u32::MAX, 24);
        assert_eq!(last.step(1, true), None);
        assert_eq!(last.step(0, true), Some(last));
        assert_eq!(last.step(0xff_ffff, false), Some(Prefix::containing(0, 24)));
        assert_eq!(last.step(0x100_0000, false), None);
        let whole = Prefix::containing(0_u128, 0);
        assert_eq!(whole.step(1, true), None);
        assert_eq!(whole.step(0, true), Some(whole));
        let host = Prefix::containing(5_u128, 128);
        assert_eq!(
            host.step(u128::MAX - 5, true),
            Some(Prefix::containing(u128::MAX, 128))
        );
        assert_eq!(host.step(u128::MAX, true), None);
    }

    #[test]
    fn small_networks_have_their_own_rules_for_hosts() {
        let size = |text: &str| {
            let net: IpNet = text.parse().unwrap();
            with_prefix!(net, |p| p.usable().count().to_string())
        };
        assert_eq!(size("0.0.0.0/0"), "4294967294");
        assert_eq!(size("10.0.0.0/30"), "2");
        assert_eq!(size("10.0.0.0/31"), "2");
        assert_eq!(size("10.0.0.0/32"), "1");
        assert_eq!(size("2001:db8::/127"), "2");
        assert_eq!(size("::/0"), "340282366920938463463374607431768211456");
    }

    proptest! {
        #[test]
        fn a_cover_is_exact_and_minimal(a: u32, b: u32, near in 0..2000_u32) {
            for (first, last) in [(a.min(b), a.max(b)), (a, a.saturating_add(near))] {
                let parts = covered(first, last);
                let mut next = u64::from(first);
                for part in &parts {
                    prop_assert_eq!(u64::from(part.first), next);
                    next = u64::from(part.last()) + 1;
                }
                prop_assert_eq!(next, u64::from(last) + 1);
                for pair in parts.windows(2) {
                    // No two neighbours form one network.
                    let joined = Prefix::containing(pair[0].first, pair[0].length.saturating_sub(1));
                    prop_assert!(pair[0].length != pair[1].length || joined.last() != pair[1].last());
                }
            }
        }

        #[test]
        fn the_enclosing_network_is_the_smallest(a: u128, b: u128) {
            let range = Interval { first: a.min(b), last: a.max(b) };
            let net = Prefix::enclosing(range);
            prop_assert!(net.first <= range.first && range.last <= net.last());
            if net.length < 128 {
                let half = Prefix::containing(a, net.length + 1);
                prop_assert!(range.first < half.first || half.last() < range.last);
            }
        }

        #[test]
        fn ipnet_returns_the_same(bits: u128, length in 0..=128_u8, bits4: u32, length4 in 0..=32_u8) {
            let net = Ipv6Net::new(Ipv6Addr::from_bits(bits), length).unwrap();
            let prefix = Prefix::from(net);
            prop_assert_eq!(IpNet::from(prefix), IpNet::V6(net.trunc()));
            prop_assert_eq!(prefix.last().ip(), net.broadcast());
            let net = Ipv4Net::new(Ipv4Addr::from_bits(bits4), length4).unwrap();
            let hosts = net.hosts();
            let usable = Prefix::from(net).usable();
            prop_assert_eq!(hosts.clone().next(), Some(Ipv4Addr::from_bits(usable.first)));
            prop_assert_eq!(hosts.last(), Some(Ipv4Addr::from_bits(usable.last)));
        }
    }
}

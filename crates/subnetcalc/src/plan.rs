//! Variable-length subnetting (VLSM): divides a network into parts for given
//! numbers of hosts or of given prefix lengths.
//!
//! Sizes are powers of two. In descending order each part starts where the previous
//! one ends and is aligned without a gap, so the unused remainder is one range at the
//! end. In a given order, alignment can leave gaps between the parts.

use std::fmt;

use crate::bits::Bits;
use crate::count::Count;
use crate::interval::Interval;
use crate::prefix::Prefix;

/// A requested part of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The name of the part, if it has one.
    pub(crate) name: Option<String>,
    /// The size of the part.
    pub(crate) size: Size,
}

/// The requested size of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Room for at least this number of hosts.
    Hosts(u128),
    /// Exactly this prefix length.
    Length(u32),
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(hosts) => hosts.fmt(f),
            Self::Length(length) => write!(f, "/{length}"),
        }
    }
}

/// Options that change the division.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PlanOptions {
    /// Keep the given order instead of sorting by size.
    pub(crate) keep_order: bool,
    /// Allow IPv6 parts longer than /64 if they have room for their hosts.
    pub(crate) exact: bool,
}

/// The reason why the parts do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// The parts need this number of addresses, which is more than the network has.
    TooFewAddresses(Count),
    /// A part is larger than the address space.
    PartTooLarge,
    /// The parts do not fit in the given order because of gaps for alignment.
    AlignmentGaps,
}

impl Request {
    /// Parses `[NAME=]HOSTS` or `[NAME=]/LEN`. The error is the reason.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, size) = match text.rsplit_once('=') {
            Some(("", _)) => {
                return Err("missing name before '='; use [NAME=]HOSTS or [NAME=]/LEN".to_owned());
            }
            Some((name, size)) => (Some(name.to_owned()), size),
            None => (None, text),
        };
        let digits = size.strip_prefix('/').unwrap_or(size);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(
                "neither a number of hosts nor a prefix length; use [NAME=]HOSTS or [NAME=]/LEN"
                    .to_owned(),
            );
        }
        let size = if digits.len() < size.len() {
            if digits.len() > 1 && digits.starts_with('0') {
                return Err("the prefix length has a leading zero".to_owned());
            }
            match digits.parse() {
                Ok(length @ 0..=128) => Size::Length(length),
                _ => {
                    return Err("the prefix length is out of range; use 0 to 32 for IPv4 \
                                or 0 to 128 for IPv6"
                        .to_owned());
                }
            }
        } else {
            match digits.parse() {
                Ok(0) => return Err("the number of hosts must be at least 1".to_owned()),
                Err(_) => return Err("the number of hosts is too large".to_owned()),
                Ok(hosts) => Size::Hosts(hosts),
            }
        };
        Ok(Self { name, size })
    }

    /// Returns the prefix length of the part: the requested one, or the longest one with
    /// room for the hosts. An IPv4 part is a /30 or larger and has room for the network
    /// and broadcast addresses, too. `width` is the number of bits in an address.
    /// Returns `None` if the family has no such prefix length.
    fn length(&self, width: u32, exact: bool) -> Option<u32> {
        let hosts = match self.size {
            Size::Length(length) => return (length <= width).then_some(length),
            Size::Hosts(hosts) => hosts,
        };
        let addresses = if width == 32 {
            hosts.checked_add(2)?
        } else {
            hosts
        };
        // The part needs 2^host_bits addresses.
        let host_bits = 128 - (addresses - 1).leading_zeros();
        let min_host_bits = match (width, exact) {
            (32, _) => 2,
            (_, true) => 0,
            // A subnet for hosts is a /64 (RFC 4291 section 2.5.4).
            (_, false) => 64,
        };
        width.checked_sub(host_bits.max(min_host_bits))
    }
}

/// A division of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<'a, N> {
    /// The parts in ascending order, each with its request.
    pub(crate) parts: Vec<(Prefix<N>, &'a Request)>,
    /// The unused ranges in ascending order.
    pub(crate) unused: Vec<Interval<N>>,
}

/// Returns the requests in the order of their parts, each with its prefix length.
/// Addresses have `width` bits, and `total` of them are available.
fn sort_by_size(
    requests: &[Request],
    width: u32,
    total: Count,
    options: PlanOptions,
) -> Result<Vec<(u32, &Request)>, PlanError> {
    let mut sorted = Vec::new();
    for request in requests {
        let length = request.length(width, options.exact);
        sorted.push((length.ok_or(PlanError::PartTooLarge)?, request));
    }
    if !options.keep_order {
        // The sort is stable: requests of one length keep their order.
        sorted.sort_by_key(|&(length, _)| length);
    }
    let needed = sorted.iter().fold(Count::ZERO, |sum, &(length, _)| {
        sum.saturating_add(Count::power_of_two(width - length))
    });
    if needed > total {
        return Err(PlanError::TooFewAddresses(needed));
    }
    Ok(sorted)
}

/// Divides a network into the requested parts.
pub(crate) fn plan<N: Bits>(
    net: Prefix<N>,
    requests: &[Request],
    options: PlanOptions,
) -> Result<Plan<'_, N>, PlanError> {
    let sorted = sort_by_size(requests, N::WIDTH, net.total(), options)?;
    let mut next = Some(net.first);
    let mut parts = Vec::new();
    let mut unused = Vec::new();
    for (length, request) in sorted {
        let start = next.ok_or(PlanError::AlignmentGaps)?;
        let aligned = Prefix::containing(start, length);
        let part = if aligned.first == start {
            Some(aligned)
        } else {
            aligned.step(1, true)
        };
        let part = part
            .filter(|part| part.last() <= net.last())
            .ok_or(PlanError::AlignmentGaps)?;
        if part.first > start {
            unused.push(Interval {
                first: start,
                last: part.first - N::ONE,
            });
        }
        parts.push((part, request));
        // No address follows the last one of the address space.
        next = part.last().checked_add(N::ONE);
    }
    if let Some(first) = next.filter(|first| *first <= net.last()) {
        unused.push(Interval {
            first,
            last: net.last(),
        });
    }
    Ok(Plan { parts, unused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests(hosts: &[u128]) -> Vec<Request> {
        hosts.iter().map(|&hosts| of(Size::Hosts(hosts))).collect()
    }

    fn of(size: Size) -> Request {
        Request { name: None, size }
    }

    const BY_SIZE: PlanOptions = PlanOptions {
        keep_order: false,
        exact: false,
    };
    const IN_ORDER: PlanOptions = PlanOptions {
        keep_order: true,
        exact: false,
    };

    #[test]
    fn ipv4_parts_have_room_for_network_and_broadcast() {
        let length = |hosts| of(Size::Hosts(hosts)).length(32, false);
        assert_eq!(length(50), Some(26));
        assert_eq!(length(62), Some(26));
        assert_eq!(length(63), Some(25));
        assert_eq!(length(1), Some(30));
        assert_eq!(length(2), Some(30));
        assert_eq!(length(3), Some(29));
        assert_eq!(length(u128::from(u32::MAX) - 1), Some(0));
        assert_eq!(length(u128::from(u32::MAX)), None);
        assert_eq!(length(u128::MAX), None);
        let length = |hosts| of(Size::Hosts(hosts)).length(128, true);
        assert_eq!(length(1), Some(128));
        assert_eq!(length(2), Some(127));
        assert_eq!(length(u128::MAX), Some(0));
        let length = |hosts| of(Size::Hosts(hosts)).length(128, false);
        assert_eq!(length(1), Some(64));
        assert_eq!(length(1 << 64), Some(64));
        assert_eq!(length((1 << 64) + 1), Some(63));
        assert_eq!(of(Size::Length(31)).length(32, false), Some(31));
        assert_eq!(of(Size::Length(33)).length(32, false), None);
        assert_eq!(of(Size::Length(127)).length(128, false), Some(127));
    }

    #[test]
    fn parts_in_the_given_order_are_aligned() {
        let net = Prefix::containing(0x0a00_0000_u32, 24);
        let asked = [
            Size::Length(32),
            Size::Length(26),
            Size::Hosts(2),
            Size::Length(31),
        ]
        .map(of);
        let plan = plan(net, &asked, IN_ORDER).unwrap();
        let parts: Vec<_> = plan
            .parts
            .iter()
            .map(|(p, _)| (p.first & 0xff, p.length))
            .collect();
        assert_eq!(parts, [(0, 32), (64, 26), (128, 30), (132, 31)]);
        let rest: Vec<_> = plan
            .unused
            .iter()
            .map(|r| (r.first & 0xff, r.last & 0xff))
            .collect();
        assert_eq!(rest, [(1, 63), (134, 255)]);
    }

    #[test]
    fn parts_may_not_fit_in_the_given_order() {
        let net = Prefix::containing(0x0a00_0000_u32, 24);
        let asked = [Size::Length(26), Size::Length(25), Size::Length(26)].map(of);
        assert_eq!(plan(net, &asked, IN_ORDER), Err(PlanError::AlignmentGaps));
        assert!(plan(net, &asked, BY_SIZE).is_ok());
        let larger = [of(Size::Length(23))];
        for options in [IN_ORDER, BY_SIZE] {
            assert_eq!(
                plan(net, &larger, options),
                Err(PlanError::TooFewAddresses(Count::new(512)))
            );
        }
    }

    #[test]
    fn the_largest_part_comes_first() {
        let net = Prefix::containing(0xc0a8_0100_u32, 24);
        let asked = requests(&[10, 50, 2, 50]);
        let plan = plan(net, &asked, BY_SIZE).unwrap();
        let lengths: Vec<_> = plan
            .parts
            .iter()
            .map(|(p, r)| (p.length, r.size.to_string()))
            .collect();
        let expected = [(26, "50"), (26, "50"), (28, "10"), (30, "2")];
        assert_eq!(
            lengths,
            expected.map(|(length, text)| (length, text.to_owned()))
        );
        assert_eq!(plan.unused[0].first, 0xc0a8_0100 + 64 + 64 + 16 + 4);
    }

    #[test]
    fn parts_fill_the_network_or_do_not_fit() {
        let net = Prefix::containing(u32::MAX, 24);
        assert_eq!(
            plan(net, &requests(&[126, 126]), BY_SIZE).unwrap().unused,
            []
        );
        assert_eq!(
            plan(net, &requests(&[126, 126, 1]), BY_SIZE),
            Err(PlanError::TooFewAddresses(Count::new(260)))
        );
        assert_eq!(
            plan(net, &requests(&[1 << 40]), BY_SIZE),
            Err(PlanError::PartTooLarge)
        );
        let all = Prefix::containing(0_u128, 0);
        assert_eq!(
            plan(all, &requests(&[u128::MAX]), BY_SIZE).unwrap().unused,
            []
        );
    }

    #[test]
    fn requests_are_parsed() {
        assert_eq!(Request::parse("a=b=7").unwrap().name.unwrap(), "a=b");
        assert_eq!(Request::parse("7").unwrap().size, Size::Hosts(7));
        assert_eq!(Request::parse("/0").unwrap().size, Size::Length(0));
        assert_eq!(Request::parse("a/b=/64").unwrap().size, Size::Length(64));
        for bad in [
            "",
            "a=",
            "=7",
            "0",
            "a",
            "+7",
            "a=-1",
            "/",
            "a=/129",
            "a=/024",
            "//24",
            "/+4",
            "99999999999999999999999999999999999999999",
        ] {
            assert!(Request::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_and_large_enough(
            hosts in proptest::collection::vec((1..5000_u128, 16..=32_u32, any::<bool>()), 1..20),
            length in 8..=30_u32, keep_order: bool,
        ) {
            let net = Prefix::containing(0x0a00_0000_u32, length);
            let asked: Vec<Request> = hosts.iter().map(|&(hosts, length, by_hosts)| {
                of(if by_hosts { Size::Hosts(hosts) } else { Size::Length(length) })
            }).collect();
            let options = PlanOptions { keep_order, exact: false };
            if let Ok(plan) = plan(net, &asked, options) {
                let mut next = net.first;
                for (part, request) in &plan.parts {
                    prop_assert!(part.first >= next);
                    prop_assert_eq!(Prefix::containing(part.first, part.length), *part);
                    match request.size {
                        Size::Hosts(n) => prop_assert!(part.usable().count() >= Count::new(n)),
                        Size::Length(length) => prop_assert_eq!(part.length, length),
                    }
                    next = part.last() + 1;
                }
                prop_assert!(next - 1 <= net.last());
                if keep_order {
                    prop_assert!(plan.parts.iter().map(|(_, r)| *r).eq(&asked));
                } else {
                    prop_assert!(plan.unused.len() <= 1);
                }
                // Parts and rest together have each address of the network once.
                let parts = plan.parts.iter().map(|(part, _)| part.interval());
                let mut all: Vec<_> = parts.chain(plan.unused.iter().copied()).collect();
                all.sort_unstable();
                let mut next = Some(net.first);
                for interval in all {
                    prop_assert_eq!(Some(interval.first), next);
                    next = interval.last.checked_add(1);
                }
                prop_assert_eq!(next, net.last().checked_add(1));
            }
        }
    }
}

//! Networks by size (VLSM): the largest first, one after the other.
//!
//! Sizes are powers of two, so in descending order each network starts where
//! the one before it ended and is aligned by itself; what is left is one
//! range at the end.

use crate::bits::Bits;
use crate::count::Count;
use crate::prefix::Prefix;
use crate::set::Interval;

/// A part somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What it is called, if anything.
    pub(crate) name: Option<String>,
    /// How many hosts it must have room for.
    pub(crate) hosts: u128,
}

impl Request {
    /// Parses `[NAME=]HOSTS`. The error is a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, digits) = match text.rsplit_once('=') {
            Some(("", _)) => return Err("the name before the = is missing".to_owned()),
            Some((name, digits)) => (Some(name.to_owned()), digits),
            None => (None, text),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err("not a number of hosts; use [NAME=]HOSTS".to_owned());
        }
        match digits.parse() {
            Ok(0) | Err(_) => Err(format!("hosts out of range; use 1 to {}", u128::MAX)),
            Ok(hosts) => Ok(Self { name, hosts }),
        }
    }

    /// The prefix length that has room: in IPv4 for the network and broadcast
    /// address too, and /30 at the longest. `None` if no length has.
    fn length<N: Bits>(&self) -> Option<u32> {
        let addresses = if N::FAMILY == 4 {
            self.hosts.checked_add(2)?
        } else {
            self.hosts
        };
        // Bits so that 2^bits addresses are enough.
        let bits = 128 - (addresses - 1).leading_zeros();
        let bits = if N::FAMILY == 4 { bits.max(2) } else { bits };
        N::WIDTH.checked_sub(bits)
    }
}

/// A plan that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<'a, N> {
    /// The networks, ascending, and what each is for.
    pub(crate) parts: Vec<(Prefix<N>, &'a Request)>,
    /// What is left over.
    pub(crate) rest: Option<Interval<N>>,
}

/// Hands out parts of a network. The error is how many addresses it would
/// take, `None` for more than the family has.
pub(crate) fn plan<N: Bits>(
    net: Prefix<N>,
    requests: &[Request],
) -> Result<Plan<'_, N>, Option<Count>> {
    let mut sized = Vec::new();
    for request in requests {
        sized.push((request.length::<N>().ok_or(None)?, request));
    }
    // Stable: equals stay in the order they were asked for.
    sized.sort_by_key(|&(length, _)| length);
    let needed = sized.iter().fold(Count::ZERO, |sum, &(length, _)| {
        sum.plus(Count::power(N::WIDTH - length))
    });
    if needed > net.total() {
        return Err(Some(needed));
    }
    let mut next = Some(net.first);
    let mut parts = Vec::new();
    for (length, request) in sized {
        // The sum has been checked, so a start is there.
        // But the sum of more than the space has is the whole space.
        let first = next.ok_or(None)?;
        let part = Prefix { first, length };
        parts.push((part, request));
        next = part.last().checked_add(N::ONE);
    }
    let rest = next
        .filter(|&first| first <= net.last())
        .map(|first| Interval {
            first,
            last: net.last(),
        });
    // After the very last address of the space `next` is gone; before the
    // first part it is the network's own start.
    Ok(Plan { parts, rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests(hosts: &[u128]) -> Vec<Request> {
        let request = |&hosts: &u128| Request { name: None, hosts };
        hosts.iter().map(request).collect()
    }

    #[test]
    fn sizes_leave_room_for_both_ends() {
        let length = |hosts| Request { name: None, hosts }.length::<u32>();
        assert_eq!(length(50), Some(26));
        assert_eq!(length(62), Some(26));
        assert_eq!(length(63), Some(25));
        assert_eq!(length(1), Some(30));
        assert_eq!(length(2), Some(30));
        assert_eq!(length(3), Some(29));
        assert_eq!(length(u128::from(u32::MAX) - 1), Some(0));
        assert_eq!(length(u128::from(u32::MAX)), None);
        assert_eq!(length(u128::MAX), None);
        let length = |hosts| Request { name: None, hosts }.length::<u128>();
        assert_eq!(length(1), Some(128));
        assert_eq!(length(2), Some(127));
        assert_eq!(length(u128::MAX), Some(0));
    }

    #[test]
    fn largest_first() {
        let net = Prefix::of(0xc0a8_0100_u32, 24);
        let asked = requests(&[10, 50, 2, 50]);
        let plan = plan(net, &asked).unwrap();
        let lengths: Vec<_> = plan
            .parts
            .iter()
            .map(|(p, r)| (p.length, r.hosts))
            .collect();
        assert_eq!(lengths, [(26, 50), (26, 50), (28, 10), (30, 2)]);
        assert_eq!(plan.rest.unwrap().first, 0xc0a8_0100 + 64 + 64 + 16 + 4);
    }

    #[test]
    fn full_and_too_small() {
        let net = Prefix::of(u32::MAX, 24);
        assert_eq!(plan(net, &requests(&[126, 126])).unwrap().rest, None);
        assert_eq!(
            plan(net, &requests(&[126, 126, 1])),
            Err(Some(Count::new(260)))
        );
        assert_eq!(plan(net, &requests(&[1 << 40])), Err(None));
        let all = Prefix::of(0_u128, 0);
        assert_eq!(plan(all, &requests(&[u128::MAX])).unwrap().rest, None);
    }

    #[test]
    fn requests_are_read() {
        assert_eq!(Request::parse("a=b=7").unwrap().name.unwrap(), "a=b");
        assert_eq!(Request::parse("7").unwrap().hosts, 7);
        for bad in [
            "",
            "a=",
            "=7",
            "0",
            "a",
            "+7",
            "a=-1",
            "99999999999999999999999999999999999999999",
        ] {
            assert!(Request::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_apart_and_large_enough(
            hosts in proptest::collection::vec(1..5000_u128, 1..20), length in 8..=30_u32,
        ) {
            let net = Prefix::of(0x0a00_0000_u32, length);
            let asked = requests(&hosts);
            if let Ok(plan) = plan(net, &asked) {
                let mut next = net.first;
                for (part, request) in &plan.parts {
                    prop_assert_eq!(part.first, next);
                    prop_assert_eq!(Prefix::of(part.first, part.length), *part);
                    prop_assert!(part.usable().count() >= Count::new(request.hosts));
                    next = part.last() + 1;
                }
                prop_assert!(next - 1 <= net.last());
                if let Some(rest) = plan.rest {
                    prop_assert_eq!((rest.first, rest.last), (next, net.last()));
                }
            }
        }
    }
}

//! The search for the path MTU of each target: the largest packet that comes
//! back with fragmentation forbidden.
//!
//! First a small packet, to see that anybody answers; then the largest there
//! is. An error that names an MTU, from a router or from this machine's own
//! interface, is taken at its word and tried; where packets vanish without a
//! word the rest is halved until nothing is left to ask.

use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;

use super::floor::Floor;
use super::{Next, Plan, Settled};
use common::Error;

use crate::clock::Nanos;
use crate::feed::{Fed, Feed};
use crate::packet::{HEADER, Version};
use crate::target::{Target, TargetId, Targets};

/// Times a size is tried before it counts as too large.
const TRIES: u32 = 3;

/// Targets searched at once.
const LIVE: usize = 64;

/// Data of the first probe.
const SMALL: u32 = 56;

/// Where a search stands; sizes are those of whole IP packets.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// The largest that came back; 0 before any has.
    low: u32,
    /// The largest that may.
    high: u32,
    trying: u32,
    tries: u32,
    /// What the last error said.
    hint: Option<u32>,
    overhead: u32,
    /// The smallest MTU that a link may have, which no hint goes below: 68
    /// bytes (RFC 791, section 3.2) or 1280 (RFC 8200, section 5).
    minimum: u32,
}

impl Search {
    fn new(version: Version) -> Self {
        let overhead = (version.ip_header() + HEADER) as u32;
        Self {
            low: 0,
            high: u32::from(largest_data(version)) + overhead,
            trying: SMALL + overhead,
            tries: 0,
            hint: None,
            overhead,
            minimum: match version {
                Version::V4 => 68,
                Version::V6 => 1280,
            },
        }
    }

    /// Takes in what became of a probe. Returns whether the search is over.
    fn advance(&mut self, how: Settled) -> bool {
        let hint = self.hint.take();
        match (how, hint) {
            (Settled::Answered, _) => {
                // The first success says nothing about size: ask for all.
                let first = self.low == 0;
                self.low = self.trying;
                self.trying = if first { self.high } else { self.middle() };
            }
            (Settled::Failed, Some(mtu))
                if mtu < self.trying && mtu >= self.low.max(self.minimum) =>
            {
                self.high = mtu;
                self.trying = mtu;
            }
            // Smaller than what has come back, or no smaller than what was too
            // large: the number is wrong, and only that there was one counts.
            (Settled::Failed, Some(_)) if self.low > 0 => {
                self.high = self.trying - 1;
                self.trying = self.middle();
            }
            _ if self.tries + 1 < TRIES => {
                self.tries += 1;
                return false;
            }
            _ if self.low == 0 => return true,
            _ => {
                self.high = self.trying - 1;
                self.trying = self.middle();
            }
        }
        self.tries = 0;
        self.low >= self.high
    }

    fn middle(&self) -> u32 {
        self.low + (self.high - self.low).div_ceil(2)
    }

    fn size(&self) -> u16 {
        u16::try_from(self.trying - self.overhead).unwrap_or(u16::MAX)
    }
}

/// Bytes of data in the largest packet of a family.
pub(crate) fn largest_data(version: Version) -> u16 {
    match version {
        // The IPv4 length field counts the header, the IPv6 one does not.
        Version::V4 => u16::MAX - 28,
        Version::V6 => u16::MAX - 8,
    }
}

/// The plan.
#[derive(Debug)]
pub(crate) struct MtuPlan {
    feed: Feed,
    floor: Floor,
    timeout: Nanos,
    deadline: Option<Nanos>,
    searches: HashMap<TargetId, Search>,
    ready: VecDeque<TargetId>,
    /// A target whose address was probed a moment ago.
    waiting: Option<Target>,
    starved: bool,
    ended: bool,
}

impl MtuPlan {
    /// The plan for what the feed brings.
    pub(crate) fn new(feed: Feed, floor: Floor, timeout: Nanos, deadline: Option<Nanos>) -> Self {
        Self {
            feed,
            floor,
            timeout,
            deadline,
            searches: HashMap::new(),
            ready: VecDeque::new(),
            waiting: None,
            starved: false,
            ended: false,
        }
    }
}

impl Plan for MtuPlan {
    fn next(&mut self, now: Nanos, targets: &mut Targets) -> Next {
        self.starved = false;
        while let Some(&target) = self.ready.front() {
            let address = targets.get(target).map(|target| target.address);
            if let Some(due) = address.and_then(|address| self.floor.wait(address, now)) {
                return Next::At(due);
            }
            self.ready.pop_front();
            if let (Some(search), Some(address)) = (self.searches.get(&target), address) {
                self.floor.count(address, now);
                let size = search.size();
                return Next::Probe { target, size };
            }
        }
        if !self.ended && self.searches.len() < LIVE {
            let next = match self.waiting.take() {
                Some(target) => Fed::Target(target),
                None => self.feed.next(),
            };
            match next {
                Fed::Target(target) => {
                    if let Some(due) = self.floor.wait(target.address, now) {
                        self.waiting = Some(target);
                        return Next::At(due);
                    }
                    self.floor.count(target.address, now);
                    let search = Search::new(target.version());
                    let target = targets.add(target);
                    self.searches.insert(target, search);
                    let size = search.size();
                    return Next::Probe { target, size };
                }
                Fed::Refused(error) => return Next::Refused(error),
                Fed::NotYet => self.starved = true,
                Fed::End => self.ended = true,
            }
        }
        if self.ended && self.searches.is_empty() {
            Next::Done
        } else {
            Next::Idle
        }
    }

    fn sent(&mut self, _: TargetId, _: Nanos, _: &mut Targets) {}

    fn too_big(&mut self, id: TargetId, mtu: u32) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.hint = Some(mtu);
        }
    }

    fn settled(&mut self, id: TargetId, how: Settled, _: Nanos, targets: &mut Targets) -> bool {
        // What has failed has been dealt with when it did.
        let search = self
            .searches
            .get_mut(&id)
            .filter(|_| how != Settled::Expired);
        let Some(search) = search else {
            return false;
        };
        if !search.advance(how) {
            self.ready.push_back(id);
            return false;
        }
        if let Some(target) = targets.get_mut(id) {
            target.mtu = Some(search.low).filter(|mtu| *mtu > 0);
        }
        self.searches.remove(&id);
        true
    }

    fn timeout(&self, _: &Targets) -> Nanos {
        self.timeout
    }

    fn unresolved(&mut self) -> Vec<Error> {
        self.feed.unresolved()
    }

    fn is_complete(&mut self) -> bool {
        let waiting = self.waiting.is_some();
        self.ended || !waiting && matches!(self.feed.next(), Fed::End | Fed::NotYet)
    }

    fn deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.starved.then(|| self.feed.wake())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Searches a path whose links have these MTUs; `told` says which of them
    /// say so. Returns what was found and the number of probes.
    fn search(version: Version, links: &[(u32, bool)]) -> (u32, u32) {
        let mut search = Search::new(version);
        for probes in 1..1000 {
            let narrow = links.iter().find(|(mtu, _)| search.trying > *mtu);
            let how = match narrow {
                None => Settled::Answered,
                Some((mtu, true)) => {
                    search.hint = Some(*mtu);
                    Settled::Failed
                }
                Some((_, false)) => Settled::Lost,
            };
            if search.advance(how) {
                return (search.low, probes);
            }
        }
        panic!("no end");
    }

    #[test]
    fn told_by_everybody() {
        assert_eq!(
            search(Version::V4, &[(1500, true), (1280, true)]),
            (1280, 4)
        );
        assert_eq!(search(Version::V6, &[(1500, true)]), (1500, 3));
        assert_eq!(search(Version::V4, &[]), (65_535, 2));
    }

    proptest! {
        /// Routers that lie about the MTU neither end the search wrongly nor
        /// make it endless, and no probe is smaller than its headers.
        #[test]
        fn hints_are_not_trusted(
            six: bool,
            mtu in 1280u32..=65_535,
            hints in prop::collection::vec(prop_oneof![0u32..100, any::<u32>()], 1..40),
        ) {
            let version = if six { Version::V6 } else { Version::V4 };
            let mut search = Search::new(version);
            let mut over = false;
            for round in 0..200 {
                prop_assert!(search.trying >= search.overhead);
                prop_assert!(search.size() <= largest_data(version));
                let how = if search.trying > mtu {
                    search.hint = Some(hints[round % hints.len()]);
                    Settled::Failed
                } else {
                    Settled::Answered
                };
                over = search.advance(how);
                if over {
                    break;
                }
            }
            prop_assert!(over && search.low <= mtu);
        }
    }

    #[test]
    fn tiny_hints_are_ignored() {
        for (version, mtus) in [
            (Version::V4, &[0, 1, 19, 20, 27, 28, 67][..]),
            (Version::V6, &[0, 1, 47, 48, 103, 1279][..]),
        ] {
            for &mtu in mtus {
                let mut search = Search::new(version);
                for _ in 0..TRIES - 1 {
                    search.hint = Some(mtu);
                    assert!(!search.advance(Settled::Failed));
                    assert_eq!(u32::from(search.size()), SMALL);
                }
                search.hint = Some(mtu);
                assert!(search.advance(Settled::Failed), "{mtu}");
            }
        }
    }

    #[test]
    fn a_black_hole_is_found_by_halving() {
        let (mtu, probes) = search(Version::V4, &[(1500, true), (1400, false)]);
        assert_eq!(mtu, 1400);
        assert!(probes < 45, "{probes}");
    }

    #[test]
    fn nobody_answers() {
        assert_eq!(search(Version::V4, &[(0, false)]), (0, TRIES));
    }

    #[test]
    fn errors_that_lie_do_not_lead_astray() {
        let mut search = Search::new(Version::V4);
        assert!(!search.advance(Settled::Answered));
        // An MTU above what was tried, and one below what came back.
        for hint in [70_000, 50] {
            let tried = search.trying;
            search.hint = Some(hint);
            assert!(!search.advance(Settled::Failed));
            assert!(search.trying < tried && search.trying > search.low);
        }
    }

    proptest! {
        #[test]
        fn the_narrowest_link_is_found(
            links in proptest::collection::vec((84u32..70_000, any::<bool>()), 0..5),
        ) {
            let narrowest = links.iter().map(|(mtu, _)| *mtu).min().unwrap_or(65_535);
            prop_assert_eq!(search(Version::V4, &links).0, narrowest.min(65_535));
        }
    }
}

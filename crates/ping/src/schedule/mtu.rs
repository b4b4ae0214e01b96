//! The schedule of the path MTU search: for each target, the largest packet that
//! is answered with fragmentation forbidden.
//!
//! The first probe is small and shows that the host answers; the second has the
//! largest size. If an error names an MTU, from a router or from this host's own
//! interface, that size is tried next. If packets vanish without an error, the
//! search halves the interval between the largest size that was answered and the
//! smallest that was not.

use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;

use common::Error;

use super::min_interval::MinInterval;
use super::new_targets::{NewTarget, NewTargets};
use super::{Action, ProbeOutcome, Schedule};
use crate::clock::Nanos;
use crate::packet::{HEADER, IpVersion};
use crate::source::TargetSource;
use crate::target::{TargetId, Targets};

/// How often a size is tried before it counts as too large.
const TRIES: u32 = 3;

/// The maximum number of targets that are searched at the same time.
const MAX_ACTIVE: usize = 64;

/// The number of data bytes in the first probe.
const FIRST_SIZE: u32 = 56;

/// The search for the path MTU of one target. Sizes are those of IP packets with
/// their headers.
#[derive(Clone, Copy, Debug)]
struct MtuSearch {
    /// The largest size that was answered; 0 before the first reply.
    low: u32,
    /// The largest size that may be answered.
    high: u32,
    /// The size that is being tried.
    trying: u32,
    tries: u32,
    /// The MTU that the last error named.
    hint: Option<u32>,
    /// The size of the IP and ICMP headers.
    overhead: u32,
    /// The smallest MTU that a link may have: 68 bytes (RFC 791, section 3.2) or
    /// 1280 (RFC 8200, section 5). Smaller hints are ignored.
    minimum: u32,
}

impl MtuSearch {
    fn new(version: IpVersion) -> Self {
        let overhead = (version.ip_header() + HEADER) as u32;
        Self {
            low: 0,
            high: u32::from(version.max_data()) + overhead,
            trying: FIRST_SIZE + overhead,
            tries: 0,
            hint: None,
            overhead,
            minimum: match version {
                IpVersion::V4 => 68,
                IpVersion::V6 => 1280,
            },
        }
    }

    /// Advances the search by the outcome of a probe. Returns whether it is
    /// complete.
    fn advance(&mut self, outcome: ProbeOutcome) -> bool {
        let hint = self.hint.take();
        match (outcome, hint) {
            (ProbeOutcome::Answered, _) => {
                // After the small probe try the largest size.
                let is_first = self.low == 0;
                self.low = self.trying;
                self.trying = if is_first { self.high } else { self.middle() };
            }
            (ProbeOutcome::Failed, Some(mtu))
                if mtu < self.trying && mtu >= self.low.max(self.minimum) =>
            {
                self.high = mtu;
                self.trying = mtu;
            }
            // The hint is wrong: it is smaller than a size that was answered or
            // not smaller than the one that was too large.
            (ProbeOutcome::Failed, Some(_)) if self.low > 0 => {
                self.high = self.trying - 1;
                self.trying = self.middle();
            }
            // No larger probe could be sent, either.
            (ProbeOutcome::Unsendable, _) if self.low == 0 => return true,
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

    /// Returns the number of data bytes of the next probe.
    fn data_size(&self) -> u16 {
        u16::try_from(self.trying - self.overhead).unwrap_or(u16::MAX)
    }
}

/// Searches the path MTU of the targets of a list.
#[derive(Debug)]
pub(crate) struct MtuSchedule {
    new_targets: NewTargets,
    timeout: Nanos,
    deadline: Option<Nanos>,
    searches: HashMap<TargetId, MtuSearch>,
    /// The targets with a probe that is due.
    ready: VecDeque<TargetId>,
}

impl MtuSchedule {
    /// Creates the schedule of the targets from `source`.
    pub(crate) fn new(
        source: TargetSource,
        min_interval: MinInterval,
        timeout: Nanos,
        deadline: Option<Nanos>,
    ) -> Self {
        Self {
            new_targets: NewTargets::new(source, min_interval),
            timeout,
            deadline,
            searches: HashMap::new(),
            ready: VecDeque::new(),
        }
    }
}

impl Schedule for MtuSchedule {
    fn next_action(&mut self, now: Nanos, targets: &mut Targets) -> Action {
        self.new_targets.stop_waiting();
        while let Some(&target) = self.ready.front() {
            let address = targets.get(target).map(|target| target.address);
            if let Some(due) =
                address.and_then(|address| self.new_targets.delay_until(address, now))
            {
                return Action::WaitUntil(due);
            }
            self.ready.pop_front();
            if let (Some(search), Some(address)) = (self.searches.get(&target), address) {
                self.new_targets.record_probe(address, now);
                let size = search.data_size();
                return Action::SendProbe { target, size };
            }
        }
        if self.searches.len() < MAX_ACTIVE {
            match self.new_targets.next(now) {
                NewTarget::Ready(target) => {
                    self.new_targets.record_probe(target.address, now);
                    let search = MtuSearch::new(target.version());
                    let target = targets.add(target);
                    self.searches.insert(target, search);
                    let size = search.data_size();
                    return Action::SendProbe { target, size };
                }
                NewTarget::WaitUntil(due) => return Action::WaitUntil(due),
                NewTarget::Rejected(error) => return Action::Reject(error),
                NewTarget::None => {}
            }
        }
        if self.new_targets.is_exhausted() && self.searches.is_empty() {
            Action::Done
        } else {
            Action::WaitForEvent
        }
    }

    fn probe_sent(&mut self, _: TargetId, _: Nanos, _: &mut Targets) {}

    fn probe_too_big(&mut self, id: TargetId, mtu: u32) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.hint = Some(mtu);
        }
    }

    fn probe_ended(
        &mut self,
        id: TargetId,
        outcome: ProbeOutcome,
        _: Nanos,
        targets: &mut Targets,
    ) -> bool {
        // The search has advanced when the probe failed, before it expired.
        let search = self
            .searches
            .get_mut(&id)
            .filter(|_| outcome != ProbeOutcome::Expired);
        let Some(search) = search else {
            return false;
        };
        if !search.advance(outcome) {
            self.ready.push_back(id);
            return false;
        }
        if let Some(target) = targets.get_mut(id) {
            target.path_mtu = Some(search.low).filter(|mtu| *mtu > 0);
        }
        self.searches.remove(&id);
        true
    }

    fn timeout(&self, _: &Targets) -> Nanos {
        self.timeout
    }

    fn unresolved_names(&mut self) -> Vec<Error> {
        self.new_targets.unresolved_names()
    }

    fn has_probed_all(&mut self) -> bool {
        self.new_targets.has_probed_all()
    }

    fn deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.new_targets.wake_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Searches a path with links of these MTUs, each with whether its router
    /// reports the MTU. Returns the path MTU and the number of probes.
    fn search(version: IpVersion, links: &[(u32, bool)]) -> (u32, u32) {
        let mut search = MtuSearch::new(version);
        for probes in 1..1000 {
            let narrow = links.iter().find(|(mtu, _)| search.trying > *mtu);
            let outcome = match narrow {
                None => ProbeOutcome::Answered,
                Some((mtu, true)) => {
                    search.hint = Some(*mtu);
                    ProbeOutcome::Failed
                }
                Some((_, false)) => ProbeOutcome::Lost,
            };
            if search.advance(outcome) {
                return (search.low, probes);
            }
        }
        panic!("the search does not end");
    }

    #[test]
    fn an_mtu_that_is_reported_is_used() {
        assert_eq!(
            search(IpVersion::V4, &[(1500, true), (1280, true)]),
            (1280, 4)
        );
        assert_eq!(search(IpVersion::V6, &[(1500, true)]), (1500, 3));
        assert_eq!(search(IpVersion::V6, &[(1280, true)]), (1280, 3));
        assert_eq!(search(IpVersion::V4, &[]), (65_535, 2));
    }

    proptest! {
        /// Wrong MTUs from routers neither give a wrong result nor an endless
        /// search, and no probe is smaller than its headers.
        #[test]
        fn hints_are_not_trusted(
            six: bool,
            mtu in 1280u32..=65_535,
            hints in prop::collection::vec(prop_oneof![0u32..100, any::<u32>()], 1..40),
        ) {
            let version = if six { IpVersion::V6 } else { IpVersion::V4 };
            let mut search = MtuSearch::new(version);
            let mut is_complete = false;
            for round in 0..200 {
                prop_assert!(search.trying >= search.overhead);
                prop_assert!(search.data_size() <= version.max_data());
                let outcome = if search.trying > mtu {
                    search.hint = Some(hints[round % hints.len()]);
                    ProbeOutcome::Failed
                } else {
                    ProbeOutcome::Answered
                };
                is_complete = search.advance(outcome);
                if is_complete {
                    break;
                }
            }
            prop_assert!(is_complete && search.low <= mtu);
        }
    }

    #[test]
    fn hints_below_the_minimum_are_ignored() {
        for (version, mtus) in [
            (IpVersion::V4, &[0, 1, 19, 20, 27, 28, 67][..]),
            (IpVersion::V6, &[0, 1, 47, 48, 103, 1279][..]),
        ] {
            for &mtu in mtus {
                let mut search = MtuSearch::new(version);
                for _ in 0..TRIES - 1 {
                    search.hint = Some(mtu);
                    assert!(!search.advance(ProbeOutcome::Failed));
                    assert_eq!(u32::from(search.data_size()), FIRST_SIZE);
                }
                search.hint = Some(mtu);
                assert!(search.advance(ProbeOutcome::Failed), "{mtu}");
            }
        }
    }

    #[test]
    fn a_black_hole_is_found_by_halving() {
        let (mtu, probes) = search(IpVersion::V4, &[(1500, true), (1400, false)]);
        assert_eq!(mtu, 1400);
        assert!(probes < 45, "{probes}");
    }

    #[test]
    fn a_silent_host_ends_the_search() {
        assert_eq!(search(IpVersion::V4, &[(0, false)]), (0, TRIES));
    }

    #[test]
    fn wrong_hints_do_not_end_the_search() {
        let mut search = MtuSearch::new(IpVersion::V4);
        assert!(!search.advance(ProbeOutcome::Answered));
        // An MTU above the size that failed, and one below an answered size.
        for hint in [70_000, 50] {
            let tried = search.trying;
            search.hint = Some(hint);
            assert!(!search.advance(ProbeOutcome::Failed));
            assert!(search.trying < tried && search.trying > search.low);
        }
    }

    proptest! {
        #[test]
        fn the_narrowest_link_is_found(
            links in proptest::collection::vec((84u32..70_000, any::<bool>()), 0..5),
        ) {
            let narrowest = links.iter().map(|(mtu, _)| *mtu).min().unwrap_or(65_535);
            prop_assert_eq!(search(IpVersion::V4, &links).0, narrowest.min(65_535));
        }
    }
}

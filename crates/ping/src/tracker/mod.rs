//! The probe tracker: which probes were sent to which target, and which of them
//! were answered, lost or failed. It does no I/O; the engine passes it the
//! messages that it has received and parsed.
//!
//! This file covers a probe's life from its send to its timeout or the end of
//! the run. [`matching`] assigns replies and ICMP errors to probes.

mod matching;

use crate::clock::Nanos;
use crate::cookie::Cookies;
use crate::event::{Corruption, OverdueCounts};
use crate::probes::{Probe, ProbeStatus, Probes};
use crate::schedule::ProbeOutcome;
use crate::target::{TargetId, Targets};

/// The maximum number of probes to remember because a reply to one of them may
/// still decide its target.
const MAX_NEEDED: usize = 1 << 17;

/// The targets and probes of a run, and the key of their cookies.
#[derive(Debug)]
pub(crate) struct ProbeTracker {
    /// The targets that are being probed.
    pub(crate) targets: Targets,
    /// The window of remembered probes.
    pub(crate) probes: Probes,
    /// Makes and checks the cookies of probes.
    pub(crate) cookies: Cookies,
    /// The number of probes in flight, over all targets.
    pub(crate) in_flight: u64,
    /// The user's rules for the replies that count.
    pub(crate) rules: ReplyRules,
}

/// Which replies count, and for how long a probe is in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReplyRules {
    /// The timeout that the user has set for probes.
    pub(crate) timeout: Option<Nanos>,
    /// Whether a reply to any probe of an undecided target counts, even a late
    /// one.
    pub(crate) accept_any_reply: bool,
    /// Whether a reply from an address other than the target's is ignored.
    pub(crate) strict_source: bool,
}

/// A reply with the probe that it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchedReply<'a> {
    /// The target of the probe.
    pub(crate) target: TargetId,
    /// The sequence number of the probe within its target, from 1.
    pub(crate) seq: u64,
    /// The round-trip time, if it is certain which probe was answered.
    pub(crate) rtt: Option<Nanos>,
    /// Whether the probe had timed out.
    pub(crate) is_late: bool,
    /// Whether the probe had been answered before.
    pub(crate) is_duplicate: bool,
    /// Whether a later probe had been answered before.
    pub(crate) is_reordered: bool,
    /// Whether it came from an address other than the target's.
    pub(crate) is_foreign: bool,
    /// How its content differs from the correct reply.
    pub(crate) corruption: Option<Corruption<'a>>,
    /// The outcome to report to the schedule, if this reply decides the probe.
    pub(crate) outcome: Option<ProbeOutcome>,
}

impl ProbeTracker {
    /// Creates a tracker without targets that remembers `retained` probes after
    /// they are settled.
    pub(crate) fn new(cookies: Cookies, retained: usize) -> Self {
        Self {
            targets: Targets::default(),
            probes: Probes::new(retained),
            cookies,
            in_flight: 0,
            rules: ReplyRules::default(),
        }
    }

    /// Adds a probe of `size` bytes that is about to be sent, and returns its
    /// number.
    pub(crate) fn allocate(&mut self, target: TargetId, size: u16) -> u64 {
        let number = self.probes.next_number();
        let seq = match self.targets.get_mut(target) {
            Some(target) => {
                target.allocated += 1;
                target.last_number = number;
                target.allocated
            }
            None => 0,
        };
        self.probes.push(Probe {
            sent_at: Nanos::MAX,
            target,
            size,
            status: ProbeStatus::Pending,
            has_reply: false,
            is_sent: false,
            seq,
        })
    }

    /// Records that a probe was sent at `at`. Returns its target.
    pub(crate) fn mark_sent(&mut self, number: u64, at: Nanos) -> Option<TargetId> {
        let probe = self.probes.get(number)?;
        probe.sent_at = at;
        probe.is_sent = true;
        let id = probe.target;
        let target = self.targets.get_mut(id)?;
        target.in_flight += 1;
        self.in_flight += 1;
        target.stats.record_sent(at);
        Some(id)
    }

    /// Returns the target of a probe, and the probe's sequence number there.
    pub(crate) fn identify(&mut self, number: u64) -> Option<(TargetId, u64)> {
        let probe = self.probes.get(number)?;
        Some((probe.target, probe.seq))
    }

    /// Returns the time at which a probe was sent.
    pub(crate) fn sent_at(&mut self, number: u64) -> Option<Nanos> {
        Some(self.probes.get(number)?.sent_at)
    }

    /// Returns the time at which a probe was passed to the system, if it does
    /// not count as sent yet.
    pub(crate) fn submitted_at(&mut self, number: u64) -> Option<Nanos> {
        let probe = self.probes.get(number)?;
        (!probe.is_sent).then_some(probe.sent_at)
    }

    /// Whether a probe has been answered, lost or failed, or has left the window.
    pub(crate) fn is_settled(&mut self, number: u64) -> bool {
        let probe = self.probes.get(number);
        probe.is_none_or(|probe| probe.status != ProbeStatus::Pending)
    }

    /// Whether [`ProbeTracker::expire`] would return a probe.
    pub(crate) fn has_expired(&self, now: Nanos, timeout: Nanos) -> bool {
        let next = self.probes.next_expiry(timeout);
        self.in_flight > 0 && next.is_some_and(|at| at <= now)
    }

    /// Returns the sequence number of a target's last probe if that has not
    /// been answered.
    pub(crate) fn last_unanswered(&mut self, id: TargetId) -> Option<u64> {
        let last = self.targets.get(id)?.last_number;
        let probe = self.probes.get(last)?;
        (probe.status != ProbeStatus::Answered).then_some(probe.seq)
    }

    /// Records an error about a probe: from the network, or from this host if
    /// `is_local`. Returns the target, the probe's sequence number there, and
    /// whether the error settles the probe.
    pub(crate) fn record_failure(
        &mut self,
        number: u64,
        is_local: bool,
    ) -> Option<(TargetId, u64, bool)> {
        let probe = self.probes.get(number)?;
        let target = self.targets.get_mut(probe.target)?;
        target.stats.errors += 1;
        target.stats.unsent += u64::from(is_local);
        if !is_local {
            target.stats.acknowledge(probe.seq);
        }
        let settles = probe.status == ProbeStatus::Pending;
        if settles {
            probe.status = ProbeStatus::Failed;
            target.in_flight = target.in_flight.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_sub(1);
            target.stats.record_loss(probe.sent_at);
        }
        Some((probe.target, probe.seq, settles))
    }

    /// Returns the next probe that has timed out: its target, its sequence number
    /// there, and and whether it is now lost or had already failed. Call it
    /// until it returns `None`.
    pub(crate) fn expire(
        &mut self,
        now: Nanos,
        timeout: Nanos,
    ) -> Option<(TargetId, u64, ProbeOutcome)> {
        let (_, probe) = self.probes.expire(now, timeout)?;
        let (id, seq, sent_at) = (probe.target, probe.seq, probe.sent_at);
        if probe.status != ProbeStatus::Pending {
            return Some((id, seq, ProbeOutcome::Expired));
        }
        probe.status = ProbeStatus::Lost;
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(target) = self.targets.get_mut(id) {
            target.in_flight = target.in_flight.saturating_sub(1);
            target.stats.record_loss(sent_at);
        }
        Some((id, seq, ProbeOutcome::Lost))
    }

    /// Whether a reply to the oldest probe may still decide its target.
    fn is_oldest_needed(&self) -> bool {
        self.rules.accept_any_reply
            && self.probes.len() <= MAX_NEEDED
            && self.probes.oldest().is_some_and(|probe| {
                let target = self.targets.get(probe.target);
                target.is_some_and(|target| !target.is_decided)
            })
    }

    /// Removes settled probes beyond the number to remember, and each decided
    /// target together with its last probe.
    pub(crate) fn prune(&mut self) {
        while !self.is_oldest_needed()
            && let Some((number, probe)) = self.probes.retire()
        {
            let is_last_of_decided = self
                .targets
                .get(probe.target)
                .is_some_and(|target| target.is_decided && target.last_number == number);
            if is_last_of_decided {
                self.targets.remove(probe.target);
            }
        }
    }

    /// Iterates over the numbers and targets of the probes in flight that count
    /// as lost if the run ends at `now`.
    fn overdue(&self, now: Nanos) -> impl Iterator<Item = (u64, TargetId)> {
        let pending = self.probes.pending();
        let overdue = pending.filter(move |(_, probe)| self.is_overdue(probe, now));
        overdue.map(|(number, probe)| (number, probe.target))
    }

    /// Whether a probe in flight counts as lost if the run ends at `now`: it is
    /// no younger than [`ReplyRules::timeout`] or, if that is `None`, than twice
    /// the longest round trip of its target. If nothing was received from the
    /// target, every probe counts.
    fn is_overdue(&self, probe: &Probe, now: Nanos) -> bool {
        let Some(target) = self.targets.get(probe.target) else {
            return false;
        };
        let limit = match self.rules.timeout {
            _ if target.stats.received == 0 => 0,
            Some(timeout) => timeout,
            None => target.stats.max_rtt().saturating_mul(2),
        };
        now.saturating_sub(probe.sent_at) >= limit
    }

    /// Returns how many probes in flight count as lost at `now`, per target.
    pub(crate) fn count_overdue(&self, now: Nanos) -> OverdueCounts {
        let mut counts = OverdueCounts::new();
        for (_, id) in self.overdue(now) {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    /// Ends the run at `now`: overdue probes are lost, and the others stay in
    /// flight.
    pub(crate) fn lose_overdue(&mut self, now: Nanos) {
        let overdue = self.overdue(now).collect();
        self.mark_lost(overdue);
    }

    /// Does the same as [`ProbeTracker::lose_overdue`] for one target.
    pub(crate) fn lose_overdue_of(&mut self, id: TargetId, now: Nanos) {
        let in_flight = self.targets.get(id).map_or(0, |target| target.in_flight);
        // Searches from the newest probe and stops early: in a sweep the window
        // has hundreds of thousands of probes.
        let own = self.probes.pending().rev();
        let own = own.filter(|(_, probe)| probe.target == id);
        let overdue = own
            .take(in_flight as usize)
            .filter(|(_, probe)| self.is_overdue(probe, now))
            .map(|(number, _)| (number, id))
            .collect();
        self.mark_lost(overdue);
    }

    fn mark_lost(&mut self, overdue: Vec<(u64, TargetId)>) {
        for (number, id) in overdue {
            let Some(probe) = self.probes.get(number) else {
                continue;
            };
            probe.status = ProbeStatus::Lost;
            self.in_flight = self.in_flight.saturating_sub(1);
            if let Some(target) = self.targets.get_mut(id) {
                target.in_flight = target.in_flight.saturating_sub(1);
                target.stats.record_loss(probe.sent_at);
            }
        }
    }

    /// Returns the undecided targets that have been probed, in the order of
    /// their first probes.
    pub(crate) fn undecided(&self) -> Vec<TargetId> {
        let undecided = self.targets.undecided();
        let mut undecided: Vec<_> = undecided
            .map(|(id, target)| (target.stats.first_sent, id))
            .collect();
        undecided.sort_unstable();
        undecided.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests;

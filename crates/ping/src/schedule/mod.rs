//! Schedules: which target is probed when, and when a target is decided. The
//! schedule is the difference between watching one host and sweeping a million.
//!
//! The engine asks a [`Schedule`] for its next [`Action`], and reports each probe
//! that was sent and its outcome.

pub(crate) mod min_interval;
pub(crate) mod mtu;
mod new_targets;
pub(crate) mod periodic;
pub(crate) mod sweep;

use std::os::fd::BorrowedFd;

use common::Error;

use crate::clock::Nanos;
use crate::target::{Target, TargetId, Targets};

/// The next action of the engine.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send a probe now.
    SendProbe { target: TargetId, size: u16 },
    /// Report the last probe if it has no reply, because the next one is due;
    /// then ask for the next action.
    ReportOutstanding { target: TargetId },
    /// Report an operand that cannot be probed; then ask for the next action.
    Reject(Error),
    /// Wait until this time or an event.
    WaitUntil(Nanos),
    /// Wait for an event.
    WaitForEvent,
    /// End the run: every target is decided.
    Done,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeOutcome {
    /// It was answered in time.
    Answered,
    /// Its timeout passed without a reply.
    Lost,
    /// It met an ICMP error, could not be sent, or came back corrupt. Its
    /// timeout has not passed yet.
    Failed,
    /// It could not be sent, and further probes could not be sent either.
    Unsendable,
    /// The timeout of a probe passed that had failed before.
    Expired,
}

/// Decides which target is probed next, when, and with how many bytes.
pub(crate) trait Schedule {
    /// Returns the next action.
    fn next_action(&mut self, now: Nanos, targets: &mut Targets) -> Action;

    /// A probe was sent, or the system refused to send it.
    fn probe_sent(&mut self, id: TargetId, at: Nanos, targets: &mut Targets);

    /// A probe ended. Returns whether this decides its target.
    fn probe_ended(
        &mut self,
        id: TargetId,
        outcome: ProbeOutcome,
        now: Nanos,
        targets: &mut Targets,
    ) -> bool;

    /// A probe exceeded the MTU of a link. Called before
    /// [`Schedule::probe_ended`].
    fn probe_too_big(&mut self, _id: TargetId, _mtu: u32) {}

    /// Returns the timeout of a probe.
    fn timeout(&self, targets: &Targets) -> Nanos;

    /// Returns an error for each name that is still being looked up.
    fn unresolved_names(&mut self) -> Vec<Error> {
        Vec::new()
    }

    /// Returns by how much the probes missed their period on average, if that is
    /// longer than the period.
    fn excessive_lag(&self) -> Option<Nanos> {
        None
    }

    /// Whether every target has been probed.
    fn has_probed_all(&mut self) -> bool {
        true
    }

    /// Returns when the run ends at the latest.
    fn deadline(&self) -> Option<Nanos>;

    /// Returns a descriptor that becomes readable when there are new targets.
    fn wake_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// The data sizes of the probes of a target, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataSizes {
    /// The size of the first probe.
    pub(crate) min: u16,
    /// The largest size in the series.
    pub(crate) max: u16,
    /// The difference between one probe and the next. After `max` the sizes
    /// start again at `min`.
    pub(crate) step: u16,
}

impl DataSizes {
    /// Returns the sizes of probes that all have the same size.
    pub(crate) fn fixed(size: u16) -> Self {
        Self {
            min: size,
            max: size,
            step: 1,
        }
    }

    /// Returns the size of the probe with this index, from 0.
    pub(crate) fn nth(self, index: u64) -> u16 {
        self.min + (index % self.count()) as u16 * self.step
    }

    /// Returns the number of different sizes.
    pub(crate) fn count(self) -> u64 {
        u64::from((self.max - self.min) / self.step.max(1)) + 1
    }
}

/// The state of a target for which `--until-up` or `--until-down` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// A reply has come, in time or late.
    Up,
    /// Three consecutive probes were lost, without a late reply between them.
    Down,
}

/// The number of consecutive losses after which a host is down.
const DOWN_LOSSES: u64 = 3;

impl WaitFor {
    /// Whether a target is in this state.
    pub(crate) fn is_reached(self, target: &Target) -> bool {
        match self {
            Self::Up => target.has_replied || target.stats.late > 0,
            Self::Down => target.stats.losses_since_reply >= DOWN_LOSSES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_start_again_after_the_largest() {
        let sizes = DataSizes {
            min: 10,
            max: 25,
            step: 10,
        };
        assert_eq!([0, 1, 2, 3].map(|n| sizes.nth(n)), [10, 20, 10, 20]);
        assert_eq!((sizes.count(), DataSizes::fixed(56).nth(9)), (2, 56));
    }

    #[test]
    fn a_late_reply_ends_a_series_of_losses() {
        let mut target = Target::new(None, [10, 0, 0, 1].into(), 0);
        for _ in 0..2 {
            target.stats.record_loss(0);
        }
        target.stats.record_late();
        assert!(WaitFor::Up.is_reached(&target));
        for _ in 0..2 {
            target.stats.record_loss(0);
        }
        assert!(!WaitFor::Down.is_reached(&target));
        target.stats.record_reply(1, 5, 0);
        for _ in 0..2 {
            target.stats.record_loss(0);
        }
        assert!(!WaitFor::Down.is_reached(&target));
        target.stats.record_loss(0);
        assert!(WaitFor::Down.is_reached(&target));
    }
}

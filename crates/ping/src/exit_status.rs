//! The exit status: every target is counted when it is decided, and the counts
//! determine the status.

use std::os::fd::BorrowedFd;

use common::app::Io;
use common::{Exit, Kind, Result};

use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, OverdueCounts, RejectedOperand, send_error_kind};
use crate::schedule::WaitFor;
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// The condition for exit status 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    /// Every target has answered.
    All,
    /// No target has lost more than this percentage of its probes.
    MaxLoss(f64),
    /// At least this number of targets have answered.
    Reachable(u64),
    /// Every target has reached the state.
    StateChange(WaitFor),
    /// The path MTU of every target was found.
    Mtu,
    /// The single target has sent this number of replies.
    Replies(u64),
}

impl Condition {
    fn is_met_by(self, target: &Target) -> bool {
        match self {
            Self::All | Self::Reachable(_) => target.has_replied,
            Self::Mtu => target.path_mtu.is_some(),
            Self::MaxLoss(max) => target
                .stats
                .loss_percent()
                .is_some_and(|percent| percent <= max),
            Self::StateChange(wait_for) => wait_for.is_reached(target),
            Self::Replies(count) => target.stats.received >= count,
        }
    }
}

/// An observer that determines the exit status and passes every call on to the
/// output format.
pub(crate) struct ExitTracker<'a> {
    inner: &'a mut dyn Observer,
    condition: Condition,
    /// Whether the run has a single target.
    is_single: bool,
    met: u64,
    unmet: u64,
    /// The highest status of targets to which no probe could be sent.
    unsendable: Exit,
    /// The last `errno` with which a send failed.
    last_send_error: Option<i32>,
}

impl std::fmt::Debug for ExitTracker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExitTracker")
            .field("condition", &self.condition)
            .field("met", &self.met)
            .field("unmet", &self.unmet)
            .finish_non_exhaustive()
    }
}

impl<'a> ExitTracker<'a> {
    /// Creates a tracker in front of `inner`. A run that `is_single` has one
    /// target.
    pub(crate) fn new(inner: &'a mut dyn Observer, condition: Condition, is_single: bool) -> Self {
        Self {
            inner,
            condition,
            is_single,
            met: 0,
            unmet: 0,
            unsendable: Exit::Success,
            last_send_error: None,
        }
    }

    /// Returns the exit status of the run.
    pub(crate) fn exit(&self) -> Exit {
        let is_met = match self.condition {
            Condition::Reachable(least) => self.met >= least,
            _ => self.unmet == 0 && (self.met > 0 || !self.is_single),
        };
        match (is_met, self.condition) {
            // The other targets do not matter.
            (true, Condition::Reachable(_)) => Exit::Success,
            (true, _) => self.unsendable,
            (false, _) => self.unsendable.max(Exit::Negative),
        }
    }

    /// Whether no target was probed.
    pub(crate) fn has_no_targets(&self) -> bool {
        self.met == 0 && self.unmet == 0
    }

    /// Records that the run ended before every target was probed.
    pub(crate) fn record_unprobed(&mut self) {
        self.unmet += 1;
    }

    fn count(&mut self, target: &Target) {
        if self.condition.is_met_by(target) {
            self.met += 1;
        } else {
            self.unmet += 1;
        }
        // If not a single probe was sent, it is unknown whether the condition holds.
        if target.stats.unsent > 0 && target.stats.unsent == target.stats.sent {
            let kind = self
                .last_send_error
                .map_or(Kind::Unreachable, send_error_kind);
            self.unsendable = self.unsendable.max(kind.exit());
        }
    }
}

impl Observer for ExitTracker<'_> {
    fn target_started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.inner.target_started(io, clock, target)
    }

    fn operand_rejected(
        &mut self,
        io: &mut Io,
        clock: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        self.inner.operand_rejected(io, clock, rejected)
    }

    fn is_satisfied(&self) -> bool {
        matches!(self.condition, Condition::Reachable(least) if self.met >= least)
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        if let Event::Unsent { errno, .. } = event {
            self.last_send_error = Some(*errno);
        }
        self.inner.event(io, clock, target, event)
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.count(target);
        self.inner.target_decided(io, clock, target)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &OverdueCounts) -> Result<()> {
        self.inner.snapshot(io, targets, overdue)
    }

    fn release_deadline(&self) -> Option<Nanos> {
        self.inner.release_deadline()
    }

    fn is_holding(&self) -> bool {
        self.inner.is_holding()
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.wake_fd()
    }

    fn release(&mut self, io: &mut Io, clock: Clock, targets: &Targets) -> Result<()> {
        self.inner.release(io, clock, targets)
    }

    fn interval_ended(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        stats: &Stats,
    ) -> Result<()> {
        self.inner.interval_ended(io, clock, target, stats)
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        // A target that was probed and has not answered counts as such, however
        // the run ended.
        for (_, target) in targets.iter().filter(|(_, target)| !target.is_decided) {
            if target.allocated > 0 || self.is_single {
                self.count(target);
            }
        }
        self.inner.finish(io, clock, targets, drops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An observer that prints nothing.
    struct NoOutput;

    impl Observer for NoOutput {}

    /// A target with this number of probes, replies and failed sends.
    fn target(sent: u64, received: u64, unsent: u64) -> Target {
        let mut target = Target::new(None, [10, 0, 0, 1].into(), 0);
        target.has_replied = received > 0;
        target.stats.sent = sent;
        target.stats.received = received;
        target.stats.unsent = unsent;
        target
    }

    fn exit(condition: Condition, is_single: bool, targets: &[Target]) -> Exit {
        let mut output = NoOutput;
        let mut tracker = ExitTracker::new(&mut output, condition, is_single);
        tracker.last_send_error = Some(libc::ENETUNREACH);
        for target in targets {
            tracker.count(target);
        }
        tracker.exit()
    }

    #[test]
    fn one_target_that_does_not_answer_decides_the_status() {
        let (up, down) = (|| target(1, 1, 0), || target(4, 0, 0));
        assert_eq!(exit(Condition::All, false, &[up(), up()]), Exit::Success);
        assert_eq!(exit(Condition::All, false, &[up(), down()]), Exit::Negative);
        assert_eq!(exit(Condition::All, true, &[up()]), Exit::Success);
        // A list may be empty; a single target must have been probed.
        assert_eq!(exit(Condition::All, false, &[]), Exit::Success);
        assert_eq!(exit(Condition::All, true, &[]), Exit::Negative);
    }

    #[test]
    fn a_target_to_which_nothing_could_be_sent_is_not_a_no() {
        assert_eq!(
            exit(Condition::All, true, &[target(3, 0, 3)]),
            Exit::Network
        );
        assert_eq!(
            exit(Condition::All, true, &[target(3, 0, 2)]),
            Exit::Negative
        );
        assert_eq!(
            exit(Condition::All, true, &[target(3, 1, 2)]),
            Exit::Success
        );
        let targets = [target(1, 0, 1), target(1, 1, 0)];
        assert_eq!(
            exit(Condition::Reachable(1), false, &targets),
            Exit::Success
        );
        assert_eq!(
            exit(Condition::Reachable(2), false, &targets),
            Exit::Network
        );
    }
}

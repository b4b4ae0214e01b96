//! The exit status: every target counted as it is decided, and what that
//! comes to.

use std::os::fd::BorrowedFd;

use common::app::Io;
use common::{Exit, Kind, Result};

use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, Overdue, Refusal};
use crate::face::json::kind_of;
use crate::plan::Until;
use crate::target::{Target, Targets};

/// What has to hold for status 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    /// Every target answered.
    All,
    /// No target lost more than this, in percent.
    MaxLoss(f64),
    /// At least so many targets answered.
    Reachable(u64),
    /// Every target went up or down.
    Until(Until),
    /// The path MTU of every target was found.
    Mtu,
    /// The one target gave so many answers.
    Answers(u64),
}

impl Condition {
    fn holds(self, target: &Target) -> bool {
        match self {
            Self::All | Self::Reachable(_) => target.answered,
            Self::Mtu => target.mtu.is_some(),
            Self::MaxLoss(most) => target
                .stats
                .loss_percent()
                .is_some_and(|percent| percent <= most),
            Self::Until(until) => until.reached(target),
            Self::Answers(count) => target.stats.received >= count,
        }
    }
}

/// Counts what the face behind it is told.
pub(crate) struct Tally<'a> {
    face: &'a mut dyn Observer,
    condition: Condition,
    good: u64,
    bad: u64,
    /// Whether there has to be a target at all.
    single: bool,
    /// The worst of targets that nothing could be sent to.
    unsent: Exit,
    /// The last reason why nothing could be sent to a target.
    refused: Option<i32>,
}

impl std::fmt::Debug for Tally<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally")
            .field("condition", &self.condition)
            .field("good", &self.good)
            .field("bad", &self.bad)
            .finish_non_exhaustive()
    }
}

impl<'a> Tally<'a> {
    /// Counts for a condition. `single`: the run has one target.
    pub(crate) fn new(face: &'a mut dyn Observer, condition: Condition, single: bool) -> Self {
        Self {
            face,
            condition,
            good: 0,
            bad: 0,
            single,
            unsent: Exit::Yes,
            refused: None,
        }
    }

    /// The status of the run.
    pub(crate) fn exit(&self) -> Exit {
        let holds = match self.condition {
            Condition::Reachable(least) => self.good >= least,
            _ => self.bad == 0 && (self.good > 0 || !self.single),
        };
        match (holds, self.condition) {
            // Enough answered; the others do not matter.
            (true, Condition::Reachable(_)) => Exit::Yes,
            (true, _) => self.unsent,
            (false, _) => self.unsent.max(Exit::No),
        }
    }

    /// Whether no target was probed.
    pub(crate) fn is_empty(&self) -> bool {
        self.good == 0 && self.bad == 0
    }

    /// There are targets that were never asked.
    pub(crate) fn unasked(&mut self) {
        self.bad += 1;
    }

    fn count(&mut self, target: &Target) {
        if self.condition.holds(target) {
            self.good += 1;
        } else {
            self.bad += 1;
        }
        // Nothing ever left: then there is no answer, not even a no.
        if target.stats.unsent > 0 && target.stats.unsent == target.stats.sent {
            let kind = self.refused.map_or(Kind::Unreachable, kind_of);
            self.unsent = self.unsent.max(kind.exit());
        }
    }
}

impl Observer for Tally<'_> {
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.face.started(io, clock, target)
    }

    fn refused(&mut self, io: &mut Io, clock: Clock, refusal: &Refusal) -> Result<()> {
        self.face.refused(io, clock, refusal)
    }

    fn is_enough(&self) -> bool {
        matches!(self.condition, Condition::Reachable(least) if self.good >= least)
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        if let Event::Unsent { errno, .. } = event {
            self.refused = Some(*errno);
        }
        self.face.event(io, clock, target, event)
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.count(target);
        self.face.ended(io, clock, target)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &Overdue) -> Result<()> {
        self.face.snapshot(io, targets, overdue)
    }

    fn held(&self) -> Option<Nanos> {
        self.face.held()
    }

    fn is_holding(&self) -> bool {
        self.face.is_holding()
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.face.wake()
    }

    fn release(&mut self, io: &mut Io, clock: Clock, targets: &Targets) -> Result<()> {
        self.face.release(io, clock, targets)
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        // Who was asked and has not answered has not answered, however the run
        // came to its end.
        for (_, target) in targets.iter().filter(|(_, target)| !target.ended) {
            if target.sent > 0 || self.single {
                self.count(target);
            }
        }
        self.face.finish(io, clock, targets, drops)
    }
}

//! The schedule of a list: each target is probed until it answers, a number of
//! times, or until its state changes. Any two probes are at least a pause apart,
//! and the number of active targets is bounded.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use common::Error;

use super::min_interval::MinInterval;
use super::new_targets::{NewTarget, NewTargets};
use super::{Action, DataSizes, ProbeOutcome, Schedule, WaitFor};
use crate::clock::Nanos;
use crate::source::TargetSource;
use crate::target::{TargetId, Targets};

/// The maximum number of targets that are probed but not decided. Further ones
/// wait.
const MAX_ACTIVE: usize = 1 << 18;

/// How far a [`Pacer`] may be behind before it skips the probes it has missed,
/// in nanoseconds.
const MAX_LAG: Nanos = 10_000_000;

/// The minimum number of probes for which a lag is reported. Fewer may be late
/// because this process had to wait.
const MIN_REPEATS: u64 = 50;

/// When a target is decided. Periods are from one probe to the next of the same
/// target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCondition {
    /// It has answered, or the retries are used up.
    FirstReply {
        /// The number of probes after the first.
        retries: u32,
    },
    /// A number of probes have been sent and settled.
    Count { count: u64, period: Nanos },
    /// Never: the target is probed until the run ends.
    Never { period: Nanos },
    /// It is up or down.
    StateChange { wait_for: WaitFor, period: Nanos },
}

/// Spaces the probes of a run evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    gap: Nanos,
    due: Nanos,
}

impl Pacer {
    /// Creates a pacer of probes that are `gap` nanoseconds apart on average; 0
    /// means no limit.
    pub(crate) fn new(gap: Nanos) -> Self {
        Self { gap, due: 0 }
    }

    /// Returns when the next probe may be sent, or `None` if it may be sent now.
    fn delay_until(&self, now: Nanos) -> Option<Nanos> {
        (self.gap > 0 && self.due > now).then_some(self.due)
    }

    /// Records a probe that is sent now.
    fn record(&mut self, now: Nanos) {
        if self.gap > 0 {
            self.due = self.due.max(now.saturating_sub(MAX_LAG.max(self.gap))) + self.gap;
        }
    }
}

/// How late the repeated probes of targets were sent.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    total: u128,
    repeats: u64,
}

impl Lag {
    fn record(&mut self, lag: Nanos) {
        self.total += u128::from(lag);
        self.repeats += 1;
    }

    /// Returns the mean if it is longer than the period.
    fn excessive(self, period: Nanos) -> Option<Nanos> {
        let mean = self.total / u128::from(self.repeats.max(1));
        u64::try_from(mean)
            .ok()
            .filter(|lag| self.repeats >= MIN_REPEATS && *lag > period.max(MAX_LAG))
    }
}

/// Probes the targets of a list.
#[derive(Debug)]
pub(crate) struct SweepSchedule {
    new_targets: NewTargets,
    stop: StopCondition,
    pacer: Pacer,
    timeout: Nanos,
    deadline: Option<Nanos>,
    sizes: DataSizes,
    /// The targets that are probed again, in the order of their due times.
    repeats: VecDeque<(Nanos, TargetId)>,
    active: usize,
    lag: Lag,
}

impl SweepSchedule {
    /// Creates the schedule of the targets from `source`.
    pub(crate) fn new(
        source: TargetSource,
        stop: StopCondition,
        pacer: Pacer,
        min_interval: MinInterval,
        timeout: Nanos,
        deadline: Option<Nanos>,
        sizes: DataSizes,
    ) -> Self {
        Self {
            new_targets: NewTargets::new(source, min_interval),
            stop,
            pacer,
            timeout,
            deadline,
            sizes,
            repeats: VecDeque::new(),
            active: 0,
            lag: Lag::default(),
        }
    }

    fn send_probe(&mut self, target: TargetId, now: Nanos, targets: &Targets) -> Action {
        self.pacer.record(now);
        let mut index = 0;
        if let Some(target) = targets.get(target) {
            self.new_targets.record_probe(target.address, now);
            index = target.allocated;
        }
        Action::SendProbe {
            target,
            size: self.sizes.nth(index),
        }
    }
}

impl Schedule for SweepSchedule {
    fn next_action(&mut self, now: Nanos, targets: &mut Targets) -> Action {
        self.new_targets.stop_waiting();
        if let Some(due) = self.pacer.delay_until(now) {
            return Action::WaitUntil(due);
        }
        while let Some(&(due, id)) = self.repeats.front() {
            if due > now {
                break;
            }
            // The target may have been decided in the meantime.
            let undecided = targets.get(id).filter(|target| !target.is_decided);
            let address = undecided.map(|target| target.address);
            if let Some(due) =
                address.and_then(|address| self.new_targets.delay_until(address, now))
            {
                return Action::WaitUntil(due);
            }
            self.repeats.pop_front();
            if undecided.is_some() {
                self.lag.record(now.saturating_sub(due));
                return self.send_probe(id, now, targets);
            }
        }
        if self.active < MAX_ACTIVE {
            match self.new_targets.next(now) {
                NewTarget::Ready(target) => {
                    self.active += 1;
                    let id = targets.add(target);
                    return self.send_probe(id, now, targets);
                }
                NewTarget::WaitUntil(due) => {
                    let repeat = self.repeats.front().map(|&(due, _)| due);
                    return Action::WaitUntil(repeat.map_or(due, |repeat| repeat.min(due)));
                }
                NewTarget::Rejected(error) => return Action::Reject(error),
                NewTarget::None => {}
            }
        }
        match self.repeats.front() {
            Some(&(due, _)) => Action::WaitUntil(due),
            None if self.new_targets.is_exhausted() && self.active == 0 => Action::Done,
            None => Action::WaitForEvent,
        }
    }

    fn probe_sent(&mut self, id: TargetId, at: Nanos, targets: &mut Targets) {
        let allocated = targets.get(id).map_or(0, |target| target.allocated);
        match self.stop {
            StopCondition::FirstReply { .. } => {}
            StopCondition::Count { count, .. } if allocated >= count => {}
            StopCondition::Count { period, .. }
            | StopCondition::Never { period }
            | StopCondition::StateChange { period, .. } => {
                self.repeats.push_back((at + period, id));
            }
        }
    }

    fn probe_ended(
        &mut self,
        id: TargetId,
        outcome: ProbeOutcome,
        _: Nanos,
        targets: &mut Targets,
    ) -> bool {
        let Some(target) = targets.get(id) else {
            return false;
        };
        let is_decided = match (self.stop, outcome) {
            (
                StopCondition::FirstReply { .. },
                ProbeOutcome::Answered | ProbeOutcome::Unsendable,
            ) => true,
            (StopCondition::FirstReply { .. }, ProbeOutcome::Failed)
            | (StopCondition::Never { .. }, _) => false,
            (StopCondition::FirstReply { retries }, ProbeOutcome::Lost | ProbeOutcome::Expired) => {
                let has_retries = target.allocated <= u64::from(retries);
                if has_retries {
                    self.repeats.push_back((0, id));
                }
                !has_retries
            }
            (StopCondition::Count { count, .. }, _) => {
                target.allocated >= count && target.is_idle()
            }
            (StopCondition::StateChange { wait_for, .. }, _) => wait_for.is_reached(target),
        };
        self.active -= usize::from(is_decided);
        is_decided
    }

    fn timeout(&self, _: &Targets) -> Nanos {
        self.timeout
    }

    fn unresolved_names(&mut self) -> Vec<Error> {
        self.new_targets.unresolved_names()
    }

    fn excessive_lag(&self) -> Option<Nanos> {
        match self.stop {
            StopCondition::Count { period, .. } | StopCondition::Never { period } => {
                self.lag.excessive(period)
            }
            _ => None,
        }
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
    use crate::source::tests::source_of;

    #[test]
    fn a_pacer_keeps_its_average_and_does_not_burst() {
        // Polled less often than probes are due, and for a long gap within it.
        for (gap, poll) in [(1_000_000, 7_000_000), (1_000_000_000, 700_000_000)] {
            let mut pacer = Pacer::new(gap);
            let mut sent = 0;
            for now in (0..1000 * gap).step_by(poll) {
                while pacer.delay_until(now).is_none() {
                    pacer.record(now);
                    sent += 1;
                }
            }
            assert!((990..=1010).contains(&sent), "{sent}");
            // After a pause of that length, only the probes of 10 ms are made up for.
            let mut burst = 0;
            while pacer.delay_until(2000 * gap).is_none() {
                pacer.record(2000 * gap);
                burst += 1;
            }
            assert!(burst <= 12, "{burst}");
        }
    }

    #[test]
    fn the_lag_is_reported_if_it_exceeds_the_period() {
        let lag_of = |lag: Nanos, repeats: u64| Lag {
            total: u128::from(lag) * u128::from(repeats),
            repeats,
        };
        assert_eq!(
            lag_of(20_000_000, 50).excessive(5_000_000),
            Some(20_000_000)
        );
        for (lag, repeats, period) in [
            // Too few probes, no longer than the period, or hardly noticeable.
            (20_000_000, 49, 5_000_000),
            (20_000_000, 50, 20_000_000),
            (9_000_000, 50, 5_000_000),
            (0, 0, 5_000_000),
        ] {
            assert_eq!(lag_of(lag, repeats).excessive(period), None, "{lag}");
        }
    }

    /// A schedule of these operands for an ordinary user, and its targets.
    fn schedule(operands: &[&str], stop: StopCondition) -> (SweepSchedule, Targets) {
        let schedule = SweepSchedule::new(
            source_of(operands, b""),
            stop,
            Pacer::new(0),
            MinInterval::new(1_000),
            500,
            None,
            DataSizes::fixed(56),
        );
        (schedule, Targets::default())
    }

    /// Returns the next action once the source has read its operands.
    fn next(schedule: &mut SweepSchedule, targets: &mut Targets, now: Nanos) -> Action {
        loop {
            match schedule.next_action(now, targets) {
                Action::WaitForEvent if schedule.wake_fd().is_some() => std::thread::yield_now(),
                action => return action,
            }
        }
    }

    #[test]
    fn a_deferred_target_has_not_been_probed() {
        let stop = StopCondition::FirstReply { retries: 0 };
        let (mut schedule, mut targets) = schedule(&["127.0.0.1", "127.0.0.1"], stop);
        let first = next(&mut schedule, &mut targets, 1);
        assert!(matches!(first, Action::SendProbe { target: 0, .. }));
        let second = next(&mut schedule, &mut targets, 2);
        assert!(matches!(second, Action::WaitUntil(1_001)), "{second:?}");
        assert!(!schedule.has_probed_all());
        let second = next(&mut schedule, &mut targets, 1_001);
        assert!(matches!(second, Action::SendProbe { target: 1, .. }));
        assert!(schedule.has_probed_all());
    }

    #[test]
    fn a_lost_probe_is_repeated_as_often_as_allowed() {
        let stop = StopCondition::FirstReply { retries: 2 };
        let (mut schedule, mut targets) = schedule(&["127.0.0.1"], stop);
        for attempt in 0..3 {
            let now = attempt * 1_000 + 1;
            let action = next(&mut schedule, &mut targets, now);
            assert!(matches!(action, Action::SendProbe { target: 0, .. }));
            targets.get_mut(0).unwrap().allocated += 1;
            schedule.probe_sent(0, now, &mut targets);
            // An error leaves time for the reply; then the timeout passes.
            let mut ended = |outcome| schedule.probe_ended(0, outcome, now, &mut targets);
            assert!(!ended(ProbeOutcome::Failed));
            assert_eq!(ended(ProbeOutcome::Expired), attempt == 2);
        }
        let last = next(&mut schedule, &mut targets, 9_000);
        assert!(matches!(last, Action::Done), "{last:?}");
    }
}

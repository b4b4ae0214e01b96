//! Many hosts: each probed until it answers, or a number of times, or until it
//! goes up or down; any two probes at least a pause apart, and never more
//! hosts at once than memory should hold.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use super::floor::Floor;
use super::{DataSizes, Next, Plan, Settled, Until};
use common::Error;

use crate::clock::Nanos;
use crate::feed::{Fed, Feed};
use crate::target::{Target, TargetId, Targets};

/// Hosts begun and not decided, at most; further ones wait.
const LIVE: usize = 1 << 18;

/// How far a pace may lag behind before what was missed is let go.
const LAG: Nanos = 10_000_000;

/// Probes whose being late says nothing about the period.
const FEW: u64 = 50;

/// What a host is probed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// One answer, with so many retries.
    Answer {
        /// Probes after the first.
        retries: u32,
    },
    /// So many probes, a period apart.
    Count {
        /// How many.
        count: u64,
        /// From one to the next of the same host.
        period: Nanos,
    },
    /// Whatever happens, a period apart, until the run is ended.
    Watch {
        /// From one probe to the next of the same host.
        period: Nanos,
    },
    /// A change, probed for at a period.
    Until {
        /// Which.
        until: Until,
        /// From one to the next of the same host.
        period: Nanos,
    },
}

/// The pause between any two probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    gap: Nanos,
    due: Nanos,
}

impl Pace {
    /// Probes at least `gap` nanoseconds apart on average.
    pub(crate) fn new(gap: Nanos) -> Self {
        Self { gap, due: 0 }
    }

    /// When the next one may go, if that is not now.
    fn wait(&self, now: Nanos) -> Option<Nanos> {
        (self.gap > 0 && self.due > now).then_some(self.due)
    }

    fn count(&mut self, now: Nanos) {
        if self.gap > 0 {
            self.due = self.due.max(now.saturating_sub(LAG.max(self.gap))) + self.gap;
        }
    }
}

/// The plan.
#[derive(Debug)]
pub(crate) struct ListPlan {
    feed: Feed,
    goal: Goal,
    pace: Pace,
    floor: Floor,
    timeout: Nanos,
    deadline: Option<Nanos>,
    sizes: DataSizes,
    /// A target whose address was probed a moment ago.
    waiting: Option<Target>,
    /// Hosts whose turn has come again, in order.
    again: VecDeque<(Nanos, TargetId)>,
    live: usize,
    starved: bool,
    ended: bool,
    /// How late further probes of a host went out, all together, and how many
    /// there were.
    lag: u128,
    repeated: u64,
}

impl ListPlan {
    /// The plan for what the feed brings.
    pub(crate) fn new(
        feed: Feed,
        goal: Goal,
        pace: Pace,
        floor: Floor,
        timeout: Nanos,
        deadline: Option<Nanos>,
        sizes: DataSizes,
    ) -> Self {
        Self {
            feed,
            goal,
            pace,
            floor,
            timeout,
            deadline,
            sizes,
            waiting: None,
            again: VecDeque::new(),
            live: 0,
            starved: false,
            ended: false,
            lag: 0,
            repeated: 0,
        }
    }

    fn probe(&mut self, target: TargetId, now: Nanos, targets: &Targets) -> Next {
        self.pace.count(now);
        let mut index = 0;
        if let Some(target) = targets.get(target) {
            self.floor.count(target.address, now);
            index = target.sent;
        }
        Next::Probe {
            target,
            size: self.sizes.of(index),
        }
    }
}

impl Plan for ListPlan {
    fn next(&mut self, now: Nanos, targets: &mut Targets) -> Next {
        self.starved = false;
        if let Some(due) = self.pace.wait(now) {
            return Next::At(due);
        }
        while let Some(&(due, id)) = self.again.front() {
            if due > now {
                break;
            }
            // It may have been decided since.
            let open = targets.get(id).filter(|target| !target.ended);
            if let Some(due) = open.and_then(|target| self.floor.wait(target.address, now)) {
                return Next::At(due);
            }
            self.again.pop_front();
            if open.is_some() {
                self.lag += u128::from(now.saturating_sub(due));
                self.repeated += 1;
                return self.probe(id, now, targets);
            }
        }
        if !self.ended && self.live < LIVE {
            let next = match self.waiting.take() {
                Some(target) => Fed::Target(target),
                None => self.feed.next(),
            };
            match next {
                Fed::Target(target) => {
                    if let Some(due) = self.floor.wait(target.address, now) {
                        self.waiting = Some(target);
                        let next = self.again.front().map_or(due, |&(again, _)| again.min(due));
                        return Next::At(next);
                    }
                    self.live += 1;
                    let id = targets.add(target);
                    return self.probe(id, now, targets);
                }
                Fed::Refused(error) => return Next::Refused(error),
                Fed::NotYet => self.starved = true,
                Fed::End => self.ended = true,
            }
        }
        match self.again.front() {
            Some(&(due, _)) => Next::At(due),
            None if self.ended && self.live == 0 => Next::Done,
            None => Next::Idle,
        }
    }

    fn sent(&mut self, id: TargetId, at: Nanos, targets: &mut Targets) {
        let sent = targets.get(id).map_or(0, |target| target.sent);
        match self.goal {
            Goal::Answer { .. } => {}
            Goal::Count { count, .. } if sent >= count => {}
            Goal::Count { period, .. } | Goal::Watch { period } | Goal::Until { period, .. } => {
                self.again.push_back((at + period, id));
            }
        }
    }

    fn settled(&mut self, id: TargetId, how: Settled, _: Nanos, targets: &mut Targets) -> bool {
        let Some(target) = targets.get(id) else {
            return false;
        };
        let over = match (self.goal, how) {
            (Goal::Answer { .. }, Settled::Answered | Settled::Unsendable) => true,
            (Goal::Answer { .. }, Settled::Failed) | (Goal::Watch { .. }, _) => false,
            (Goal::Answer { retries }, Settled::Lost | Settled::Expired) => {
                let over = target.sent > u64::from(retries);
                if !over {
                    self.again.push_back((0, id));
                }
                over
            }
            (Goal::Count { count, .. }, _) => target.sent >= count && target.is_settled(),
            (Goal::Until { until, .. }, _) => until.reached(target),
        };
        self.live -= usize::from(over);
        over
    }

    fn timeout(&self, _: &Targets) -> Nanos {
        self.timeout
    }

    fn unresolved(&mut self) -> Vec<Error> {
        self.feed.unresolved()
    }

    fn lag(&self) -> Option<Nanos> {
        match self.goal {
            Goal::Count { period, .. } | Goal::Watch { period } => {
                // A few may be late because this process had to wait.
                let mean = self.lag / u128::from(self.repeated.max(1));
                u64::try_from(mean)
                    .ok()
                    .filter(|lag| self.repeated >= FEW && *lag > period.max(LAG))
            }
            _ => None,
        }
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

    #[test]
    fn a_pace_keeps_its_average_and_does_not_burst() {
        let gap = 1_000_000;
        let mut pace = Pace::new(gap);
        let mut sent = 0;
        // Asked only every seven milliseconds.
        for now in (0..1000 * gap).step_by(7 * gap as usize) {
            while pace.wait(now).is_none() {
                pace.count(now);
                sent += 1;
            }
        }
        assert!((990..=1010).contains(&sent), "{sent}");
        // After a second of silence no more than ten are made up for.
        let mut burst = 0;
        while pace.wait(2000 * gap).is_none() {
            pace.count(2000 * gap);
            burst += 1;
        }
        assert!(burst <= 12, "{burst}");
    }
}

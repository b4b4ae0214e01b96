//! One host, watched: probes on a grid of absolute moments, or as fast as
//! answers come, until the count, the deadline or the user says stop.

use std::os::fd::BorrowedFd;

use super::{DataSizes, Next, Plan, Settled, Until};
use crate::clock::Nanos;
use crate::target::{TargetId, Targets};

/// A second.
const SECOND: Nanos = 1_000_000_000;

/// How long a probe has where nothing was asked for.
const DEFAULT_TIMEOUT: Nanos = 10 * SECOND;

/// How long the last ones have at least, once the host has shown that it
/// answers.
const LAST_TIMEOUT: Nanos = 2 * SECOND;

/// Without an answer a flood still sends this often.
const FLOOD_PAUSE: Nanos = 10_000_000;

/// What decides when the next probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A fixed interval.
    Interval,
    /// The answer to the one before.
    Flood,
    /// The average round-trip time.
    Adaptive,
}

/// The options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    /// See [`Mode`].
    pub(crate) mode: Mode,
    /// Between two probes. With [`Mode::Adaptive`] the shortest.
    pub(crate) interval: Nanos,
    /// Probes to send; with a deadline, answers to wait for.
    pub(crate) count: Option<u64>,
    /// Probes sent without waiting for an answer.
    pub(crate) preload: u64,
    /// How long a probe has, if that was said.
    pub(crate) timeout: Option<Nanos>,
    /// When the run ends.
    pub(crate) deadline: Option<Nanos>,
    /// Bytes of data.
    pub(crate) sizes: DataSizes,
    /// Whether to tell of probes without an answer when the next is due.
    pub(crate) outstanding: bool,
    /// What ends the run early.
    pub(crate) until: Option<Until>,
}

/// The plan.
#[derive(Debug)]
pub(crate) struct SteadyPlan {
    options: Steady,
    target: TargetId,
    sent: u64,
    last_sent: Nanos,
    /// When the next probe of the grid is due; 0 before the first.
    due: Nanos,
    asked: bool,
}

impl SteadyPlan {
    /// The plan for one target.
    pub(crate) fn new(options: Steady, target: TargetId) -> Self {
        Self {
            options,
            target,
            sent: 0,
            last_sent: 0,
            due: 0,
            asked: false,
        }
    }

    fn all_sent(&self) -> bool {
        // With a deadline the count is one of answers.
        let limit = self
            .options
            .count
            .filter(|_| self.options.deadline.is_none());
        limit.is_some_and(|count| self.sent >= count)
    }

    fn is_done(&self, targets: &Targets) -> bool {
        let Some(target) = targets.get(self.target) else {
            return true;
        };
        if let Some(until) = self.options.until {
            return until.reached(target);
        }
        match self.options.count {
            Some(count) if self.options.deadline.is_some() => target.stats.received >= count,
            _ => self.all_sent() && target.is_settled(),
        }
    }

    /// When the next probe is due.
    fn next_due(&self, targets: &Targets) -> Nanos {
        if self.sent < self.options.preload.max(1) {
            return 0;
        }
        let (pending, average) = match targets.get(self.target) {
            Some(target) if target.answered => (u64::from(target.pending), target.stats.ewma()),
            Some(target) => (u64::from(target.pending), SECOND),
            None => (0, 0),
        };
        let pause = match self.options.mode {
            Mode::Interval if self.options.interval > 0 => return self.due,
            Mode::Adaptive => average.max(self.options.interval),
            Mode::Interval | Mode::Flood => self.options.interval,
        };
        // A long average is an interval; a short one waits for its answer.
        let waits = pending >= self.options.preload && pause < FLOOD_PAUSE;
        self.last_sent + if waits { FLOOD_PAUSE } else { pause }
    }
}

impl Plan for SteadyPlan {
    fn next(&mut self, now: Nanos, targets: &mut Targets) -> Next {
        if self.is_done(targets) {
            return Next::Done;
        }
        if self.all_sent() {
            return Next::Idle;
        }
        let due = self.next_due(targets);
        if now < due {
            return Next::At(due);
        }
        if self.options.outstanding && self.sent > 0 && !self.asked {
            self.asked = true;
            return Next::Outstanding {
                target: self.target,
            };
        }
        let size = self.options.sizes.of(self.sent);
        self.asked = false;
        self.sent += 1;
        let interval = self.options.interval;
        if self.sent == 1 {
            self.due = now + interval;
        } else if self.sent > self.options.preload {
            self.due += interval;
            // Stopped for a while: go on with the grid, do not catch up.
            if interval > 0 && self.due <= now {
                self.due += (now - self.due) / interval * interval + interval;
            }
        }
        Next::Probe {
            target: self.target,
            size,
        }
    }

    fn sent(&mut self, _: TargetId, at: Nanos, _: &mut Targets) {
        self.last_sent = at;
    }

    fn settled(&mut self, _: TargetId, _: Settled, _: Nanos, targets: &mut Targets) -> bool {
        self.is_done(targets)
    }

    fn timeout(&self, targets: &Targets) -> Nanos {
        if let Some(timeout) = self.options.timeout {
            return timeout;
        }
        if self.options.until.is_some() {
            return SECOND.max(self.options.interval);
        }
        match targets.get(self.target) {
            Some(target) if self.all_sent() && target.answered => {
                let twice = target.stats.max().saturating_mul(2);
                twice.clamp(LAST_TIMEOUT, DEFAULT_TIMEOUT)
            }
            _ => DEFAULT_TIMEOUT,
        }
    }

    fn deadline(&self) -> Option<Nanos> {
        self.options.deadline
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    const OPTIONS: Steady = Steady {
        mode: Mode::Interval,
        interval: 100,
        count: Some(3),
        preload: 1,
        timeout: None,
        deadline: None,
        sizes: DataSizes {
            min: 56,
            max: 56,
            step: 1,
        },
        outstanding: false,
        until: None,
    };

    struct Bench {
        plan: SteadyPlan,
        targets: Targets,
    }

    impl Bench {
        fn new(options: Steady) -> Self {
            let mut targets = Targets::default();
            let id = targets.add(Target::new(None, "::1".parse().unwrap(), 0));
            let plan = SteadyPlan::new(options, id);
            Self { plan, targets }
        }

        /// The moments probes go out when asked at every moment.
        fn moments(&mut self, end: Nanos) -> Vec<Nanos> {
            let mut moments = Vec::new();
            for now in 1..end {
                while let Next::Probe { target, .. } = self.plan.next(now, &mut self.targets) {
                    moments.push(now);
                    self.plan.sent(target, now, &mut self.targets);
                    self.targets.get_mut(target).unwrap().pending += 1;
                }
            }
            moments
        }
    }

    #[test]
    fn the_grid_does_not_drift() {
        assert_eq!(Bench::new(OPTIONS).moments(1_000), [1, 101, 201]);
        let preload = Steady {
            preload: 2,
            ..OPTIONS
        };
        assert_eq!(Bench::new(preload).moments(1_000), [1, 1, 101]);
    }

    #[test]
    fn after_a_stop_the_grid_goes_on() {
        let mut bench = Bench::new(OPTIONS);
        assert!(matches!(
            bench.plan.next(1, &mut bench.targets),
            Next::Probe { .. }
        ));
        assert!(matches!(
            bench.plan.next(450, &mut bench.targets),
            Next::Probe { .. }
        ));
        assert!(matches!(
            bench.plan.next(451, &mut bench.targets),
            Next::At(501)
        ));
    }

    #[test]
    fn a_flood_waits_for_answers_but_not_for_ever() {
        let mut bench = Bench::new(Steady {
            mode: Mode::Flood,
            interval: 0,
            ..OPTIONS
        });
        assert!(matches!(
            bench.plan.next(5, &mut bench.targets),
            Next::Probe { .. }
        ));
        bench.plan.sent(0, 5, &mut bench.targets);
        bench.targets.get_mut(0).unwrap().pending = 1;
        let Next::At(at) = bench.plan.next(6, &mut bench.targets) else {
            panic!("should wait");
        };
        assert_eq!(at, 5 + FLOOD_PAUSE);
        bench.targets.get_mut(0).unwrap().pending = 0;
        assert!(matches!(
            bench.plan.next(6, &mut bench.targets),
            Next::Probe { .. }
        ));
    }

    /// An error about the last probe but one may come while the last is on its
    /// way out.
    #[test]
    fn the_end_waits_for_what_is_about_to_go_out() {
        let mut bench = Bench::new(Steady {
            count: Some(1),
            ..OPTIONS
        });
        let next = bench.plan.next(1, &mut bench.targets);
        assert!(matches!(next, Next::Probe { .. }));
        bench.targets.get_mut(0).unwrap().sent = 1;
        let settle = |bench: &mut Bench| {
            let (plan, targets) = (&mut bench.plan, &mut bench.targets);
            plan.settled(0, Settled::Failed, 2, targets)
        };
        assert!(!settle(&mut bench));
        bench.targets.get_mut(0).unwrap().stats.sent(3);
        assert!(settle(&mut bench));
    }

    #[test]
    fn the_end_waits_for_what_is_in_flight() {
        let mut bench = Bench::new(OPTIONS);
        bench.moments(1_000);
        assert!(matches!(
            bench.plan.next(1_000, &mut bench.targets),
            Next::Idle
        ));
        assert_eq!(bench.plan.timeout(&bench.targets), DEFAULT_TIMEOUT);
        bench.targets.get_mut(0).unwrap().answered = true;
        assert_eq!(bench.plan.timeout(&bench.targets), LAST_TIMEOUT);
        bench.targets.get_mut(0).unwrap().pending = 0;
        assert!(matches!(
            bench.plan.next(1_000, &mut bench.targets),
            Next::Done
        ));
    }
}

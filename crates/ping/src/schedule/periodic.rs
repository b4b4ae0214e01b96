//! The schedule of one target: probes at a fixed interval, or as fast as replies
//! come, until the count, the deadline or a signal ends the run.

use std::os::fd::BorrowedFd;

use super::{Action, DataSizes, ProbeOutcome, Schedule, WaitFor};
use crate::clock::Nanos;
use crate::target::{TargetId, Targets};

/// A second in nanoseconds.
const SECOND: Nanos = 1_000_000_000;

/// The timeout of a probe unless `-W` sets one.
const DEFAULT_TIMEOUT: Nanos = 10 * SECOND;

/// The minimum timeout of the last probes of a target that has answered before.
const LAST_TIMEOUT: Nanos = 2 * SECOND;

/// The time after which a flood sends the next probe even without a reply.
const FLOOD_PAUSE: Nanos = 10_000_000;

/// What determines when the next probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A fixed interval (`-i`).
    Interval,
    /// The reply to the probe before (`-f`).
    Flood,
    /// The average round-trip time (`-A`).
    Adaptive,
}

/// The options of a [`PeriodicSchedule`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeriodicOptions {
    /// What determines when the next probe is due.
    pub(crate) mode: Mode,
    /// The time between two probes; the least time if adaptive.
    pub(crate) interval: Nanos,
    /// The number of probes to send. With a deadline it is the number of replies
    /// to wait for.
    pub(crate) count: Option<u64>,
    /// The number of probes to send before waiting for replies.
    pub(crate) preload: u64,
    /// The timeout of a probe, if the user has set one.
    pub(crate) timeout: Option<Nanos>,
    /// When the run ends.
    pub(crate) deadline: Option<Nanos>,
    /// The data sizes of the probes.
    pub(crate) sizes: DataSizes,
    /// Whether to report a probe without a reply when the next one is due.
    pub(crate) outstanding: bool,
    /// The state of the target that ends the run.
    pub(crate) wait_for: Option<WaitFor>,
}

/// Probes one target at an interval.
#[derive(Debug)]
pub(crate) struct PeriodicSchedule {
    options: PeriodicOptions,
    target: TargetId,
    sent: u64,
    last_sent: Nanos,
    /// When the next probe is due at a fixed interval; 0 before the first.
    due: Nanos,
    /// Whether the outstanding probe has been reported.
    has_reported: bool,
}

impl PeriodicSchedule {
    /// Creates the schedule of a target.
    pub(crate) fn new(options: PeriodicOptions, target: TargetId) -> Self {
        Self {
            options,
            target,
            sent: 0,
            last_sent: 0,
            due: 0,
            has_reported: false,
        }
    }

    fn has_sent_all(&self) -> bool {
        // With a deadline the count is one of replies.
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
        if let Some(wait_for) = self.options.wait_for {
            return wait_for.is_reached(target);
        }
        match self.options.count {
            Some(count) if self.options.deadline.is_some() => target.stats.received >= count,
            _ => self.has_sent_all() && target.is_idle(),
        }
    }

    /// Returns when the next probe is due.
    fn next_due(&self, targets: &Targets) -> Nanos {
        if self.sent < self.options.preload.max(1) {
            return 0;
        }
        let (in_flight, average) = match targets.get(self.target) {
            Some(target) if target.has_replied => {
                (u64::from(target.in_flight), target.stats.ewma())
            }
            Some(target) => (u64::from(target.in_flight), SECOND),
            None => (0, 0),
        };
        let pause = match self.options.mode {
            Mode::Interval if self.options.interval > 0 => return self.due,
            Mode::Adaptive => average.max(self.options.interval),
            Mode::Interval | Mode::Flood => self.options.interval,
        };
        // A long average replaces the interval. After a short one the next
        // probe waits for the reply.
        let waits_for_reply = in_flight >= self.options.preload && pause < FLOOD_PAUSE;
        self.last_sent + if waits_for_reply { FLOOD_PAUSE } else { pause }
    }
}

impl Schedule for PeriodicSchedule {
    fn next_action(&mut self, now: Nanos, targets: &mut Targets) -> Action {
        if self.is_done(targets) {
            return Action::Done;
        }
        if self.has_sent_all() {
            return Action::WaitForEvent;
        }
        let due = self.next_due(targets);
        if now < due {
            return Action::WaitUntil(due);
        }
        if self.options.outstanding && self.sent > 0 && !self.has_reported {
            self.has_reported = true;
            return Action::ReportOutstanding {
                target: self.target,
            };
        }
        let size = self.options.sizes.nth(self.sent);
        self.has_reported = false;
        self.sent += 1;
        let interval = self.options.interval;
        if self.sent == 1 {
            self.due = now + interval;
        } else if self.sent > self.options.preload {
            self.due += interval;
            // If the process was stopped, keep the phase and skip the probes
            // that were missed.
            if interval > 0 && self.due <= now {
                self.due += (now - self.due) / interval * interval + interval;
            }
        }
        Action::SendProbe {
            target: self.target,
            size,
        }
    }

    fn probe_sent(&mut self, _: TargetId, at: Nanos, _: &mut Targets) {
        self.last_sent = at;
    }

    fn probe_ended(
        &mut self,
        _: TargetId,
        _: ProbeOutcome,
        _: Nanos,
        targets: &mut Targets,
    ) -> bool {
        self.is_done(targets)
    }

    fn timeout(&self, targets: &Targets) -> Nanos {
        if let Some(timeout) = self.options.timeout {
            return timeout;
        }
        if self.options.wait_for.is_some() {
            return SECOND.max(self.options.interval);
        }
        match targets.get(self.target) {
            Some(target) if self.has_sent_all() && target.has_replied => {
                let two_round_trips = target.stats.max_rtt().saturating_mul(2);
                two_round_trips.clamp(LAST_TIMEOUT, DEFAULT_TIMEOUT)
            }
            _ => DEFAULT_TIMEOUT,
        }
    }

    fn deadline(&self) -> Option<Nanos> {
        self.options.deadline
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    const OPTIONS: PeriodicOptions = PeriodicOptions {
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
        wait_for: None,
    };

    struct Fixture {
        schedule: PeriodicSchedule,
        targets: Targets,
    }

    impl Fixture {
        fn new(options: PeriodicOptions) -> Self {
            let mut targets = Targets::default();
            let id = targets.add(Target::new(None, "::1".parse().unwrap(), 0));
            let schedule = PeriodicSchedule::new(options, id);
            Self { schedule, targets }
        }

        /// Asks for actions at every nanosecond; returns when probes were sent.
        fn send_times(&mut self, end: Nanos) -> Vec<Nanos> {
            let mut times = Vec::new();
            for now in 1..end {
                while let Action::SendProbe { target, .. } =
                    self.schedule.next_action(now, &mut self.targets)
                {
                    times.push(now);
                    self.schedule.probe_sent(target, now, &mut self.targets);
                    self.targets.get_mut(target).unwrap().in_flight += 1;
                }
            }
            times
        }
    }

    #[test]
    fn the_interval_does_not_drift() {
        assert_eq!(Fixture::new(OPTIONS).send_times(1_000), [1, 101, 201]);
        let preload = PeriodicOptions {
            preload: 2,
            ..OPTIONS
        };
        assert_eq!(Fixture::new(preload).send_times(1_000), [1, 1, 101]);
    }

    #[test]
    fn missed_probes_are_skipped() {
        let mut fixture = Fixture::new(OPTIONS);
        assert!(matches!(
            fixture.schedule.next_action(1, &mut fixture.targets),
            Action::SendProbe { .. }
        ));
        assert!(matches!(
            fixture.schedule.next_action(450, &mut fixture.targets),
            Action::SendProbe { .. }
        ));
        assert!(matches!(
            fixture.schedule.next_action(451, &mut fixture.targets),
            Action::WaitUntil(501)
        ));
    }

    #[test]
    fn a_flood_waits_for_replies_for_a_limited_time() {
        let mut fixture = Fixture::new(PeriodicOptions {
            mode: Mode::Flood,
            interval: 0,
            ..OPTIONS
        });
        assert!(matches!(
            fixture.schedule.next_action(5, &mut fixture.targets),
            Action::SendProbe { .. }
        ));
        fixture.schedule.probe_sent(0, 5, &mut fixture.targets);
        fixture.targets.get_mut(0).unwrap().in_flight = 1;
        let Action::WaitUntil(at) = fixture.schedule.next_action(6, &mut fixture.targets) else {
            panic!("the flood does not wait");
        };
        assert_eq!(at, 5 + FLOOD_PAUSE);
        fixture.targets.get_mut(0).unwrap().in_flight = 0;
        assert!(matches!(
            fixture.schedule.next_action(6, &mut fixture.targets),
            Action::SendProbe { .. }
        ));
    }

    /// An error about the probe before may come while the last one is being sent.
    #[test]
    fn the_run_does_not_end_before_the_last_probe_is_sent() {
        let mut fixture = Fixture::new(PeriodicOptions {
            count: Some(1),
            ..OPTIONS
        });
        let next = fixture.schedule.next_action(1, &mut fixture.targets);
        assert!(matches!(next, Action::SendProbe { .. }));
        fixture.targets.get_mut(0).unwrap().allocated = 1;
        let end_probe = |fixture: &mut Fixture| {
            let (schedule, targets) = (&mut fixture.schedule, &mut fixture.targets);
            schedule.probe_ended(0, ProbeOutcome::Failed, 2, targets)
        };
        assert!(!end_probe(&mut fixture));
        fixture.targets.get_mut(0).unwrap().stats.record_sent(3);
        assert!(end_probe(&mut fixture));
    }

    #[test]
    fn the_run_ends_when_no_probe_is_in_flight() {
        let mut fixture = Fixture::new(OPTIONS);
        fixture.send_times(1_000);
        assert!(matches!(
            fixture.schedule.next_action(1_000, &mut fixture.targets),
            Action::WaitForEvent
        ));
        assert_eq!(fixture.schedule.timeout(&fixture.targets), DEFAULT_TIMEOUT);
        fixture.targets.get_mut(0).unwrap().has_replied = true;
        assert_eq!(fixture.schedule.timeout(&fixture.targets), LAST_TIMEOUT);
        fixture.targets.get_mut(0).unwrap().in_flight = 0;
        assert!(matches!(
            fixture.schedule.next_action(1_000, &mut fixture.targets),
            Action::Done
        ));
    }

    #[test]
    fn the_least_interval_bounds_an_adaptive_one() {
        let mut fixture = Fixture::new(PeriodicOptions {
            mode: Mode::Adaptive,
            interval: FLOOD_PAUSE,
            ..OPTIONS
        });
        fixture.schedule.next_action(5, &mut fixture.targets);
        fixture.schedule.probe_sent(0, 5, &mut fixture.targets);
        let target = fixture.targets.get_mut(0).unwrap();
        target.has_replied = true;
        target.stats.record_reply(1, 7, 12);
        let next = fixture.schedule.next_action(13, &mut fixture.targets);
        assert!(matches!(next, Action::WaitUntil(at) if at == 5 + FLOOD_PAUSE));
    }

    #[test]
    fn a_wait_for_a_state_has_a_timeout_of_its_own() {
        for (interval, timeout) in [(SECOND / 10, SECOND), (3 * SECOND, 3 * SECOND)] {
            let fixture = Fixture::new(PeriodicOptions {
                interval,
                wait_for: Some(WaitFor::Down),
                ..OPTIONS
            });
            assert_eq!(fixture.schedule.timeout(&fixture.targets), timeout);
        }
    }
}

//! How the load engine waits: it decides whether to spin before it sleeps.
//!
//! A sleeping process resumes some ten microseconds after the event that it
//! waits for. A fast peer replies within the same time, so this delay would
//! dominate the measured latency. The engine therefore polls without sleeping
//! for a short time, as long as replies usually arrive within it. The closed
//! and the open loop use the same policy; otherwise the open loop, which spins
//! until a message is due anyway, would measure shorter latencies.
//!
//! With many messages in flight, the engine rarely has to wait for the next
//! reply, and it is cheaper for both sides to sleep until there are several.

use std::time::{Duration, Instant};

use common::Result;

use super::poller::EventPoller;

/// The time for which the engine spins before it sleeps, and by which it ends
/// its sleep before a message is due.
const SPIN_TIME: Duration = Duration::from_micros(150);

/// The upper bound of a recorded wait, so that a single stall does not affect
/// the average for long.
const MAX_WAIT: Duration = Duration::from_micros(600);

/// The number of messages in flight from which on a closed loop does not spin.
const MAX_IN_FLIGHT: u64 = 4;

/// The precision of a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// The wait may take a few milliseconds longer.
    Coarse,
    /// A message is due at the timeout.
    Exact,
}

/// The decision to spin, made from the durations of recent waits.
#[derive(Debug)]
pub(super) struct SpinPolicy {
    /// Whether few enough messages are in flight.
    is_enabled: bool,
    /// The smoothed duration of a wait, in nanoseconds.
    average: u64,
}

impl SpinPolicy {
    /// Creates a policy for a run with this number of messages in flight;
    /// `None` if it depends on the rate.
    pub(super) fn new(in_flight: Option<u64>) -> Self {
        Self {
            is_enabled: in_flight.is_none_or(|count| count < MAX_IN_FLIGHT),
            average: 0,
        }
    }

    /// Waits for events, at most for `timeout`, by spinning, by sleeping, or by
    /// both in turn. Returns their number.
    pub(super) fn wait(
        &mut self,
        poller: &mut EventPoller,
        timeout: Duration,
        precision: Precision,
    ) -> Result<usize> {
        let start = Instant::now();
        let count = self.spin_or_sleep(poller, start, timeout, precision)?;
        if count > 0 {
            self.record(start.elapsed());
        }
        Ok(count)
    }

    fn spin_or_sleep(
        &self,
        poller: &mut EventPoller,
        start: Instant,
        timeout: Duration,
        precision: Precision,
    ) -> Result<usize> {
        let left = || timeout.saturating_sub(start.elapsed());
        if self.should_spin() {
            let count = spin(poller, start, timeout.min(SPIN_TIME))?;
            if count > 0 {
                return Ok(count);
            }
        }
        if precision == Precision::Coarse {
            return poller.wait(left());
        }
        if let Some(early) = left().checked_sub(SPIN_TIME) {
            let count = poller.wait_exactly(early)?;
            if count > 0 {
                return Ok(count);
            }
        }
        spin(poller, start, timeout)
    }

    /// Records the duration of a wait that ended with an event.
    fn record(&mut self, duration: Duration) {
        let nanos = duration.min(MAX_WAIT).as_nanos() as u64;
        self.average = (7 * self.average + nanos) / 8;
    }

    /// Returns whether the next event is likely to occur within [`SPIN_TIME`].
    fn should_spin(&self) -> bool {
        self.is_enabled && u128::from(self.average) < SPIN_TIME.as_nanos()
    }
}

/// Polls without sleeping until `time` after `start`. Returns the number of
/// events.
fn spin(poller: &mut EventPoller, start: Instant, time: Duration) -> Result<usize> {
    loop {
        let count = poller.wait(Duration::ZERO)?;
        if count > 0 || start.elapsed() >= time {
            return Ok(count);
        }
        // The peer may need this processor.
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records `count` waits of `micros` and returns the decision.
    fn after(policy: &mut SpinPolicy, micros: u64, count: u32) -> bool {
        for _ in 0..count {
            policy.record(Duration::from_micros(micros));
        }
        policy.should_spin()
    }

    #[test]
    fn the_engine_spins_for_a_peer_that_replies_fast() {
        let mut policy = SpinPolicy::new(Some(3));
        assert!(after(&mut policy, 60, 10));
        assert!(!after(&mut policy, 5000, 3));
        assert!(after(&mut policy, 60, 30));
        // A single stall, however long, does not make the peer slow.
        assert!(after(&mut policy, 10_000_000, 1));
        assert!(!after(&mut policy, 300, 30));
    }

    #[test]
    fn the_engine_does_not_spin_with_many_messages_in_flight() {
        assert!(!after(&mut SpinPolicy::new(Some(4)), 60, 10));
        assert!(after(&mut SpinPolicy::new(None), 60, 10));
    }
}

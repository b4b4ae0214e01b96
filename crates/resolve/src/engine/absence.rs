//! Time in which the engine does not run, since the caller is writing results
//! to a reader that does not read. Answers wait in the sockets then, or are
//! lost for want of room there; neither is the server's fault, so that time
//! counts for no lookup.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Engine;

/// A shorter time is left as it is: to move every timer costs more.
const NOTICED: Duration = Duration::from_millis(50);

impl Engine {
    /// Moves the times of all lookups under way by the time since `left`, at
    /// which the engine was left.
    pub(super) fn make_up(&mut self, left: Option<Instant>, now: Instant) {
        let absence = left.map_or(Duration::ZERO, |left| now.saturating_duration_since(left));
        if absence < NOTICED || self.jobs.len() == 0 {
            return;
        }
        // A deadline means something only once the lookup has begun.
        for job in self.jobs.iter_mut() {
            if let Some(started) = &mut job.started {
                *started += absence;
                job.deadline += absence;
            }
        }
        for flight in self.flights.iter_mut() {
            flight.sent += absence;
        }
        let timers = std::mem::take(&mut self.timers);
        let moved = timers
            .into_iter()
            .map(|Reverse((at, key, timer))| Reverse((at + absence, key, timer)));
        self.timers = moved.collect();
    }
}

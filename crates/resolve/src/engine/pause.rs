//! Excludes pauses of the engine from all timeouts.
//!
//! The engine does not run while the caller writes results to a slow reader.
//! During that time answers wait in the socket buffers, or are lost because the
//! buffers are full. Neither is the server's fault.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Engine;

/// Shorter pauses are ignored, since moving all timers would cost more.
const MIN_PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Moves the times of all pending lookups by the time since `paused_at`.
    pub(super) fn shift_times(&mut self, paused_at: Option<Instant>, now: Instant) {
        let pause = paused_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if pause < MIN_PAUSE || self.lookups.len() == 0 {
            return;
        }
        // The deadline is meaningless before the lookup has started.
        for pending in self.lookups.iter_mut() {
            if let Some(started) = &mut pending.started {
                *started += pause;
                pending.deadline += pause;
            }
        }
        for query in self.queries.iter_mut() {
            query.sent += pause;
        }
        let timers = std::mem::take(&mut self.timers);
        let moved = timers
            .into_iter()
            .map(|Reverse((at, lookup, serial))| Reverse((at + pause, lookup, serial)));
        self.timers = moved.collect();
    }
}

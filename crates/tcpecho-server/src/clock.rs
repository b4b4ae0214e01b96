//! The server's clock: time since the server started. Code that computes with
//! such durations instead of [`Instant`] can be tested with plain numbers.

use std::time::{Duration, Instant};

/// A monotonic clock that reads zero when it is created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Creates a clock that starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the clock started.
    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

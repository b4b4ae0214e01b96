//! The server's clock: time since its start, so that everything that computes
//! with moments can be tested with plain numbers.

use std::time::{Duration, Instant};

/// A clock that started when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

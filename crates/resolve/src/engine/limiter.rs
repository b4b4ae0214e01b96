//! The rate limiter for `--rate`.
//!
//! The caller passes in the time, so that nothing here reads a clock. It is not shared
//! with the token bucket of tcpecho-server, which admits a variable number of bytes at
//! once, up to those of a tenth of a second. Queries are equal and are spaced evenly.

use std::time::{Duration, Instant};

/// Spaces queries evenly at a fixed rate. After a delay, it catches up
/// by at most [`MAX_CATCH_UP`].
#[derive(Clone, Debug)]
pub(crate) struct RateLimiter {
    interval: Duration,
    next: Option<Instant>,
}

const MAX_CATCH_UP: Duration = Duration::from_millis(10);

impl RateLimiter {
    /// Creates a limiter for `rate` queries per second.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate.max(1),
            next: None,
        }
    }

    /// Returns when the next query may be sent, or `None` if it may be sent now.
    pub(crate) fn next_send(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Records that a query is sent now.
    pub(crate) fn record_send(&mut self, now: Instant) {
        let earliest = now.checked_sub(MAX_CATCH_UP).unwrap_or(now);
        let slot = self.next.map_or(now, |next| next.max(earliest));
        self.next = Some(slot + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(1000);
        let mut now = start;
        let mut sent = 0;
        while now < start + Duration::from_secs(1) {
            if let Some(next) = limiter.next_send(now) {
                now = next;
            } else {
                limiter.record_send(now);
                sent += 1;
            }
        }
        assert_eq!(sent, 1000);
        // The limiter catches up by ten milliseconds, not by the whole pause.
        let later = now + Duration::from_secs(60);
        let mut burst = 0;
        while limiter.next_send(later).is_none() {
            limiter.record_send(later);
            burst += 1;
        }
        assert!((10..=12).contains(&burst), "{burst}");
    }
}

//! A token bucket that limits the bytes per second of a connection.
//!
//! The bucket holds a tenth of a second's tokens and starts full. Reading
//! waits until a reasonable number of tokens is available, so that a low rate
//! does not lead to many tiny reads. The rate limiter of resolve differs: it spaces
//! equal queries evenly, and makes up for delays of at most 10 ms.

use std::time::Duration;

/// The number of tokens to wait for, if the bucket is that large.
const MIN_READ: f64 = 1024.0;

/// The token bucket of one connection; a token is one byte.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// Tokens added per second.
    rate: f64,
    /// The number of tokens at `updated`.
    tokens: f64,
    updated: Duration,
}

impl TokenBucket {
    /// Creates a full bucket. `rate` is in bytes per second, at least 1.
    pub(crate) fn new(rate: u64, now: Duration) -> Self {
        let mut bucket = Self {
            rate: rate as f64,
            tokens: 0.0,
            updated: now,
        };
        bucket.tokens = bucket.capacity();
        bucket
    }

    /// Returns how many bytes may be read now: 0 until there are enough tokens
    /// for a read of reasonable size.
    pub(crate) fn available(&self, now: Duration) -> usize {
        let tokens = self.tokens(now);
        if tokens + 1e-6 >= self.min_read() {
            (tokens + 1e-6) as usize
        } else {
            0
        }
    }

    /// Removes the tokens of `bytes` that were read.
    pub(crate) fn take(&mut self, bytes: usize, now: Duration) {
        self.tokens = self.tokens(now) - bytes as f64;
        self.updated = now;
    }

    /// Returns when [`TokenBucket::available`] becomes positive.
    pub(crate) fn refilled_at(&self) -> Duration {
        let missing = (self.min_read() - self.tokens).max(0.0);
        // Rounded up to the resolution of the clock; rounded down, the wake-up
        // would come too early.
        self.updated + Duration::from_nanos((missing / self.rate * 1e9).ceil() as u64 + 1)
    }

    fn tokens(&self, now: Duration) -> f64 {
        let added = now.saturating_sub(self.updated).as_secs_f64() * self.rate;
        (self.tokens + added).min(self.capacity())
    }

    fn capacity(&self) -> f64 {
        (self.rate / 10.0).max(1.0)
    }

    fn min_read(&self) -> f64 {
        MIN_READ.min(self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_rate_is_a_limit_and_is_reached(rate in 1_u64..10_000_000, reads in prop::collection::vec(1_usize..100_000, 1..50)) {
            let mut now = Duration::from_secs(5);
            let mut bucket = TokenBucket::new(rate, now);
            let start = now;
            let mut taken = 0_u64;
            for read in reads {
                if bucket.available(now) == 0 {
                    let refilled = bucket.refilled_at();
                    prop_assert!(refilled > now);
                    now = refilled;
                    prop_assert!(bucket.available(now) > 0, "no tokens at the time promised");
                }
                let n = read.min(bucket.available(now));
                bucket.take(n, now);
                taken += n as u64;
                let most = now.saturating_sub(start).as_secs_f64() * rate as f64 + (rate as f64 / 10.0).max(1.0) + 1.0;
                prop_assert!(taken as f64 <= most, "{taken} of {most}");
            }
        }
    }
}

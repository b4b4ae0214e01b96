//! A bucket of tokens: how many bytes may be read now, and when the next may.
//!
//! The bucket holds a tenth of a second's worth and is full at first. A read
//! waits until there is enough for a reasonable piece, so that a slow rate
//! does not become a storm of tiny reads.

use std::time::Duration;

/// Bytes worth waking up for, where the bucket is that large.
const PIECE: f64 = 1024.0;

/// Tokens of one connection, one token a byte.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Bytes a second.
    rate: f64,
    tokens: f64,
    /// When `tokens` was true.
    at: Duration,
}

impl Bucket {
    /// A full bucket; `rate` is bytes a second, at least 1.
    pub(crate) fn new(rate: u64, now: Duration) -> Self {
        let mut bucket = Self {
            rate: rate as f64,
            tokens: 0.0,
            at: now,
        };
        bucket.tokens = bucket.capacity();
        bucket
    }

    /// How many bytes may pass now; 0 until a piece is together.
    pub(crate) fn allowance(&self, now: Duration) -> usize {
        let tokens = self.tokens(now);
        if tokens + 1e-6 >= self.piece() {
            (tokens + 1e-6) as usize
        } else {
            0
        }
    }

    /// Takes what has passed.
    pub(crate) fn take(&mut self, bytes: usize, now: Duration) {
        self.tokens = self.tokens(now) - bytes as f64;
        self.at = now;
    }

    /// When [`Bucket::allowance`] is above zero again.
    pub(crate) fn ready_at(&self) -> Duration {
        let missing = (self.piece() - self.tokens).max(0.0);
        // Rounded up to the clock's grain, or the wake-up would come too soon.
        self.at + Duration::from_nanos((missing / self.rate * 1e9).ceil() as u64 + 1)
    }

    fn tokens(&self, now: Duration) -> f64 {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        (self.tokens + gained).min(self.capacity())
    }

    fn capacity(&self) -> f64 {
        (self.rate / 10.0).max(1.0)
    }

    fn piece(&self) -> f64 {
        PIECE.min(self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_rate_is_kept_and_reached(rate in 1_u64..10_000_000, reads in prop::collection::vec(1_usize..100_000, 1..50)) {
            let mut now = Duration::from_secs(5);
            let mut bucket = Bucket::new(rate, now);
            let start = now;
            let mut passed = 0_u64;
            for read in reads {
                if bucket.allowance(now) == 0 {
                    let ready = bucket.ready_at();
                    prop_assert!(ready > now);
                    now = ready;
                    prop_assert!(bucket.allowance(now) > 0, "ready and yet not");
                }
                let n = read.min(bucket.allowance(now));
                bucket.take(n, now);
                passed += n as u64;
                let most = now.saturating_sub(start).as_secs_f64() * rate as f64 + (rate as f64 / 10.0).max(1.0) + 1.0;
                prop_assert!(passed as f64 <= most, "{passed} of {most}");
            }
        }
    }
}

//! Limits the datagrams answered per second and source address, so that two
//! servers that answer each other after one forged datagram do so at a bounded
//! rate.
//!
//! Each source has a window of one second, which starts with its first reply.
//! The table of windows is bounded; sources that do not fit share one window.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// The maximum number of sources that have their own window.
const MAX_SOURCES: usize = 16_384;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(1);

/// A rate limiter with one window per source address.
#[derive(Debug)]
pub(crate) struct SourceLimiter {
    /// Replies per window; 0 disables the limit.
    limit: u32,
    windows: HashMap<IpAddr, Window>,
    /// The window that all sources share that are not in the table.
    overflow: Window,
    /// When expired windows were last removed from the table.
    cleaned: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: Duration,
    replies: u32,
}

impl Window {
    fn new(now: Duration) -> Self {
        Self {
            start: now,
            replies: 0,
        }
    }

    fn has_expired(&self, now: Duration) -> bool {
        now.saturating_sub(self.start) >= WINDOW
    }
}

impl SourceLimiter {
    /// Creates a limiter for `limit` replies per second and source; 0 disables
    /// the limit.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            windows: HashMap::new(),
            overflow: Window::new(Duration::ZERO),
            cleaned: Duration::ZERO,
        }
    }

    /// Returns whether one more reply may be sent to `source`, and if so counts
    /// it. Loopback sources have no limit: only processes on this host can use
    /// them.
    pub(crate) fn acquire(&mut self, source: IpAddr, now: Duration) -> bool {
        if self.limit == 0 || source.is_loopback() {
            return true;
        }
        let limit = self.limit;
        let window = self.window(source, now);
        if window.has_expired(now) {
            *window = Window::new(now);
        }
        if window.replies >= limit {
            return false;
        }
        window.replies += 1;
        true
    }

    fn window(&mut self, source: IpAddr, now: Duration) -> &mut Window {
        let full = self.windows.len() >= MAX_SOURCES;
        if full && !self.windows.contains_key(&source) {
            // At most once per second, because it visits the whole table.
            if now.saturating_sub(self.cleaned) >= WINDOW {
                self.cleaned = now;
                self.windows.retain(|_, window| !window.has_expired(now));
            }
            if self.windows.len() >= MAX_SOURCES {
                return &mut self.overflow;
            }
        }
        self.windows
            .entry(source)
            .or_insert_with(|| Window::new(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    #[test]
    fn each_source_has_its_own_window() {
        let mut limiter = SourceLimiter::new(3);
        let replies = |limiter: &mut SourceLimiter, source, now| {
            (0..10)
                .filter(|_| limiter.acquire(address(source), now))
                .count()
        };
        assert_eq!(replies(&mut limiter, 1, MS(500)), 3);
        assert_eq!(replies(&mut limiter, 2, MS(900)), 3);
        assert_eq!(replies(&mut limiter, 1, MS(1499)), 0);
        assert_eq!(replies(&mut limiter, 1, MS(1500)), 3);
        assert_eq!(replies(&mut limiter, 2, MS(1500)), 0);
        assert_eq!(replies(&mut SourceLimiter::new(0), 1, MS(1)), 10);
        for loopback in ["127.0.0.1", "127.3.2.1", "::1"] {
            let source: IpAddr = loopback.parse().unwrap();
            assert!((0..10).all(|_| limiter.acquire(source, MS(1))), "{source}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let mut limiter = SourceLimiter::new(5);
        let count = 4 * MAX_SOURCES as u32;
        let answered = (0..count).filter(|&n| limiter.acquire(address(n), MS(2000)));
        // The sources beyond the table share one window.
        assert_eq!(answered.count(), MAX_SOURCES + 5);
        assert_eq!(limiter.windows.len(), MAX_SOURCES);
        // A source in the full table still has its own window.
        assert!(limiter.acquire(address(0), MS(2000)));
        // A second later the table has room again.
        assert!(limiter.acquire(address(count), MS(3000)));
        assert!(limiter.acquire(address(count + 1), MS(3000)));
        assert_eq!(limiter.windows.len(), 2);
    }

    #[test]
    fn a_full_table_is_cleaned_once_per_second() {
        let mut limiter = SourceLimiter::new(1);
        let count = MAX_SOURCES as u32;
        for n in 0..count {
            limiter.acquire(address(n), MS(1000 + u64::from(n % 2) * 500));
        }
        // Half of the windows have expired.
        assert!(limiter.acquire(address(count), MS(2000)));
        assert_eq!(limiter.windows.len(), MAX_SOURCES / 2 + 1);
        for n in 0..count {
            limiter.acquire(address(2 * count + n), MS(2100));
        }
        assert_eq!(limiter.windows.len(), MAX_SOURCES);
        // The other half has expired by now, but the table was just cleaned.
        limiter.acquire(address(count + 1), MS(2900));
        assert_eq!(limiter.windows.len(), MAX_SOURCES);
        limiter.acquire(address(count + 1), MS(3000));
        assert!(limiter.windows.len() < MAX_SOURCES);
    }

    proptest! {
        #[test]
        fn no_second_has_the_replies_of_more_than_two_windows(
            limit in 1u32..20, steps in prop::collection::vec((0u32..3, 0u64..400), 1..300),
        ) {
            let mut limiter = SourceLimiter::new(limit);
            let mut now = 0;
            let mut answered: Vec<(u32, u64)> = Vec::new();
            for (source, pause) in steps {
                now += pause;
                let recent = answered.iter().filter(|(s, at)| *s == source && *at + 1000 > now).count();
                let acquired = limiter.acquire(address(source), MS(now));
                prop_assert!(acquired || recent >= limit as usize, "refused below the limit");
                prop_assert!(!acquired || recent < 2 * limit as usize);
                if acquired {
                    answered.push((source, now));
                }
            }
        }
    }
}

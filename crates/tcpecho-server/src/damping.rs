//! How many datagrams are answered per second and source, so that two servers
//! that answer each other, after one forged datagram, do so at a bounded rate.
//!
//! A source has a window of one second that begins with its first answer. The
//! table of windows is bounded; sources that do not fit into it share one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Sources with a window of their own.
const SOURCES: usize = 16_384;

/// The length of a window.
const SECOND: Duration = Duration::from_secs(1);

/// The answers of the current second.
#[derive(Debug)]
pub(crate) struct Damping {
    /// Answers per window; 0 for any number.
    limit: u32,
    windows: HashMap<IpAddr, Window>,
    /// Of all sources that are not in the table.
    others: Window,
    /// When the table was last searched for windows that have passed.
    swept: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: Duration,
    answers: u32,
}

impl Window {
    fn new(now: Duration) -> Self {
        Self {
            start: now,
            answers: 0,
        }
    }

    fn has_passed(&self, now: Duration) -> bool {
        now.saturating_sub(self.start) >= SECOND
    }
}

impl Damping {
    /// At most `limit` answers per second and source; 0 is no limit.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            windows: HashMap::new(),
            others: Window::new(Duration::ZERO),
            swept: Duration::ZERO,
        }
    }

    /// Whether one more answer may go to `source`, which counts it. Loopback
    /// has no limit: only a process of this machine can send from there.
    pub(crate) fn allows(&mut self, source: IpAddr, now: Duration) -> bool {
        if self.limit == 0 || source.is_loopback() {
            return true;
        }
        let limit = self.limit;
        let window = self.window(source, now);
        if window.has_passed(now) {
            *window = Window::new(now);
        }
        if window.answers >= limit {
            return false;
        }
        window.answers += 1;
        true
    }

    fn window(&mut self, source: IpAddr, now: Duration) -> &mut Window {
        let full = self.windows.len() >= SOURCES;
        if full && !self.windows.contains_key(&source) {
            // At most once per second, since it goes over all of them.
            if now.saturating_sub(self.swept) >= SECOND {
                self.swept = now;
                self.windows.retain(|_, window| !window.has_passed(now));
            }
            if self.windows.len() >= SOURCES {
                return &mut self.others;
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
    fn each_source_has_its_second() {
        let mut damping = Damping::new(3);
        let answers = |damping: &mut Damping, source, now| {
            (0..10)
                .filter(|_| damping.allows(address(source), now))
                .count()
        };
        assert_eq!(answers(&mut damping, 1, MS(500)), 3);
        assert_eq!(answers(&mut damping, 2, MS(900)), 3);
        assert_eq!(answers(&mut damping, 1, MS(1499)), 0);
        assert_eq!(answers(&mut damping, 1, MS(1500)), 3);
        assert_eq!(answers(&mut damping, 2, MS(1500)), 0);
        assert_eq!(answers(&mut Damping::new(0), 1, MS(1)), 10);
        for loopback in ["127.0.0.1", "127.3.2.1", "::1"] {
            let source: IpAddr = loopback.parse().unwrap();
            assert!((0..10).all(|_| damping.allows(source, MS(1))), "{source}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let mut damping = Damping::new(5);
        let count = 4 * SOURCES as u32;
        let answered = (0..count).filter(|&n| damping.allows(address(n), MS(2000)));
        // Those beyond the table share one window.
        assert_eq!(answered.count(), SOURCES + 5);
        assert_eq!(damping.windows.len(), SOURCES);
        // A second later the table has room again.
        assert!(damping.allows(address(count), MS(3000)));
        assert!(damping.allows(address(count + 1), MS(3000)));
        assert_eq!(damping.windows.len(), 2);
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_two_windows(
            limit in 1u32..20, steps in prop::collection::vec((0u32..3, 0u64..400), 1..300),
        ) {
            let mut damping = Damping::new(limit);
            let mut now = 0;
            let mut answered: Vec<(u32, u64)> = Vec::new();
            for (source, pause) in steps {
                now += pause;
                let recent = answered.iter().filter(|(s, at)| *s == source && *at + 1000 > now).count();
                let allowed = damping.allows(address(source), MS(now));
                prop_assert!(allowed || recent >= limit as usize, "refused within the limit");
                prop_assert!(!allowed || recent < 2 * limit as usize);
                if allowed {
                    answered.push((source, now));
                }
            }
        }
    }
}

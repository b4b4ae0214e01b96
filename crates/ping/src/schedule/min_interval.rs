//! The least time between two probes to one address for users other than root.
//! It holds however often a list names the address, and whatever the period and
//! the timeout are.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::clock::Nanos;

/// The shortest interval to broadcast and multicast addresses for users other
/// than root, as in iputils.
pub(crate) const MIN_GROUP_INTERVAL: Nanos = 1_000_000_000;

/// Delays probes to addresses that were probed within the last interval.
#[derive(Debug, Default)]
pub(crate) struct MinInterval {
    interval: Nanos,
    recent: VecDeque<(Nanos, IpAddr)>,
    last: HashMap<IpAddr, Nanos>,
}

impl MinInterval {
    /// Creates a limit of one probe per `interval` nanoseconds and address; 0
    /// means no limit.
    pub(crate) fn new(interval: Nanos) -> Self {
        Self {
            interval,
            ..Self::default()
        }
    }

    /// Returns the interval of an address. It is longer for a multicast address,
    /// which reaches many hosts.
    fn interval_of(&self, address: IpAddr) -> Nanos {
        if address.is_multicast() {
            self.interval.max(MIN_GROUP_INTERVAL)
        } else {
            self.interval
        }
    }

    /// Returns when an address may be probed, or `None` if it may be probed now.
    pub(crate) fn delay_until(&self, address: IpAddr, now: Nanos) -> Option<Nanos> {
        if self.interval == 0 {
            return None;
        }
        let last = self.last.get(&address)?;
        let due = last.saturating_add(self.interval_of(address));
        (due > now).then_some(due)
    }

    /// Records a probe to an address.
    pub(crate) fn record(&mut self, address: IpAddr, now: Nanos) {
        if self.interval == 0 {
            return;
        }
        while let Some(&(at, old)) = self.recent.front()
            && at.saturating_add(self.interval_of(old)) <= now
        {
            self.recent.pop_front();
            if self.last.get(&old) == Some(&at) {
                self.last.remove(&old);
            }
        }
        self.recent.push_back((now, address));
        self.last.insert(address, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_one_address() {
        let mut limit = MinInterval::new(100);
        let [a, b] = ["10.0.0.1", "::1"].map(|text| text.parse().unwrap());
        assert_eq!(limit.delay_until(a, 5), None);
        limit.record(a, 5);
        assert_eq!(
            (limit.delay_until(a, 104), limit.delay_until(b, 104)),
            (Some(105), None)
        );
        assert_eq!(limit.delay_until(a, 105), None);
        limit.record(a, 105);
        limit.record(b, 106);
        assert_eq!(
            (limit.delay_until(a, 200), limit.delay_until(b, 205)),
            (Some(205), Some(206))
        );
        limit.record(a, 1_000);
        assert_eq!((limit.recent.len(), limit.last.len()), (1, 1));
    }

    #[test]
    fn a_multicast_address_has_a_longer_interval() {
        let mut limit = MinInterval::new(100);
        let [group, host] = ["224.0.0.1", "10.0.0.1"].map(|text| text.parse().unwrap());
        limit.record(group, 5);
        for now in [50, 300, 500] {
            limit.record(host, now);
        }
        assert_eq!(limit.delay_until(group, 600), Some(5 + MIN_GROUP_INTERVAL));
        assert_eq!(limit.delay_until(group, 5 + MIN_GROUP_INTERVAL), None);
    }

    #[test]
    fn zero_means_no_limit() {
        let mut limit = MinInterval::new(0);
        limit.record([10, 0, 0, 1].into(), 5);
        assert_eq!(limit.delay_until([10, 0, 0, 1].into(), 5), None);
    }
}

//! The shortest time between two probes to one address, which users other than
//! root are held to, however often a list names the address and whatever its
//! periods and timeouts are.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::clock::Nanos;
use crate::config::GROUP_INTERVAL;

/// The addresses probed within the last interval.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    interval: Nanos,
    recent: VecDeque<(Nanos, IpAddr)>,
    last: HashMap<IpAddr, Nanos>,
}

impl Floor {
    /// An interval in nanoseconds; 0 for none.
    pub(crate) fn new(interval: Nanos) -> Self {
        Self {
            interval,
            ..Self::default()
        }
    }

    /// The interval of an address; a multicast reaches many hosts.
    fn of(&self, address: IpAddr) -> Nanos {
        if address.is_multicast() {
            self.interval.max(GROUP_INTERVAL)
        } else {
            self.interval
        }
    }

    /// When an address may be probed, if that is not now.
    pub(crate) fn wait(&self, address: IpAddr, now: Nanos) -> Option<Nanos> {
        if self.interval == 0 {
            return None;
        }
        let due = self.last.get(&address)?.saturating_add(self.of(address));
        (due > now).then_some(due)
    }

    /// An address is probed now.
    pub(crate) fn count(&mut self, address: IpAddr, now: Nanos) {
        if self.interval == 0 {
            return;
        }
        while let Some(&(at, old)) = self.recent.front()
            && at.saturating_add(self.of(old)) <= now
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
    fn one_address_waits_and_others_do_not() {
        let mut floor = Floor::new(100);
        let [a, b] = ["10.0.0.1", "::1"].map(|text| text.parse().unwrap());
        assert_eq!(floor.wait(a, 5), None);
        floor.count(a, 5);
        assert_eq!((floor.wait(a, 104), floor.wait(b, 104)), (Some(105), None));
        assert_eq!(floor.wait(a, 105), None);
        floor.count(a, 105);
        floor.count(b, 106);
        assert_eq!(
            (floor.wait(a, 200), floor.wait(b, 205)),
            (Some(205), Some(206))
        );
        floor.count(a, 1_000);
        assert_eq!((floor.recent.len(), floor.last.len()), (1, 1));
    }

    #[test]
    fn a_multicast_address_waits_for_a_second() {
        let mut floor = Floor::new(100);
        let [group, host] = ["224.0.0.1", "10.0.0.1"].map(|text| text.parse().unwrap());
        floor.count(group, 5);
        for now in [50, 300, 500] {
            floor.count(host, now);
        }
        assert_eq!(floor.wait(group, 600), Some(5 + GROUP_INTERVAL));
        assert_eq!(floor.wait(group, 5 + GROUP_INTERVAL), None);
    }

    #[test]
    fn root_is_not_held_back() {
        let mut floor = Floor::new(0);
        floor.count([10, 0, 0, 1].into(), 5);
        assert_eq!(floor.wait([10, 0, 0, 1].into(), 5), None);
    }
}

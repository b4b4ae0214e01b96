//! The table of the targets that are being probed. Its slots are reused, so its
//! size follows the number of active targets and not the length of the list.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use crate::icmp::IcmpError;
use crate::packet::IpVersion;
use crate::stats::Stats;

/// The slot of a target in the table.
pub(crate) type TargetId = u32;

/// A host to probe, and the state of its probes.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its slot in the table.
    pub(crate) id: TargetId,
    /// The operand as typed, if it is not the address itself.
    pub(crate) typed: Option<Rc<str>>,
    /// The address to which probes are sent.
    pub(crate) address: IpAddr,
    /// The interface index of a link-local address, or 0.
    pub(crate) scope: u32,
    /// Probes allocated so far, which is the sequence number of the last one.
    pub(crate) allocated: u64,
    /// The number of its probes in flight.
    pub(crate) in_flight: u32,
    /// The number of its last probe in the run.
    pub(crate) last_number: u64,
    /// Whether it has answered a probe.
    pub(crate) has_replied: bool,
    /// Whether its result is final, so that no more probes are sent.
    pub(crate) is_decided: bool,
    /// The path MTU, if the search for it has found one.
    pub(crate) path_mtu: Option<u32>,
    /// The last ICMP error about one of its probes, packet-too-big errors
    /// excepted.
    pub(crate) last_error: Option<IcmpError>,
    /// Whether it is a broadcast address of this host's networks.
    pub(crate) is_broadcast: bool,
    /// Its counters and round-trip times.
    pub(crate) stats: Box<Stats>,
}

impl Target {
    /// Creates a target that has not been probed.
    pub(crate) fn new(typed: Option<Rc<str>>, address: IpAddr, scope: u32) -> Self {
        Self {
            id: 0,
            typed,
            address,
            scope,
            allocated: 0,
            in_flight: 0,
            last_number: 0,
            has_replied: false,
            is_decided: false,
            path_mtu: None,
            last_error: None,
            is_broadcast: address == IpAddr::V4(Ipv4Addr::BROADCAST),
            stats: Box::default(),
        }
    }

    /// Returns the operand as typed.
    pub(crate) fn operand(&self) -> String {
        match &self.typed {
            Some(typed) => typed.to_string(),
            None => self.address.to_string(),
        }
    }

    /// Whether no probe is in flight and none is allocated but not yet sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.stats.sent == self.allocated
    }

    /// Returns the IP version of the address.
    pub(crate) fn version(&self) -> IpVersion {
        match self.address {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        }
    }

    /// Whether it is a multicast or broadcast address.
    pub(crate) fn is_group(&self) -> bool {
        self.address.is_multicast() || self.is_broadcast
    }

    /// Whether its replies come from other addresses, because it is a group or
    /// a subnet-router anycast address (RFC 4291, section 2.6.1).
    pub(crate) fn accepts_any_source(&self) -> bool {
        let is_anycast = match self.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.to_bits() as u64 == 0,
        };
        is_anycast || self.is_group()
    }
}

/// The table of targets.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    slots: Vec<Option<Target>>,
    free: Vec<TargetId>,
}

impl Targets {
    /// Adds a target and returns its id.
    pub(crate) fn add(&mut self, mut target: Target) -> TargetId {
        if let Some(id) = self.free.pop() {
            target.id = id;
            self.slots[id as usize] = Some(target);
            return id;
        }
        let id = self.slots.len() as TargetId;
        target.id = id;
        self.slots.push(Some(target));
        id
    }

    /// Returns a target, unless it has been removed.
    pub(crate) fn get(&self, id: TargetId) -> Option<&Target> {
        self.slots.get(id as usize)?.as_ref()
    }

    /// Returns a target to change, unless it has been removed.
    pub(crate) fn get_mut(&mut self, id: TargetId) -> Option<&mut Target> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// Removes a target and frees its slot.
    pub(crate) fn remove(&mut self, id: TargetId) {
        if let Some(slot @ Some(_)) = self.slots.get_mut(id as usize) {
            *slot = None;
            self.free.push(id);
        }
    }

    /// Iterates over all targets, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TargetId, &Target)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(id, slot)| Some((id as TargetId, slot.as_ref()?)))
    }

    /// Iterates over the undecided targets that have been probed.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = (TargetId, &Target)> {
        self.iter()
            .filter(|(_, target)| !target.is_decided && target.allocated > 0)
    }

    /// Returns the number of targets.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused() {
        let mut targets = Targets::default();
        let new = |text: &str| Target::new(None, text.parse().unwrap(), 0);
        let a = targets.add(new("10.0.0.1"));
        let b = targets.add(new("10.0.0.2"));
        targets.remove(a);
        targets.remove(a);
        assert!(targets.get(a).is_none());
        assert_eq!(targets.add(new("::1")), a);
        assert_eq!(targets.len(), 2);
        assert_eq!(targets.get(b).unwrap().operand(), "10.0.0.2");
    }
}

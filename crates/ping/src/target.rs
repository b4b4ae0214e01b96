//! The targets being probed: a table whose places are used again, so that its
//! size is that of what is going on and not that of the list.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use crate::icmp::IcmpError;
use crate::packet::Version;
use crate::stats::Stats;

/// Where a target stands in the table.
pub(crate) type TargetId = u32;

/// One target.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its place in the table.
    pub(crate) id: TargetId,
    /// The operand as typed, if it is not the address itself.
    pub(crate) label: Option<Rc<str>>,
    /// Whom to ask.
    pub(crate) address: IpAddr,
    /// The interface of a link-local address, 0 for none.
    pub(crate) scope: u32,
    /// Probes sent so far; the next one's sequence number is one more.
    pub(crate) sent: u64,
    /// Probes without an answer whose time has not passed.
    pub(crate) pending: u32,
    /// The number of its last probe.
    pub(crate) last_probe: u64,
    /// Whether it has answered at all.
    pub(crate) answered: bool,
    /// Whether it is decided and no more probes go to it.
    pub(crate) ended: bool,
    /// The path MTU found, if that was searched.
    pub(crate) mtu: Option<u32>,
    /// The last ICMP error about one of its probes that was not about size.
    pub(crate) last_error: Option<IcmpError>,
    /// Whether it is a broadcast address of this host's.
    pub(crate) is_broadcast: bool,
    /// Its statistics, until they have been reported.
    pub(crate) stats: Box<Stats>,
}

impl Target {
    /// A target that has not been probed.
    pub(crate) fn new(label: Option<Rc<str>>, address: IpAddr, scope: u32) -> Self {
        Self {
            id: 0,
            label,
            address,
            scope,
            sent: 0,
            pending: 0,
            last_probe: 0,
            answered: false,
            ended: false,
            mtu: None,
            last_error: None,
            is_broadcast: address == IpAddr::V4(Ipv4Addr::BROADCAST),
            stats: Box::default(),
        }
    }

    /// The operand as typed.
    pub(crate) fn operand(&self) -> String {
        match &self.label {
            Some(label) => label.to_string(),
            None => self.address.to_string(),
        }
    }

    /// Whether nothing is open: no probe waits for an answer, and none has been
    /// planned and is still to go out.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending == 0 && self.stats.sent == self.sent
    }

    /// The address family.
    pub(crate) fn version(&self) -> Version {
        match self.address {
            IpAddr::V4(_) => Version::V4,
            IpAddr::V6(_) => Version::V6,
        }
    }

    /// Whether it stands for several hosts: multicast, broadcast.
    pub(crate) fn is_group(&self) -> bool {
        self.address.is_multicast() || self.is_broadcast
    }

    /// Whether answers come from other addresses: those of a group, and of the
    /// routers that a subnet-router anycast address (RFC 4291, section 2.6.1)
    /// stands for.
    pub(crate) fn is_shared(&self) -> bool {
        let anycast = match self.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.to_bits() as u64 == 0,
        };
        anycast || self.is_group()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    places: Vec<Option<Target>>,
    free: Vec<TargetId>,
}

impl Targets {
    /// Adds a target.
    pub(crate) fn add(&mut self, mut target: Target) -> TargetId {
        if let Some(id) = self.free.pop() {
            target.id = id;
            self.places[id as usize] = Some(target);
            return id;
        }
        let id = self.places.len() as TargetId;
        target.id = id;
        self.places.push(Some(target));
        id
    }

    /// A target, unless it has been removed.
    pub(crate) fn get(&self, id: TargetId) -> Option<&Target> {
        self.places.get(id as usize)?.as_ref()
    }

    /// A target to be changed.
    pub(crate) fn get_mut(&mut self, id: TargetId) -> Option<&mut Target> {
        self.places.get_mut(id as usize)?.as_mut()
    }

    /// Forgets a target; its place is used again.
    pub(crate) fn remove(&mut self, id: TargetId) {
        if let Some(place @ Some(_)) = self.places.get_mut(id as usize) {
            *place = None;
            self.free.push(id);
        }
    }

    /// All targets, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TargetId, &Target)> {
        let numbered = self.places.iter().enumerate();
        numbered.filter_map(|(id, place)| Some((id as TargetId, place.as_ref()?)))
    }

    /// Those that were asked and are not decided.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = (TargetId, &Target)> {
        self.iter()
            .filter(|(_, target)| !target.ended && target.sent > 0)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
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

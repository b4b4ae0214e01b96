//! `--no-wildcards`: a name that was found is compared with names that nobody
//! can have, made up below the same parent. One whose values are all among
//! theirs is there only because a wildcard is (RFC 4592).

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use common::Result;
use domain::base::iana::Rtype;
use domain::base::name::Name;

use crate::answer::Status;
use crate::drive::Backend;
use crate::engine::{Ask, Engine, random_id};
use crate::lookup::{Lookup, Shown};
use crate::wire::OwnedName;

/// Names made up for each parent: servers rotate what a wildcard has.
const PROBES: usize = 3;

/// Parents remembered.
const PARENTS_MAX: usize = 65_536;

/// Tickets of made-up names, out of the way of all others.
const PROBE: u64 = 1 << 63;

type Parent = (OwnedName, Rtype);

enum Known {
    /// Its made-up names are being asked; these lookups wait.
    Asking {
        left: usize,
        values: HashSet<String>,
        waiting: Vec<(u64, Lookup)>,
    },
    /// What the wildcard has; nothing if there is none.
    Values(HashSet<String>),
}

/// An engine that tells wildcards.
pub(crate) struct Wildcards {
    engine: Engine,
    parents: HashMap<Parent, Known>,
    /// What is being asked under a ticket.
    asked: HashMap<u64, Parent>,
    next: u64,
    done: Vec<(u64, Lookup)>,
}

impl Wildcards {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            parents: HashMap::new(),
            asked: HashMap::new(),
            next: PROBE,
            done: Vec::new(),
        }
    }

    pub(crate) fn into_inner(self) -> Engine {
        self.engine
    }

    fn arrived(&mut self, ticket: u64, lookup: Lookup) {
        let Some(parent) = self.asked.remove(&ticket) else {
            return self.done.push((ticket, lookup));
        };
        if ticket & PROBE != 0 {
            return self.probed(parent, &lookup);
        }
        if lookup.status != Status::Found {
            return self.done.push((ticket, lookup));
        }
        match self.parents.get_mut(&parent) {
            Some(Known::Values(values)) => {
                let lookup = judged(values, lookup);
                self.done.push((ticket, lookup));
            }
            Some(Known::Asking { waiting, .. }) => waiting.push((ticket, lookup)),
            None => self.probe(parent, ticket, lookup),
        }
    }

    /// Asks for names that nobody has below a parent.
    fn probe(&mut self, parent: Parent, ticket: u64, lookup: Lookup) {
        if self.parents.len() >= PARENTS_MAX {
            let asking = |_: &Parent, known: &mut Known| matches!(known, Known::Asking { .. });
            self.parents.retain(asking);
        }
        let names: Option<Vec<OwnedName>> = (0..PROBES).map(|_| made_up(&parent.0)).collect();
        let Some(names) = names else {
            // The parent is too long for any name below it.
            return self.done.push((ticket, lookup));
        };
        for name in names {
            self.next += 1;
            self.asked.insert(self.next, parent.clone());
            self.engine.submit(Ask {
                ticket: self.next,
                name,
                rtype: parent.1,
                more: Vec::new(),
                only: None,
            });
        }
        let known = Known::Asking {
            left: PROBES,
            values: HashSet::new(),
            waiting: vec![(ticket, lookup)],
        };
        self.parents.insert(parent, known);
    }

    fn probed(&mut self, parent: Parent, lookup: &Lookup) {
        let Some(Known::Asking {
            left,
            values,
            waiting,
        }) = self.parents.get_mut(&parent)
        else {
            return;
        };
        *left -= 1;
        if lookup.status == Status::Found {
            let records = lookup.records();
            let found = records.iter().filter(|shown| shown.wanted);
            values.extend(found.map(|shown| shown.data.clone()));
        }
        if *left > 0 {
            return;
        }
        let (values, waiting) = (std::mem::take(values), std::mem::take(waiting));
        for (ticket, lookup) in waiting {
            let lookup = judged(&values, lookup);
            self.done.push((ticket, lookup));
        }
        self.parents.insert(parent, Known::Values(values));
    }
}

/// The lookup, as absent if it is only what the wildcard has.
fn judged(wildcard: &HashSet<String>, mut lookup: Lookup) -> Lookup {
    let of_wildcard = |shown: &Shown| !shown.wanted || wildcard.contains(&shown.data);
    if lookup.records().iter().all(of_wildcard) {
        lookup.status = Status::Wildcard;
        lookup.replace_records(Vec::new());
    }
    lookup
}

/// A name below `parent` with a label of sixteen random digits.
fn made_up(parent: &OwnedName) -> Option<OwnedName> {
    let mut wire = vec![16];
    for _ in 0..4 {
        wire.extend(format!("{:04x}", random_id().ok()?).into_bytes());
    }
    wire.extend_from_slice(parent.as_slice());
    Name::from_octets(wire).ok()
}

/// The name above; `None` for the root.
fn parent_of(name: &OwnedName) -> Option<OwnedName> {
    let wire = name.as_slice();
    match wire[0] {
        0 => None,
        length => Name::from_octets(wire[usize::from(length) + 1..].to_ascii_lowercase()).ok(),
    }
}

impl Backend for Wildcards {
    type Question = Ask;

    fn wants(&self) -> bool {
        self.engine.wants()
    }

    fn submit(&mut self, ticket: u64, ask: Ask) {
        if let Some(parent) = parent_of(&ask.name) {
            self.asked.insert(ticket, (parent, ask.rtype));
        }
        self.engine.submit(Ask { ticket, ..ask });
    }

    fn is_idle(&self) -> bool {
        self.engine.is_idle() && self.done.is_empty()
    }

    fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.engine.turn(extra, until, idle)?;
        for (ticket, lookup) in self.engine.done() {
            self.arrived(ticket, lookup);
        }
        Ok(())
    }

    fn done(&mut self) -> Vec<(u64, Lookup)> {
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_nobody_has() {
        let parent = OwnedName::vec_from_str("test").unwrap();
        let (a, b) = (made_up(&parent).unwrap(), made_up(&parent).unwrap());
        assert_ne!(a, b);
        assert_eq!(parent_of(&a).unwrap(), parent);
        assert_eq!(parent_of(&OwnedName::root_vec()), None);
    }
}

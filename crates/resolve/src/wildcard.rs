//! `--no-wildcards`: a name that was found is compared with names that nobody
//! can have, made up below the same parent. One whose values are all among
//! theirs is there only because a wildcard is (RFC 4592).
//!
//! Servers rotate what a wildcard has, and may give one value of many at a time.
//! A name with a value that no made-up name has had yet is therefore no proof:
//! more names are made up, until enough of them in a row have brought nothing
//! new that another value is improbable. What is known of a parent is kept.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use common::Result;
use domain::base::iana::Rtype;
use domain::base::name::Name;

use crate::answer::Status;
use crate::drive::Backend;
use crate::engine::{Ask, Engine, random_id};
use crate::lookup::{Failure, Lookup, Shown};
use crate::present;
use crate::wire::OwnedName;

/// Names made up for each parent at first, and for each further question.
const PROBES: usize = 3;
const MORE: usize = 8;

/// Names made up for one parent at most, and bytes of the values they have.
const PROBES_MAX: usize = 1024;
const VALUES_MAX: usize = 256 << 10;

/// Bytes of the values of all parents, beyond which they are forgotten.
const KNOWN_MAX: usize = 64 << 20;

/// Failures of made-up names of one parent before it cannot be judged.
const FAILURES_MAX: usize = 3;

/// Parents remembered.
const PARENTS_MAX: usize = 65_536;

/// Bytes of lookups that wait for made-up names, beyond which no further ones
/// are taken.
const HELD_MAX: usize = 32 << 20;

/// Tickets of made-up names, out of the way of all others.
const PROBE: u64 = 1 << 63;

type Parent = (OwnedName, Rtype);

/// What is known of a parent.
#[derive(Default)]
struct Known {
    /// What made-up names had: values, and the same with the name's own label
    /// replaced, since a wildcard's target may contain it.
    values: HashSet<String>,
    bytes: usize,
    /// Made-up names that have been answered, those in a row that brought
    /// nothing new, those that were not answered, and those under way.
    probes: usize,
    barren: usize,
    failures: usize,
    flying: usize,
    /// Why the last one was not answered.
    failure: Option<Failure>,
    /// Lookups that wait to be judged, with the label of each.
    waiting: Vec<(u64, Lookup, String)>,
}

/// What can be said of a lookup.
enum Verdict {
    Wildcard,
    Real,
    /// More names have to be made up first.
    Open,
    /// The made-up names were not answered, or keep returning new values.
    Unknown,
}

impl Known {
    /// A value is hidden from many made-up names in a row only by chance. With
    /// `n` values that are equally likely, eight times as many probes miss one
    /// of them once in three thousand times.
    fn is_settled(&self) -> bool {
        match self.values.len() {
            0 => self.probes >= PROBES,
            n => self.barren >= 8 * n + MORE,
        }
    }

    fn judge(&self, lookup: &Lookup, label: &str) -> Verdict {
        let of_wildcard = |shown: &Shown| {
            !shown.wanted
                || self.values.contains(&shown.data)
                || self.values.contains(&without(&shown.data, label))
        };
        if self.probes > 0 && lookup.records().iter().all(of_wildcard) {
            Verdict::Wildcard
        } else if self.is_settled() {
            Verdict::Real
        } else if self.failures >= FAILURES_MAX
            || self.probes >= PROBES_MAX
            || self.bytes >= VALUES_MAX
        {
            Verdict::Unknown
        } else {
            Verdict::Open
        }
    }

    /// Takes in what a made-up name has; returns the bytes of what is new.
    fn learn(&mut self, lookup: &Lookup, label: &str) -> usize {
        self.flying -= 1;
        if let Some(failure) = &lookup.failure {
            self.failures += 1;
            self.failure = Some(failure.clone());
            return 0;
        }
        let before = self.bytes;
        self.probes += 1;
        self.barren += 1;
        let records = lookup.records();
        let found = records.iter().filter(|shown| shown.wanted);
        for shown in found.filter(|_| lookup.status == Status::Found) {
            if self.bytes >= VALUES_MAX {
                break;
            }
            let general = without(&shown.data, label);
            let length = general.len();
            if self.values.insert(general) {
                self.bytes += length;
                self.barren = 0;
            }
        }
        self.bytes - before
    }

    /// The lookup after its verdict.
    fn settle(&self, mut lookup: Lookup, verdict: &Verdict, parent: &OwnedName) -> Lookup {
        match verdict {
            Verdict::Real | Verdict::Open => {}
            Verdict::Wildcard => {
                lookup.status = Status::Wildcard;
                lookup.replace_records(Vec::new());
            }
            Verdict::Unknown => lookup.failure = Some(self.unknown(parent)),
        }
        lookup
    }

    /// What is said of a lookup that cannot be judged.
    fn unknown(&self, parent: &OwnedName) -> Failure {
        let parent = crate::answer::listed(std::slice::from_ref(parent), "");
        match &self.failure {
            Some(failure) if self.failures >= FAILURES_MAX => Failure {
                kind: failure.kind,
                message: format!(
                    "not checked for a wildcard below {parent}: {}",
                    failure.message
                ),
            },
            _ => Failure {
                kind: common::Kind::Protocol,
                message: format!(
                    "not checked for a wildcard below {parent}: random names keep returning new values"
                ),
            },
        }
    }
}

/// A value with `*` for each of its labels that is `label`.
fn without(data: &str, label: &str) -> String {
    if label.is_empty() {
        return data.to_owned();
    }
    let labels = data.split_inclusive(['.', ' ']);
    let replaced = labels.map(|part| {
        let end = part.trim_end_matches(['.', ' ']);
        if end.eq_ignore_ascii_case(label) {
            format!("*{}", &part[end.len()..])
        } else {
            part.to_owned()
        }
    });
    replaced.collect()
}

/// An engine that tells wildcards.
pub(crate) struct Wildcards {
    engine: Engine,
    parents: HashMap<Parent, Known>,
    /// What is being asked under a ticket, and the label below the parent.
    asked: HashMap<u64, (Parent, String)>,
    next: u64,
    /// Bytes of the lookups that wait, and of the values of all parents.
    held: usize,
    known: usize,
    done: Vec<(u64, Lookup)>,
}

impl Wildcards {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            parents: HashMap::new(),
            asked: HashMap::new(),
            next: PROBE,
            held: 0,
            known: 0,
            done: Vec::new(),
        }
    }

    pub(crate) fn into_inner(self) -> Engine {
        self.engine
    }

    fn arrived(&mut self, ticket: u64, lookup: Lookup) {
        let Some((parent, label)) = self.asked.remove(&ticket) else {
            return self.done.push((ticket, lookup));
        };
        if ticket & PROBE != 0 {
            if let Some(known) = self.parents.get_mut(&parent) {
                self.known += known.learn(&lookup, &label);
                if known.flying == 0 {
                    self.review(&parent);
                }
            }
            return;
        }
        if lookup.status != Status::Found {
            return self.done.push((ticket, lookup));
        }
        let new = !self.parents.contains_key(&parent);
        if new && (self.parents.len() >= PARENTS_MAX || self.known >= KNOWN_MAX) {
            self.parents.retain(|_, known| known.flying > 0);
            self.known = self.parents.values().map(|known| known.bytes).sum();
        }
        let known = self.parents.entry(parent.clone()).or_default();
        match known.judge(&lookup, &label) {
            Verdict::Open => {
                self.held += lookup.size();
                known.waiting.push((ticket, lookup, label));
                if known.flying == 0 {
                    self.probe(&parent);
                }
            }
            verdict => {
                let lookup = known.settle(lookup, &verdict, &parent.0);
                self.done.push((ticket, lookup));
            }
        }
    }

    /// Judges what waits for a parent, as far as that is possible now, and makes
    /// up more names if it is not.
    fn review(&mut self, parent: &Parent) {
        let Some(known) = self.parents.get_mut(parent) else {
            return;
        };
        for (ticket, lookup, label) in std::mem::take(&mut known.waiting) {
            match known.judge(&lookup, &label) {
                Verdict::Open => known.waiting.push((ticket, lookup, label)),
                verdict => {
                    self.held = self.held.saturating_sub(lookup.size());
                    let lookup = known.settle(lookup, &verdict, &parent.0);
                    self.done.push((ticket, lookup));
                }
            }
        }
        if !known.waiting.is_empty() {
            self.probe(parent);
        }
    }

    /// Asks for names that nobody has below a parent.
    fn probe(&mut self, parent: &Parent) {
        let Some(known) = self.parents.get_mut(parent) else {
            return;
        };
        let count = if known.probes == 0 { PROBES } else { MORE };
        for (name, label) in (0..count).filter_map(|_| made_up(&parent.0)) {
            known.flying += 1;
            self.next += 1;
            self.asked.insert(self.next, (parent.clone(), label));
            self.engine.submit(Ask {
                ticket: self.next,
                name,
                rtype: parent.1,
                more: Vec::new(),
                only: None,
            });
        }
        if known.flying == 0 {
            // The parent is too long for any name below it: nothing can be made
            // up, and nothing that is not there can have been asked for.
            for (ticket, lookup, _) in std::mem::take(&mut known.waiting) {
                self.held = self.held.saturating_sub(lookup.size());
                self.done.push((ticket, lookup));
            }
        }
    }
}

/// A name below `parent` with a label of sixteen random digits, and the label.
fn made_up(parent: &OwnedName) -> Option<(OwnedName, String)> {
    let mut label = String::new();
    for _ in 0..4 {
        // Writing to a String cannot fail.
        let _ = write!(label, "{:04x}", random_id().ok()?);
    }
    let wire = [&[16], label.as_bytes(), parent.as_slice()].concat();
    Some((Name::from_octets(wire).ok()?, label))
}

/// The name above, and the label below it; `None` for the root.
fn parent_of(name: &OwnedName) -> Option<(OwnedName, String)> {
    let wire = name.as_slice();
    let length = usize::from(wire[0]);
    if length == 0 {
        return None;
    }
    let parent = Name::from_octets(wire[length + 1..].to_ascii_lowercase()).ok()?;
    let label = present::string(&wire[1..=length]);
    Some((parent, label))
}

impl Backend for Wildcards {
    type Question = Ask;

    fn wants(&self) -> bool {
        self.engine.wants() && self.held < HELD_MAX
    }

    fn submit(&mut self, ticket: u64, ask: Ask) {
        if let Some((parent, label)) = parent_of(&ask.name) {
            self.asked.insert(ticket, ((parent, ask.rtype), label));
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
        assert_eq!(parent_of(&a.0).unwrap(), (parent, a.1));
        assert_eq!(parent_of(&OwnedName::root_vec()), None);
    }

    #[test]
    fn values_without_the_name() {
        assert_eq!(without("up.w5.api.test.", "w5"), "up.*.api.test.");
        assert_eq!(without("10 W5.test.", "w5"), "10 *.test.");
        assert_eq!(without("w55.test.", "w5"), "w55.test.");
        assert_eq!(without("w5", "w5"), "*");
    }
}

//! `--no-wildcards`: finds names that exist only through a wildcard (RFC 4592).
//!
//! A name that was found is compared with random names below its parent, which cannot
//! exist themselves. If the random names have all of its values, it exists only through
//! a wildcard.
//!
//! Servers may rotate the values of a wildcard and return only some of them at a
//! time, so a value not seen before proves nothing at first. Further random names are queried
//! until a long series of them has returned no new value. The results are kept for other
//! names of the parent.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use common::{Kind, Result};
use domain::base::iana::Rtype;
use domain::base::name::Name;

use crate::answer::{self, Status};
use crate::backend::Backend;
use crate::engine::{Engine, LookupRequest, random_id};
use crate::lookup::{DisplayRecord, Failure, Lookup};
use crate::presentation;
use crate::wire::OwnedName;

/// The number of random names that are queried first for a parent.
const FIRST_NAMES: usize = 3;

/// The number of random names that are queried if the earlier ones were not conclusive.
const FURTHER_NAMES: usize = 8;

/// The maximum number of random names for one parent.
const MAX_NAMES: usize = 1024;

/// The maximum number of bytes of values that are kept for one parent.
const MAX_VALUES: usize = 256 << 10;

/// The maximum number of bytes of values for all parents; above it, all are dropped.
const MAX_TOTAL_VALUES: usize = 64 << 20;

/// The number of failed queries after which the check of a parent is given up.
const MAX_FAILURES: usize = 3;

/// The maximum number of parents that are kept.
const MAX_PARENTS: usize = 65_536;

/// The maximum number of bytes of lookups that wait for random names; above it, no
/// further lookup is accepted.
const MAX_WAITING: usize = 32 << 20;

/// The bit that distinguishes the tokens of random names from all others.
const RANDOM: u64 = 1 << 63;

type Parent = (OwnedName, Rtype);

/// The results of the random names below one parent.
#[derive(Default)]
struct WildcardState {
    /// The values of random names. The random label in a value is replaced by `*`,
    /// since the target of a wildcard may contain the queried name.
    values: HashSet<String>,
    /// The size of `values` in bytes.
    bytes: usize,
    /// Random names that were answered.
    answered: usize,
    /// Answers in a row without a new value.
    answers_without_new_value: usize,
    failures: usize,
    /// Random names without an answer yet.
    pending: usize,
    last_failure: Option<Failure>,
    /// Lookups that wait for a verdict, each with its token and label.
    waiting: Vec<(u64, Lookup, String)>,
}

/// The verdict about a lookup.
enum Verdict {
    /// The name exists only through a wildcard.
    Wildcard,
    /// The name itself exists.
    NotWildcard,
    /// More random names are needed.
    Undecided,
    /// Random names failed, or keep returning new values.
    Unknown,
}

impl WildcardState {
    /// Returns whether another value is improbable. If N values are equally likely,
    /// 8 N random names miss one of them with a probability of 1 in 3000.
    fn is_settled(&self) -> bool {
        match self.values.len() {
            0 => self.answered >= FIRST_NAMES,
            n => self.answers_without_new_value >= 8 * n + FURTHER_NAMES,
        }
    }

    fn verdict(&self, lookup: &Lookup, label: &str) -> Verdict {
        let matches_wildcard = |record: &DisplayRecord| {
            !record.is_value
                || self.values.contains(&record.data)
                || self.values.contains(&replace_label(&record.data, label))
        };
        if self.answered > 0 && lookup.records().iter().all(matches_wildcard) {
            Verdict::Wildcard
        } else if self.is_settled() {
            Verdict::NotWildcard
        } else if self.failures >= MAX_FAILURES
            || self.answered >= MAX_NAMES
            || self.bytes >= MAX_VALUES
        {
            Verdict::Unknown
        } else {
            Verdict::Undecided
        }
    }

    /// Adds the result of a random name; returns the size of its new values in bytes.
    fn add_random(&mut self, lookup: &Lookup, label: &str) -> usize {
        self.pending -= 1;
        if let Some(failure) = &lookup.failure {
            self.failures += 1;
            self.last_failure = Some(failure.clone());
            return 0;
        }
        let before = self.bytes;
        self.answered += 1;
        self.answers_without_new_value += 1;
        let records = lookup.records();
        let found = records.iter().filter(|record| record.is_value);
        for record in found.filter(|_| lookup.status == Status::Found) {
            if self.bytes >= MAX_VALUES {
                break;
            }
            let value = replace_label(&record.data, label);
            let length = value.len();
            if self.values.insert(value) {
                self.bytes += length;
                self.answers_without_new_value = 0;
            }
        }
        self.bytes - before
    }

    /// Applies a verdict to a lookup.
    fn apply(&self, mut lookup: Lookup, verdict: &Verdict, parent: &OwnedName) -> Lookup {
        match verdict {
            Verdict::NotWildcard | Verdict::Undecided => {}
            Verdict::Wildcard => {
                lookup.status = Status::Wildcard;
                lookup.replace_records(Vec::new());
            }
            Verdict::Unknown => lookup.failure = Some(self.unknown(parent)),
        }
        lookup
    }

    /// Describes why a lookup cannot be decided.
    fn unknown(&self, parent: &OwnedName) -> Failure {
        let (kind, why) = match &self.last_failure {
            Some(failure) if self.failures >= MAX_FAILURES => {
                (failure.kind, failure.message.as_str())
            }
            _ => (
                Kind::Protocol,
                "random names below it keep returning new values",
            ),
        };
        let parent = answer::show_name(parent);
        Failure {
            kind,
            message: format!("cannot determine whether {parent} has a wildcard: {why}"),
        }
    }
}

/// Replaces each label of a value that equals `label` with `*`.
fn replace_label(data: &str, label: &str) -> String {
    if label.is_empty() {
        return data.to_owned();
    }
    let labels = data.split_inclusive(['.', ' ']);
    let replaced = labels.map(|part| {
        let text = part.trim_end_matches(['.', ' ']);
        if text.eq_ignore_ascii_case(label) {
            format!("*{}", &part[text.len()..])
        } else {
            part.to_owned()
        }
    });
    replaced.collect()
}

/// A backend that detects names that exist only through a wildcard.
pub(crate) struct WildcardFilter {
    engine: Engine,
    parents: HashMap<Parent, WildcardState>,
    /// The parent and the label of each pending lookup or random name, by token.
    pending: HashMap<u64, (Parent, String)>,
    last_random: u64,
    /// Bytes of the lookups that wait for a verdict.
    waiting_bytes: usize,
    /// Bytes of the values of all parents.
    value_bytes: usize,
    finished: Vec<(u64, Lookup)>,
}

impl WildcardFilter {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            parents: HashMap::new(),
            pending: HashMap::new(),
            last_random: RANDOM,
            waiting_bytes: 0,
            value_bytes: 0,
            finished: Vec::new(),
        }
    }

    pub(crate) fn into_inner(self) -> Engine {
        self.engine
    }

    /// Handles the result of a lookup or a random name.
    fn add_result(&mut self, token: u64, lookup: Lookup) {
        let Some((parent, label)) = self.pending.remove(&token) else {
            return self.finished.push((token, lookup));
        };
        if token & RANDOM != 0 {
            if let Some(state) = self.parents.get_mut(&parent) {
                self.value_bytes += state.add_random(&lookup, &label);
                if state.pending == 0 {
                    self.decide_waiting(&parent);
                }
            }
            return;
        }
        if lookup.status != Status::Found {
            return self.finished.push((token, lookup));
        }
        let is_new = !self.parents.contains_key(&parent);
        if is_new && (self.parents.len() >= MAX_PARENTS || self.value_bytes >= MAX_TOTAL_VALUES) {
            self.parents.retain(|_, state| state.pending > 0);
            self.value_bytes = self.parents.values().map(|state| state.bytes).sum();
        }
        let state = self.parents.entry(parent.clone()).or_default();
        match state.verdict(&lookup, &label) {
            Verdict::Undecided => {
                self.waiting_bytes += lookup.memory_size();
                state.waiting.push((token, lookup, label));
                if state.pending == 0 {
                    self.query_random_names(&parent);
                }
            }
            verdict => {
                let lookup = state.apply(lookup, &verdict, &parent.0);
                self.finished.push((token, lookup));
            }
        }
    }

    /// Decides the waiting lookups of a parent as far as possible, and queries more
    /// random names for the others.
    fn decide_waiting(&mut self, parent: &Parent) {
        let Some(state) = self.parents.get_mut(parent) else {
            return;
        };
        for (token, lookup, label) in std::mem::take(&mut state.waiting) {
            match state.verdict(&lookup, &label) {
                Verdict::Undecided => state.waiting.push((token, lookup, label)),
                verdict => {
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(lookup.memory_size());
                    let lookup = state.apply(lookup, &verdict, &parent.0);
                    self.finished.push((token, lookup));
                }
            }
        }
        if !state.waiting.is_empty() {
            self.query_random_names(parent);
        }
    }

    /// Queries random names below a parent.
    fn query_random_names(&mut self, parent: &Parent) {
        let Some(state) = self.parents.get_mut(parent) else {
            return;
        };
        let count = if state.answered == 0 {
            FIRST_NAMES
        } else {
            FURTHER_NAMES
        };
        for (name, label) in (0..count).filter_map(|_| random_name(&parent.0)) {
            state.pending += 1;
            self.last_random += 1;
            self.pending
                .insert(self.last_random, (parent.clone(), label));
            self.engine.submit(LookupRequest {
                token: self.last_random,
                name,
                rtype: parent.1,
                candidates: Vec::new(),
                only_server: None,
            });
        }
        if state.pending == 0 {
            // The parent is too long for random names below it, so the lookups stay
            // unchecked.
            for (token, lookup, _) in std::mem::take(&mut state.waiting) {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(lookup.memory_size());
                self.finished.push((token, lookup));
            }
        }
    }
}

/// Returns a name below `parent` with a label of sixteen random digits, and the
/// label. Returns `None` if it would be too long.
fn random_name(parent: &OwnedName) -> Option<(OwnedName, String)> {
    let mut label = String::new();
    for _ in 0..4 {
        // Writing to a String cannot fail.
        let _ = write!(label, "{:04x}", random_id().ok()?);
    }
    let wire = [&[16], label.as_bytes(), parent.as_slice()].concat();
    Some((Name::from_octets(wire).ok()?, label))
}

/// Splits a name into its parent and its first label; `None` for the root.
fn parent_of(name: &OwnedName) -> Option<(OwnedName, String)> {
    let wire = name.as_slice();
    let length = usize::from(wire[0]);
    if length == 0 {
        return None;
    }
    let parent = Name::from_octets(wire[length + 1..].to_ascii_lowercase()).ok()?;
    let label = presentation::string(&wire[1..=length]);
    Some((parent, label))
}

impl Backend for WildcardFilter {
    type Question = LookupRequest;

    fn has_room(&self) -> bool {
        self.engine.has_room() && self.waiting_bytes < MAX_WAITING
    }

    fn submit(&mut self, token: u64, request: LookupRequest) {
        if let Some((parent, label)) = parent_of(&request.name) {
            self.pending.insert(token, ((parent, request.rtype), label));
        }
        self.engine.submit(LookupRequest { token, ..request });
    }

    fn is_idle(&self) -> bool {
        self.engine.is_idle() && self.finished.is_empty()
    }

    fn turn(
        &mut self,
        extra_fd: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        before_wait: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.engine.turn(extra_fd, until, before_wait)?;
        for (token, lookup) in self.engine.take_finished() {
            self.add_result(token, lookup);
        }
        Ok(())
    }

    fn take_finished(&mut self) -> Vec<(u64, Lookup)> {
        std::mem::take(&mut self.finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_below_their_parent() {
        let parent = OwnedName::vec_from_str("test").unwrap();
        let (a, b) = (random_name(&parent).unwrap(), random_name(&parent).unwrap());
        assert_ne!(a, b);
        assert_eq!(parent_of(&a.0).unwrap(), (parent, a.1));
        assert_eq!(parent_of(&OwnedName::root_vec()), None);
    }

    #[test]
    fn a_label_of_the_name_is_replaced_in_values() {
        assert_eq!(replace_label("up.w5.api.test.", "w5"), "up.*.api.test.");
        assert_eq!(replace_label("10 W5.test.", "w5"), "10 *.test.");
        assert_eq!(replace_label("w55.test.", "w5"), "w55.test.");
        assert_eq!(replace_label("w5", "w5"), "*");
    }
}

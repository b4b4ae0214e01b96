//! All pending lookups: their timers, and the queues of those that wait to send a query.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use slab::Slab;

use super::pending::{LookupId, PendingLookup, ServerList};
use super::query::QueryId;
use super::settings::LookupRequest;

/// The time, the lookup, and the serial number of a timer.
type Timer = (Instant, LookupId, u32);

/// The pending lookups by slab key.
#[derive(Debug)]
pub(crate) struct Lookups {
    slab: Slab<PendingLookup>,
    /// The serial number of the last lookup.
    serial: u32,
    timers: BinaryHeap<Reverse<Timer>>,
    /// Lookups that wait to send a further query.
    pub(crate) requeued: VecDeque<LookupId>,
    /// Lookups that wait to send their first query.
    pub(crate) new_queue: VecDeque<LookupId>,
}

impl Lookups {
    /// Creates an empty table without allocating.
    pub(crate) fn new() -> Self {
        Self {
            slab: Slab::new(),
            serial: 0,
            timers: BinaryHeap::new(),
            requeued: VecDeque::new(),
            new_queue: VecDeque::new(),
        }
    }

    /// Returns the number of pending lookups.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Adds a lookup that will ask `servers`, and queues it for its first query.
    pub(crate) fn insert(&mut self, request: LookupRequest, servers: ServerList) {
        self.serial = self.serial.wrapping_add(1);
        let id = LookupId {
            key: self.slab.vacant_key() as u32,
            serial: self.serial,
        };
        self.slab.insert(PendingLookup::new(id, request, servers));
        self.new_queue.push_back(id);
    }

    /// Returns the lookup with this ID, unless it has ended.
    pub(crate) fn get(&self, id: LookupId) -> Option<&PendingLookup> {
        self.slab
            .get(id.key as usize)
            .filter(|lookup| lookup.id == id)
    }

    /// Returns the lookup with this slab key.
    pub(crate) fn by_key(&mut self, key: u32) -> Option<&mut PendingLookup> {
        self.slab.get_mut(key as usize)
    }

    /// Returns the lookup of a query, unless the query was forgotten.
    pub(crate) fn by_query(&mut self, id: QueryId) -> Option<&mut PendingLookup> {
        let lookup = self.by_key(id.lookup)?;
        lookup.has_query(id.serial).then_some(lookup)
    }

    /// Removes a lookup that has ended.
    pub(crate) fn remove(&mut self, key: u32) -> Option<PendingLookup> {
        self.slab.try_remove(key as usize)
    }

    /// Sets the only valid timer of a lookup, no later than its deadline.
    pub(crate) fn set_timer(&mut self, key: u32, at: Instant) {
        if let Some(lookup) = self.slab.get_mut(key as usize) {
            let serial = lookup.next_timer();
            let at = at.min(lookup.deadline());
            self.timers.push(Reverse((at, lookup.id, serial)));
        }
    }

    /// Returns the time of the next timer, which may be invalid.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next timer that has expired, and returns the slab key of its lookup.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<u32> {
        while self.next_timer().is_some_and(|at| at <= now) {
            let Reverse((_, id, serial)) = self.timers.pop()?;
            if self.get(id).is_some_and(|lookup| lookup.has_timer(serial)) {
                return Some(id.key);
            }
        }
        None
    }

    /// Queues a lookup for its next query. Until then only its deadline can end it.
    pub(crate) fn requeue(&mut self, key: u32) {
        if let Some(lookup) = self.slab.get(key as usize) {
            let deadline = lookup.deadline();
            self.requeued.push_back(lookup.id);
            self.set_timer(key, deadline);
        }
    }

    /// Shortens the timer of a lookup if it waits for the answer to this query: it ends
    /// `rto` after the query was sent.
    pub(crate) fn shorten_timer(&mut self, id: QueryId, rto: Duration) {
        let lookup = self.slab.get(id.lookup as usize);
        let last = lookup.and_then(PendingLookup::last_query);
        if let Some(query) = last.filter(|query| query.serial == id.serial && query.in_window) {
            let at = query.sent + rto;
            self.set_timer(id.lookup, at);
        }
    }

    /// Moves the times of all lookups by the length of a pause of the engine.
    ///
    /// The engine does not run while the caller writes results to a slow reader.
    /// During that time answers wait in the socket buffers, or are lost because the
    /// buffers are full. Neither is the server's fault.
    pub(crate) fn shift_times(&mut self, pause: Duration) {
        for (_, lookup) in &mut self.slab {
            lookup.shift_times(pause);
        }
        let timers = std::mem::take(&mut self.timers).into_iter();
        self.timers = timers
            .map(|Reverse((at, id, serial))| Reverse((at + pause, id, serial)))
            .collect();
    }
}

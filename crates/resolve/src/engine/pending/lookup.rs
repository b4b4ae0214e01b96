//! The state of one lookup between its submission and its result.

use std::time::{Duration, Instant};

use super::servers::ServerList;
use crate::engine::failure::ServerFailure;
use crate::engine::query::InFlightQuery;
use crate::engine::settings::LookupRequest;
use crate::lookup::Lookup;
use crate::wire::{OwnedName, Question};

/// The next step of the engine for a lookup.
#[derive(Debug)]
pub(crate) enum Action {
    /// Waits for an answer until the timer of the lookup.
    Wait,
    /// Waits for an answer until this time.
    WaitUntil(Instant),
    /// Asks the next server once the windows and rate limits allow.
    Requeue,
    /// Asks the server with this index at once.
    Ask(usize),
    /// Ends the lookup with this result.
    Finish(Box<Lookup>),
}

/// The ID of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LookupId {
    pub(crate) key: u32,
    /// Distinguishes it from earlier lookups with the same key.
    pub(crate) serial: u32,
}

/// A lookup without a result yet.
#[derive(Debug)]
pub(crate) struct PendingLookup {
    pub(crate) id: LookupId,
    pub(crate) token: u64,
    pub(super) question: Question,
    /// The names of the search list to try after this one, in reverse order.
    pub(super) candidates: Vec<OwnedName>,
    pub(super) servers: ServerList,
    /// The time of the first query, at which the lookup starts.
    pub(super) started: Option<Instant>,
    /// The time at which it ends; meaningless before it has started.
    pub(super) deadline: Instant,
    /// The serial number of the valid timer; earlier timers are ignored.
    timer_serial: u32,
    /// The number of queries sent for all names.
    pub(super) total_queries: u32,
    /// The number of queries sent for the current name.
    pub(super) queries_for_name: u32,
    /// The number of connections that were closed after some answers while this lookup
    /// waited.
    pub(super) reconnects: u8,
    /// The number of connections that were closed without any answer.
    pub(super) empty_closes: u8,
    /// The outcomes so far, none of which is a positive answer.
    pub(super) outcomes: Outcomes,
    /// The queries that can still be answered, in the order in which they were sent.
    pub(super) queries: Vec<InFlightQuery>,
}

/// The outcomes of a lookup that is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// The most significant failure and the index of its server.
    pub(super) worst_failure: Option<(usize, ServerFailure)>,
    /// The DNS message that belongs to `worst_failure`.
    pub(super) worst_message: Option<Box<[u8]>>,
    /// An incomplete answer, which is preferred to a failure.
    pub(super) incomplete: Option<Box<Lookup>>,
    /// The failures of all servers, if they are to be reported.
    pub(super) failures: Vec<(usize, ServerFailure)>,
    /// The NODATA result of an earlier candidate.
    pub(super) nodata: Option<Box<Lookup>>,
}

impl PendingLookup {
    /// Creates a lookup that has not started.
    pub(crate) fn new(id: LookupId, request: LookupRequest, servers: ServerList) -> Self {
        Self {
            id,
            token: request.token,
            question: Question::new(request.name, request.rtype),
            candidates: request.candidates,
            servers,
            started: None,
            deadline: Instant::now(),
            timer_serial: 0,
            total_queries: 0,
            queries_for_name: 0,
            reconnects: 0,
            empty_closes: 0,
            outcomes: Outcomes::default(),
            queries: Vec::new(),
        }
    }

    /// Starts the lookup, so that it ends after `timeout`.
    pub(crate) fn start(&mut self, timeout: Duration, now: Instant) {
        self.started = Some(now);
        self.deadline = now + timeout;
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Excludes a pause of the engine from the time of the lookup.
    pub(crate) fn shift_times(&mut self, pause: Duration) {
        if let Some(started) = &mut self.started {
            *started += pause;
            self.deadline += pause;
        }
        for query in &mut self.queries {
            query.sent += pause;
        }
    }

    /// Makes all earlier timers invalid, and returns the serial number of the next one.
    pub(crate) fn next_timer(&mut self) -> u32 {
        self.timer_serial = self.timer_serial.wrapping_add(1);
        self.timer_serial
    }

    /// Returns whether the timer with this serial number is valid.
    pub(crate) fn has_timer(&self, serial: u32) -> bool {
        self.timer_serial == serial
    }

    /// Returns whether it still waits for the answer to the query with this serial number.
    pub(crate) fn has_query(&self, serial: u32) -> bool {
        self.queries.iter().any(|query| query.serial == serial)
    }

    /// Returns the query that was sent last.
    pub(crate) fn last_query(&self) -> Option<&InFlightQuery> {
        self.queries.last()
    }

    /// Corrects the time at which the query with this serial number was sent.
    pub(crate) fn set_sent(&mut self, serial: u32, sent: Instant) {
        let mut queries = self.queries.iter_mut();
        if let Some(query) = queries.find(|query| query.serial == serial) {
            query.sent = sent;
        }
    }

    /// Takes one of its queries.
    pub(crate) fn take_query(&mut self, serial: u32) -> Option<InFlightQuery> {
        let mut queries = self.queries.iter();
        let at = queries.position(|query| query.serial == serial)?;
        Some(self.queries.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to ten thousand lookups of a list are pending, most with one query.
    #[test]
    fn a_pending_lookup_is_small() {
        let sizes = (size_of::<PendingLookup>(), size_of::<InFlightQuery>());
        assert!(sizes.0 + sizes.1 <= 320, "{sizes:?} bytes");
    }
}

//! The state of one lookup between its submission and its result, and of the
//! queries that were sent for it.

use std::time::Instant;

use super::failure::ServerFailure;
use crate::answer::Status;
use crate::lookup::Lookup;
use crate::wire::{OwnedName, Question};

/// The socket that a query was sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentVia {
    /// The number of a UDP socket in the upstream's pool.
    Udp(usize),
    /// The number of one of the upstream's connections.
    Stream(usize),
    Https,
}

/// A query that was sent and that can still be answered.
#[derive(Clone, Debug)]
pub(crate) struct InFlightQuery {
    /// The slab key of its lookup.
    pub(crate) slot: u32,
    /// The index of the upstream it was sent to.
    pub(crate) upstream: usize,
    pub(crate) via: SentVia,
    pub(crate) id: u16,
    /// Distinguishes it from earlier queries with the same slab key.
    pub(crate) serial: u32,
    pub(crate) sent: Instant,
    /// Whether it occupies the congestion window. It does until it times out.
    pub(crate) in_window: bool,
    /// Whether it carries an OPT record.
    pub(crate) has_edns: bool,
}

/// A lookup without a result yet. In the masks, bit N stands for server N.
#[derive(Debug)]
pub(crate) struct PendingLookup {
    /// Distinguishes it from earlier lookups with the same slab key.
    pub(crate) serial: u32,
    pub(crate) token: u64,
    pub(crate) question: Question,
    /// The names of the search list to try after this one, in reverse order.
    pub(crate) candidates: Vec<OwnedName>,
    /// The index of the only server to ask, or `None` to ask all.
    pub(crate) only_server: Option<usize>,
    /// The index of the server that is asked first.
    pub(crate) first_server: usize,
    /// The offset from `first_server` of the server that is asked next.
    pub(crate) next_server: usize,
    pub(crate) started: Option<Instant>,
    pub(crate) deadline: Instant,
    /// The serial number of the valid timer; earlier timers are ignored.
    pub(crate) timer_serial: u32,
    /// The total number of queries sent.
    pub(crate) tries: u32,
    /// Queries sent for the current name.
    pub(crate) attempts: u32,
    /// Servers that failed and are not asked again.
    pub(crate) failed: u64,
    /// Servers to ask without EDNS.
    pub(crate) no_edns: u64,
    /// Servers to ask over TCP.
    pub(crate) force_tcp: u64,
    /// Servers that truncated their answer.
    pub(crate) truncated: u64,
    /// Servers that refused a cookie with BADCOOKIE.
    pub(crate) cookie_refused: u64,
    /// Servers with an answer over UDP that lacked the expected cookie.
    pub(crate) cookie_missing: u64,
    /// Connections that were closed after some answers while this lookup waited.
    pub(crate) reconnects: u8,
    /// Connections that were closed without any answer.
    pub(crate) empty_closes: u8,
    /// The most significant failure and the index of its server.
    pub(crate) worst_failure: Option<(usize, ServerFailure)>,
    /// The DNS message that belongs to `worst_failure`.
    pub(crate) worst_reply: Option<Box<[u8]>>,
    /// An incomplete answer, which is preferred to a failure.
    pub(crate) incomplete: Option<Box<Lookup>>,
    /// The failures of all servers, if they are to be reported.
    pub(crate) failures: Vec<(usize, ServerFailure)>,
    /// The NODATA result of an earlier candidate.
    pub(crate) nodata: Option<Box<Lookup>>,
    /// The slab keys of its queries, in the order in which they were sent.
    pub(crate) queries: Vec<u32>,
}

impl PendingLookup {
    /// Returns how many of `servers` servers can still be asked.
    pub(crate) fn servers_left(&self, servers: usize) -> usize {
        match self.only_server {
            Some(only) => usize::from(self.failed & 1 << only == 0),
            None => servers - self.failed.count_ones() as usize,
        }
    }

    /// Excludes a server, and keeps its failure if it is more significant than
    /// the one known so far.
    pub(crate) fn record_failure(
        &mut self,
        upstream: usize,
        failure: ServerFailure,
        message: Option<Box<[u8]>>,
    ) {
        self.failed |= 1 << upstream;
        let is_worse = match &self.worst_failure {
            None => true,
            Some((_, known)) => significance(&failure.0) > significance(&known.0),
        };
        if is_worse {
            self.worst_failure = Some((upstream, failure));
            self.worst_reply = message;
        }
    }
}

/// The significance of an RCODE, which is the highest.
pub(crate) const RCODE_SIGNIFICANCE: u8 = 4;

/// Ranks failures: the server's own statement counts most, then a wrong answer,
/// then a missing connection, then a timeout.
pub(crate) fn significance(status: &Status) -> u8 {
    match status {
        Status::Rcode(_) => RCODE_SIGNIFICANCE,
        Status::Malformed | Status::Tls | Status::System => 3,
        Status::Unreachable => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rcode_is_more_significant_than_silence() {
        use domain::base::iana::OptRcode;
        let order = [
            Status::Timeout,
            Status::Unreachable,
            Status::Malformed,
            Status::Rcode(OptRcode::SERVFAIL),
        ];
        assert!(
            order
                .windows(2)
                .all(|pair| significance(&pair[0]) < significance(&pair[1]))
        );
    }
}

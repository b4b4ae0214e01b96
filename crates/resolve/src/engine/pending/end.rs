//! Failures of servers, and the end of a lookup that no server has answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lookup::{Action, Outcomes, PendingLookup};
use crate::answer::Status;
use crate::engine::failure::{self, ServerFailure};
use crate::engine::settings::Settings;
use crate::engine::upstream::Upstream;
use crate::engine::upstreams::Upstreams;
use crate::lookup::{Lookup, QueryType};
use crate::presentation;
use crate::wire::reply;

/// The significance of an RCODE, which is the highest.
const RCODE_SIGNIFICANCE: u8 = 4;

/// Ranks failures: the server's own statement counts most, then a wrong answer,
/// then a missing connection, then a timeout.
fn significance(status: &Status) -> u8 {
    match status {
        Status::Rcode(_) => RCODE_SIGNIFICANCE,
        Status::Malformed | Status::Tls | Status::System => 3,
        Status::Unreachable => 2,
        _ => 1,
    }
}

impl Outcomes {
    /// Keeps a failure if it is more significant than the worst one so far.
    fn record_failure(
        &mut self,
        server: usize,
        failure: ServerFailure,
        message: Option<Box<[u8]>>,
    ) {
        let is_worse = match &self.worst_failure {
            None => true,
            Some((_, known)) => significance(&failure.0) > significance(&known.0),
        };
        if is_worse {
            self.worst_failure = Some((server, failure));
            self.worst_message = message;
        }
    }

    /// Forgets all failures, but not the result for another name.
    pub(super) fn reset_failures(&mut self) {
        *self = Self {
            nodata: self.nodata.take(),
            ..Self::default()
        };
    }
}

impl PendingLookup {
    /// Excludes a server that failed and continues with the next one. Gives up the
    /// lookup after the last server.
    pub(crate) fn fail_server(
        &mut self,
        server: usize,
        mut failure: ServerFailure,
        message: Option<Box<[u8]>>,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        if !matches!(failure.0, Status::Rcode(_)) {
            self.explain_tcp(server, &mut failure, &upstreams.list[server]);
        }
        if upstreams.settings.keep_failures {
            self.outcomes.failures.push((server, failure.clone()));
        }
        self.outcomes.record_failure(server, failure, message);
        self.servers.state_mut(server).has_failed = true;
        self.queries.retain(|query| {
            let is_kept = query.server != server;
            if !is_kept {
                upstreams.release(query);
            }
            is_kept
        });
        if self.servers.left() == 0 {
            return self.give_up(upstreams, now);
        }
        Action::Requeue
    }

    /// Adds to a failure why a server that serves UDP was asked over TCP, if it was.
    fn explain_tcp(&self, server: usize, failure: &mut ServerFailure, upstream: &Upstream) {
        if let Some(reason) = self.servers.state(server).over_tcp
            && upstream.serves_udp()
        {
            failure::add_reason_for_tcp(&mut failure.1, reason.text());
        }
    }

    /// Ends a lookup that no server has answered in time.
    pub(super) fn give_up(&mut self, upstreams: &Upstreams, now: Instant) -> Action {
        let outcomes = &mut self.outcomes;
        if let Some(lookup) = outcomes.nodata.take().or(outcomes.incomplete.take()) {
            return Action::Finish(lookup);
        }
        let (server, (status, failure)) = self.decisive_failure(upstreams);
        let upstream = &upstreams.list[server];
        let query_type = QueryType::Type(self.question.rtype());
        let mut lookup = Box::new(Lookup::failed(query_type, status, Some(failure)));
        let over_tcp = self.servers.state(server).over_tcp.is_some();
        lookup.server = Some(Arc::clone(upstream.label()));
        lookup.protocol = Some(upstream.protocol(over_tcp));
        lookup.elapsed = self.elapsed(now);
        lookup.tries = self.total_queries;
        lookup.message = self.outcomes.worst_message.take();
        let message = lookup.message.as_deref();
        if let Some(reply) = message.and_then(|bytes| reply::read(bytes).ok()) {
            lookup.extended_errors = reply.extended_errors();
        }
        lookup.query_name = self.query_name_to_keep(&upstreams.settings);
        Action::Finish(lookup)
    }

    /// Returns the failure that the result reports, and the index of its server: the
    /// worst one, unless a server that was asked is silent.
    fn decisive_failure(&mut self, upstreams: &Upstreams) -> (usize, ServerFailure) {
        // The server that was asked last of those that did not answer.
        let asked = self.queries.iter().rev().map(|query| query.server);
        let silent = { asked }.find(|server| !self.servers.state(*server).has_failed);
        let is_rcode = |failure: &ServerFailure| significance(&failure.0) == RCODE_SIGNIFICANCE;
        match self.outcomes.worst_failure.take() {
            Some((server, failure)) if silent.is_none() || is_rcode(&failure) => (server, failure),
            _ => {
                let server = silent.unwrap_or(self.servers.first());
                let upstream = &upstreams.list[server];
                let mut failure = failure::timeout(upstream.label());
                self.explain_tcp(server, &mut failure, upstream);
                (server, failure)
            }
        }
    }

    /// Releases all queries and adds the failures of all servers to the result.
    pub(crate) fn finish(mut self, lookup: &mut Lookup, upstreams: &mut Upstreams) {
        self.release_queries(upstreams);
        let failures = self.outcomes.failures.into_iter();
        let failures = failures.map(|(server, (status, failure))| {
            (Arc::clone(upstreams.list[server].label()), failure, status)
        });
        lookup.server_failures = failures.collect();
    }

    /// Forgets all queries, so that their answers are ignored.
    pub(super) fn release_queries(&mut self, upstreams: &mut Upstreams) {
        for query in std::mem::take(&mut self.queries) {
            upstreams.release(&query);
        }
    }

    /// Returns the time since the first query.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started.unwrap_or(now))
    }

    /// Returns the name that was asked, if it is needed for the output.
    pub(super) fn query_name_to_keep(&self, settings: &Settings) -> Option<String> {
        let is_kept = settings.keep_owners || settings.keep_failures;
        is_kept.then(|| presentation::name(&self.question.name()))
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

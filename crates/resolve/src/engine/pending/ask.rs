//! The queries of a lookup: which server gets the next one, in which form, and how long
//! the lookup then waits.

use std::time::{Duration, Instant};

use super::lookup::{Action, PendingLookup};
use crate::engine::settings::Settings;
use crate::engine::upstream::{OutgoingQuery, Route, Upstream};
use crate::engine::upstreams::Upstreams;

/// The server for a lookup's next query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The index of the server.
    Server(usize),
    /// No server has room, or all are rate-limited until this time.
    Later(Option<Instant>),
}

/// The form of a query.
struct QueryPlan {
    route: Route,
    has_edns: bool,
    /// The time at which the lookup continues without an answer.
    timer: Instant,
}

impl PendingLookup {
    /// Selects the server for the next query.
    pub(crate) fn select_server(&self, upstreams: &Upstreams, now: Instant) -> Selection {
        let mut later: Option<Instant> = None;
        for server in self.servers.order() {
            let upstream = &upstreams.list[server];
            let wait = upstream.next_send(now);
            if upstream.room() > 0 && wait.is_none() {
                return Selection::Server(server);
            }
            later = later.into_iter().chain(wait).min();
            // The first query may go to any server that has room, a further one
            // only to the next server in order.
            if self.total_queries > 0 {
                break;
            }
        }
        Selection::Later(later)
    }

    /// Sends a query to a server; a failure to do so counts as a failure of the server.
    pub(crate) fn ask(&mut self, server: usize, upstreams: &mut Upstreams, now: Instant) -> Action {
        self.servers.select(server);
        self.total_queries += 1;
        self.queries_for_name += 1;
        upstreams.stats.queries += 1;
        upstreams.stats.repeated += u64::from(self.queries_for_name > 1);
        let plan = self.plan_query(server, &upstreams.list[server], &upstreams.settings, now);
        let query = OutgoingQuery {
            id: upstreams.next_query_id(self.id.key),
            question: &self.question,
            route: plan.route,
            has_edns: plan.has_edns,
            deadline: plan.timer,
        };
        match upstreams.send(server, &query, now) {
            Ok(query) => {
                if self.queries.is_empty() {
                    // Most lookups need only one query.
                    self.queries.reserve_exact(1);
                }
                self.queries.push(query);
                Action::WaitUntil(plan.timer)
            }
            Err(failure) => self.fail_server(server, failure, None, upstreams, now),
        }
    }

    /// Takes back the count of a query that was never sent.
    pub(super) fn uncount_query(&mut self, upstreams: &mut Upstreams) {
        upstreams.stats.queries -= 1;
        upstreams.stats.repeated -= u64::from(self.queries_for_name > 1);
        self.total_queries -= 1;
        self.queries_for_name -= 1;
    }

    /// Returns the form of the query that is sent to a server now.
    fn plan_query(
        &self,
        server: usize,
        upstream: &Upstream,
        settings: &Settings,
        now: Instant,
    ) -> QueryPlan {
        let state = self.servers.state(server);
        let servers_left = self.servers.left().max(1) as u32;
        let route = upstream.route(state.over_tcp.is_some());
        let requires_edns = upstream.edns.is_required(settings);
        let avoids_edns = upstream.edns.is_refused() || state.without_edns;
        let mut has_edns = requires_edns || !avoids_edns;
        let timer = match route {
            Route::Udp => {
                // How many times each server that is left has been asked before.
                let rounds = (self.queries_for_name - 1) / servers_left;
                let rto = upstream.rto(settings, rounds);
                let is_last = rounds > 0 && self.is_last_round(settings, servers_left, rto, now);
                // A middlebox may drop queries with EDNS, so the last query is sent
                // without it, unless EDNS is known to work.
                has_edns &= requires_edns || !is_last || upstream.edns.is_supported;
                self.udp_timer(server, rto, now)
            }
            Route::Connection if servers_left == 1 => now + upstream.connection_rto(settings),
            // Leaves an equal share of the time to each server that has not been asked.
            Route::Connection | Route::Https => now + self.time_left(now) / servers_left,
        };
        QueryPlan {
            route,
            has_edns,
            timer,
        }
    }

    fn time_left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    /// Returns whether each server that is left gets its last query now. `rto` is the
    /// retransmission timeout.
    fn is_last_round(
        &self,
        settings: &Settings,
        servers_left: u32,
        rto: Duration,
        now: Instant,
    ) -> bool {
        match settings.attempts {
            Some(attempts) => self.queries_for_name + servers_left > attempts * servers_left,
            None => now + rto * servers_left >= self.deadline,
        }
    }

    /// Returns the time until which the answer to a query over UDP is awaited: that of
    /// the retransmission timeout, or less if other servers have not been asked.
    fn udp_timer(&self, server: usize, rto: Duration, now: Instant) -> Instant {
        let asked = self.queries.iter().map(|query| query.server);
        let unasked = self.servers.unasked(&asked.chain([server])) as u32;
        if unasked == 0 {
            return now + rto;
        }
        now + rto.min(self.time_left(now) / (unasked + 1))
    }
}

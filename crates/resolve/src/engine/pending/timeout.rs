//! What a lookup does when a query has timed out or its connection was closed.

use std::io;
use std::time::Instant;

use super::lookup::{Action, PendingLookup};
use super::servers::TcpReason;
use crate::engine::connections::ClosedConnection;
use crate::engine::failure;
use crate::engine::query::SentVia;
use crate::engine::upstreams::Upstreams;

/// The maximum number of connections that may be closed while one lookup waits. Some
/// servers close them after a few queries; if each has answered one, that is progress.
const MAX_RECONNECTS: u8 = 100;

/// The maximum number of connections that may be closed without any answer while one
/// lookup waits, if all other servers have failed.
const MAX_EMPTY_CLOSES: u8 = 2;

/// A connection on which nothing arrives any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SilentConnection {
    /// The index of the server.
    pub(crate) server: usize,
    pub(crate) number: usize,
}

/// What follows a timeout.
#[derive(Debug)]
pub(crate) struct TimeoutOutcome {
    pub(crate) action: Action,
    /// The connection to close afterwards.
    pub(crate) silent: Option<SilentConnection>,
}

impl From<Action> for TimeoutOutcome {
    fn from(action: Action) -> Self {
        Self {
            action,
            silent: None,
        }
    }
}

impl PendingLookup {
    /// Handles the timer: the timeout of the last query, or of the lookup itself.
    pub(crate) fn on_timer(&mut self, upstreams: &mut Upstreams, now: Instant) -> TimeoutOutcome {
        if now >= self.deadline {
            return self.give_up(upstreams, now).into();
        }
        let is_last_server = self.servers.left() == 1;
        let Some(query) = self.queries.last_mut() else {
            return Action::Requeue.into();
        };
        let upstream = &mut upstreams.list[query.server];
        let mut sent = query.sent;
        if let SentVia::Connection(number) = query.via
            && let Some(connection) = upstream.connections.get(number)
        {
            // The time at which the query left the queue of its connection, if it has.
            let dequeued = connection.sent_query(query.message_id).map(|(_, at)| at);
            let due = dequeued.unwrap_or(now) + upstream.connection_rto(&upstreams.settings);
            if is_last_server && due > now {
                return Action::WaitUntil(due).into();
            }
            sent = dequeued.unwrap_or(sent);
        }
        upstream.record_timeout(query, sent, now);
        let (server, via) = (query.server, query.via);
        match via {
            SentVia::Udp(_) => self.on_udp_timeout(server, upstreams, now).into(),
            SentVia::Connection(number) => {
                self.on_connection_timeout(server, number, sent, upstreams, now)
            }
            // The server may be slow for all queries, and it is the only one left.
            SentVia::Https if is_last_server => Action::WaitUntil(self.deadline).into(),
            SentVia::Https => self.time_out_server(server, upstreams, now).into(),
        }
    }

    /// Asks the next server, or the same one over TCP.
    fn on_udp_timeout(&mut self, server: usize, upstreams: &mut Upstreams, now: Instant) -> Action {
        let state = self.servers.state(server);
        if state.lacked_cookie && state.over_tcp.is_none() {
            // An answer without the expected cookie may have been genuine; over
            // TCP no cookie is needed.
            self.servers.state_mut(server).over_tcp = Some(TcpReason::MissingCookie);
            return Action::Ask(server);
        }
        let settings = &upstreams.settings;
        let servers_left = self.servers.left() as u32;
        let max_queries = settings.attempts.map(|attempts| attempts * servers_left);
        if let Some(max_queries) = max_queries.filter(|max| self.queries_for_name >= *max) {
            // Each attempt has the time that resolv.conf grants, even if the next
            // one started earlier. Until then, answers are accepted.
            let first = self.queries.first();
            let until = first.map_or(now, |query| {
                query.sent + settings.initial_timeout * max_queries
            });
            if now < until {
                return Action::WaitUntil(until);
            }
            return self.give_up(upstreams, now);
        }
        self.servers.skip();
        Action::Requeue
    }

    /// Asks the server again on the connection or on a new one, or the next server.
    fn on_connection_timeout(
        &mut self,
        server: usize,
        number: usize,
        sent: Instant,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> TimeoutOutcome {
        let connections = &upstreams.list[server].connections;
        let connection = connections.get(number);
        let others_answered = connections.have_answered_since(sent);
        let is_silent = connection.is_some_and(|c| c.last_read.is_none_or(|read| read < sent));
        let has_answered = connection.is_some_and(|c| c.answered > 0);
        let is_last_server = self.servers.left() == 1;
        let silent = is_silent.then_some(SilentConnection { server, number });
        let action = if !is_last_server {
            self.time_out_server(server, upstreams, now)
        } else if !has_answered && !others_answered {
            // The server may be slow for all queries, and it is the only one left.
            return Action::WaitUntil(self.deadline).into();
        } else if is_silent {
            // The connection delivers nothing any more. It is closed, which resumes the
            // lookup on a new one.
            Action::Wait
        } else {
            // Later queries were answered, so the server has dropped this one.
            Action::Requeue
        };
        TimeoutOutcome { action, silent }
    }

    fn time_out_server(
        &mut self,
        server: usize,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        let failure = failure::timeout(upstreams.list[server].label());
        self.fail_server(server, failure, None, upstreams, now)
    }

    /// Handles the end of a connection to a server, on which this lookup waited for an
    /// answer or, unless `was_sent`, to send its query.
    pub(crate) fn on_close(
        &mut self,
        server: usize,
        closed: &ClosedConnection,
        was_sent: bool,
        error: &io::Error,
        upstreams: &mut Upstreams,
        now: Instant,
    ) -> Action {
        if !self.resumes_after(server, closed, was_sent) {
            let failure = failure::from_io(error, upstreams.list[server].label());
            return self.fail_server(server, failure, None, upstreams, now);
        }
        if !was_sent {
            self.uncount_query(upstreams);
        }
        Action::Ask(server)
    }

    /// Returns whether the server is asked again after it has closed a connection. A
    /// server may close one that has served for some time, or because one of many
    /// queries took too long.
    fn resumes_after(&mut self, server: usize, closed: &ClosedConnection, was_sent: bool) -> bool {
        if closed.returns_to_udp && self.servers.state(server).over_tcp.is_none() {
            return true;
        }
        if closed.has_answered {
            self.reconnects += u8::from(was_sent);
            return self.reconnects <= MAX_RECONNECTS;
        }
        if closed.is_surplus {
            // That happens at most once per connection.
            return true;
        }
        // A connection that has sent nothing counts for every lookup. Otherwise a
        // server that refuses connections would be tried without end.
        self.empty_closes += u8::from(was_sent || !closed.has_sent());
        (closed.was_established || closed.server_has_answered)
            && self.servers.left() == 1
            && self.empty_closes <= MAX_EMPTY_CLOSES
    }
}

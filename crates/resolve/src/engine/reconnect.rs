//! The engine's connections: reading answers from them, and continuing the
//! lookups of a connection that was closed.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::failure;
use super::receive::message_id;
use super::stream::Stream;
use crate::server::Protocol;

/// The maximum number of connections that may be closed while one lookup waits. Some
/// servers close them after a few queries; if each has answered one, that is progress.
const MAX_RECONNECTS: u8 = 100;

/// The maximum number of connections that may be closed without any answer while one
/// lookup waits, if all other servers have failed.
const MAX_EMPTY_CLOSES: u8 = 2;

impl Engine {
    /// Reads and writes a connection and handles the answers that arrived.
    pub(super) fn drive_stream(&mut self, index: usize, number: usize, now: Instant) {
        let protocol = match self.upstreams[index].server.protocol() {
            Protocol::Udp => Protocol::Tcp,
            other => other,
        };
        let Some(stream) = self.upstreams[index].streams[number].as_mut() else {
            return;
        };
        // Answers arrive now, after the queries that this turn has sent.
        let driven = stream.drive(Instant::now());
        while let Some(message) = self.upstreams[index].streams[number]
            .as_mut()
            .and_then(Stream::next_message)
        {
            let id = message_id(&message);
            let stream = self.upstreams[index].streams[number].as_ref();
            match id.and_then(|id| stream?.sent_query(id)) {
                Some((key, sent)) => {
                    self.upstreams[index].last_answer = Some(Instant::now());
                    // The time in the queue is not part of the round-trip time.
                    if let Some(query) = self.queries.get_mut(key) {
                        query.sent = sent;
                    }
                    self.on_response(key, &message, false, protocol, Instant::now());
                }
                None => self.stats.ignored += 1,
            }
        }
        if let Err(error) = driven {
            self.close_stream(index, number, &error, now);
        }
    }

    /// Closes a connection after `error`. A server may close a connection that has
    /// served for some time, or because one of many queries took too long; the
    /// other queries are sent again, the oldest first.
    pub(super) fn close_stream(
        &mut self,
        index: usize,
        number: usize,
        error: &io::Error,
        now: Instant,
    ) {
        let upstream = &mut self.upstreams[index];
        let Some(stream) = upstream.streams[number].take() else {
            return;
        };
        let was_closed = stream.is_established()
            && matches!(
                error.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
            );
        let returns_to_udp = stream.answered == 0
            && upstream.last_answer.is_none()
            && upstream.stop_preferring_tcp();
        // It has answered on other connections and does not serve more at a time.
        let is_surplus =
            stream.answered == 0 && upstream.max_connections > 1 && upstream.open_connections() > 0;
        if is_surplus {
            upstream.connection_limit = upstream.open_connections();
            upstream.max_connections = upstream.connection_limit;
        } else {
            upstream.queries_per_connection = stream.limit_for_next();
            if was_closed && stream.answered > 0 && upstream.closes_early() {
                upstream.max_connections = upstream.connection_limit;
            }
        }
        let servers = self.upstreams.len();
        let upstream = &self.upstreams[index];
        let label = Arc::clone(&upstream.server.label);
        let has_answered = upstream.last_answer.is_some();
        let queries = self.remove_queries(&stream);
        // A connection that has sent nothing counts for every lookup. Otherwise a
        // server that refuses connections would be tried without end.
        let has_sent = queries.iter().any(|(_, was_sent)| *was_sent);
        for (slot, was_sent) in queries {
            let Some(pending) = self.lookups.get_mut(slot) else {
                continue;
            };
            let is_retried = if returns_to_udp && pending.force_tcp & 1 << index == 0 {
                true
            } else if stream.answered > 0 {
                pending.reconnects += u8::from(was_sent);
                pending.reconnects <= MAX_RECONNECTS
            } else if is_surplus {
                // That happens at most once per connection.
                true
            } else {
                pending.empty_closes += u8::from(was_sent || !has_sent);
                (was_closed || has_answered)
                    && pending.servers_left(servers) == 1
                    && pending.empty_closes <= MAX_EMPTY_CLOSES
            };
            if is_retried {
                if !was_sent {
                    // The query never left the queue, so it does not count.
                    self.stats.queries -= 1;
                    self.stats.repeated -= u64::from(pending.attempts > 1);
                    pending.tries -= 1;
                    pending.attempts -= 1;
                }
                self.transmit(slot, index, now);
            } else {
                let failure = failure::from_io(error, &label);
                self.fail_server(slot, index, failure, None, now);
            }
        }
    }

    /// Removes the queries of a closed connection, the oldest first. Returns their
    /// lookups, each once, and whether the query had been sent.
    ///
    /// All are removed before any is sent again: IDs and numbers of this
    /// connection must not be mistaken for those of the next.
    fn remove_queries(&mut self, stream: &Stream) -> Vec<(u32, bool)> {
        let mut queries: Vec<(u32, u32, bool)> = stream
            .queries()
            .into_iter()
            .filter_map(|query| {
                let serial = self.queries.get(query.key)?.serial;
                Some((serial, query.key, query.sent.is_some()))
            })
            .collect();
        queries.sort_unstable();
        let mut slots: Vec<(u32, bool)> = Vec::with_capacity(queries.len());
        let mut seen = HashSet::new();
        for (_, key, was_sent) in queries {
            let Some(slot) = self.queries.get(key).map(|query| query.slot) else {
                continue;
            };
            self.release(key);
            if let Some(pending) = self.lookups.get_mut(slot) {
                pending.queries.retain(|other| *other != key);
                if seen.insert(slot) {
                    slots.push((slot, was_sent));
                }
            }
        }
        slots
    }
}

//! Routes events between lookups and servers: an answer, a timeout or a closed connection
//! goes to the lookups that it concerns, and the [`Action`] that they return is carried
//! out here.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use net::sys::RecvBatch;

use super::failure;
use super::lookups::Lookups;
use super::pending::{Action, LookupId, Selection, ServerList, SilentConnection};
use super::query::{Message, QueryId, message_id};
use super::settings::{LookupRequest, Settings};
use super::stream::Stream;
use super::udp::{self, QueryIds};
use super::upstream::Upstream;
use super::upstreams::Upstreams;
use crate::lookup::Lookup;
use crate::server::Protocol;

/// Queries are sent only if the windows have at least this much room, so that they are
/// sent in batches.
const MIN_BATCH: usize = 16;

/// The minimum of a timeout that is shortened when the round-trip time becomes known.
const MIN_SHORTENED_RTO: Duration = Duration::from_millis(200);

/// The minimum size of the buffer for an answer over UDP, in bytes. Some servers send larger
/// answers than the query allows.
const MIN_DATAGRAM_ROOM: usize = 4096;

/// The pending lookups and the servers.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) lookups: Lookups,
    pub(super) upstreams: Upstreams,
    /// The results with the tokens of their lookups.
    pub(super) finished: Vec<(u64, Lookup)>,
    /// Whether something has happened since [`Router::admit`] that may allow another
    /// query, so that the engine must not wait.
    pub(super) needs_admit: bool,
    recv_batch: Option<RecvBatch>,
    /// A counter of lookups, with a random start, which selects the first server.
    rotation: usize,
}

impl Router {
    /// Creates a router without lookups; sockets are opened when needed.
    pub(super) fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            lookups: Lookups::new(),
            upstreams: Upstreams::new(settings)?,
            finished: Vec::new(),
            needs_admit: false,
            recv_batch: None,
            // Processes that look up a single name must not all start with the same
            // server.
            rotation: QueryIds::new().draw()?.into(),
        })
    }

    /// Adds a lookup. Its time starts when its first query is sent.
    pub(super) fn submit(&mut self, request: LookupRequest) {
        self.rotation = self.rotation.wrapping_add(1);
        let count = self.upstreams.list.len();
        let first = match request.only_server {
            Some(only) => only,
            None if self.upstreams.settings.rotate => self.rotation % count,
            None => 0,
        };
        let servers = ServerList::new(count, first, request.only_server.is_some());
        self.lookups.insert(request, servers);
    }

    /// Carries out the action of a lookup.
    fn perform(&mut self, key: u32, mut action: Action, now: Instant) {
        while let Action::Ask(server) = action {
            let Some(lookup) = self.lookups.by_key(key) else {
                return;
            };
            action = lookup.ask(server, &mut self.upstreams, now);
        }
        match action {
            Action::Ask(_) | Action::Wait => {}
            Action::WaitUntil(at) => self.lookups.set_timer(key, at),
            Action::Requeue => {
                self.needs_admit = true;
                self.lookups.requeue(key);
            }
            Action::Finish(mut lookup) => {
                self.needs_admit = true;
                if let Some(pending) = self.lookups.remove(key) {
                    let token = pending.token;
                    pending.finish(&mut lookup, &mut self.upstreams);
                    self.finished.push((token, *lookup));
                }
            }
        }
    }

    /// Sends the queries that windows and rate limits allow. Returns the time of the next
    /// send if only a rate limit delays it.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Instant> {
        self.needs_admit = false;
        let mut next_send = self.admit_requeued(now);
        if !self.fills_a_batch() {
            return next_send;
        }
        while let Some(&id) = self.lookups.new_queue.front() {
            let selection = self.select_server(id, now);
            match selection {
                None => {}
                Some(Selection::Server(server)) => {
                    // Each lookup has its own start time, not that of the batch.
                    let now = Instant::now();
                    if let Some(lookup) = self.lookups.by_key(id.key) {
                        lookup.start(self.upstreams.settings.timeout, now);
                    }
                    self.perform(id.key, Action::Ask(server), now);
                }
                Some(Selection::Later(at)) => {
                    next_send = earliest(next_send, at);
                    break;
                }
            }
            self.lookups.new_queue.pop_front();
        }
        next_send
    }

    /// Sends the further queries of lookups that wait for it.
    fn admit_requeued(&mut self, now: Instant) -> Option<Instant> {
        let mut next_send = None;
        for _ in 0..self.lookups.requeued.len() {
            let Some(id) = self.lookups.requeued.pop_front() else {
                break;
            };
            match self.select_server(id, now) {
                None => {}
                Some(Selection::Server(server)) => self.perform(id.key, Action::Ask(server), now),
                Some(Selection::Later(at)) => {
                    next_send = earliest(next_send, at);
                    self.lookups.requeued.push_back(id);
                }
            }
        }
        next_send
    }

    /// Selects the server for the next query of a lookup, unless the lookup has ended.
    fn select_server(&self, id: LookupId, now: Instant) -> Option<Selection> {
        let lookup = self.lookups.get(id)?;
        Some(lookup.select_server(&self.upstreams, now))
    }

    /// Returns whether the windows have room for a batch of queries, or for all that wait.
    fn fills_a_batch(&self) -> bool {
        let upstreams = &self.upstreams.list;
        let room: usize = upstreams.iter().map(Upstream::room).sum();
        let windows: usize = upstreams.iter().map(|u| u.window.size()).sum();
        // Over a connection every answer is followed by a query immediately, which
        // carries the acknowledgement of the answer. Otherwise the system would delay
        // it by 40 ms, and until then a server with Nagle's algorithm (RFC 896) would
        // hold back its next small segment.
        let uses_udp = |u: &Upstream| !u.uses_connections() && !u.connections.close_early();
        let min_room = if upstreams.iter().all(uses_udp) {
            MIN_BATCH.min(windows / 4)
        } else {
            0
        };
        room >= min_room || room >= self.lookups.new_queue.len()
    }

    /// Handles the timers that have expired.
    pub(super) fn run_timers(&mut self, now: Instant) {
        while let Some(key) = self.lookups.take_expired(now) {
            let Some(lookup) = self.lookups.by_key(key) else {
                continue;
            };
            let outcome = lookup.on_timer(&mut self.upstreams, now);
            self.perform(key, outcome.action, now);
            if let Some(SilentConnection { server, number }) = outcome.silent {
                self.close_connection(server, number, &ErrorKind::TimedOut.into(), now);
            }
        }
    }

    /// Writes all composed queries to their sockets.
    pub(super) fn flush(&mut self, now: Instant) {
        for server in 0..self.upstreams.list.len() {
            for number in self.upstreams.list[server].sockets.numbers() {
                self.upstreams.list[server].sockets.end_batch(number);
                while let Some(error) = self.upstreams.list[server].sockets.flush(number) {
                    self.on_socket_error(server, number, &error, now);
                }
            }
            for number in self.upstreams.list[server].connections.numbers() {
                let connection = self.upstreams.list[server].connections.get(number);
                if connection.is_some_and(Stream::wants_write) {
                    self.drive_connection(server, number, now);
                }
            }
        }
    }

    /// Reads all UDP sockets with outstanding queries; returns whether anything
    /// has arrived.
    pub(super) fn receive_all_udp(&mut self, now: Instant) -> bool {
        let mut has_received = false;
        for server in 0..self.upstreams.list.len() {
            for number in self.upstreams.list[server].sockets.awaited() {
                has_received |= self.receive_udp(server, number, now);
            }
        }
        has_received
    }

    /// Reads one batch from a UDP socket; returns whether anything has arrived.
    pub(super) fn receive_udp(&mut self, server: usize, number: usize, now: Instant) -> bool {
        let size = usize::from(self.upstreams.settings.edns.size).max(MIN_DATAGRAM_ROOM);
        let batch = self.recv_batch.take();
        let mut batch = batch.unwrap_or_else(|| udp::recv_batch(size));
        let received = self.upstreams.list[server]
            .sockets
            .receive(number, &mut batch);
        if let Ok(serial) = received {
            for packet in batch.packets() {
                // An earlier answer of the batch may have closed the socket.
                let sockets = &self.upstreams.list[server].sockets;
                let query =
                    message_id(packet.data).and_then(|id| sockets.query(number, serial, id));
                let message = Message {
                    bytes: packet.data,
                    is_cut: packet.is_truncated,
                    protocol: Protocol::Udp,
                };
                // The time of each answer counts, although they arrived together.
                self.on_message(server, query, message, Instant::now());
            }
        }
        self.recv_batch = Some(batch);
        match received {
            Ok(_) => return true,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) => self.on_socket_error(server, number, &e, now),
        }
        false
    }

    /// Reads and writes a connection and handles the answers that arrived.
    pub(super) fn drive_connection(&mut self, server: usize, number: usize, now: Instant) {
        let protocol = self.upstreams.list[server].protocol(true);
        let driven = self.upstreams.list[server].connections.drive(number);
        while let Some(received) = self.upstreams.list[server].connections.next_message(number) {
            if let Some((id, sent)) = received.query
                && let Some(lookup) = self.lookups.by_query(id)
            {
                // The time in the queue is not part of the round-trip time.
                lookup.set_sent(id.serial, sent);
            }
            let message = Message {
                bytes: &received.bytes,
                is_cut: false,
                protocol,
            };
            let query = received.query.map(|(id, _)| id);
            self.on_message(server, query, message, Instant::now());
        }
        if let Err(error) = driven {
            self.close_connection(server, number, &error, now);
        }
    }

    /// Handles the results of the HTTPS client.
    pub(super) fn receive_https(&mut self, server: usize, now: Instant) {
        while let Some((token, result)) = self.upstreams.list[server].next_https_result() {
            let id = QueryId::from_token(token);
            let Some(lookup) = self.lookups.by_query(id) else {
                continue;
            };
            match result {
                Ok(bytes) => {
                    let message = Message {
                        bytes: &bytes,
                        is_cut: false,
                        protocol: Protocol::Https,
                    };
                    self.on_message(server, Some(id), message, now);
                }
                Err(failure) => {
                    let action =
                        lookup.fail_server(server, failure, None, &mut self.upstreams, now);
                    self.perform(id.lookup, action, now);
                }
            }
        }
    }

    /// Handles a message with the ID of `query`, or with an ID that is not in use.
    fn on_message(
        &mut self,
        server: usize,
        query: Option<QueryId>,
        message: Message<'_>,
        now: Instant,
    ) {
        let lookup = query.and_then(|id| Some((id, self.lookups.by_key(id.lookup)?)));
        let answered = lookup.and_then(|(id, lookup)| {
            let action = lookup.on_message(id.serial, message, &mut self.upstreams, now)?;
            Some((id.lookup, action))
        });
        let Some((key, action)) = answered else {
            self.upstreams.stats.ignored += 1;
            return;
        };
        if self.upstreams.list[server].rtt.became_known() {
            self.shorten_timers(server);
        }
        self.perform(key, action, now);
    }

    /// Shortens the timers of outstanding queries after the round-trip time of their
    /// server has become known.
    fn shorten_timers(&mut self, server: usize) {
        let upstream = &self.upstreams.list[server];
        if !upstream.is_awaited() {
            return;
        }
        // Some answers have arrived; the others may just be slower.
        let rto = upstream.rto(&self.upstreams.settings, 0);
        for query in upstream.sockets.all_queries() {
            self.lookups
                .shorten_timer(query, rto.max(MIN_SHORTENED_RTO));
        }
    }

    /// Handles an error of a UDP socket, such as "connection refused" by ICMP. The
    /// system does not report which query caused it, so it applies to all.
    fn on_socket_error(&mut self, server: usize, number: usize, error: &io::Error, now: Instant) {
        for id in self.upstreams.list[server].sockets.queries(number) {
            let Some(lookup) = self.lookups.by_query(id) else {
                continue;
            };
            let failure = failure::from_io(error, self.upstreams.list[server].label());
            let action = lookup.fail_server(server, failure, None, &mut self.upstreams, now);
            self.perform(id.lookup, action, now);
        }
    }

    /// Closes a connection after `error`, and resumes its lookups, the oldest first.
    fn close_connection(&mut self, server: usize, number: usize, error: &io::Error, now: Instant) {
        let Some(closed) = self.upstreams.list[server].close_connection(number, error) else {
            return;
        };
        self.needs_admit = true;
        // All queries are forgotten before any is sent again: IDs and numbers of this
        // connection must not be mistaken for those of the next.
        for id in &closed.queries {
            let lookup = self.lookups.by_query(*id);
            if let Some(query) = lookup.and_then(|lookup| lookup.take_query(id.serial)) {
                self.upstreams.release(&query);
            }
        }
        for &(key, was_sent) in &closed.lookups {
            let Some(lookup) = self.lookups.by_key(key) else {
                continue;
            };
            let upstreams = &mut self.upstreams;
            let action = lookup.on_close(server, &closed, was_sent, error, upstreams, now);
            self.perform(key, action, now);
        }
    }
}

/// Returns the earlier of two times.
pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

//! The sending half of the engine: which lookup asks which server and when, and
//! what happens when a server does not answer in time.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::{self, ServerFailure};
use super::pending::{InFlightQuery, PendingLookup, SentVia};
use super::udp::EphemeralSocket;
use super::upstream::Upstream;
use super::{Engine, LookupId, Settings, earliest};
use crate::server::Transport;
use crate::wire::query::{HEADER, compose};

/// The number of free places in the windows from which on they are filled, so that
/// queries are sent in batches.
const MIN_BATCH: usize = 16;

/// The minimum of timeouts that are shortened once round-trip times are known.
const MIN_SHORTENED_RTO: Duration = Duration::from_millis(200);

impl Engine {
    /// Runs the timers that have expired.
    pub(super) fn run_timers(&mut self, now: Instant) {
        while let Some(Reverse((at, (slot, serial), timer))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let is_valid =
                |pending: &PendingLookup| pending.serial == serial && pending.timer_serial == timer;
            if self.lookups.get(slot).is_some_and(is_valid) {
                self.on_timeout(slot, now);
            }
        }
    }

    /// Sets the only valid timer of a lookup, no later than its deadline.
    pub(super) fn set_timer(&mut self, slot: u32, at: Instant) {
        if let Some(pending) = self.lookups.get_mut(slot) {
            pending.timer_serial = pending.timer_serial.wrapping_add(1);
            let at = at.min(pending.deadline);
            self.timers
                .push(Reverse((at, (slot, pending.serial), pending.timer_serial)));
        }
    }

    /// Handles the timeout of a lookup's last query, or of the lookup itself.
    pub(super) fn on_timeout(&mut self, slot: u32, now: Instant) {
        let Some(pending) = self.lookups.get(slot) else {
            return;
        };
        if now >= pending.deadline {
            return self.give_up(slot, now);
        }
        let last = pending.queries.last().copied();
        let Some(query) = last.and_then(|key| self.queries.get_mut(key)) else {
            return self.queue_retry(slot, now);
        };
        let (index, via, id, sent) = (query.upstream, query.via, query.id, query.sent);
        let is_last_server = pending.servers_left(self.upstreams.len()) == 1;
        let upstream = &self.upstreams[index];
        let number = match via {
            SentVia::Stream(number) => Some(number),
            _ => None,
        };
        let stream = number.and_then(|number| upstream.streams[number].as_ref());
        // The time at which the query left the queue of its connection, if it has.
        let dequeued = stream.map(|stream| stream.sent_query(id).map(|(_, at)| at));
        if let Some(dequeued) = dequeued.filter(|_| is_last_server) {
            let due = dequeued.unwrap_or(now) + upstream.stream_rto(&self.settings);
            if due > now {
                return self.set_timer(slot, due);
            }
        }
        let sent = dequeued.flatten().unwrap_or(sent);
        if std::mem::take(&mut query.in_window) {
            let upstream = &mut self.upstreams[index];
            upstream.in_window = upstream.in_window.saturating_sub(1);
            let waited = now.saturating_duration_since(sent);
            upstream.window.record_loss(waited, now);
        }
        if !matches!(via, SentVia::Udp(_)) {
            return self.on_stream_timeout(slot, index, number, sent, now);
        }
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        let mask = 1 << index;
        if pending.cookie_missing & mask != 0 && pending.force_tcp & mask == 0 {
            // An answer without the expected cookie may have been genuine; over
            // TCP no cookie is needed.
            pending.force_tcp |= mask;
            return self.transmit(slot, index, now);
        }
        let servers_left = self.upstreams.len() as u32 - pending.failed.count_ones();
        let limit = self.settings.attempts.map(|n| n * servers_left);
        if let Some(limit) = limit.filter(|limit| pending.attempts >= *limit) {
            // Each attempt has the time that resolv.conf grants, even if the next
            // one started earlier. Until then, answers are accepted.
            let first = pending.queries.first();
            let first = first.and_then(|&key| self.queries.get(key));
            let until = first.map_or(now, |query| {
                query.sent + self.settings.initial_timeout * limit
            });
            if now < until {
                return self.set_timer(slot, until);
            }
            return self.give_up(slot, now);
        }
        pending.next_server += 1;
        self.queue_retry(slot, now);
    }

    /// Handles the timeout of a query that was sent at `sent` over the connection
    /// `number`, or over HTTPS if that is `None`.
    fn on_stream_timeout(
        &mut self,
        slot: u32,
        index: usize,
        number: Option<usize>,
        sent: Instant,
        now: Instant,
    ) {
        let Some(pending) = self.lookups.get(slot) else {
            return;
        };
        let is_last_server = pending.servers_left(self.upstreams.len()) == 1;
        let upstream = &self.upstreams[index];
        let stream = number.and_then(|number| upstream.streams[number].as_ref());
        let others_answered = number.is_some() && upstream.has_answered_since(sent);
        let is_silent = stream.is_some_and(|s| s.last_read.is_none_or(|read| read < sent));
        let has_answered = stream.is_some_and(|s| s.answered > 0);
        match (is_last_server, is_silent, has_answered) {
            // The server may be slow for all queries, and it is the only one left.
            (true, _, false) if !others_answered => {
                let deadline = pending.deadline;
                return self.set_timer(slot, deadline);
            }
            // Other queries were answered since: the server has dropped this one.
            (true, false, _) => return self.queue_retry(slot, now),
            // The connection has fallen silent: a new one may help.
            (true, true, _) => {}
            _ => {
                let timeout = failure::timeout(&upstream.server.label);
                self.fail_server(slot, index, timeout, None, now);
            }
        }
        if let Some(number) = number.filter(|_| is_silent) {
            self.close_stream(index, number, &io::ErrorKind::TimedOut.into(), now);
        }
    }

    /// Shortens the timers of outstanding queries after the round-trip time of their
    /// server has become known.
    pub(super) fn shorten_timers(&mut self, index: usize) {
        let upstream = &self.upstreams[index];
        if upstream.in_window == 0 {
            return;
        }
        // Some answers have arrived; the others may just be slower.
        let rto = upstream.rto(&self.settings, 0).max(MIN_SHORTENED_RTO);
        let sockets = upstream.sockets.iter();
        let keys: Vec<u32> = sockets.flat_map(|(_, socket)| socket.queries()).collect();
        for key in keys {
            let Some(query) = self.queries.get(key).filter(|query| query.in_window) else {
                continue;
            };
            let (slot, due) = (query.slot, query.sent + rto);
            let pending = self.lookups.get(slot);
            if pending.is_some_and(|pending| pending.queries.last() == Some(&key)) {
                self.set_timer(slot, due);
            }
        }
    }

    /// Queues a lookup for its next query.
    pub(super) fn queue_retry(&mut self, slot: u32, now: Instant) {
        if let Some(pending) = self.lookups.get(slot) {
            self.needs_admit = true;
            self.retry_queue.push_back((slot, pending.serial));
            let deadline = pending.deadline;
            self.set_timer(slot, deadline.max(now));
        }
    }

    /// Sends queries as far as windows and rate limits allow. If only a rate limit
    /// holds back the next query, returns when that may be sent.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Instant> {
        let mut next_send: Option<Instant> = None;
        self.needs_admit = false;
        for _ in 0..self.retry_queue.len() {
            let Some(lookup) = self.retry_queue.pop_front() else {
                break;
            };
            match self.select_server(lookup, now) {
                Selection::Ended => {}
                Selection::Server(index) => self.transmit(lookup.0, index, now),
                Selection::Later(at) => {
                    next_send = earliest(next_send, at);
                    self.retry_queue.push_back(lookup);
                }
            }
        }
        let room: usize = self.upstreams.iter().map(Upstream::room).sum();
        let windows: usize = self.upstreams.iter().map(|u| u.window.size()).sum();
        // Over a connection every answer is followed by a query immediately, which
        // carries the acknowledgement of the answer. Otherwise the system would delay
        // it by 40 ms, and until then a server with Nagle's algorithm (RFC 896) would
        // hold back its next small segment.
        let uses_udp = |u: &Upstream| !u.uses_streams() && !u.closes_early();
        let min_room = if self.upstreams.iter().all(uses_udp) {
            MIN_BATCH.min(windows / 4)
        } else {
            0
        };
        if room < min_room && room < self.new_queue.len() {
            return next_send;
        }
        while let Some(&lookup) = self.new_queue.front() {
            match self.select_server(lookup, now) {
                Selection::Ended => {}
                Selection::Server(index) => {
                    // Each lookup has a start time of its own, not its batch's.
                    let now = Instant::now();
                    if let Some(pending) = self.lookups.get_mut(lookup.0) {
                        pending.started = Some(now);
                        pending.deadline = now + self.settings.timeout;
                    }
                    self.transmit(lookup.0, index, now);
                }
                Selection::Later(at) => return earliest(next_send, at),
            }
            self.new_queue.pop_front();
        }
        next_send
    }

    /// Selects the server for the next query of a lookup.
    fn select_server(&self, (slot, serial): LookupId, now: Instant) -> Selection {
        let pending = self.lookups.get(slot);
        let Some(pending) = pending.filter(|pending| pending.serial == serial) else {
            return Selection::Ended;
        };
        let count = if pending.only_server.is_some() {
            1
        } else {
            self.upstreams.len()
        };
        let offsets = pending.next_server..pending.next_server + count;
        let order = offsets.map(|offset| match pending.only_server {
            Some(only) => only,
            None => (pending.first_server + offset) % count,
        });
        let mut later = None;
        for index in order.filter(|i| pending.failed & 1 << i == 0) {
            let upstream = &self.upstreams[index];
            let limiter = upstream.limiter.as_ref();
            let wait = limiter.and_then(|limiter| limiter.next_send(now));
            if upstream.room() > 0 && wait.is_none() {
                return Selection::Server(index);
            }
            later = earliest(later, wait);
            // The first query may go to any server that has room, a further one
            // only to the next server in order.
            if pending.tries > 0 {
                break;
            }
        }
        Selection::Later(later)
    }

    /// Sends a query of a lookup to a server; a failure to do so counts as a
    /// failure of the server.
    pub(super) fn transmit(&mut self, slot: u32, index: usize, now: Instant) {
        let sent = self.try_transmit(slot, index, now);
        if let Err(failure) = sent {
            self.fail_server(slot, index, failure, None, now);
        }
    }

    fn try_transmit(&mut self, slot: u32, index: usize, now: Instant) -> Result<(), ServerFailure> {
        let Some(pending) = self.lookups.get(slot) else {
            return Ok(());
        };
        let upstream = &self.upstreams[index];
        let label = Arc::clone(&upstream.server.label);
        let from_io = |e: io::Error| failure::from_io(&e, &label);
        let requires_edns = upstream.requires_edns(&self.settings);
        let mut has_edns = requires_edns || !upstream.no_edns && pending.no_edns & 1 << index == 0;
        let recurse = self.settings.recurse;
        let servers_left = pending.servers_left(self.upstreams.len()).max(1) as u32;
        // Servers that have not been asked yet keep their share of the time.
        let time = pending.deadline.saturating_duration_since(now);
        let share = now + time / servers_left;
        let servers_unasked = self.servers_unasked(pending, index);
        // If a later step fails, `transmit` removes the query.
        let key = self.add_query(slot, index, has_edns, now);
        let Some(pending) = self.lookups.get_mut(slot) else {
            return Ok(());
        };
        let upstream = &mut self.upstreams[index];
        let padded = upstream.server.uses_tls().then(|| {
            let before = HEADER + pending.question.bytes().len();
            self.settings.edns.record(None, Some(before))
        });
        let mut timer = share;
        let (via, id) = if let Transport::Https { .. } = upstream.server.transport {
            let mut message = Vec::with_capacity(128);
            // The ID is always 0, so that answers can be cached (RFC 8484).
            let opt = padded.as_deref().filter(|_| has_edns);
            compose(&mut message, 0, recurse, &pending.question, opt);
            let token = https_token(key, self.serial);
            let others = upstream.in_window - 1;
            let https = upstream.https_client(&self.settings).map_err(from_io)?;
            https.send(token, message, share, others).map_err(from_io)?;
            (SentVia::Https, 0)
        } else if self.settings.tcp
            || pending.force_tcp & 1 << index != 0
            || upstream.uses_streams()
            || !matches!(upstream.server.transport, Transport::Udp(_))
        {
            let opt = match padded {
                Some(padded) => padded,
                None => upstream.opt.clone(),
            };
            let opt = has_edns.then_some(opt);
            let number = upstream.select_stream().map_err(from_io)?;
            let stream = upstream.streams[number].as_mut();
            let stream = stream.ok_or_else(|| from_io(io::ErrorKind::NotConnected.into()))?;
            let question = &pending.question;
            let id = stream
                .send(&mut self.ids, key, |id, message| {
                    compose(message, id, recurse, question, opt.as_deref());
                })
                .map_err(|e| failure::local(&e))?;
            if servers_left == 1 {
                timer = now + upstream.stream_rto(&self.settings);
            }
            (SentVia::Stream(number), id)
        } else {
            let number = upstream
                .select_socket(self.settings.is_bulk, &mut self.ids, now)
                .map_err(from_io)?;
            let is_last;
            (timer, is_last) = udp_timer(
                &self.settings,
                upstream,
                pending,
                (servers_left, servers_unasked),
                now,
            );
            // A middlebox may drop queries with EDNS, so the last query is sent
            // without it, unless EDNS is known to work.
            has_edns &= requires_edns || !is_last || upstream.supports_edns;
            let socket = upstream.sockets.get_mut(number);
            let socket = socket.ok_or_else(|| from_io(io::ErrorKind::NotConnected.into()))?;
            let id = socket
                .allocate_id(&mut self.ids, key)
                .map_err(|e| failure::local(&e))?;
            let opt = has_edns.then_some(upstream.opt.as_slice());
            socket.push(|message| {
                compose(message, id, recurse, &pending.question, opt);
            });
            (SentVia::Udp(number), id)
        };
        if let Some(query) = self.queries.get_mut(key) {
            (query.via, query.id, query.has_edns) = (via, id, has_edns);
        }
        self.set_timer(slot, timer);
        Ok(())
    }

    /// Returns how many servers will have neither failed nor been asked, once the
    /// server with this index has been asked.
    fn servers_unasked(&self, pending: &PendingLookup, index: usize) -> u32 {
        if pending.only_server.is_some() {
            return 0;
        }
        let queries = pending.queries.iter();
        let queries = queries.filter_map(|key| self.queries.get(*key));
        let asked = queries.fold(pending.failed | 1 << index, |asked, query| {
            asked | 1 << query.upstream
        });
        self.upstreams.len() as u32 - asked.count_ones()
    }

    /// Adds a query to a lookup, to the server's window and to the counters, and
    /// returns its slab key.
    fn add_query(&mut self, slot: u32, index: usize, has_edns: bool, now: Instant) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        let key = self.queries.insert(InFlightQuery {
            slot,
            upstream: index,
            via: SentVia::Https,
            id: 0,
            serial: self.serial,
            sent: now,
            in_window: true,
            has_edns,
        });
        let servers = self.upstreams.len();
        let upstream = &mut self.upstreams[index];
        upstream.in_window += 1;
        if let Some(limiter) = &mut upstream.limiter {
            limiter.record_send(now);
        }
        self.stats.queries += 1;
        if let Some(pending) = self.lookups.get_mut(slot) {
            pending.queries.push(key);
            pending.next_server = (index + servers - pending.first_server) % servers;
            pending.tries += 1;
            pending.attempts += 1;
            self.stats.repeated += u64::from(pending.attempts > 1);
        }
        key
    }

    /// Writes all composed queries to their sockets.
    pub(super) fn flush(&mut self, now: Instant) {
        for index in 0..self.upstreams.len() {
            for number in self.upstreams[index].sockets.numbers() {
                let socket = self.upstreams[index].sockets.get(number);
                if socket.is_some_and(EphemeralSocket::has_unsent) {
                    self.upstreams[index].sockets.rotate();
                }
                while let Some(socket) = self.upstreams[index].sockets.get_mut(number)
                    && let Some(error) = socket.flush()
                {
                    self.socket_failed(index, number, &error, now);
                }
            }
            for number in 0..self.upstreams[index].streams.len() {
                if let Some(stream) = &self.upstreams[index].streams[number]
                    && stream.wants_write()
                {
                    self.drive_stream(index, number, now);
                }
            }
        }
    }
}

/// Returns the timeout of a query over UDP, and whether it is the last query of
/// the lookup to this server but not the first. `servers_left` servers can still
/// be asked, and `servers_unasked` have not been.
fn udp_timer(
    settings: &Settings,
    upstream: &Upstream,
    pending: &PendingLookup,
    (servers_left, servers_unasked): (u32, u32),
    now: Instant,
) -> (Instant, bool) {
    let rounds = (pending.attempts - 1) / servers_left;
    let rto = upstream.rto(settings, rounds);
    let mut timer = now + rto;
    if servers_unasked > 0 {
        let time = pending.deadline.saturating_duration_since(now);
        timer = timer.min(now + time / (servers_unasked + 1));
    }
    let is_last = match settings.attempts {
        Some(attempts) => pending.attempts + servers_left > attempts * servers_left,
        None => now + rto * servers_left >= pending.deadline,
    };
    (timer, is_last && rounds > 0)
}

/// The server for a lookup's next query.
enum Selection {
    /// The lookup has ended.
    Ended,
    /// The index of the server.
    Server(usize),
    /// No server has room, or all are rate-limited until this time.
    Later(Option<Instant>),
}

/// Combines a query's slab key and serial number, to identify its answer.
fn https_token(key: u32, serial: u32) -> u64 {
    u64::from(key) << 32 | u64::from(serial)
}

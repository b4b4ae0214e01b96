//! The receiving half of the engine: answers of the servers, and how lookups end.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use domain::base::iana::OptRcode;

use super::Engine;
use super::failure::{self, ServerFailure};
use super::pending::{PendingLookup, RCODE_SIGNIFICANCE, SentVia, significance};
use super::udp::{self, EphemeralSocket};
use crate::answer::{self, Status};
use crate::lookup::{self, Lookup, QueryType};
use crate::presentation;
use crate::server::{Protocol, Transport};
use crate::wire::edns::CookieRule;
use crate::wire::reply::{self, Classified, Reply};
use crate::wire::{OwnedName, Question};

/// The minimum size of the buffer for an answer over UDP, in bytes. Some servers send larger
/// answers than the query allows.
const MIN_DATAGRAM_ROOM: usize = 4096;

impl Engine {
    /// Reads all UDP sockets with outstanding queries; returns whether anything
    /// has arrived.
    pub(super) fn receive_all_udp(&mut self, now: Instant) -> bool {
        let mut any = false;
        for index in 0..self.upstreams.len() {
            for number in self.upstreams[index].sockets.numbers() {
                let socket = self.upstreams[index].sockets.get(number);
                if socket.is_some_and(|socket| socket.outstanding > 0) {
                    any |= self.receive_udp(index, number, now);
                }
            }
        }
        any
    }

    /// Reads one batch from a UDP socket; returns whether anything has arrived.
    pub(super) fn receive_udp(&mut self, index: usize, number: usize, now: Instant) -> bool {
        let size = usize::from(self.settings.edns.size).max(MIN_DATAGRAM_ROOM);
        let Some(socket) = self.upstreams[index].sockets.get(number) else {
            return false;
        };
        let serial = socket.serial;
        let mut batch = self.recv_batch.take();
        let batch_ref = batch.get_or_insert_with(|| udp::recv_batch(size));
        let received = match batch_ref.receive(&socket.socket, udp::BATCH) {
            Ok(_) => {
                for packet in batch_ref.packets() {
                    let (bytes, is_cut) = (packet.data, packet.is_truncated);
                    // Measures the time of each answer, although they arrived
                    // together.
                    let now = Instant::now();
                    let id = message_id(bytes);
                    // An earlier answer of the batch may have closed the socket.
                    let sockets = &self.upstreams[index].sockets;
                    match id.and_then(|id| sockets.query(number, serial, id)) {
                        Some(key) => self.on_response(key, bytes, is_cut, Protocol::Udp, now),
                        None => self.stats.ignored += 1,
                    }
                }
                true
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                false
            }
            Err(e) => {
                self.socket_failed(index, number, &e, now);
                false
            }
        };
        self.recv_batch = batch;
        received
    }

    /// Handles the results of the HTTPS client.
    pub(super) fn receive_https(&mut self, index: usize, now: Instant) {
        while let Some((token, result)) = self.upstreams[index]
            .https
            .as_mut()
            .and_then(super::https::HttpsClient::receive)
        {
            let (key, serial) = ((token >> 32) as u32, token as u32);
            let query = self.queries.get(key);
            let Some(query) = query.filter(|query| query.serial == serial) else {
                continue;
            };
            let slot = query.slot;
            match result {
                Ok(bytes) => self.on_response(key, &bytes, false, Protocol::Https, now),
                Err(failure) => self.fail_server(slot, index, failure, None, now),
            }
        }
    }

    /// Handles an error of a UDP socket, such as "connection refused" by ICMP. The
    /// system does not report which query caused it, so it applies to all.
    pub(super) fn socket_failed(
        &mut self,
        index: usize,
        number: usize,
        error: &io::Error,
        now: Instant,
    ) {
        let label = Arc::clone(&self.upstreams[index].server.label);
        let socket = self.upstreams[index].sockets.get(number);
        for key in socket.map(EphemeralSocket::queries).unwrap_or_default() {
            let Some(slot) = self.queries.get(key).map(|query| query.slot) else {
                continue;
            };
            self.fail_server(slot, index, failure::from_io(error, &label), None, now);
        }
    }

    /// Handles a message with the ID of a query. `is_cut` is true if the message was
    /// longer than the receive buffer.
    pub(super) fn on_response(
        &mut self,
        key: u32,
        bytes: &[u8],
        is_cut: bool,
        protocol: Protocol,
        now: Instant,
    ) {
        let Some(query) = self.queries.get_mut(key) else {
            return;
        };
        let (slot, index, id, sent) = (query.slot, query.upstream, query.id, query.sent);
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        let upstream = &mut self.upstreams[index];
        let rule = match (protocol, &upstream.cookie) {
            (Protocol::Udp, Some(cookie)) => cookie.rule(),
            _ => CookieRule::Ignore,
        };
        let classified = reply::classify(bytes, id, &pending.question, rule);
        let is_truncated = protocol == Protocol::Udp && (is_cut || reply::is_truncated(bytes));
        let mask = 1 << index;
        if matches!(classified, Classified::MissingCookie) {
            // If no valid answer arrives before the timeout, TCP is tried.
            pending.cookie_missing |= mask;
        }
        if matches!(
            classified,
            Classified::Unrelated | Classified::MissingCookie
        ) {
            self.stats.ignored += 1;
            return;
        }
        let has_edns = query.has_edns;
        let may_drop_edns = has_edns && !upstream.requires_edns(&self.settings);
        if let (Classified::WithoutQuestion(_), true) = (&classified, may_drop_edns) {
            // Such an error is easy to forge, but its only effect is one more query.
            return self.retry_without_edns(slot, index, now);
        }
        let rtt = now.saturating_duration_since(sent);
        upstream.rtt.sample(rtt, upstream.in_window);
        let became_known = upstream.rtt.became_known();
        if std::mem::take(&mut query.in_window) {
            upstream.in_window = upstream.in_window.saturating_sub(1);
            let is_queuing = upstream.rtt.is_queuing();
            upstream.window.record_answer(is_queuing, now);
        } else {
            upstream.window.record_late_answer();
        }
        if protocol == Protocol::Udp {
            upstream.record_udp_answer(is_truncated);
        }
        if is_truncated {
            pending.force_tcp |= mask;
            pending.truncated |= mask;
        }
        let label = Arc::clone(&upstream.server.label);
        if became_known {
            self.shorten_timers(index);
        }
        if is_truncated {
            return self.transmit(slot, index, now);
        }
        match classified {
            Classified::Reply(reply) if !reply.truncated => {
                self.handle_reply(slot, index, &reply, protocol, has_edns, now);
            }
            Classified::WithoutQuestion(reply) => {
                let message = self.message_to_keep(&reply);
                let failure = failure::rcode(reply.rcode, &reply, &label);
                self.fail_server(slot, index, failure, message, now);
            }
            _ => self.fail_server(slot, index, failure::malformed(&label), None, now),
        }
    }

    /// Sends a query without EDNS after one with EDNS was refused. Does nothing if
    /// that was done before, since this refusal then answers an earlier query.
    fn retry_without_edns(&mut self, slot: u32, index: usize, now: Instant) {
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        if pending.no_edns & 1 << index == 0 {
            pending.no_edns |= 1 << index;
            self.transmit(slot, index, now);
        }
    }

    /// Copies the message of a reply if it is needed for the output.
    fn message_to_keep(&self, reply: &Reply<'_>) -> Option<Box<[u8]>> {
        self.settings.keep_messages.then(|| reply.bytes.into())
    }

    /// Handles a complete, valid reply to a query with or without EDNS.
    fn handle_reply(
        &mut self,
        slot: u32,
        index: usize,
        reply: &Reply<'_>,
        protocol: Protocol,
        has_edns: bool,
        now: Instant,
    ) {
        let message = self.message_to_keep(reply);
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        let upstream = &mut self.upstreams[index];
        let mask = 1 << index;
        upstream.learn_cookie(reply.cookie(), &self.settings);
        let refuses_edns = matches!(
            reply.rcode,
            OptRcode::FORMERR | OptRcode::NOTIMP | OptRcode::BADVERS
        );
        if refuses_edns && has_edns && !upstream.requires_edns(&self.settings) {
            return self.retry_without_edns(slot, index, now);
        }
        if reply.rcode == OptRcode::BADCOOKIE
            && pending.force_tcp & mask == 0
            && protocol == Protocol::Udp
        {
            // Tries the cookie just learned once, then TCP.
            if pending.cookie_refused & mask != 0 {
                pending.force_tcp |= mask;
            }
            pending.cookie_refused |= mask;
            return self.transmit(slot, index, now);
        }
        if !refuses_edns {
            upstream.supports_edns |= reply.opt.is_some();
            upstream.no_edns = !upstream.supports_edns && (upstream.no_edns || !has_edns);
        }
        let label = Arc::clone(&upstream.server.label);
        let outcome = answer::follow(reply, &pending.question);
        if let Status::Rcode(code) = outcome.status {
            let failure = failure::rcode(code, reply, &label);
            return self.fail_server(slot, index, failure, message, now);
        }
        let keep_owners = self.settings.keep_owners;
        let records = lookup::display_records(&outcome.records, &pending.question, keep_owners);
        let Ok(records) = records else {
            return self.fail_server(slot, index, failure::malformed(&label), message, now);
        };
        let started = pending.started.unwrap_or(now);
        let query_type = QueryType::Type(pending.question.rtype());
        let mut lookup = Lookup::found(query_type, records);
        if keep_owners || self.settings.keep_failures {
            lookup.query_name = Some(presentation::name(&pending.question.name()));
        }
        lookup.server = Some(Arc::clone(&label));
        lookup.protocol = Some(protocol);
        lookup.status = outcome.status;
        lookup.alias_target = outcome.alias_target;
        lookup.warnings = outcome.warnings;
        lookup.extended_errors = reply.extended_errors();
        lookup.authenticated = reply.authenticated;
        lookup.elapsed = now.saturating_duration_since(started);
        lookup.tries = pending.tries;
        lookup.message = message;
        lookup.pack(reply.bytes);
        if let Some(reason) = outcome.incomplete {
            let name = presentation::name(&pending.question.name());
            let failure = failure::incomplete_answer(&reason, &label, &name);
            lookup.failure = Some(failure.clone());
            if self.settings.accept_referrals {
                return self.finish(slot, lookup);
            }
            pending.incomplete = Some(Box::new(lookup));
            let failure = (Status::Incomplete, failure);
            return self.fail_server(slot, index, failure, None, now);
        }
        if lookup.status.is_negative()
            && let Some(next) = pending.candidates.pop()
        {
            if lookup.status == Status::NoData {
                pending.nodata = Some(Box::new(lookup));
            }
            return self.try_next_name(slot, next, now);
        }
        // NODATA for one candidate is more informative than NXDOMAIN for another.
        match pending.nodata.take() {
            Some(nodata) if lookup.status == Status::NoSuchName => self.finish(slot, *nodata),
            _ => self.finish(slot, lookup),
        }
    }

    /// Continues a lookup with another name of the search list, in the time that
    /// is left.
    fn try_next_name(&mut self, slot: u32, name: OwnedName, now: Instant) {
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        pending.question = Question::new(name, pending.question.rtype());
        pending.attempts = 0;
        pending.failed = 0;
        pending.force_tcp = 0;
        pending.truncated = 0;
        pending.cookie_refused = 0;
        pending.cookie_missing = 0;
        pending.worst_failure = None;
        pending.worst_reply = None;
        pending.incomplete = None;
        pending.failures.clear();
        for key in std::mem::take(&mut pending.queries) {
            self.release(key);
        }
        self.queue_retry(slot, now);
    }

    /// Excludes a server that failed and continues with the next one. Gives up the
    /// lookup after the last server.
    pub(super) fn fail_server(
        &mut self,
        slot: u32,
        index: usize,
        mut failure: ServerFailure,
        message: Option<Box<[u8]>>,
        now: Instant,
    ) {
        let reason_for_tcp = self.reason_for_tcp(slot, index);
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        if let (Some(why), false) = (reason_for_tcp, matches!(failure.0, Status::Rcode(_))) {
            failure::add_reason_for_tcp(&mut failure.1, why);
        }
        if self.settings.keep_failures {
            pending.failures.push((index, failure.clone()));
        }
        pending.record_failure(index, failure, message);
        let queries = std::mem::take(&mut pending.queries);
        let (failed, others): (Vec<u32>, Vec<u32>) = queries.into_iter().partition(|key| {
            let query = self.queries.get(*key);
            query.is_none_or(|query| query.upstream == index)
        });
        pending.queries = others;
        let servers_left = pending.servers_left(self.upstreams.len());
        for key in failed {
            self.release(key);
        }
        if servers_left == 0 {
            return self.give_up(slot, now);
        }
        self.queue_retry(slot, now);
    }

    /// Ends a lookup that no server has answered in time.
    pub(super) fn give_up(&mut self, slot: u32, now: Instant) {
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        if let Some(lookup) = pending.nodata.take().or(pending.incomplete.take()) {
            return self.finish(slot, *lookup);
        }
        // Reports the server that was asked last of those that did not answer.
        let asked = pending.queries.iter().rev();
        let silent = asked
            .filter_map(|key| Some(self.queries.get(*key)?.upstream))
            .find(|index| pending.failed & 1 << index == 0);
        let worst = pending.worst_failure.take();
        let first_server = pending.first_server;
        let is_rcode = |failure: &ServerFailure| significance(&failure.0) == RCODE_SIGNIFICANCE;
        let (index, (status, failure)) = match (worst, silent) {
            (Some((index, failure)), silent) if silent.is_none() || is_rcode(&failure) => {
                (index, failure)
            }
            (_, silent) => {
                let index = silent.unwrap_or(first_server);
                let label = &self.upstreams[index].server.label;
                let mut failure = failure::timeout(label);
                if let Some(why) = self.reason_for_tcp(slot, index) {
                    failure::add_reason_for_tcp(&mut failure.1, why);
                }
                (index, failure)
            }
        };
        let Some(pending) = self.lookups.get_mut(slot) else {
            return;
        };
        let upstream = &self.upstreams[index];
        let query_type = QueryType::Type(pending.question.rtype());
        let mut lookup = Lookup::failed(query_type, status, Some(failure));
        lookup.server = Some(Arc::clone(&upstream.server.label));
        let forces_tcp = self.settings.tcp || pending.force_tcp & 1 << index != 0;
        lookup.protocol = Some(match upstream.server.protocol() {
            Protocol::Udp if forces_tcp || upstream.uses_streams() => Protocol::Tcp,
            protocol => protocol,
        });
        lookup.elapsed = now.saturating_duration_since(pending.started.unwrap_or(now));
        lookup.tries = pending.tries;
        lookup.message = pending.worst_reply.take();
        let message = lookup.message.as_deref();
        if let Some(reply) = message.and_then(|bytes| reply::read(bytes).ok()) {
            lookup.extended_errors = reply.extended_errors();
        }
        if self.settings.keep_owners || self.settings.keep_failures {
            lookup.query_name = Some(presentation::name(&pending.question.name()));
        }
        self.finish(slot, lookup);
    }

    /// Returns why a server that serves UDP is asked over TCP, if it is.
    fn reason_for_tcp(&self, slot: u32, index: usize) -> Option<&'static str> {
        let (pending, mask) = (self.lookups.get(slot)?, 1 << index);
        let serves_udp = matches!(self.upstreams[index].server.transport, Transport::Udp(_));
        if !serves_udp || self.settings.tcp || pending.force_tcp & mask == 0 {
            None
        } else if pending.truncated & mask != 0 {
            Some("the answer over UDP was truncated")
        } else if pending.cookie_missing & mask != 0 {
            Some("answers over UDP lacked the server's cookie")
        } else {
            Some("the server refused the cookie over UDP")
        }
    }

    fn finish(&mut self, slot: u32, mut lookup: Lookup) {
        if let Some(PendingLookup {
            token,
            queries,
            failures,
            ..
        }) = self.lookups.remove(slot)
        {
            let failures = failures.into_iter().map(|(index, (status, failure))| {
                let label = Arc::clone(&self.upstreams[index].server.label);
                (label, failure, status)
            });
            lookup.server_failures = failures.collect();
            for key in queries {
                self.release(key);
            }
            self.finished.push((token, lookup));
        }
    }

    /// Removes a query; its ID may be reused.
    pub(super) fn release(&mut self, key: u32) {
        let Some(query) = self.queries.remove(key) else {
            return;
        };
        self.needs_admit = true;
        let upstream = &mut self.upstreams[query.upstream];
        if query.in_window {
            upstream.in_window = upstream.in_window.saturating_sub(1);
        }
        match query.via {
            SentVia::Udp(number) => upstream.sockets.release(number, query.id),
            SentVia::Stream(number) => {
                if let Some(stream) = &mut upstream.streams[number] {
                    stream.release(query.id);
                }
            }
            SentVia::Https => {}
        }
    }
}

/// Returns the ID of a DNS message, unless it is shorter than two bytes.
pub(super) fn message_id(bytes: &[u8]) -> Option<u16> {
    bytes
        .first_chunk::<2>()
        .map(|bytes| u16::from_be_bytes(*bytes))
}

//! The engine's other half: what comes from the servers, and how lookups end.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use domain::base::iana::OptRcode;

use super::failure::{self, Fault};
use super::job::{Job, Via, weight};
use super::{Asked, Engine, Lookup, Protocol, Question, Status, Way};
use crate::answer;
use crate::lookup;
use crate::present;
use crate::sys::Inbox;
use crate::wire::edns::CookieRule;
use crate::wire::reply::{self, Judged, Reply};

/// Room for the largest answers that servers send over UDP unasked.
const LARGE: usize = 4096;

impl Engine {
    /// Reads all ports that expect something; whether anything came.
    pub(super) fn receive_all(&mut self, now: Instant) -> bool {
        let mut any = false;
        for index in 0..self.upstreams.len() {
            for number in self.upstreams[index].ports.numbers() {
                let port = self.upstreams[index].ports.get(number);
                if port.is_some_and(|port| port.in_use > 0) {
                    any |= self.receive(index, number, now);
                }
            }
        }
        any
    }

    /// Reads one batch from a port; whether anything came.
    pub(super) fn receive(&mut self, index: usize, number: usize, now: Instant) -> bool {
        let size = usize::from(self.settings.edns.size).max(LARGE);
        let Some(port) = self.upstreams[index].ports.get(number) else {
            return false;
        };
        let serial = port.serial;
        let mut inbox = self.inbox.take().unwrap_or_else(|| Inbox::new(size));
        let received = match inbox.receive(&port.socket) {
            Ok(()) => {
                for (bytes, cut) in inbox.iter() {
                    // Each answer has its own time, though they came together.
                    let now = Instant::now();
                    let id = bytes.first_chunk::<2>().map(|b| u16::from_be_bytes(*b));
                    // An earlier answer of the batch may have closed the port.
                    let ports = &self.upstreams[index].ports;
                    match id.and_then(|id| ports.flight(number, serial, id)) {
                        Some(flight) => self.heard(flight, bytes, cut, Protocol::Udp, now),
                        None => self.figures.ignored += 1,
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
                self.port_failed(index, number, &e, now);
                false
            }
        };
        self.inbox = Some(inbox);
        received
    }

    /// Takes the answers that came over HTTPS.
    pub(super) fn collect(&mut self, index: usize, now: Instant) {
        while let Some((token, answer)) = self.upstreams[index]
            .https
            .as_mut()
            .and_then(super::https::Https::receive)
        {
            let (flight, serial) = ((token >> 32) as u32, token as u32);
            let Some(known) = self.flights.get(flight).filter(|f| f.serial == serial) else {
                continue;
            };
            let job = known.job;
            match answer {
                Ok(bytes) => self.heard(flight, &bytes, false, Protocol::Https, now),
                Err(fault) => self.fail(job, index, fault, None, now),
            }
        }
    }

    /// An error of a port, such as "connection refused" by ICMP: it is not
    /// known which query it is about, so it is about all of them.
    pub(super) fn port_failed(
        &mut self,
        index: usize,
        number: usize,
        error: &io::Error,
        now: Instant,
    ) {
        let label = Arc::clone(&self.upstreams[index].server.label);
        let port = self.upstreams[index].ports.get(number);
        for flight in port.map(super::udp::Port::all).unwrap_or_default() {
            let Some(slot) = self.flights.get(flight).map(|f| f.job) else {
                continue;
            };
            self.fail(slot, index, failure::of_io(error, &label), None, now);
        }
    }

    /// Judges a message that has a flight's id.
    pub(super) fn heard(&mut self, at: u32, bytes: &[u8], cut: bool, over: Protocol, now: Instant) {
        let Some(flight) = self.flights.get_mut(at) else {
            return;
        };
        let (slot, index, id, sent) = (flight.job, flight.upstream, flight.id, flight.sent);
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        let peer = &mut self.upstreams[index];
        let rule = match (over, &peer.cookie) {
            (Protocol::Udp, Some(cookie)) => cookie.rule(),
            _ => CookieRule::Ignore,
        };
        let judged = reply::judge(bytes, id, &job.question, rule);
        let truncated = over == Protocol::Udp && (cut || reply::says_truncated(bytes));
        if matches!(judged, Judged::Unproven) {
            // Asked over TCP once the wait for the true answer is over.
            job.unproven |= 1 << index;
        }
        if matches!(judged, Judged::Unrelated | Judged::Unproven) {
            self.figures.ignored += 1;
            return;
        }
        let edns = flight.edns;
        let mask = 1 << index;
        let without = edns && !peer.needs_edns(&self.settings);
        if let (Judged::Bare(_), true) = (&judged, without) {
            // Easily forged, but it only makes us ask once more.
            return self.without_edns(slot, index, now);
        }
        let rtt = now.saturating_duration_since(sent);
        peer.trips.sample(rtt, peer.counted);
        let known = peer.trips.now_known();
        if std::mem::take(&mut flight.counted) {
            peer.counted = peer.counted.saturating_sub(1);
            peer.window.answered(peer.trips.crowded(), now);
        } else {
            peer.window.late();
        }
        if over == Protocol::Udp {
            peer.answered_over_udp(truncated);
        }
        // Cut short, perhaps in the middle of a record: asked again.
        if truncated {
            job.stream |= mask;
            job.truncated |= mask;
        }
        let label = Arc::clone(&peer.server.label);
        if known {
            self.hurry(index);
        }
        if truncated {
            return self.transmit(slot, index, now);
        }
        match judged {
            Judged::Reply(reply) if !reply.truncated => {
                self.accept(slot, index, &reply, over, edns, now);
            }
            Judged::Bare(reply) => {
                let message = self.kept(&reply);
                let fault = failure::rcode(reply.rcode, &reply, &label);
                self.fail(slot, index, fault, message, now);
            }
            _ => self.fail(slot, index, failure::malformed(&label), None, now),
        }
    }

    /// A query with EDNS was refused: asks without, unless that has been done and
    /// this is the answer to one of several queries sent before.
    fn without_edns(&mut self, slot: u32, index: usize, now: Instant) {
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        if job.plain & 1 << index == 0 {
            job.plain |= 1 << index;
            self.transmit(slot, index, now);
        }
    }

    /// The message of a reply, if it is to be shown.
    fn kept(&self, reply: &Reply<'_>) -> Option<Box<[u8]>> {
        self.settings.messages.then(|| reply.bytes.into())
    }

    /// Judges an answer that is the server's own, to a query with EDNS or
    /// without.
    fn accept(
        &mut self,
        slot: u32,
        index: usize,
        reply: &Reply<'_>,
        over: Protocol,
        edns: bool,
        now: Instant,
    ) {
        let message = self.kept(reply);
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        let peer = &mut self.upstreams[index];
        let mask = 1 << index;
        peer.learn(reply.cookie(), &self.settings);
        let simpler = matches!(
            reply.rcode,
            OptRcode::FORMERR | OptRcode::NOTIMP | OptRcode::BADVERS
        );
        let required = peer.needs_edns(&self.settings);
        if simpler && edns && !required {
            return self.without_edns(slot, index, now);
        }
        if reply.rcode == OptRcode::BADCOOKIE && job.stream & mask == 0 && over == Protocol::Udp {
            // Once with the cookie just learned, then by TCP.
            if job.cookie & mask != 0 {
                job.stream |= mask;
            }
            job.cookie |= mask;
            return self.transmit(slot, index, now);
        }
        if !simpler {
            peer.speaks_edns |= reply.opt.is_some();
            peer.plain = !peer.speaks_edns && (peer.plain || !edns);
        }
        let label = Arc::clone(&peer.server.label);
        let outcome = answer::follow(reply, &job.question);
        if let Status::Rcode(code) = outcome.status {
            let fault = failure::rcode(code, reply, &label);
            return self.fail(slot, index, fault, message, now);
        }
        let Ok(records) = lookup::shown(&outcome.records, &job.question, self.settings.owners)
        else {
            return self.fail(slot, index, failure::malformed(&label), message, now);
        };
        let started = job.started.unwrap_or(now);
        let name = job.question.name();
        let mut lookup = Lookup::found(Asked::Type(job.question.rtype()), records);
        let named = self.settings.owners || self.settings.faults;
        lookup.query_name = named.then(|| present::name(&name));
        lookup.server = Some(Arc::clone(&label));
        lookup.protocol = Some(over);
        lookup.status = outcome.status;
        lookup.alias = outcome.end;
        lookup.odd = outcome.odd;
        lookup.notes = reply.extended_errors();
        lookup.authenticated = reply.authenticated;
        lookup.elapsed = now.saturating_duration_since(started);
        lookup.tries = job.tries;
        lookup.message = message;
        lookup.pack(reply.bytes);
        if let Some(gap) = outcome.gap {
            let failure = failure::gap(&gap, &label, &present::name(&name));
            lookup.failure = Some(failure.clone());
            if self.settings.referrals {
                return self.finish(slot, lookup);
            }
            job.fallback = Some(Box::new(lookup));
            return self.fail(slot, index, (Status::Incomplete, failure), None, now);
        }
        if lookup.status.is_no()
            && let Some(next) = job.more.pop()
        {
            if lookup.status == Status::NoData {
                job.nodata = Some(Box::new(lookup));
            }
            return self.next_name(slot, next, now);
        }
        // Of all candidates, one that exists says more than one that does not.
        match job.nodata.take() {
            Some(nodata) if lookup.status == Status::NoSuchName => self.finish(slot, *nodata),
            _ => self.finish(slot, lookup),
        }
    }

    /// Goes on with another name of the search list, in the time left.
    fn next_name(&mut self, slot: u32, name: super::OwnedName, now: Instant) {
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        job.question = Question::new(name, job.question.rtype());
        (job.failed, job.stream, job.cookie, job.round) = (0, 0, 0, 0);
        (job.unproven, job.truncated) = (0, 0);
        (job.fault, job.fallback, job.message) = (None, None, None);
        job.told.clear();
        for flight in std::mem::take(&mut job.flights) {
            self.release(flight);
        }
        self.queue(slot, now);
    }

    /// A server is out of the question for a lookup; the next one's turn.
    pub(super) fn fail(
        &mut self,
        slot: u32,
        index: usize,
        mut fault: Fault,
        message: Option<Box<[u8]>>,
        now: Instant,
    ) {
        let why = self.why_stream(slot, index);
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        if let (Some(why), false) = (why, matches!(fault.0, Status::Rcode(_))) {
            failure::over_tcp(&mut fault.1, why);
        }
        if self.settings.faults {
            job.told.push((index, fault.clone()));
        }
        job.note(index, fault, message);
        let flights = std::mem::take(&mut job.flights);
        let (gone, kept): (Vec<u32>, Vec<u32>) = flights
            .into_iter()
            .partition(|f| self.flights.get(*f).is_none_or(|f| f.upstream == index));
        job.flights = kept;
        let left = job.left(self.upstreams.len());
        for flight in gone {
            self.release(flight);
        }
        if left == 0 {
            return self.give_up(slot, now);
        }
        self.queue(slot, now);
    }

    /// No server is left or the time is over.
    pub(super) fn give_up(&mut self, slot: u32, now: Instant) {
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        if let Some(lookup) = job.nodata.take().or(job.fallback.take()) {
            return self.finish(slot, *lookup);
        }
        // Of the servers that were silent, the one asked last.
        let asked = job.flights.iter().rev();
        let silent = asked
            .filter_map(|at| Some(self.flights.get(*at)?.upstream))
            .find(|upstream| job.failed & 1 << upstream == 0);
        let said = job.fault.take();
        let first = job.first;
        let (index, (status, failure)) = match (said, silent) {
            (Some((index, fault)), _) if weight(&fault.0) == 4 => (index, fault),
            (Some((index, fault)), None) => (index, fault),
            (_, silent) => {
                let index = silent.unwrap_or(first);
                let label = &self.upstreams[index].server.label;
                let mut fault = failure::timeout(label);
                if let Some(why) = self.why_stream(slot, index) {
                    failure::over_tcp(&mut fault.1, why);
                }
                (index, fault)
            }
        };
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        let server = &self.upstreams[index].server;
        let mut lookup = Lookup::failed(Asked::Type(job.question.rtype()), status, Some(failure));
        lookup.server = Some(Arc::clone(&server.label));
        lookup.protocol = Some(match server.protocol() {
            Protocol::Udp
                if self.settings.tcp
                    || job.stream & 1 << index != 0
                    || self.upstreams[index].is_connected() =>
            {
                Protocol::Tcp
            }
            protocol => protocol,
        });
        lookup.elapsed = now.saturating_duration_since(job.started.unwrap_or(now));
        lookup.tries = job.tries;
        lookup.message = job.message.take();
        if let Some(reply) = lookup.message.as_deref().and_then(|m| reply::read(m).ok()) {
            lookup.notes = reply.extended_errors();
        }
        if self.settings.owners || self.settings.faults {
            lookup.query_name = Some(present::name(&job.question.name()));
        }
        self.finish(slot, lookup);
    }

    /// Why a server of UDP is asked over TCP, if it is.
    fn why_stream(&self, slot: u32, index: usize) -> Option<&'static str> {
        let (job, mask) = (self.jobs.get(slot)?, 1 << index);
        let datagrams = matches!(self.upstreams[index].server.way, Way::Udp(_));
        if !datagrams || self.settings.tcp || job.stream & mask == 0 {
            None
        } else if job.truncated & mask != 0 {
            Some("the answer over UDP was truncated")
        } else if job.unproven & mask != 0 {
            Some("answers over UDP lacked the server's cookie")
        } else {
            Some("the answers over UDP were of no use")
        }
    }

    fn finish(&mut self, slot: u32, mut lookup: Lookup) {
        if let Some(Job {
            ticket,
            flights,
            told,
            ..
        }) = self.jobs.remove(slot)
        {
            lookup.others = told
                .into_iter()
                .map(|(index, (status, failure))| {
                    (
                        Arc::clone(&self.upstreams[index].server.label),
                        failure,
                        status,
                    )
                })
                .collect();
            for flight in flights {
                self.release(flight);
            }
            self.done.push((ticket, lookup));
        }
    }

    /// Gives up a query: its id may be used again.
    pub(super) fn release(&mut self, at: u32) {
        let Some(flight) = self.flights.remove(at) else {
            return;
        };
        self.stirred = true;
        let peer = &mut self.upstreams[flight.upstream];
        if flight.counted {
            peer.counted = peer.counted.saturating_sub(1);
        }
        match flight.via {
            Via::Port(number) => peer.ports.release(number, flight.id),
            Via::Stream(number) => {
                if let Some(stream) = &mut peer.streams[number] {
                    stream.release(flight.id);
                }
            }
            Via::Https => {}
        }
    }
}

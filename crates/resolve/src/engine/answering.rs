//! The engine's other half: what comes from the servers, and how lookups end.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use domain::base::iana::{OptRcode, Rtype};

use super::failure::{self, Fault};
use super::job::{Job, Via, weight};
use super::sys::Inbox;
use super::{Asked, Engine, Lookup, Protocol, Question, Status};
use crate::answer;
use crate::lookup;
use crate::present;
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
        let mut inbox = self.inbox.take().unwrap_or_else(|| Inbox::new(size));
        let received = match inbox.receive(&port.socket) {
            Ok(()) => {
                for (bytes, cut) in inbox.iter() {
                    // Each answer has its own time, though they came together.
                    self.datagram(index, number, bytes, cut, Instant::now());
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

    fn datagram(&mut self, index: usize, number: usize, bytes: &[u8], cut: bool, now: Instant) {
        let id = bytes.first_chunk::<2>().map(|b| u16::from_be_bytes(*b));
        let port = self.upstreams[index].ports.get(number);
        let flight = port.and_then(|port| port.flight(id?));
        match flight {
            Some(flight) => self.heard(flight, bytes, cut, Protocol::Udp, now),
            None => self.figures.ignored += 1,
        }
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
        if let Judged::Bare = judged {
            // No answer, and easily forged: it only makes us ask once more.
            if job.plain & 1 << index == 0 && !peer.has_cookie() {
                job.plain |= 1 << index;
                self.transmit(slot, index, now);
            } else {
                self.figures.ignored += 1;
            }
            return;
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
        // Cut short, perhaps in the middle of a record: asked again.
        if truncated {
            job.stream |= 1 << index;
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
                self.accept(slot, index, &reply, over, now);
            }
            _ => self.fail(slot, index, failure::malformed(&label), None, now),
        }
    }

    /// Judges an answer that is the server's own.
    fn accept(&mut self, slot: u32, index: usize, reply: &Reply<'_>, over: Protocol, now: Instant) {
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
        if simpler && !peer.plain && !peer.has_cookie() && job.plain & mask == 0 {
            job.plain |= mask;
            return self.transmit(slot, index, now);
        }
        if reply.rcode == OptRcode::BADCOOKIE && job.stream & mask == 0 && over == Protocol::Udp {
            // Once with the cookie just learned, then by TCP.
            if job.cookie & mask != 0 {
                job.stream |= mask;
            }
            job.cookie |= mask;
            return self.transmit(slot, index, now);
        }
        if job.plain & mask != 0 && !simpler {
            peer.plain = true;
        }
        let label = Arc::clone(&peer.server.label);
        let message = self.settings.messages.then(|| reply.bytes.to_vec());
        let (status, records) = answer::follow(reply, &job.question);
        if let Status::Rcode(code) = status {
            let fault = failure::rcode(code, reply, &label);
            return self.fail(slot, index, fault, message, now);
        }
        let stop = records.last().filter(|r| r.rtype == Rtype::CNAME);
        let stop = stop.and_then(|link| Some(present::name(&link.target()?)));
        let Ok(records) = lookup::shown(&records, &job.question, self.settings.owners) else {
            return self.fail(slot, index, failure::malformed(&label), message, now);
        };
        let started = job.started.unwrap_or(now);
        let mut lookup = Lookup::found(Asked::Type(job.question.rtype()), records);
        lookup.server = Some(label);
        lookup.protocol = Some(over);
        lookup.status = status;
        lookup.authenticated = reply.authenticated;
        lookup.elapsed = now.saturating_duration_since(started);
        lookup.tries = job.tries;
        lookup.message = message;
        lookup.searched = job.searched.then(|| present::name(&job.question.name()));
        lookup.pack(reply.bytes);
        if lookup.status == Status::Incomplete {
            let mut why = "the answer does not lead to the end".to_owned();
            if let Some(stop) = stop {
                why = format!("{why}, but to {stop}");
            }
            let server = lookup.server.as_deref().unwrap_or_default();
            let (_, failure) = failure::incomplete(server, &why);
            lookup.failure = Some(failure.clone());
            if self.settings.referrals {
                return self.finish(slot, lookup);
            }
            job.fallback = Some(Box::new(lookup));
            return self.fail(slot, index, (Status::Incomplete, failure), None, now);
        }
        if lookup.status.is_no() {
            job.exists |= lookup.status == Status::NoData;
            if let Some(next) = job.more.pop() {
                return self.next_name(slot, next, now);
            }
            if job.exists {
                lookup.status = Status::NoData;
            }
        }
        self.finish(slot, lookup);
    }

    /// Goes on with another name of the search list, in the time left.
    fn next_name(&mut self, slot: u32, name: super::OwnedName, now: Instant) {
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        job.question = Question::new(name, job.question.rtype());
        job.searched = true;
        (job.failed, job.stream, job.cookie, job.round) = (0, 0, 0, 0);
        job.unproven = 0;
        (job.fault, job.fallback, job.message) = (None, None, None);
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
        fault: Fault,
        message: Option<Vec<u8>>,
        now: Instant,
    ) {
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
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
        if let Some(lookup) = job.fallback.take() {
            return self.finish(slot, *lookup);
        }
        // Of the servers that were silent, the one asked last.
        let asked = job.flights.iter().rev();
        let silent = asked
            .filter_map(|at| Some(self.flights.get(*at)?.upstream))
            .find(|upstream| job.failed & 1 << upstream == 0);
        let said = job.fault.take();
        let (index, (status, failure)) = match (said, silent) {
            (Some((index, fault)), _) if weight(&fault.0) == 4 => (index, fault),
            (Some((index, fault)), None) => (index, fault),
            (_, silent) => {
                let index = silent.unwrap_or(job.first);
                let label = &self.upstreams[index].server.label;
                (index, failure::timeout(label))
            }
        };
        let server = &self.upstreams[index].server;
        let mut lookup = Lookup::failed(Asked::Type(job.question.rtype()), status, Some(failure));
        lookup.server = Some(Arc::clone(&server.label));
        lookup.protocol = Some(match server.protocol() {
            Protocol::Udp if self.settings.tcp || job.stream & 1 << index != 0 => Protocol::Tcp,
            protocol => protocol,
        });
        lookup.elapsed = now.saturating_duration_since(job.started.unwrap_or(now));
        lookup.tries = job.tries;
        lookup.message = job.message.take();
        self.finish(slot, lookup);
    }

    fn finish(&mut self, slot: u32, lookup: Lookup) {
        if let Some(Job {
            ticket, flights, ..
        }) = self.jobs.remove(slot)
        {
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

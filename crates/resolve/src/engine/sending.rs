//! The engine's sending half: which lookup asks which server when, and what
//! happens when a server stays silent.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::{self, Fault};
use super::job::{Flight, Job, Via};
use super::upstream::Upstream;
use super::{Engine, Key, Settings, Way, earliest};
use crate::wire::query::{HEADER, compose};

/// A free place in the window is not filled before there are as many, so
/// that queries go out by the batch.
const WORTHWHILE: usize = 16;

/// The least that a query waits whose wait is cut short.
const HURRIED: Duration = Duration::from_millis(200);

impl Engine {
    /// Runs the timers that are due.
    pub(super) fn fire(&mut self, now: Instant) {
        while let Some(Reverse((at, (slot, serial), timer))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let valid = |job: &&Job| job.serial == serial && job.timer == timer;
            if self.jobs.get(slot).as_ref().is_some_and(valid) {
                self.overdue(slot, now);
            }
        }
    }

    pub(super) fn set_timer(&mut self, slot: u32, at: Instant) {
        if let Some(job) = self.jobs.get_mut(slot) {
            job.timer = job.timer.wrapping_add(1);
            let at = at.min(job.deadline);
            self.timers
                .push(Reverse((at, (slot, job.serial), job.timer)));
        }
    }

    /// A lookup's server has been silent for too long, or its time is over.
    pub(super) fn overdue(&mut self, slot: u32, now: Instant) {
        let Some(job) = self.jobs.get(slot) else {
            return;
        };
        if now >= job.deadline {
            return self.give_up(slot, now);
        }
        let last = job.flights.last().copied();
        let Some(flight) = last.and_then(|f| self.flights.get_mut(f)) else {
            return self.queue(slot, now);
        };
        let (upstream, via, id, sent) = (flight.upstream, flight.via, flight.id, flight.sent);
        let alone = job.left(self.upstreams.len()) == 1;
        let peer = &self.upstreams[upstream];
        let number = match via {
            Via::Stream(number) => Some(number),
            _ => None,
        };
        let stream = number.and_then(|number| peer.streams[number].as_ref());
        let out = stream.map(|stream| stream.flight(id).map(|(_, at)| at));
        if let Some(out) = out.filter(|_| alone) {
            // It waited for its turn first, or does so still.
            let due = out.unwrap_or(now) + peer.patience_stream(&self.settings);
            if due > now {
                return self.set_timer(slot, due);
            }
        }
        let sent = out.flatten().unwrap_or(sent);
        if std::mem::take(&mut flight.counted) {
            let upstream = &mut self.upstreams[upstream];
            upstream.counted = upstream.counted.saturating_sub(1);
            let waited = now.saturating_duration_since(sent);
            upstream.window.lost(waited, now);
        }
        if !matches!(via, Via::Port(_)) {
            let peer = &self.upstreams[upstream];
            let stream = number.and_then(|number| peer.streams[number].as_ref());
            let others = number.is_some() && peer.has_answered(sent);
            let deaf = stream.is_some_and(|s| s.heard.is_none_or(|heard| heard < sent));
            let answers = stream.is_some_and(|s| s.answered > 0);
            let fault = failure::timeout(&peer.server.label);
            match (alone, deaf, answers) {
                // It may be slow as a whole: nothing else is left to do.
                (true, _, false) if !others => {
                    let deadline = job.deadline;
                    return self.set_timer(slot, deadline);
                }
                // Others were answered since: this query has been lost.
                (true, false, _) => return self.queue(slot, now),
                // It has fallen silent: a new one may do better.
                (true, true, _) => {}
                _ => self.fail(slot, upstream, fault, None, now),
            }
            if let Some(number) = number.filter(|_| deaf) {
                self.close(upstream, number, &io::ErrorKind::TimedOut.into(), now);
            }
            return;
        }
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        let mask = 1 << upstream;
        if job.unproven & mask != 0 && job.stream & mask == 0 {
            // It may have answered, without the cookie that proves it; over TCP
            // no cookie is needed.
            job.stream |= mask;
            return self.transmit(slot, upstream, now);
        }
        let alive = self.upstreams.len() as u32 - job.failed.count_ones();
        let enough = self.settings.attempts.map(|n| n * alive);
        if let Some(enough) = enough.filter(|enough| job.round >= *enough) {
            // Each attempt has the time that resolv.conf gives it, though the
            // next one may have begun sooner; answers count until then.
            let first = job.flights.first().and_then(|&f| self.flights.get(f));
            let until = first.map_or(now, |f| f.sent + self.settings.patience * enough);
            if now < until {
                return self.set_timer(slot, until);
            }
            return self.give_up(slot, now);
        }
        job.turn += 1;
        self.queue(slot, now);
    }

    /// A server's round trips have become known: what was sent before need
    /// not wait as long as nothing being known made it.
    pub(super) fn hurry(&mut self, index: usize) {
        let peer = &self.upstreams[index];
        if peer.counted == 0 {
            return;
        }
        // Some answers came, others may only be slower: with patience.
        let patience = peer.patience(&self.settings, 0).max(HURRIED);
        let flights: Vec<u32> = peer.ports.iter().flat_map(|(_, port)| port.all()).collect();
        for at in flights {
            let Some(flight) = self.flights.get(at).filter(|flight| flight.counted) else {
                continue;
            };
            let (slot, due) = (flight.job, flight.sent + patience);
            let job = self.jobs.get(slot);
            if job.is_some_and(|job| job.flights.last() == Some(&at)) {
                self.set_timer(slot, due);
            }
        }
    }

    /// Lets a lookup ask its next server as soon as there is room.
    pub(super) fn queue(&mut self, slot: u32, now: Instant) {
        if let Some(job) = self.jobs.get(slot) {
            self.stirred = true;
            self.again.push_back((slot, job.serial));
            let deadline = job.deadline;
            self.set_timer(slot, deadline.max(now));
        }
    }

    /// Sends queries as far as windows and paces allow. Returns when the next
    /// one may go that only its pace holds back.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Instant> {
        let mut paced: Option<Instant> = None;
        self.stirred = false;
        for _ in 0..self.again.len() {
            let Some(key) = self.again.pop_front() else {
                break;
            };
            match self.place(key, now) {
                Place::Gone => {}
                Place::At(upstream) => self.transmit(key.0, upstream, now),
                Place::Later(at) => {
                    paced = earliest(paced, at);
                    self.again.push_back(key);
                }
            }
        }
        let room: usize = self.upstreams.iter().map(Upstream::room).sum();
        let windows: usize = self.upstreams.iter().map(|u| u.window.size()).sum();
        // Over a connection every answer makes room for a query at once: the
        // acknowledgement goes with it. A server that has sent a small segment
        // holds back the next one until then (RFC 896), and without a query the
        // system acknowledges 40 ms later.
        let datagrams = |u: &Upstream| !u.is_connected() && !u.is_brief();
        let worthwhile = if self.upstreams.iter().all(datagrams) {
            WORTHWHILE.min(windows / 4)
        } else {
            0
        };
        if room < worthwhile && room < self.fresh.len() {
            return paced;
        }
        while let Some(&key) = self.fresh.front() {
            match self.place(key, now) {
                Place::Gone => {}
                Place::At(upstream) => {
                    // Each lookup's time is its own, not that of its batch.
                    let now = Instant::now();
                    if let Some(job) = self.jobs.get_mut(key.0) {
                        job.started = Some(now);
                        job.deadline = now + self.settings.timeout;
                    }
                    self.transmit(key.0, upstream, now);
                }
                Place::Later(at) => return earliest(paced, at),
            }
            self.fresh.pop_front();
        }
        paced
    }

    /// The server a lookup is to ask now.
    fn place(&self, (slot, serial): Key, now: Instant) -> Place {
        let Some(job) = self.jobs.get(slot).filter(|job| job.serial == serial) else {
            return Place::Gone;
        };
        let count = if job.only.is_some() {
            1
        } else {
            self.upstreams.len()
        };
        let order = (job.turn..job.turn + count).map(|k| match job.only {
            Some(only) => only,
            None => (job.first + k) % count,
        });
        let mut later = None;
        for index in order.filter(|i| job.failed & 1 << i == 0) {
            let upstream = &self.upstreams[index];
            let wait = upstream.pace.as_ref().and_then(|pace| pace.wait(now));
            if upstream.room() > 0 && wait.is_none() {
                return Place::At(index);
            }
            later = earliest(later, wait);
            // A first query may go to whichever server has room; a further
            // one is for the server whose turn it is.
            if job.tries > 0 {
                break;
            }
        }
        Place::Later(later)
    }

    /// Sends a query.
    pub(super) fn transmit(&mut self, slot: u32, index: usize, now: Instant) {
        let sent = self.try_transmit(slot, index, now);
        if let Err(fault) = sent {
            self.fail(slot, index, fault, None, now);
        }
    }

    fn try_transmit(&mut self, slot: u32, index: usize, now: Instant) -> Result<(), Fault> {
        let bulk = self.settings.bulk;
        let Some(job) = self.jobs.get_mut(slot) else {
            return Ok(());
        };
        let peer = &self.upstreams[index];
        let label = Arc::clone(&peer.server.label);
        let of_io = |e: io::Error| failure::of_io(&e, &label);
        let needed = peer.needs_edns(&self.settings);
        let mut edns = needed || !peer.plain && job.plain & 1 << index == 0;
        let recurse = self.settings.recurse;
        let alive = job.left(self.upstreams.len()).max(1) as u32;
        // Servers not yet asked keep their share of the time.
        let time = job.deadline.saturating_duration_since(now);
        let share = now + time / alive;
        let flights = job.flights.iter().filter_map(|f| self.flights.get(*f));
        let seen = flights.fold(job.failed | 1 << index, |seen, f| seen | 1 << f.upstream);
        let unseen = match job.only {
            Some(_) => 0,
            None => self.upstreams.len() as u32 - seen.count_ones(),
        };
        self.serial = self.serial.wrapping_add(1);
        let flight = self.flights.insert(Flight {
            job: slot,
            upstream: index,
            via: Via::Https,
            id: 0,
            serial: self.serial,
            sent: now,
            counted: true,
            edns,
        });
        // From here on a failure takes the flight with it.
        job.flights.push(flight);
        let count = self.upstreams.len();
        job.turn = (index + count - job.first) % count;
        let peer = &mut self.upstreams[index];
        peer.counted += 1;
        if let Some(pace) = &mut peer.pace {
            pace.sent(now);
        }
        job.tries += 1;
        job.round += 1;
        self.figures.queries += 1;
        self.figures.repeated += u64::from(job.round > 1);
        let encrypted = peer.server.wants_tls();
        let padded = encrypted.then(|| {
            let before = HEADER + job.question.bytes().len();
            self.settings.edns.record(None, Some(before))
        });
        let mut timer = share;
        let (via, id) = if let Way::Https { .. } = peer.server.way {
            let mut message = Vec::with_capacity(128);
            // Always the same id, so that answers can be cached (RFC 8484).
            let opt = padded.as_deref().filter(|_| edns);
            compose(&mut message, 0, recurse, &job.question, opt);
            let (token, busy) = (token(flight, self.serial), peer.counted - 1);
            let https = peer.https(&self.settings).map_err(of_io)?;
            https.send(token, message, share, busy).map_err(of_io)?;
            (Via::Https, 0)
        } else if self.settings.tcp
            || job.stream & 1 << index != 0
            || peer.is_connected()
            || !matches!(peer.server.way, Way::Udp(_))
        {
            let opt = match padded {
                Some(padded) => padded,
                None => peer.opt.clone(),
            };
            let opt = edns.then_some(opt);
            let number = peer.pick_stream().map_err(of_io)?;
            let stream = peer.streams[number].as_mut();
            let stream = stream.ok_or_else(|| of_io(io::ErrorKind::NotConnected.into()))?;
            let question = &job.question;
            let id = stream
                .send(&mut self.ids, flight, |id, out| {
                    compose(out, id, recurse, question, opt.as_deref());
                })
                .map_err(|e| failure::local(&e))?;
            if alive == 1 {
                timer = now + peer.patience_stream(&self.settings);
            }
            (Via::Stream(number), id)
        } else {
            let number = peer.pick(bulk, &mut self.ids, now).map_err(of_io)?;
            let port = peer.ports.get_mut(number);
            let port = port.ok_or_else(|| of_io(io::ErrorKind::NotConnected.into()))?;
            let id = port
                .assign(&mut self.ids, flight)
                .map_err(|e| failure::local(&e))?;
            let last;
            (timer, last) = wait(&self.settings, peer, job, (alive, unseen), now);
            // A middlebox may drop what carries EDNS: the last query goes
            // without, if nothing shows that EDNS comes through.
            edns &= needed || !last || peer.speaks_edns;
            let port = peer.ports.get_mut(number);
            let port = port.ok_or_else(|| of_io(io::ErrorKind::NotConnected.into()))?;
            let opt = edns.then_some(peer.opt.as_slice());
            port.add(flight, |out| compose(out, id, recurse, &job.question, opt));
            (Via::Port(number), id)
        };
        if let Some(flight) = self.flights.get_mut(flight) {
            (flight.via, flight.id, flight.edns) = (via, id, edns);
        }
        self.set_timer(slot, timer);
        Ok(())
    }

    /// Hands everything composed to the system.
    pub(super) fn flush(&mut self, now: Instant) {
        for index in 0..self.upstreams.len() {
            for number in self.upstreams[index].ports.numbers() {
                let port = self.upstreams[index].ports.get(number);
                if port.is_some_and(super::udp::Port::pending) {
                    self.upstreams[index].ports.turn();
                }
                while let Some(port) = self.upstreams[index].ports.get_mut(number)
                    && let Some((_, error)) = port.flush()
                {
                    self.port_failed(index, number, &error, now);
                }
            }
            for number in 0..self.upstreams[index].streams.len() {
                if let Some(stream) = &self.upstreams[index].streams[number]
                    && stream.wants_write()
                {
                    self.drive(index, number, now);
                }
            }
        }
    }
}

/// Until when a lookup waits for the answer to the query that it sends over UDP,
/// and whether that is its last one to this server, though not its first. Of the
/// servers, `alive` can still be asked, of which `unseen` have not been.
fn wait(
    settings: &Settings,
    peer: &Upstream,
    job: &Job,
    (alive, unseen): (u32, u32),
    now: Instant,
) -> (Instant, bool) {
    let rounds = (job.round - 1) / alive;
    let patience = peer.patience(settings, rounds);
    let mut timer = now + patience;
    if unseen > 0 {
        let time = job.deadline.saturating_duration_since(now);
        timer = timer.min(now + time / (unseen + 1));
    }
    let last = match settings.attempts {
        Some(attempts) => job.round + alive > attempts * alive,
        None => now + patience * alive >= job.deadline,
    };
    (timer, last && rounds > 0)
}

/// Where a lookup can go.
enum Place {
    /// It has ended.
    Gone,
    At(usize),
    /// There is no room, or none before this moment.
    Later(Option<Instant>),
}

/// A flight as one number, for those who answer from another thread.
fn token(flight: u32, serial: u32) -> u64 {
    u64::from(flight) << 32 | u64::from(serial)
}

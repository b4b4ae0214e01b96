//! The direct path: any number of lookups at once, one loop, one thread.
//!
//! A lookup is a [`job::Job`]. It asks its servers in order, the next one
//! when the current one has failed or been silent for longer than its round
//! trips explain, and begins again when all were silent, all under one
//! deadline. Every query keeps its id until the lookup ends, so a late answer
//! counts. How many queries a server gets at once is [`flow`]'s business, how
//! they get there that of [`udp`], [`stream`] and [`https`].
//!
//! The caller submits lookups while [`Engine::wants`] more, and calls
//! [`Engine::turn`] until all are done. One lookup from the command line takes
//! the same way as a million from a file.

mod answering;
pub(crate) mod failure;
mod flow;
mod https;
mod job;
mod stream;
mod sys;
mod udp;
mod upstream;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Error, Result};
use domain::base::iana::Rtype;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConfig;

use self::failure::Fault;
pub(crate) use self::job::Slab;
use self::job::{Flight, Job, Via};
use self::sys::Inbox;
use self::udp::Ids;
use self::upstream::Upstream;
use crate::answer::Status;
use crate::drive::Backend;
use crate::lookup::{Asked, Lookup};
use crate::server::{Protocol, Server, Way};
use crate::tls::Trust;
use crate::wire::edns::Wish;
use crate::wire::query::{HEADER, compose};
use crate::wire::{OwnedName, Question};

/// Lookups that may wait to be sent, and lookups under way in all.
const WAITING: usize = 256;
const UNDER_WAY: usize = 10_000;

/// Servers fit into a mask.
pub(crate) const SERVERS_MAX: usize = 64;

/// A free place in the window is not filled before there are as many, so
/// that queries go out by the batch.
const WORTHWHILE: usize = 16;

/// How to ask.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<Server>,
    /// For one lookup over all tries and servers.
    pub(crate) timeout: Duration,
    /// How long a server may be silent before its round trips are known.
    pub(crate) patience: Duration,
    /// How often each server is asked, if not until the timeout.
    pub(crate) attempts: Option<u32>,
    /// Begin with another server each time.
    pub(crate) rotate: bool,
    pub(crate) edns: Wish,
    pub(crate) recurse: bool,
    pub(crate) tcp: bool,
    /// Queries a second to each server.
    pub(crate) rate: Option<u32>,
    /// Many lookups are to come.
    pub(crate) bulk: bool,
    /// Keep the owners of records and whole messages, to be shown.
    pub(crate) owners: bool,
    pub(crate) messages: bool,
    /// A referral is an answer, not a reason to ask the next server.
    pub(crate) referrals: bool,
    /// For servers that want TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) trust: Option<Trust>,
}

/// A lookup to be made.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Comes back with the outcome.
    pub(crate) ticket: u64,
    pub(crate) name: OwnedName,
    pub(crate) rtype: Rtype,
    /// Further names if this one has no answer, last first.
    pub(crate) more: Vec<OwnedName>,
    /// The number of the one server to ask.
    pub(crate) only: Option<usize>,
}

/// Figures for `-v`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) queries: u64,
    pub(crate) repeated: u64,
    /// Packets that were no answer to anything asked.
    pub(crate) ignored: u64,
}

/// A job's place and its serial number there.
type Key = (u32, u32);

/// All lookups under way.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    upstreams: Vec<Upstream>,
    jobs: Slab<Job>,
    flights: Slab<Flight>,
    serial: u32,
    /// When, whose, and the number of the job's timer.
    timers: BinaryHeap<Reverse<(Instant, Key, u32)>>,
    /// Lookups that want to ask again, and those that have not asked yet.
    again: VecDeque<Key>,
    fresh: VecDeque<Key>,
    done: Vec<(u64, Lookup)>,
    ids: Ids,
    inbox: Option<Inbox>,
    figures: Figures,
    /// Whether the last turn received anything over UDP.
    busy: bool,
}

impl Engine {
    /// An engine without lookups; sockets are opened when they are needed.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let mut ids = Ids::new();
        let upstreams: io::Result<Vec<Upstream>> = settings
            .servers
            .iter()
            .map(|server| Upstream::new(server.clone(), &settings, &mut ids))
            .collect();
        Ok(Self {
            upstreams: upstreams.map_err(|e| Error::local(&e))?,
            settings,
            jobs: Slab::new(),
            flights: Slab::new(),
            serial: 0,
            timers: BinaryHeap::new(),
            again: VecDeque::new(),
            fresh: VecDeque::new(),
            done: Vec::new(),
            ids,
            inbox: None,
            figures: Figures::default(),
            busy: false,
        })
    }

    /// The figures so far.
    pub(crate) fn figures(&self) -> Figures {
        self.figures
    }

    /// Whether more lookups should be submitted before the next turn.
    pub(crate) fn wants(&self) -> bool {
        self.fresh.len() < WAITING && self.jobs.len() < UNDER_WAY
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.len() == 0 && self.done.is_empty()
    }

    /// What has come to its end.
    pub(crate) fn done(&mut self) -> Vec<(u64, Lookup)> {
        std::mem::take(&mut self.done)
    }

    /// Makes one lookup under way; its time begins when it is first sent.
    pub(crate) fn submit(&mut self, ask: Ask) {
        self.serial = self.serial.wrapping_add(1);
        let servers = self.upstreams.len();
        let first = match ask.only {
            Some(only) => only,
            None if self.settings.rotate => self.serial as usize % servers,
            None => 0,
        };
        let slot = self.jobs.insert(Job {
            serial: self.serial,
            ticket: ask.ticket,
            question: Question::new(ask.name, ask.rtype),
            more: ask.more,
            only: ask.only,
            first,
            turn: 0,
            started: None,
            deadline: Instant::now(),
            timer: 0,
            tries: 0,
            round: 0,
            failed: 0,
            plain: 0,
            stream: 0,
            cookie: 0,
            reconnects: 0,
            fault: None,
            fallback: None,
            message: None,
            exists: false,
            searched: false,
            flights: Vec::new(),
        });
        self.fresh.push_back((slot, self.serial));
    }

    /// Makes all lookups and waits for them.
    pub(crate) fn ask(&mut self, asks: Vec<Ask>) -> Result<Vec<(u64, Lookup)>> {
        let mut done = Vec::with_capacity(asks.len());
        for ask in asks {
            self.submit(ask);
        }
        while !self.is_idle() {
            self.turn(None, &mut || Ok(()))?;
            done.append(&mut self.done);
        }
        Ok(done)
    }

    /// Sends what may be sent, then waits for answers, a timer or `extra`,
    /// calling `idle` before it waits. Says whether `extra` was ready.
    pub(crate) fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        let now = Instant::now();
        self.fire(now);
        let paced = self.admit(now);
        self.flush(now);
        if !self.done.is_empty() {
            return Ok(false);
        }
        if self.busy {
            // More has probably come meanwhile; asking first would cost a
            // call.
            self.busy = self.receive_all(Instant::now());
            if self.busy {
                return Ok(false);
            }
        }
        idle()?;
        self.wait(now, paced, extra)
    }

    /// Runs the timers that are due.
    fn fire(&mut self, now: Instant) {
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

    fn set_timer(&mut self, slot: u32, at: Instant) {
        if let Some(job) = self.jobs.get_mut(slot) {
            job.timer = job.timer.wrapping_add(1);
            let at = at.min(job.deadline);
            self.timers
                .push(Reverse((at, (slot, job.serial), job.timer)));
        }
    }

    /// A lookup's server has been silent for too long, or its time is over.
    fn overdue(&mut self, slot: u32, now: Instant) {
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
        let (upstream, via, sent) = (flight.upstream, flight.via, flight.sent);
        if std::mem::take(&mut flight.counted) {
            let upstream = &mut self.upstreams[upstream];
            upstream.counted = upstream.counted.saturating_sub(1);
            upstream.window.lost(now);
        }
        if !matches!(via, Via::Port(_)) {
            let peer = &self.upstreams[upstream];
            let fault = failure::timeout(&peer.server.label);
            let deaf = peer
                .stream
                .as_ref()
                .is_some_and(|s| s.heard.is_none_or(|heard| heard < sent));
            self.fail(slot, upstream, fault, None, now);
            if deaf && via == Via::Stream {
                self.close(upstream, &io::ErrorKind::TimedOut.into(), now);
            }
            return;
        }
        let Some(job) = self.jobs.get_mut(slot) else {
            return;
        };
        let alive = self.upstreams.len() as u32 - job.failed.count_ones();
        let enough = self.settings.attempts.map(|n| n * alive);
        if enough.is_some_and(|enough| job.round >= enough) {
            return self.give_up(slot, now);
        }
        job.turn += 1;
        self.queue(slot, now);
    }

    /// Lets a lookup ask its next server as soon as there is room.
    fn queue(&mut self, slot: u32, now: Instant) {
        if let Some(job) = self.jobs.get(slot) {
            self.again.push_back((slot, job.serial));
            let deadline = job.deadline;
            self.set_timer(slot, deadline.max(now));
        }
    }

    /// Sends queries as far as windows and paces allow. Returns when the next
    /// one may go that only its pace holds back.
    fn admit(&mut self, now: Instant) -> Option<Instant> {
        let mut paced: Option<Instant> = None;
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
        let worthwhile = WORTHWHILE.min(windows / 4);
        if room < worthwhile && room < self.fresh.len() {
            return paced;
        }
        while let Some(&key) = self.fresh.front() {
            match self.place(key, now) {
                Place::Gone => {}
                Place::At(upstream) => {
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
    fn transmit(&mut self, slot: u32, index: usize, now: Instant) {
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
        let peer = &mut self.upstreams[index];
        let label = Arc::clone(&peer.server.label);
        let of_io = |e: io::Error| failure::of_io(&e, &label);
        let edns = !peer.plain && job.plain & 1 << index == 0;
        let recurse = self.settings.recurse;
        let alive = self.upstreams.len() as u32 - job.failed.count_ones();
        let alive = if job.only.is_some() { 1 } else { alive.max(1) };
        // Servers not yet asked keep their share of the time.
        let share = now + job.deadline.saturating_duration_since(now) / alive;
        self.serial = self.serial.wrapping_add(1);
        let flight = self.flights.insert(Flight {
            job: slot,
            upstream: index,
            via: Via::Https,
            id: 0,
            serial: self.serial,
            sent: now,
            counted: true,
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
        let encrypted = matches!(peer.server.way, Way::Tls { .. } | Way::Https { .. });
        let padded = encrypted.then(|| {
            let before = HEADER + job.question.bytes().len();
            self.settings.edns.record(None, Some(before))
        });
        let mut timer = share;
        let (via, id) = if let Way::Https { .. } = peer.server.way {
            let mut message = Vec::with_capacity(128);
            // Always the same id, so that answers can be cached (RFC 8484).
            compose(&mut message, 0, recurse, &job.question, padded.as_deref());
            let (token, busy) = (token(flight, self.serial), peer.counted - 1);
            let https = peer.https(&self.settings).map_err(of_io)?;
            https.send(token, message, share, busy).map_err(of_io)?;
            (Via::Https, 0)
        } else if self.settings.tcp
            || job.stream & 1 << index != 0
            || !matches!(peer.server.way, Way::Udp(_))
        {
            let opt = match padded {
                Some(padded) => padded,
                None => peer.opt.clone(),
            };
            let opt = edns.then_some(opt);
            let stream = peer.stream().map_err(of_io)?;
            let question = &job.question;
            let id = stream
                .send(&mut self.ids, flight, |id, out| {
                    compose(out, id, recurse, question, opt.as_deref());
                })
                .map_err(|e| failure::local(&e))?;
            (Via::Stream, id)
        } else {
            let number = peer.pick(bulk).map_err(of_io)?;
            let port = &mut peer.ports[number];
            let id = port
                .assign(&mut self.ids, flight)
                .map_err(|e| failure::local(&e))?;
            let opt = edns.then_some(peer.opt.as_slice());
            port.add(flight, |out| compose(out, id, recurse, &job.question, opt));
            let rounds = ((job.round - 1) / alive).min(6);
            timer = now + peer.patience(self.settings.patience) * (1 << rounds);
            (Via::Port(number), id)
        };
        if let Some(flight) = self.flights.get_mut(flight) {
            (flight.via, flight.id) = (via, id);
        }
        self.set_timer(slot, timer);
        Ok(())
    }

    /// Hands everything composed to the system.
    fn flush(&mut self, now: Instant) {
        for index in 0..self.upstreams.len() {
            for number in 0..self.upstreams[index].ports.len() {
                if self.upstreams[index].ports[number].pending() {
                    self.upstreams[index].turn_port();
                }
                while let Some((_, error)) = self.upstreams[index].ports[number].flush() {
                    self.port_failed(index, number, &error, now);
                }
            }
            if let Some(stream) = &self.upstreams[index].stream
                && stream.wants_write()
            {
                self.drive(index, now);
            }
        }
    }

    /// Waits for sockets, timers and `extra`, and reads what came.
    fn wait(
        &mut self,
        now: Instant,
        paced: Option<Instant>,
        extra: Option<BorrowedFd<'_>>,
    ) -> Result<bool> {
        let timer = self.timers.peek().map(|Reverse((at, _, _))| *at);
        let until = earliest(timer, paced);
        let timeout = until.map(|at| at.saturating_duration_since(now));
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let mut which = Vec::new();
        let mut fds = Vec::new();
        for (index, upstream) in self.upstreams.iter().enumerate() {
            for (number, port) in upstream.ports.iter().enumerate() {
                if port.in_use > 0 {
                    which.push((index, Via::Port(number)));
                    fds.push(PollFd::new(&port.socket, interest(port.pending())));
                }
            }
            if let Some(stream) = &upstream.stream {
                which.push((index, Via::Stream));
                fds.push(PollFd::new(stream, interest(stream.wants_write())));
            }
            if let Some(https) = upstream.https.as_ref().filter(|_| upstream.counted > 0) {
                which.push((index, Via::Https));
                fds.push(PollFd::new(https, PollFlags::IN));
            }
        }
        if let Some(extra) = &extra {
            fds.push(PollFd::new(extra, PollFlags::IN));
        }
        if fds.is_empty() && timeout.is_none() {
            return Ok(false);
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::local(&e.into())),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let extra = extra.is_some() && ready.last() == Some(&true);
        let now = Instant::now();
        for ((index, via), _) in which.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            match via {
                Via::Port(number) => self.busy |= self.receive(index, number, now),
                Via::Stream => self.drive(index, now),
                Via::Https => self.collect(index, now),
            }
        }
        Ok(extra)
    }
}

impl Backend for Engine {
    type Question = Ask;

    fn wants(&self) -> bool {
        self.wants()
    }

    fn submit(&mut self, ticket: u64, ask: Ask) {
        self.submit(Ask { ticket, ..ask });
    }

    fn is_idle(&self) -> bool {
        self.is_idle()
    }

    fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.turn(extra, idle).map(drop)
    }

    fn done(&mut self) -> Vec<(u64, Lookup)> {
        self.done()
    }
}

/// Where a lookup can go.
enum Place {
    /// It has ended.
    Gone,
    At(usize),
    /// There is no room, or none before this moment.
    Later(Option<Instant>),
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn interest(write: bool) -> PollFlags {
    if write {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    }
}

/// A flight as one number, for those who answer from another thread.
fn token(flight: u32, serial: u32) -> u64 {
    u64::from(flight) << 32 | u64::from(serial)
}

/// One unpredictable number.
pub(crate) fn random_id() -> io::Result<u16> {
    Ids::new().draw()
}

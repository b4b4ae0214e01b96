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

mod absence;
mod answering;
mod connections;
pub(crate) mod failure;
mod flow;
pub(crate) mod frames;
#[cfg_attr(not(feature = "tls"), path = "no_https.rs")]
mod https;
mod job;
mod ports;
mod sending;
mod stream;
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

pub(crate) use self::job::Slab;
use self::job::{Flight, Job, Via};
use self::udp::Ids;
use self::upstream::Upstream;
use crate::answer::Status;
use crate::drive::Backend;
use crate::lookup::{Asked, Lookup};
use crate::server::{Protocol, Server, Way};
use crate::sys::Inbox;
use crate::tls::{self, Trust};
use crate::wire::edns::Wish;
use crate::wire::{OwnedName, Question};

/// Lookups that may wait to be sent, and lookups under way in all.
const WAITING: usize = 256;
const UNDER_WAY: usize = 10_000;

/// Servers fit into a mask.
pub(crate) const SERVERS_MAX: usize = 64;

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
    /// Keep the owners of records, whole messages, and what each server said
    /// that failed, to be shown.
    pub(crate) owners: bool,
    pub(crate) messages: bool,
    pub(crate) faults: bool,
    /// A referral is an answer, not a reason to ask the next server.
    pub(crate) referrals: bool,
    /// For servers that want TLS.
    pub(crate) tls: Option<Arc<tls::Config>>,
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
    /// Whether anything happened since [`Engine::admit`] that may let another
    /// query go, so that waiting would be wrong.
    stirred: bool,
    /// Lookups submitted, counted from anywhere: which server begins.
    turns: usize,
    /// When [`Engine::turn`] returned.
    left: Option<Instant>,
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
        // One name a process, and still not always the same server.
        let turns = ids.draw().map_err(|e| Error::local(&e))?.into();
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
            stirred: false,
            turns,
            left: None,
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
        self.turns = self.turns.wrapping_add(1);
        let servers = self.upstreams.len();
        let first = match ask.only {
            Some(only) => only,
            None if self.settings.rotate => self.turns % servers,
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
            truncated: 0,
            cookie: 0,
            unproven: 0,
            reconnects: 0,
            barren: 0,
            fault: None,
            fallback: None,
            message: None,
            told: Vec::new(),
            nodata: None,
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
            self.turn(None, None, &mut || Ok(()))?;
            done.append(&mut self.done);
        }
        Ok(done)
    }

    /// Sends what may be sent, then waits for answers, a timer, `extra` or
    /// `until`, calling `idle` before it waits. Says whether `extra` was ready.
    pub(crate) fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        let now = Instant::now();
        self.make_up(self.left, now);
        let extra = self.advance(now, extra, until, idle);
        self.left = Some(Instant::now());
        extra
    }

    /// [`Engine::turn`] from `now` on.
    fn advance(
        &mut self,
        now: Instant,
        extra: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        self.fire(now);
        let paced = self.admit(now);
        self.flush(now);
        if !self.done.is_empty() || self.stirred {
            return Ok(false);
        }
        if self.busy {
            // More has probably come meanwhile; asking first would cost a
            // call.
            self.busy = self.receive_all(Instant::now());
            if self.busy || !self.done.is_empty() || self.stirred {
                return Ok(false);
            }
        }
        let before = Instant::now();
        idle()?;
        let after = Instant::now();
        self.make_up(Some(before), after);
        self.wait(after, earliest(paced, until), extra)
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
            for (number, port) in upstream.ports.iter() {
                if port.in_use > 0 {
                    which.push((index, Via::Port(number)));
                    fds.push(PollFd::new(&port.socket, interest(port.pending())));
                }
            }
            for (number, stream) in upstream.streams.iter().enumerate() {
                if let Some(stream) = stream {
                    which.push((index, Via::Stream(number)));
                    fds.push(PollFd::new(stream, interest(stream.wants_write())));
                }
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
                Via::Stream(number) => self.drive(index, number, now),
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
        until: Option<Instant>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.turn(extra, until, idle).map(drop)
    }

    fn done(&mut self) -> Vec<(u64, Lookup)> {
        self.done()
    }
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

/// One unpredictable number.
pub(crate) fn random_id() -> io::Result<u16> {
    Ids::new().draw()
}

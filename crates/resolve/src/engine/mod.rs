//! Queries DNS servers directly, for any number of lookups at a time, in one loop on one
//! thread.
//!
//! A lookup is a [`PendingLookup`]. It asks its servers in order: the next one
//! when a server has failed or its retransmission timeout has expired, and the
//! first one again after the last, until the lookup's deadline. Every query keeps
//! its ID until the lookup ends, so that late answers count. [`window`], [`rtt`]
//! and [`limiter`] decide how many queries a server gets and when they are repeated;
//! [`udp`], [`stream`] and [`https`] transport them.
//!
//! The caller submits lookups while [`Engine::has_room`] and calls
//! [`Engine::turn`] until all have finished. A single lookup of the command line
//! takes the same path as a list of a million names.

pub(crate) mod failure;
pub(crate) mod frames;
#[cfg_attr(not(feature = "tls"), path = "no_https.rs")]
mod https;
mod limiter;
mod pause;
mod pending;
mod receive;
mod reconnect;
mod rtt;
mod send;
mod socket_pool;
mod stream;
mod udp;
mod upstream;
mod window;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Error, Result};
use domain::base::iana::Rtype;
use net::poll::{self, PollFd, PollFlags};
use net::sys::RecvBatch;

use self::pending::{InFlightQuery, PendingLookup, SentVia};
use self::udp::QueryIds;
use self::upstream::Upstream;
use crate::backend::Backend;
use crate::lookup::Lookup;
use crate::server::Server;
use crate::slab::Slab;
use crate::tls::{self, Trust};
use crate::wire::edns::EdnsOptions;
use crate::wire::{OwnedName, Question};

/// The maximum number of lookups that wait for their first query.
const MAX_WAITING: usize = 256;

/// The maximum number of pending lookups.
const MAX_PENDING: usize = 10_000;

/// The maximum number of servers; each is a bit of a mask.
pub(crate) const SERVERS_MAX: usize = 64;

/// The options of all lookups of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<Server>,
    /// The time for one lookup, across retries and servers.
    pub(crate) timeout: Duration,
    /// The retransmission timeout until round-trip times are known.
    pub(crate) initial_timeout: Duration,
    /// The number of queries to each server; `None` to ask until `timeout`.
    pub(crate) attempts: Option<u32>,
    /// Whether each lookup starts with the next server.
    pub(crate) rotate: bool,
    pub(crate) edns: EdnsOptions,
    pub(crate) recurse: bool,
    pub(crate) tcp: bool,
    /// Queries per second to each server.
    pub(crate) rate: Option<u32>,
    /// Whether many lookups are expected.
    pub(crate) is_bulk: bool,
    /// Whether to keep the owners of records.
    pub(crate) keep_owners: bool,
    /// Whether to keep whole messages.
    pub(crate) keep_messages: bool,
    /// Whether to keep the failures of all servers.
    pub(crate) keep_failures: bool,
    /// Whether a referral is an answer and not a reason to ask the next server.
    pub(crate) accept_referrals: bool,
    /// The TLS configuration, if a server needs one.
    pub(crate) tls: Option<Arc<tls::Config>>,
    /// The trusted certificate authorities, if a server needs them.
    pub(crate) trust: Option<Trust>,
}

/// A lookup to be submitted.
#[derive(Debug)]
pub(crate) struct LookupRequest {
    /// Identifies the result of the lookup.
    pub(crate) token: u64,
    pub(crate) name: OwnedName,
    pub(crate) rtype: Rtype,
    /// The names to try if this one has no answer, in reverse order.
    pub(crate) candidates: Vec<OwnedName>,
    /// The index of the only server to ask, or `None` to ask all.
    pub(crate) only_server: Option<usize>,
}

/// Counters for the summary that `-v` prints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) queries: u64,
    /// Queries that followed another one for the same name and type.
    pub(crate) repeated: u64,
    /// Packets that did not answer a query.
    pub(crate) ignored: u64,
}

/// The slab key and the serial number of a lookup.
type LookupId = (u32, u32);

/// The engine with its servers and all pending lookups.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    upstreams: Vec<Upstream>,
    lookups: Slab<PendingLookup>,
    queries: Slab<InFlightQuery>,
    /// The last serial number of a lookup or query.
    serial: u32,
    /// The time, the lookup, and the serial number of each timer.
    timers: BinaryHeap<Reverse<(Instant, LookupId, u32)>>,
    /// Lookups that wait to send a further query.
    retry_queue: VecDeque<LookupId>,
    /// Lookups that wait to send their first query.
    new_queue: VecDeque<LookupId>,
    finished: Vec<(u64, Lookup)>,
    ids: QueryIds,
    recv_batch: Option<RecvBatch>,
    stats: Stats,
    /// Whether the last turn received anything over UDP.
    received_udp: bool,
    /// Whether something has happened since [`Engine::admit`] that may allow
    /// another query, so that the engine must not wait.
    needs_admit: bool,
    /// A counter of lookups, with a random start, which selects the first server.
    rotation: usize,
    /// When [`Engine::turn`] last returned.
    paused_at: Option<Instant>,
}

impl Engine {
    /// Creates an engine without lookups; sockets are opened when needed.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let mut ids = QueryIds::new();
        let upstreams: io::Result<Vec<Upstream>> = settings
            .servers
            .iter()
            .map(|server| Upstream::new(server.clone(), &settings, &mut ids))
            .collect();
        // Processes that look up a single name must not all start with the same
        // server.
        let rotation = ids.draw().map_err(|e| Error::local(&e))?.into();
        Ok(Self {
            upstreams: upstreams.map_err(|e| Error::local(&e))?,
            settings,
            lookups: Slab::new(),
            queries: Slab::new(),
            serial: 0,
            timers: BinaryHeap::new(),
            retry_queue: VecDeque::new(),
            new_queue: VecDeque::new(),
            finished: Vec::new(),
            ids,
            recv_batch: None,
            stats: Stats::default(),
            received_udp: false,
            needs_admit: false,
            rotation,
            paused_at: None,
        })
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats
    }

    /// Returns whether more lookups should be submitted before the next turn.
    pub(crate) fn has_room(&self) -> bool {
        self.new_queue.len() < MAX_WAITING && self.lookups.len() < MAX_PENDING
    }

    /// Returns whether no lookup is pending and no result waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.lookups.len() == 0 && self.finished.is_empty()
    }

    /// Takes the results of finished lookups.
    pub(crate) fn take_finished(&mut self) -> Vec<(u64, Lookup)> {
        std::mem::take(&mut self.finished)
    }

    /// Submits a lookup. Its time starts when its first query is sent.
    pub(crate) fn submit(&mut self, request: LookupRequest) {
        self.serial = self.serial.wrapping_add(1);
        self.rotation = self.rotation.wrapping_add(1);
        let servers = self.upstreams.len();
        let first_server = match request.only_server {
            Some(only) => only,
            None if self.settings.rotate => self.rotation % servers,
            None => 0,
        };
        let slot = self.lookups.insert(PendingLookup {
            serial: self.serial,
            token: request.token,
            question: Question::new(request.name, request.rtype),
            candidates: request.candidates,
            only_server: request.only_server,
            first_server,
            next_server: 0,
            started: None,
            deadline: Instant::now(),
            timer_serial: 0,
            tries: 0,
            attempts: 0,
            failed: 0,
            no_edns: 0,
            force_tcp: 0,
            truncated: 0,
            cookie_refused: 0,
            cookie_missing: 0,
            reconnects: 0,
            empty_closes: 0,
            worst_failure: None,
            worst_reply: None,
            incomplete: None,
            failures: Vec::new(),
            nodata: None,
            queries: Vec::new(),
        });
        self.new_queue.push_back((slot, self.serial));
    }

    /// Submits all lookups and waits for their results.
    pub(crate) fn run(&mut self, requests: Vec<LookupRequest>) -> Result<Vec<(u64, Lookup)>> {
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            self.submit(request);
        }
        while !self.is_idle() {
            self.turn(None, None, &mut || Ok(()))?;
            results.append(&mut self.finished);
        }
        Ok(results)
    }

    /// Sends the queries that may be sent. If nothing else can be done, calls
    /// `before_wait` and waits for answers, a timer, `extra_fd` or `until`.
    pub(crate) fn turn(
        &mut self,
        extra_fd: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        before_wait: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let now = Instant::now();
        self.shift_times(self.paused_at, now);
        let result = self.turn_at(now, extra_fd, until, before_wait);
        self.paused_at = Some(Instant::now());
        result
    }

    /// Implements [`Engine::turn`], starting at `now`.
    fn turn_at(
        &mut self,
        now: Instant,
        extra_fd: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        before_wait: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.run_timers(now);
        let next_send = self.admit(now);
        self.flush(now);
        if !self.finished.is_empty() || self.needs_admit {
            return Ok(());
        }
        if self.received_udp {
            // More has probably arrived; polling first would cost a system call.
            self.received_udp = self.receive_all_udp(Instant::now());
            if self.received_udp || !self.finished.is_empty() || self.needs_admit {
                return Ok(());
            }
        }
        let before = Instant::now();
        before_wait()?;
        let after = Instant::now();
        self.shift_times(Some(before), after);
        self.wait(after, earliest(next_send, until), extra_fd)
    }

    /// Waits for sockets, timers, `until` and `extra_fd`, and reads the answers
    /// that arrived.
    fn wait(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        extra_fd: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let timer = self.timers.peek().map(|Reverse((at, _, _))| *at);
        let until = earliest(timer, until);
        let timeout = until.map(|at| at.saturating_duration_since(now));
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        for (index, upstream) in self.upstreams.iter().enumerate() {
            for (number, socket) in upstream.sockets.iter() {
                if socket.outstanding > 0 {
                    sources.push((index, SentVia::Udp(number)));
                    fds.push(PollFd::new(&socket.socket, interest(socket.has_unsent())));
                }
            }
            for (number, stream) in upstream.streams.iter().enumerate() {
                if let Some(stream) = stream {
                    sources.push((index, SentVia::Stream(number)));
                    fds.push(PollFd::new(stream, interest(stream.wants_write())));
                }
            }
            if let Some(https) = upstream.https.as_ref().filter(|_| upstream.in_window > 0) {
                sources.push((index, SentVia::Https));
                fds.push(PollFd::new(https, PollFlags::IN));
            }
        }
        if let Some(extra_fd) = &extra_fd {
            fds.push(PollFd::new(extra_fd, PollFlags::IN));
        }
        if fds.is_empty() && timeout.is_none() {
            return Ok(());
        }
        poll::wait_once(&mut fds, timeout).map_err(|e| Error::local(&e))?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let now = Instant::now();
        for ((index, via), _) in sources.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            match via {
                SentVia::Udp(number) => {
                    self.received_udp |= self.receive_udp(index, number, now);
                }
                SentVia::Stream(number) => self.drive_stream(index, number, now),
                SentVia::Https => self.receive_https(index, now),
            }
        }
        Ok(())
    }
}

impl Backend for Engine {
    type Question = LookupRequest;

    fn has_room(&self) -> bool {
        self.has_room()
    }

    fn submit(&mut self, token: u64, request: LookupRequest) {
        self.submit(LookupRequest { token, ..request });
    }

    fn is_idle(&self) -> bool {
        self.is_idle()
    }

    fn turn(
        &mut self,
        extra_fd: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        before_wait: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.turn(extra_fd, until, before_wait)
    }

    fn take_finished(&mut self) -> Vec<(u64, Lookup)> {
        self.take_finished()
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn interest(wants_write: bool) -> PollFlags {
    if wants_write {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    }
}

/// Returns an unpredictable number. Fails if the system has no random numbers.
pub(crate) fn random_id() -> io::Result<u16> {
    QueryIds::new().draw()
}

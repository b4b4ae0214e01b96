//! Queries DNS servers directly, for any number of lookups at a time, in one loop on one
//! thread.
//!
//! A lookup is a [`pending`] object. It asks its servers in order: the next one
//! when a server has failed or its retransmission timeout has expired, and the
//! first one again after the last, until the lookup's deadline. Every query keeps
//! its ID until the lookup ends, so that late answers count. A server is an
//! [`upstream`]: [`window`], [`rtt`] and [`limiter`] decide how many queries it gets
//! and when they are repeated; [`socket_pool`], [`connections`] and [`https`] transport
//! them. The [`router`] passes events from servers to lookups and carries out the
//! actions that they return. The loop in this file waits for the sockets.
//!
//! The caller submits lookups while [`Engine::has_room`] and calls
//! [`Engine::turn`] until all have finished. A single lookup of the command line
//! takes the same path as a list of a million names.

mod connections;
pub(crate) mod failure;
pub(crate) mod frames;
#[cfg_attr(not(feature = "tls"), path = "no_https.rs")]
mod https;
mod limiter;
mod lookups;
mod pending;
mod query;
mod router;
mod rtt;
mod server_edns;
mod settings;
mod socket_pool;
mod stream;
mod tcp_preference;
mod udp;
mod upstream;
mod upstreams;
mod window;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use common::{Error, Result};
use net::poll::{self, PollFd, PollFlags};

use self::query::SentVia;
use self::router::{Router, earliest};
pub(crate) use self::settings::{LookupRequest, MAX_SERVERS, Settings, Stats};
use self::udp::QueryIds;
use crate::backend::Backend;
use crate::lookup::Lookup;

/// The maximum number of lookups that wait for their first query.
const MAX_WAITING: usize = 256;

/// The maximum number of pending lookups.
const MAX_PENDING: usize = 10_000;

/// Shorter pauses of the engine are ignored, since moving all timers would cost more.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// The engine with its servers and all pending lookups.
#[derive(Debug)]
pub(crate) struct Engine {
    router: Router,
    /// Whether the last turn received anything over UDP.
    received_udp: bool,
    /// When [`Engine::turn`] last returned.
    paused_at: Option<Instant>,
}

impl Engine {
    /// Creates an engine without lookups; sockets are opened when needed.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            router: Router::new(settings).map_err(|e| Error::local(&e))?,
            received_udp: false,
            paused_at: None,
        })
    }

    pub(crate) fn stats(&self) -> Stats {
        self.router.upstreams.stats
    }

    /// Returns whether more lookups should be submitted before the next turn.
    pub(crate) fn has_room(&self) -> bool {
        let lookups = &self.router.lookups;
        lookups.new_queue.len() < MAX_WAITING && lookups.len() < MAX_PENDING
    }

    /// Returns whether no lookup is pending and no result waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.router.lookups.len() == 0 && self.router.finished.is_empty()
    }

    /// Takes the results of finished lookups.
    pub(crate) fn take_finished(&mut self) -> Vec<(u64, Lookup)> {
        std::mem::take(&mut self.router.finished)
    }

    /// Submits a lookup. Its time starts when its first query is sent.
    pub(crate) fn submit(&mut self, request: LookupRequest) {
        self.router.submit(request);
    }

    /// Submits all lookups and waits for their results.
    pub(crate) fn run(&mut self, requests: Vec<LookupRequest>) -> Result<Vec<(u64, Lookup)>> {
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            self.submit(request);
        }
        while !self.is_idle() {
            self.turn(None, None, &mut || Ok(()))?;
            results.append(&mut self.router.finished);
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
        self.exclude_pause(self.paused_at, now);
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
        self.router.run_timers(now);
        let next_send = self.router.admit(now);
        self.router.flush(now);
        if self.has_work() {
            return Ok(());
        }
        if self.received_udp {
            // More has probably arrived; polling first would cost a system call.
            self.received_udp = self.router.receive_all_udp(Instant::now());
            if self.received_udp || self.has_work() {
                return Ok(());
            }
        }
        let before = Instant::now();
        before_wait()?;
        let after = Instant::now();
        self.exclude_pause(Some(before), after);
        self.wait(after, earliest(next_send, until), extra_fd)
    }

    /// Returns whether the next turn can do something without waiting.
    fn has_work(&self) -> bool {
        !self.router.finished.is_empty() || self.router.needs_admit
    }

    /// Excludes the time since `paused_at`, during which the engine did not run, from
    /// all timeouts.
    fn exclude_pause(&mut self, paused_at: Option<Instant>, now: Instant) {
        let pause = paused_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if pause >= MIN_PAUSE && self.router.lookups.len() > 0 {
            self.router.lookups.shift_times(pause);
        }
    }

    /// Waits for sockets, timers, `until` and `extra_fd`, and reads the answers
    /// that arrived.
    fn wait(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        extra_fd: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let until = earliest(self.router.lookups.next_timer(), until);
        let timeout = until.map(|at| at.saturating_duration_since(now));
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        for (server, upstream) in self.router.upstreams.list.iter().enumerate() {
            for (number, socket) in upstream.sockets.iter() {
                if socket.outstanding > 0 {
                    sources.push((server, SentVia::Udp(number)));
                    fds.push(PollFd::new(&socket.socket, interest(socket.has_unsent())));
                }
            }
            for (number, connection) in upstream.connections.iter() {
                sources.push((server, SentVia::Connection(number)));
                fds.push(PollFd::new(connection, interest(connection.wants_write())));
            }
            if let Some(https) = upstream.https().filter(|_| upstream.is_awaited()) {
                sources.push((server, SentVia::Https));
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
        let router = &mut self.router;
        for ((server, via), _) in sources.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            match via {
                SentVia::Udp(number) => {
                    self.received_udp |= router.receive_udp(server, number, now);
                }
                SentVia::Connection(number) => router.drive_connection(server, number, now),
                SentVia::Https => router.receive_https(server, now),
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

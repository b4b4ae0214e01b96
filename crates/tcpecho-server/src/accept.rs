//! Accepting: how many at once, when not, and what to do when descriptors run
//! out.
//!
//! A listener is asked until it has nothing more, but at most [`BATCH`] times
//! a turn, so that connections get theirs. At the limit of connections it is
//! not asked at all, and further clients wait in the backlog. When the system
//! is out of descriptors or memory accepting pauses for [`PAUSE`], since the
//! listener stays ready and would be reported without end; that is said once,
//! until the backlog has been emptied again.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use common::app::Reporter;
use common::error::io_message;
use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use crate::conn::Shared;
use crate::event::Event;
use crate::listen::Listener;
use crate::peer::Peer;
use crate::readiness::{Interest, Poller, Watched};
use crate::worker::Newcomer;

/// Connections accepted from one listener before others get a turn.
const BATCH: usize = 64;

/// Connections accepted from one listener at the end, at most: as many as may
/// wait there. More would come without end under a flood.
const LAST: usize = 65_536;

/// How long accepting pauses when the system is short of something.
const PAUSE: Duration = Duration::from_millis(50);

/// The listeners and what keeps them from being asked.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listeners: Vec<Watched<Listener>>,
    shared: Arc<Shared>,
    report: Reporter,
    max_open: usize,
    /// How many are still to be accepted, with `--count`.
    left: Option<u64>,
    paused_until: Option<Duration>,
    /// Short of descriptors, and it has been said.
    in_episode: bool,
    /// Interest has been withdrawn because of the limit.
    full: bool,
    /// There were listeners once.
    has_listened: bool,
    /// When somebody last came.
    active: Duration,
}

/// What an acceptor keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections open at once, at most.
    pub(crate) max_open: usize,
    /// Connections accepted in all.
    pub(crate) count: Option<u64>,
}

impl Acceptor {
    /// Watches `listeners` under keys from `first_key` on.
    pub(crate) fn new(
        listeners: Vec<Listener>,
        poller: &Arc<Poller>,
        first_key: usize,
        shared: &Arc<Shared>,
        report: Reporter,
        bounds: Bounds,
    ) -> std::io::Result<Self> {
        let has_listened = !listeners.is_empty();
        let listeners = listeners
            .into_iter()
            .zip(first_key..)
            .map(|(listener, key)| Watched::new(listener, poller, key, Interest::Read))
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self {
            listeners,
            shared: Arc::clone(shared),
            report,
            max_open: bounds.max_open,
            left: bounds.count,
            paused_until: None,
            in_episode: false,
            full: false,
            has_listened,
            active: Duration::ZERO,
        })
    }

    /// Whether nothing will be accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Whether there was anything to accept from.
    pub(crate) fn has_listened(&self) -> bool {
        self.has_listened
    }

    /// When somebody last came.
    pub(crate) fn active(&self) -> Duration {
        self.active
    }

    /// Takes a connection that somebody else accepted.
    pub(crate) fn welcome_inherited(&self, socket: OwnedFd, hand: &mut impl FnMut(Newcomer)) {
        let address = rustix::net::getpeername(&socket).ok().flatten();
        // What a listener of ours gives along; a Unix socket has neither.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        let _ = rustix::net::sockopt::set_socket_oobinline(&socket, true);
        if let Some(newcomer) = self.welcome(None, socket, address) {
            hand(newcomer);
        }
    }

    /// Stops listening.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
        self.paused_until = None;
    }

    /// The listener of this index is ready.
    pub(crate) fn ready(&mut self, index: usize, now: Duration, hand: &mut impl FnMut(Newcomer)) {
        if self.paused_until.is_none() && index < self.listeners.len() {
            self.sweep(index, BATCH, now, hand);
        }
    }

    /// Accepts all that is queued, for the end.
    pub(crate) fn drain(&mut self, now: Duration, hand: &mut impl FnMut(Newcomer)) {
        for index in 0..self.listeners.len() {
            if index < self.listeners.len() {
                self.sweep(index, LAST, now, hand);
            }
        }
        self.close();
    }

    /// Takes up accepting again where the reason for not doing so has gone.
    pub(crate) fn refresh(&mut self, now: Duration) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.set_all(if self.full {
                Interest::Nothing
            } else {
                Interest::Read
            });
        }
        if self.full && self.shared.census.open() < self.max_open {
            self.full = false;
            if self.paused_until.is_none() {
                self.set_all(Interest::Read);
            }
        }
    }

    /// When [`Acceptor::refresh`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.paused_until
    }

    fn sweep(&mut self, index: usize, most: usize, now: Duration, hand: &mut impl FnMut(Newcomer)) {
        for _ in 0..most {
            if self.is_full() {
                self.full = true;
                return self.set_all(Interest::Nothing);
            }
            match accept(self.listeners[index].get()) {
                Ok((socket, address)) => {
                    self.active = now;
                    if let Some(newcomer) = self.welcome(Some(index), socket, address) {
                        hand(newcomer);
                        if self.one_less() {
                            return self.close();
                        }
                    }
                }
                Err(Errno::AGAIN) => {
                    self.in_episode = false;
                    return;
                }
                // This client has gone again, or its network failed before it
                // was accepted (accept(2), "Error handling"); others wait.
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::PERM
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NOPROTOOPT
                    | Errno::OPNOTSUPP,
                ) => {}
                Err(e) => return self.pause(e, now),
            }
        }
    }

    /// Whether the limit is reached. If so, the next departure is announced.
    fn is_full(&self) -> bool {
        let census = &self.shared.census;
        if census.open() < self.max_open {
            return false;
        }
        census.watch();
        census.open() >= self.max_open
    }

    /// Counts it in and tells the log, or turns it away.
    fn welcome(
        &self,
        index: Option<usize>,
        socket: OwnedFd,
        address: Option<SocketAddrAny>,
    ) -> Option<Newcomer> {
        let mut peer = peer_of(address);
        let number = self.shared.census.enter(&peer)?;
        if let Peer::Unnamed(nobody) = &mut peer {
            *nobody = number;
        }
        let log = &self.shared.log;
        if log.is_on() {
            let local = log.tells_local().then(|| self.local_of(index, &socket));
            log.event(&Event::Connected {
                peer: &peer,
                local: local.as_ref(),
            });
        }
        Some(Newcomer {
            socket,
            peer,
            number,
        })
    }

    /// The server's end of a connection.
    fn local_of(&self, index: Option<usize>, socket: &OwnedFd) -> Peer {
        let of_listener = index.map(|index| self.listeners[index].get().address().clone());
        rustix::net::getsockname(socket)
            .ok()
            .and_then(|address| SocketAddr::try_from(address).ok())
            .map(Peer::inet)
            .or(of_listener)
            .unwrap_or(Peer::Unnamed(0))
    }

    /// Counts towards `--count`; true when that was the last.
    fn one_less(&mut self) -> bool {
        match &mut self.left {
            None => false,
            Some(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        }
    }

    fn pause(&mut self, error: Errno, now: Duration) {
        if !self.in_episode {
            self.report.line(format_args!(
                "accepting pauses: {}; connections go on, further clients wait",
                io_message(&error.into())
            ));
        }
        self.in_episode = true;
        self.paused_until = Some(now + PAUSE);
        self.set_all(Interest::Nothing);
    }

    fn set_all(&mut self, interest: Interest) {
        for listener in &mut self.listeners {
            // It is registered, so there is nothing that could fail.
            let _ = listener.set(interest);
        }
    }
}

fn peer_of(address: Option<SocketAddrAny>) -> Peer {
    match address {
        Some(address) => match SocketAddr::try_from(address) {
            Ok(address) => Peer::inet(address),
            // A Unix client hardly ever has a name.
            Err(_) => Peer::Unnamed(0),
        },
        None => Peer::Unnamed(0),
    }
}

/// Accepts one connection, non-blocking and not inherited by children.
#[cfg(not(target_vendor = "apple"))]
fn accept(listener: &impl AsFd) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::acceptfrom_with(listener, flags)
}

/// The same where the flags cannot be given along.
#[cfg(target_vendor = "apple")]
fn accept(listener: &impl AsFd) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    let (socket, address) = rustix::net::acceptfrom(listener)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok((socket, address))
}

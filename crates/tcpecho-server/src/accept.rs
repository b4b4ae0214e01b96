//! Accepts connections, within the limits and as far as the system has
//! descriptors.
//!
//! A ready listener is accepted from until its queue is empty, but at most
//! [`BATCH`] times per event, so that connections are also served. At the limit
//! of open connections no listener is asked, and further clients wait in the
//! backlog. When the system is out of descriptors or memory, accepting pauses for
//! [`PAUSE`], because the listener stays ready and would be reported without end.
//! The shortage is reported once, until the backlog has been emptied.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use common::app::Reporter;
use common::error::io_message;
use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use crate::address::Address;
use crate::event::Event;
use crate::listen::Listener;
use crate::poller::{Interest, Poller, Registered};
use crate::shared::Shared;
use crate::worker::AcceptedConnection;

/// The maximum number of connections accepted from one listener per event.
const BATCH: usize = 64;

/// The maximum number of connections accepted from one listener when the server
/// ends: the largest possible backlog. Without this limit a flood of
/// connections would keep the server from ending.
const FINAL_BATCH: usize = 65_536;

/// How long accepting pauses when the system lacks a resource.
const PAUSE: Duration = Duration::from_millis(50);

/// The listeners and the reasons for not accepting from them.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listeners: Vec<Registered<Listener>>,
    shared: Arc<Shared>,
    report: Reporter,
    max_connections: usize,
    /// How many connections may still be accepted, with `--count`.
    remaining: Option<u64>,
    paused_until: Option<Duration>,
    /// Whether a shortage has been reported and not ended yet.
    shortage_reported: bool,
    /// Whether the limit of open connections has been reached.
    at_limit: bool,
    /// Whether there were listeners at the start.
    had_listeners: bool,
    /// When the last connection was accepted.
    last_activity: Duration,
}

/// The limits on accepted connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    /// The maximum number of connections that are open at the same time.
    pub(crate) max_connections: usize,
    /// The number of connections after which the server ends.
    pub(crate) count: Option<u64>,
}

impl Acceptor {
    /// Registers `listeners` with the poller, under tokens from `first_token`
    /// on.
    pub(crate) fn new(
        listeners: Vec<Listener>,
        poller: &Arc<Poller>,
        first_token: usize,
        shared: &Arc<Shared>,
        report: Reporter,
        limits: AcceptLimits,
    ) -> std::io::Result<Self> {
        let had_listeners = !listeners.is_empty();
        let listeners = listeners
            .into_iter()
            .zip(first_token..)
            .map(|(listener, token)| Registered::new(listener, poller, token, Interest::Read))
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self {
            listeners,
            shared: Arc::clone(shared),
            report,
            max_connections: limits.max_connections,
            remaining: limits.count,
            paused_until: None,
            shortage_reported: false,
            at_limit: false,
            had_listeners,
            last_activity: Duration::ZERO,
        })
    }

    /// Returns whether all listeners have been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Returns whether there were listeners at the start.
    pub(crate) fn had_listeners(&self) -> bool {
        self.had_listeners
    }

    /// Returns when the last connection was accepted.
    pub(crate) fn last_activity(&self) -> Duration {
        self.last_activity
    }

    /// Admits a connection that another process accepted.
    pub(crate) fn admit_inherited(
        &self,
        socket: OwnedFd,
        dispatch: &mut impl FnMut(AcceptedConnection),
    ) {
        let address = rustix::net::getpeername(&socket).ok().flatten();
        // The options that other connections inherit from their listener. A
        // Unix socket has neither.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        let _ = rustix::net::sockopt::set_socket_oobinline(&socket, true);
        if let Some(connection) = self.admit(None, socket, address) {
            dispatch(connection);
        }
    }

    /// Closes all listeners, so that clients are refused.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
        self.paused_until = None;
    }

    /// Accepts connections from the listener with this index, which is ready.
    pub(crate) fn on_ready(
        &mut self,
        index: usize,
        now: Duration,
        dispatch: &mut impl FnMut(AcceptedConnection),
    ) {
        if self.paused_until.is_none() && index < self.listeners.len() {
            self.accept_batch(index, BATCH, now, dispatch);
        }
    }

    /// Accepts all queued connections, then closes the listeners.
    pub(crate) fn drain(&mut self, now: Duration, dispatch: &mut impl FnMut(AcceptedConnection)) {
        for index in 0..self.listeners.len() {
            // The last connection of `--count` closes the listeners.
            if index < self.listeners.len() {
                self.accept_batch(index, FINAL_BATCH, now, dispatch);
            }
        }
        self.close();
    }

    /// Resumes accepting if nothing prevents it any more.
    pub(crate) fn resume(&mut self, now: Duration) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.set_interest(if self.at_limit {
                Interest::ErrorsOnly
            } else {
                Interest::Read
            });
        }
        if self.at_limit && self.shared.counters.open_connections() < self.max_connections {
            self.at_limit = false;
            if self.paused_until.is_none() {
                self.set_interest(Interest::Read);
            }
        }
    }

    /// Returns when to call [`Acceptor::resume`]. It must also be called when a
    /// connection closes.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.paused_until
    }

    fn accept_batch(
        &mut self,
        index: usize,
        max: usize,
        now: Duration,
        dispatch: &mut impl FnMut(AcceptedConnection),
    ) {
        for _ in 0..max {
            if self.is_at_limit() {
                self.at_limit = true;
                return self.set_interest(Interest::ErrorsOnly);
            }
            match accept(self.listeners[index].get()) {
                Ok((socket, address)) => {
                    self.last_activity = now;
                    if let Some(connection) = self.admit(Some(index), socket, address) {
                        dispatch(connection);
                        if self.was_last() {
                            return self.close();
                        }
                    }
                }
                Err(Errno::AGAIN) => {
                    self.shortage_reported = false;
                    return;
                }
                // The client is gone, or its network failed before it was
                // accepted (accept(2), "Error handling"); others may wait.
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

    /// Returns whether the limit of open connections has been reached. If so,
    /// the next connection that closes wakes the accepting loop.
    fn is_at_limit(&self) -> bool {
        let counters = &self.shared.counters;
        if counters.open_connections() < self.max_connections {
            return false;
        }
        counters.notify_on_close();
        counters.open_connections() >= self.max_connections
    }

    /// Counts and logs a connection. Returns `None` if its address has too many
    /// connections, and the socket is closed.
    fn admit(
        &self,
        listener: Option<usize>,
        socket: OwnedFd,
        address: Option<SocketAddrAny>,
    ) -> Option<AcceptedConnection> {
        let mut peer = peer_address(address);
        let id = self.shared.counters.connection_opened(&peer)?;
        if let Address::Unnamed(number) = &mut peer {
            *number = id;
        }
        let log = &self.shared.log;
        if log.is_enabled() {
            let local = log
                .shows_local_addresses()
                .then(|| self.local_address(listener, &socket));
            log.event(&Event::Connected {
                peer: &peer,
                local: local.as_ref(),
            });
        }
        Some(AcceptedConnection { socket, peer, id })
    }

    /// Returns the server's address of a connection. `listener` is the index of
    /// the listener that accepted it.
    fn local_address(&self, listener: Option<usize>, socket: &OwnedFd) -> Address {
        let listener = listener.map(|index| self.listeners[index].get().address().clone());
        rustix::net::getsockname(socket)
            .ok()
            .and_then(|address| SocketAddr::try_from(address).ok())
            .map(Address::inet)
            .or(listener)
            .unwrap_or(Address::Unnamed(0))
    }

    /// Counts a connection for `--count`. Returns whether it was the last.
    fn was_last(&mut self) -> bool {
        match &mut self.remaining {
            None => false,
            Some(remaining) => {
                *remaining = remaining.saturating_sub(1);
                *remaining == 0
            }
        }
    }

    fn pause(&mut self, error: Errno, now: Duration) {
        if !self.shortage_reported {
            self.report.line(format_args!(
                "cannot accept connections for now: {}; new clients wait, open connections \
                 are still served",
                io_message(&error.into())
            ));
        }
        self.shortage_reported = true;
        self.paused_until = Some(now + PAUSE);
        self.set_interest(Interest::ErrorsOnly);
    }

    fn set_interest(&mut self, interest: Interest) {
        for listener in &mut self.listeners {
            // This cannot fail, because the listener is registered.
            let _ = listener.set_interest(interest);
        }
    }
}

fn peer_address(address: Option<SocketAddrAny>) -> Address {
    match address {
        Some(address) => match SocketAddr::try_from(address) {
            Ok(address) => Address::inet(address),
            // Unix clients hardly ever bind their socket to a name.
            Err(_) => Address::Unnamed(0),
        },
        None => Address::Unnamed(0),
    }
}

/// Accepts one connection as a non-blocking socket that is closed on exec.
#[cfg(not(target_vendor = "apple"))]
fn accept(listener: &impl AsFd) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::acceptfrom_with(listener, flags)
}

/// Accepts one connection and sets the flags afterwards, since this system has
/// no accept4.
#[cfg(target_vendor = "apple")]
fn accept(listener: &impl AsFd) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    let (socket, address) = rustix::net::acceptfrom(listener)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok((socket, address))
}

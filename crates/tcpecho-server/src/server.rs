//! The life of a server: accept, serve, drain, end.
//!
//! One event loop on the main thread watches the listeners, the UDP sockets and
//! the signals, and owns the deadlines that concern the whole server. With a
//! single worker it also serves the connections.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use common::app::Reporter;
use common::{Error, Exit, Result};
use net::signal::{SIGUSR1, Signals};

use crate::accept::{AcceptLimits, Acceptor};
use crate::activation::Notify;
use crate::clock::Clock;
use crate::config::Config;
use crate::conn::Shutdown;
use crate::datagram::ReplyPolicy;
use crate::event::Summary;
use crate::limits;
use crate::listen::{Listener, Sockets};
use crate::log::StderrQueue;
use crate::output::{self, Format};
use crate::poller::{Events, Interest, Poller, Registered};
use crate::pool::WorkerPool;
use crate::shared::Shared;
use crate::udp::{UdpService, UdpSocket};

/// The first token that is not a connection's.
const FIRST_TOKEN: usize = usize::MAX / 2;
const SIGNALS: usize = FIRST_TOKEN;
const LISTENERS: usize = FIRST_TOKEN + 1;
const UDP_SOCKETS: usize = LISTENERS + (1 << 20);

/// The last part of a drain is for peers that are slow to read: nothing more is
/// read from them. It is a fifth of the drain, but at most this long.
const MAX_LAST_PART: Duration = Duration::from_secs(1);

/// How often slow peers are looked for in the last part of a drain.
const BACKLOG_CHECKS: u32 = 8;

/// How long connections that are cut off may take to send their end of file.
const CLOSE_GRACE: Duration = Duration::from_millis(20);

/// The parts of a server that are opened before it runs.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The listeners and UDP sockets.
    pub(crate) sockets: Sockets,
    /// Connections that another process accepted.
    pub(crate) connections: Vec<OwnedFd>,
    /// The handlers of SIGINT, SIGTERM and SIGUSR1.
    pub(crate) signals: Signals,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    /// Reports errors to standard error, through `stderr`.
    pub(crate) report: Reporter,
    /// The queue behind `report`.
    pub(crate) stderr: StderrQueue,
    pub(crate) notify: Notify,
}

/// The state of a server. Times are relative to its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifecycle {
    /// The server accepts and serves connections.
    Serving,
    /// The listeners are closed, and peers may finish until `end`.
    Draining {
        /// When to look for peers that are slow to read, or to cut the
        /// connections off.
        next_check: Duration,
        end: Duration,
        last_part: Duration,
    },
    /// The remaining connections have been cut off; the server stops at this
    /// time.
    Cutting(Duration),
    /// The server ends, after a second signal or the last deadline.
    Stopped,
}

/// A server with its event loop.
#[derive(Debug)]
pub(crate) struct Server {
    poller: Arc<Poller>,
    signals: Registered<Signals>,
    acceptor: Acceptor,
    udp: Option<UdpService>,
    pool: WorkerPool,
    shared: Arc<Shared>,
    clock: Clock,
    lifecycle: Lifecycle,
    /// When the drain begins without a signal, with `--for`.
    end_of_life: Option<Duration>,
    /// How long an `--inetd` server waits for clients before it ends.
    idle_exit: Option<Duration>,
    drain: Duration,
    report: Reporter,
    /// The queue behind `report`.
    stderr: StderrQueue,
    notify: Notify,
}

impl Server {
    /// Registers all sockets with one poller and starts the workers.
    pub(crate) fn new(config: &Config, setup: Setup) -> Result<Self> {
        let local = |e: std::io::Error| Error::local(&e);
        let Setup {
            sockets,
            connections,
            signals,
            shared,
            clock,
            report,
            stderr,
            notify,
        } = setup;
        let poller = Arc::new(Poller::new().map_err(local)?);
        let signals = Registered::new(signals, &poller, SIGNALS, Interest::Read).map_err(local)?;
        let limits = AcceptLimits {
            max_connections: limits::max_connections(config.max_connections, config.workers),
            count: config.count,
        };
        let listening = sockets.listeners.iter().filter_map(Listener::port);
        let own_ports = listening
            .chain(sockets.udp.iter().map(UdpSocket::port))
            .collect();
        let acceptor = Acceptor::new(
            sockets.listeners,
            &poller,
            LISTENERS,
            &shared,
            report.clone(),
            limits,
        )
        .map_err(local)?;
        let udp = match sockets.udp {
            sockets if sockets.is_empty() => None,
            sockets => {
                let policy = ReplyPolicy::new(own_ports, config.broadcast, config.udp_rate);
                let udp = UdpService::new(sockets, &poller, UDP_SOCKETS, &shared, policy);
                Some(udp.map_err(local)?)
            }
        };
        let mut pool = WorkerPool::start(config.workers, &poller, &shared, clock).map_err(local)?;
        let now = clock.now();
        for socket in connections {
            acceptor.admit_inherited(socket, &mut |connection| pool.dispatch(connection, now));
        }
        Ok(Self {
            poller,
            signals,
            acceptor,
            udp,
            pool,
            shared,
            clock,
            lifecycle: Lifecycle::Serving,
            end_of_life: config.run_time.map(|lifetime| now + lifetime),
            idle_exit: config.rules.idle_timeout.filter(|_| config.inetd),
            drain: config.drain,
            report,
            stderr,
            notify,
        })
    }

    /// Serves until the end and returns the status of the run.
    pub(crate) fn serve(mut self) -> Result<Exit> {
        let outcome = self.run_loop();
        let exit = self.finish();
        outcome.map(|()| exit)
    }

    /// Runs the event loop until the end. Returns an error if waiting fails,
    /// here or in a worker.
    fn run_loop(&mut self) -> Result<()> {
        let mut events = Events::new();
        while !self.is_finished() {
            self.shared.log.wake_writer();
            let now = self.clock.now();
            let timeout = self.deadline().map(|due| due.saturating_sub(now));
            self.poller
                .wait(&mut events, timeout)
                .map_err(|e| Error::local(&e))?;
            let now = self.clock.now();
            let mut signalled = false;
            for token in events.tokens() {
                match token {
                    SIGNALS => signalled = true,
                    UDP_SOCKETS.. => {
                        if let Some(udp) = &mut self.udp {
                            udp.on_ready(token - UDP_SOCKETS, now);
                        }
                    }
                    LISTENERS.. => {
                        let (pool, index) = (&mut self.pool, token - LISTENERS);
                        let mut dispatch = |connection| pool.dispatch(connection, now);
                        self.acceptor.on_ready(index, now, &mut dispatch);
                    }
                    token => self.pool.on_ready(token, now),
                }
            }
            if signalled {
                self.handle_signals(now);
            }
            self.pool.on_timeouts(now);
            if let Some(udp) = &mut self.udp {
                udp.on_timeouts(now);
            }
            self.acceptor.resume(now);
            self.advance_lifecycle(now);
            if let Some(e) = self.pool.failure() {
                return Err(Error::local(&e));
            }
        }
        Ok(())
    }

    /// Closes everything, prints the summary and returns the status.
    fn finish(mut self) -> Exit {
        self.pool.stop(self.clock.now());
        let exit = match self.lifecycle {
            Lifecycle::Stopped => Exit::Negative,
            _ if self.shared.counters.totals().cut > 0 => Exit::Negative,
            _ => Exit::Success,
        };
        self.acceptor.close();
        // Before the summary, which counts the events that were dropped.
        self.shared.log.flush();
        self.print_summary();
        self.shared.log.flush();
        self.stderr.wait_until_written();
        exit
    }

    fn is_finished(&self) -> bool {
        match self.lifecycle {
            Lifecycle::Stopped => true,
            Lifecycle::Serving if self.expects_clients() => false,
            _ => {
                // Requested before the count is read, so that the close of the
                // last connection wakes this loop.
                self.shared.counters.notify_on_close();
                self.shared.counters.open_connections() == 0
            }
        }
    }

    /// Returns whether further clients may connect. UDP sockets keep a server
    /// running only if it never had a listener.
    fn expects_clients(&self) -> bool {
        if self.acceptor.had_listeners() {
            !self.acceptor.is_closed()
        } else {
            self.udp.is_some()
        }
    }

    /// Returns when the event loop must wake up without an event.
    fn deadline(&self) -> Option<Duration> {
        let lifecycle = match self.lifecycle {
            Lifecycle::Serving => [self.end_of_life, self.idle_exit_at()]
                .into_iter()
                .flatten()
                .min(),
            Lifecycle::Draining { next_check, .. } => Some(next_check),
            Lifecycle::Cutting(end) => Some(end),
            Lifecycle::Stopped => None,
        };
        let udp = self.udp.as_ref().and_then(UdpService::deadline);
        [
            lifecycle,
            self.pool.deadline(),
            self.acceptor.deadline(),
            udp,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns when an `--inetd` server ends because no client came, or `None`
    /// while a connection is open. The end of a connection wakes the loop.
    fn idle_exit_at(&self) -> Option<Duration> {
        let idle = self.idle_exit?;
        if !self.expects_clients() || self.shared.counters.open_connections() > 0 {
            return None;
        }
        let udp = self
            .udp
            .as_ref()
            .map_or(Duration::ZERO, UdpService::last_activity);
        Some(self.acceptor.last_activity().max(udp) + idle)
    }

    fn handle_signals(&mut self, now: Duration) {
        for signal in self.signals.get().take() {
            match (signal, self.lifecycle) {
                (SIGUSR1, _) => self.print_summary(),
                (_, Lifecycle::Serving) => self.start_drain(now),
                _ => self.lifecycle = Lifecycle::Stopped,
            }
        }
    }

    /// Changes the state of the server if a deadline has passed.
    fn advance_lifecycle(&mut self, now: Duration) {
        let is_due = |time: Option<Duration>| time.is_some_and(|time| time <= now);
        match self.lifecycle {
            Lifecycle::Serving if is_due(self.end_of_life) || is_due(self.idle_exit_at()) => {
                self.start_drain(now);
            }
            Lifecycle::Draining {
                next_check,
                end,
                last_part,
            } if next_check <= now => {
                let backlogged_only = now < end;
                let deadline = now.max(end) + CLOSE_GRACE;
                let shutdown = Shutdown {
                    deadline,
                    backlogged_only,
                };
                self.pool.shut_down(shutdown, now);
                self.lifecycle = if backlogged_only {
                    Lifecycle::Draining {
                        next_check: (now + last_part / BACKLOG_CHECKS).min(end),
                        end,
                        last_part,
                    }
                } else {
                    // A little longer than connections take to close.
                    Lifecycle::Cutting(deadline + CLOSE_GRACE / 2)
                };
            }
            Lifecycle::Cutting(end) if end <= now => self.lifecycle = Lifecycle::Stopped,
            _ => {}
        }
    }

    /// Accepts the queued connections, closes the listeners and UDP sockets, and
    /// lets the open connections finish.
    fn start_drain(&mut self, now: Duration) {
        if let Err(error) = self.notify.send("STOPPING=1") {
            self.report.line(error);
        }
        let pool = &mut self.pool;
        self.acceptor
            .drain(now, &mut |connection| pool.dispatch(connection, now));
        if let Some(mut udp) = self.udp.take() {
            udp.drain(now);
        }
        let end = now + self.drain;
        let last_part = (self.drain / 5).min(MAX_LAST_PART);
        self.lifecycle = Lifecycle::Draining {
            next_check: end.saturating_sub(last_part),
            end,
            last_part,
        };
    }

    /// Prints the summary: as a record of the JSON log, or as text to standard
    /// error.
    fn print_summary(&self) {
        let log = &self.shared.log;
        if !log.is_enabled() {
            return;
        }
        let totals = self.shared.counters.totals();
        let summary = Summary {
            connections: totals.connections,
            refused: totals.refused,
            bytes_received: totals.bytes_received,
            bytes_sent: totals.bytes_sent,
            datagrams_received: totals.datagrams_received,
            datagrams_sent: totals.datagrams_sent,
            cut: totals.cut,
            events_dropped: log.dropped(),
            duration: self.clock.now(),
        };
        match log.format() {
            Format::Json => log.summary(&summary),
            Format::Text => {
                let mut line = Vec::new();
                if output::summary(&mut line, Format::Text, &summary).is_ok() {
                    self.report.line(String::from_utf8_lossy(&line));
                }
            }
        }
    }
}

//! The server's life: accept, serve, drain, end.
//!
//! One loop on the main thread watches the listeners, the UDP sockets and the
//! signals, and owns the deadlines of the server as a whole. With one worker
//! it serves the connections as well.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use common::app::Reporter;
use common::signal::{SIGUSR1, Signals};
use common::{Error, Exit, Result};

use crate::accept::{Acceptor, Bounds};
use crate::activation::Notify;
use crate::clock::Clock;
use crate::config::Config;
use crate::conn::{Cut, Shared};
use crate::crew::Crew;
use crate::datagram::Guard;
use crate::event::Summary;
use crate::limits;
use crate::listen::{Listener, Sockets};
use crate::log::Lines;
use crate::output::{self, Format};
use crate::readiness::{Interest, Poller, Ready, Watched};
use crate::udp::{Port, Udp};

/// Keys of connections are below, those of everything else from here on.
const FIRST_KEY: usize = usize::MAX / 2;
const SIGNALS: usize = FIRST_KEY;
const LISTENERS: usize = FIRST_KEY + 1;
const PORTS: usize = LISTENERS + (1 << 20);

/// The last part of a drain belongs to peers that are behind with reading:
/// nothing more is taken from them. A fifth of it, at most this.
const LAST_PART: Duration = Duration::from_secs(1);

/// How often in that part such peers are looked for.
const LOOKS: u32 = 8;

/// How long the end of file of the last ones may take to get out.
const GRACE: Duration = Duration::from_millis(20);

/// What a server starts with.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where to serve.
    pub(crate) sockets: Sockets,
    /// Connections that are there already.
    pub(crate) connections: Vec<OwnedFd>,
    /// SIGINT, SIGTERM and SIGUSR1, caught.
    pub(crate) signals: Signals,
    /// Rules, log and counts.
    pub(crate) shared: Arc<Shared>,
    /// The clock of all moments.
    pub(crate) clock: Clock,
    /// Where to complain.
    pub(crate) report: Reporter,
    /// Where those complaints wait to be written.
    pub(crate) complaints: Lines,
    /// Whom to tell of the end.
    pub(crate) notify: Notify,
}

/// How far along the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Accepting and serving.
    Serving,
    /// Not accepting; peers may finish until `end`.
    Draining {
        /// When something is to be done about those that have not.
        look: Duration,
        end: Duration,
        last_part: Duration,
    },
    /// The rest has been cut, and is gone by then.
    Cutting(Duration),
    /// A second signal came.
    Stopped,
}

/// A server that is ready.
#[derive(Debug)]
pub(crate) struct Server {
    poller: Arc<Poller>,
    signals: Watched<Signals>,
    acceptor: Acceptor,
    udp: Option<Udp>,
    crew: Crew,
    shared: Arc<Shared>,
    clock: Clock,
    stage: Stage,
    /// When to end without being told.
    lifetime: Option<Duration>,
    /// End when nothing has come for so long, as inetd's servers do.
    leave_after: Option<Duration>,
    drain: Duration,
    report: Reporter,
    /// Where those reports wait.
    complaints: Lines,
    notify: Notify,
}

impl Server {
    /// Puts everything on one poller.
    pub(crate) fn new(config: &Config, setup: Setup) -> Result<Self> {
        let local = |e: std::io::Error| Error::local(&e);
        let Setup {
            sockets,
            connections,
            signals,
            shared,
            clock,
            report,
            complaints,
            notify,
        } = setup;
        let poller = Arc::new(Poller::new().map_err(local)?);
        let signals = Watched::new(signals, &poller, SIGNALS, Interest::Read).map_err(local)?;
        let bounds = Bounds {
            max_open: limits::connections(config.max_connections, config.workers),
            count: config.count,
        };
        let listening = sockets.listeners.iter().filter_map(Listener::port);
        let own_ports = listening
            .chain(sockets.ports.iter().map(Port::number))
            .collect();
        let acceptor = Acceptor::new(
            sockets.listeners,
            &poller,
            LISTENERS,
            &shared,
            report.clone(),
            bounds,
        )
        .map_err(local)?;
        let udp = match sockets.ports {
            ports if ports.is_empty() => None,
            ports => {
                let guard = Guard::new(own_ports, config.broadcast, config.udp_rate);
                Some(Udp::new(ports, &poller, PORTS, &shared, guard).map_err(local)?)
            }
        };
        let mut crew = Crew::start(config.workers, &poller, &shared, clock).map_err(local)?;
        let now = clock.now();
        for socket in connections {
            acceptor.welcome_inherited(socket, &mut |newcomer| crew.hand(newcomer, now));
        }
        Ok(Self {
            poller,
            signals,
            acceptor,
            udp,
            crew,
            shared,
            clock,
            stage: Stage::Serving,
            lifetime: config.lifetime.map(|lifetime| now + lifetime),
            leave_after: config.rules.idle.filter(|_| config.inetd),
            drain: config.drain,
            report,
            complaints,
            notify,
        })
    }

    /// Serves until the end; the status of the run.
    pub(crate) fn serve(mut self) -> Result<Exit> {
        let outcome = self.turns();
        let exit = self.finish();
        outcome.map(|()| exit)
    }

    /// Turns of the loop until the end, or until nothing can be served.
    fn turns(&mut self) -> Result<()> {
        let mut ready = Ready::new();
        while !self.is_over() {
            self.shared.log.flush();
            let now = self.clock.now();
            let timeout = self.deadline().map(|due| due.saturating_sub(now));
            self.poller
                .wait(&mut ready, timeout)
                .map_err(|e| Error::local(&e))?;
            let now = self.clock.now();
            let mut signalled = false;
            for key in ready.keys() {
                match key {
                    SIGNALS => signalled = true,
                    PORTS.. => {
                        if let Some(udp) = &mut self.udp {
                            udp.ready(key - PORTS, now);
                        }
                    }
                    LISTENERS.. => {
                        let (crew, index) = (&mut self.crew, key - LISTENERS);
                        let mut hand = |newcomer| crew.hand(newcomer, now);
                        self.acceptor.ready(index, now, &mut hand);
                    }
                    key => self.crew.event(key, now),
                }
            }
            if signalled {
                self.obey_signals(now);
            }
            self.crew.timeouts(now);
            if let Some(udp) = &mut self.udp {
                udp.timeouts(now);
            }
            self.proceed(now);
            if let Some(e) = self.crew.failure() {
                return Err(Error::local(&e));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Exit {
        self.crew.stop(self.clock.now());
        let exit = match self.stage {
            Stage::Stopped => Exit::No,
            _ if self.shared.census.totals().cut > 0 => Exit::No,
            _ => Exit::Yes,
        };
        self.acceptor.close();
        self.shared.log.settle();
        self.tell_summary();
        self.shared.log.settle();
        self.complaints.settle();
        exit
    }

    fn is_over(&self) -> bool {
        match self.stage {
            Stage::Stopped => true,
            Stage::Serving if self.serves() => false,
            _ => {
                // Asked first, so that the last departure wakes this loop.
                self.shared.census.watch();
                self.shared.census.open() == 0
            }
        }
    }

    /// Whether more may come. Datagrams alone keep a server up only if there
    /// never was anything else to wait for.
    fn serves(&self) -> bool {
        if self.acceptor.has_listened() {
            !self.acceptor.is_closed()
        } else {
            self.udp.is_some()
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let stage = match self.stage {
            Stage::Serving => [self.lifetime, self.leave_at()].into_iter().flatten().min(),
            Stage::Draining { look: until, .. } | Stage::Cutting(until) => Some(until),
            Stage::Stopped => None,
        };
        let udp = self.udp.as_ref().and_then(Udp::deadline);
        [stage, self.crew.deadline(), self.acceptor.deadline(), udp]
            .into_iter()
            .flatten()
            .min()
    }

    /// When nobody has come for long enough. A connection puts it off, and its
    /// end is an event.
    fn leave_at(&self) -> Option<Duration> {
        let idle = self.leave_after?;
        if !self.serves() || self.shared.census.open() > 0 {
            return None;
        }
        let udp = self.udp.as_ref().map_or(Duration::ZERO, Udp::active);
        Some(self.acceptor.active().max(udp) + idle)
    }

    fn obey_signals(&mut self, now: Duration) {
        for signal in self.signals.get().take() {
            match (signal, self.stage) {
                (SIGUSR1, _) => self.tell_summary(),
                (_, Stage::Serving) => self.begin_drain(now),
                _ => self.stage = Stage::Stopped,
            }
        }
    }

    /// Goes on to the next stage when its time has come.
    fn proceed(&mut self, now: Duration) {
        self.acceptor.refresh(now);
        let due = |moment: Option<Duration>| moment.is_some_and(|moment| moment <= now);
        match self.stage {
            Stage::Serving if due(self.lifetime) || due(self.leave_at()) => {
                self.begin_drain(now);
            }
            Stage::Draining {
                look,
                end,
                last_part,
            } if look <= now => {
                let owed_only = now < end;
                let limit = now.max(end) + GRACE;
                self.crew.cut(Cut { limit, owed_only }, now);
                self.stage = if owed_only {
                    Stage::Draining {
                        look: (now + last_part / LOOKS).min(end),
                        end,
                        last_part,
                    }
                } else {
                    // A little more than a cut connection takes to give up.
                    Stage::Cutting(limit + GRACE / 2)
                };
            }
            Stage::Cutting(until) if until <= now => self.stage = Stage::Stopped,
            _ => {}
        }
    }

    fn begin_drain(&mut self, now: Duration) {
        if let Err(error) = self.notify.tell("STOPPING=1") {
            self.report.line(error);
        }
        let crew = &mut self.crew;
        self.acceptor
            .drain(now, &mut |newcomer| crew.hand(newcomer, now));
        if let Some(mut udp) = self.udp.take() {
            udp.drain(now);
        }
        let end = now + self.drain;
        let last_part = (self.drain / 5).min(LAST_PART);
        self.stage = Stage::Draining {
            look: end.saturating_sub(last_part),
            end,
            last_part,
        };
    }

    fn tell_summary(&self) {
        let log = &self.shared.log;
        if !log.is_on() {
            return;
        }
        let totals = self.shared.census.totals();
        let summary = Summary {
            connections: totals.connections,
            refused: totals.refused,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            datagrams_in: totals.datagrams_in,
            datagrams_out: totals.datagrams_out,
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

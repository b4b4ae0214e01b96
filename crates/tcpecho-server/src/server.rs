//! The server's life: start, accept, drain, end.
//!
//! One loop on the main thread watches the listeners and the signals, and owns
//! the deadlines of the server as a whole. With one worker it serves the
//! connections as well; with more it hands them to the workers' threads in
//! turn.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::app::Reporter;
use common::signal::{SIGINT, SIGTERM, SIGUSR1, Signals};
use common::{Error, Exit, Io, Kind, Result};
use polling::{Events, Poller};

use crate::accept::{Acceptor, Bounds};
use crate::census::Census;
use crate::clock::Clock;
use crate::config::Config;
use crate::conn::{Shared, is_interrupt};
use crate::event::{Event, Summary};
use crate::limits;
use crate::listen::{self, Listener};
use crate::log::Log;
use crate::machine::{CUT_GRACE, Interest};
use crate::output::{self, Format};
use crate::ready;
use crate::sys::{self, Watched};
use crate::worker::{self, Mailbox, Newcomer, Worker};

/// Keys of connections are below, those of everything else from here on.
const FIRST_KEY: usize = usize::MAX / 2;
const SIGNALS: usize = FIRST_KEY;
const LISTENERS: usize = FIRST_KEY + 1;

/// Runs the server to its end. `stdout` is where the log goes.
pub(crate) fn run(config: &Config, stdout: OwnedFd, io: &mut Io) -> Result<Exit> {
    let clock = Clock::start();
    // Before anything is announced: whoever was told may send one.
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1]).map_err(|e| Error::local(&e))?;
    let ready_fd = match config.ready_fd {
        None => None,
        Some(number) => {
            let fd = sys::inherited(number)
                .map_err(|e| Error::local(&e).about(format!("--ready-fd {number}")))?;
            Some((fd, number))
        }
    };
    let listeners = match listen::open(&config.places, config.listen) {
        Ok(listeners) => listeners,
        Err(errors) => {
            for error in &errors {
                io.fail(error)?;
            }
            return Ok(Exit::Fault);
        }
    };
    let log = match config.log {
        None => Log::silent(),
        Some(format) => Log::start(std::fs::File::from(stdout), format, config.verbose)
            .map_err(|e| Error::local(&e))?,
    };
    if let Some(seed) = config.made_up_seed
        && log.is_on()
    {
        io.report.line(format_args!("faults by --seed {seed}"));
    }
    for listener in &listeners {
        log.event(&Event::Listening(listener.address()));
    }
    // A script waits for these lines.
    log.settle();
    if let Some(file) = &config.port_file
        && let Some(port) = listeners.iter().find_map(Listener::port)
    {
        ready::write_port(file, port)?;
    }
    if let Some((fd, number)) = ready_fd {
        ready::write_newline(fd, number)?;
    }
    let shared = Arc::new(Shared {
        rules: config.rules.clone(),
        log,
        census: Census::new(config.max_per_ip),
    });
    Server::new(config, listeners, signals, &shared, clock, io)?.serve()
}

/// How far along the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Accepting and serving.
    Serving,
    /// Not accepting; peers may finish until then.
    Draining(Duration),
    /// Those that did not have been cut, and are gone by then.
    Cutting(Duration),
    /// A second signal came.
    Stopped,
}

/// Who serves the connections.
#[derive(Debug)]
enum Crew {
    /// The accepting loop itself.
    Alone(Box<Worker>),
    /// Threads, and whose turn it is.
    Threads(Vec<Mailbox>, usize),
}

impl Crew {
    fn hand(&mut self, newcomer: Newcomer, now: Duration) {
        match self {
            Self::Alone(worker) => worker.adopt(newcomer, now),
            Self::Threads(mailboxes, turn) => {
                *turn = (*turn + 1) % mailboxes.len();
                mailboxes[*turn].hand(newcomer);
            }
        }
    }

    fn cut(&mut self, now: Duration) {
        match self {
            Self::Alone(worker) => worker.cut(now),
            Self::Threads(mailboxes, _) => mailboxes.iter().for_each(Mailbox::cut),
        }
    }

    fn stop(&mut self) {
        if let Self::Threads(mailboxes, _) = self {
            mailboxes.iter_mut().for_each(Mailbox::stop);
        }
    }
}

struct Server {
    poller: Arc<Poller>,
    signals: Watched<Signals>,
    acceptor: Acceptor,
    crew: Crew,
    shared: Arc<Shared>,
    clock: Clock,
    stage: Stage,
    /// When to end without being told.
    lifetime: Option<Duration>,
    drain: Duration,
    report: Reporter,
    /// A worker's thread has died.
    failed: Arc<AtomicBool>,
}

impl Server {
    fn new(
        config: &Config,
        listeners: Vec<Listener>,
        signals: Signals,
        shared: &Arc<Shared>,
        clock: Clock,
        io: &Io,
    ) -> Result<Self> {
        let local = |e: std::io::Error| Error::local(&e);
        let poller = Arc::new(Poller::new().map_err(local)?);
        let signals = Watched::new(signals, &poller, SIGNALS, Interest::Read).map_err(local)?;
        let bounds = Bounds {
            max_open: limits::connections(config.max_connections, config.workers),
            count: config.count,
        };
        let report = io.report.clone();
        let acceptor = Acceptor::new(
            listeners,
            &poller,
            LISTENERS,
            shared,
            report.clone(),
            bounds,
        )
        .map_err(local)?;
        let failed = Arc::new(AtomicBool::new(false));
        let crew = if config.workers == 1 {
            Crew::Alone(Box::new(Worker::new(
                Arc::clone(&poller),
                Arc::clone(&poller),
                Arc::clone(shared),
            )))
        } else {
            let mailboxes = (0..config.workers)
                .map(|index| worker::spawn(index, &poller, shared, clock, &failed))
                .collect::<std::io::Result<Vec<_>>>()
                .map_err(local)?;
            Crew::Threads(mailboxes, 0)
        };
        Ok(Self {
            poller,
            signals,
            acceptor,
            crew,
            shared: Arc::clone(shared),
            clock,
            stage: Stage::Serving,
            lifetime: config.lifetime.map(|lifetime| clock.now() + lifetime),
            drain: config.drain,
            report,
            failed,
        })
    }

    fn serve(mut self) -> Result<Exit> {
        let mut events = Events::new();
        while !self.is_over() {
            self.shared.log.flush();
            let now = self.clock.now();
            let timeout = self.deadline().map(|due| due.saturating_sub(now));
            events.clear();
            match self.poller.wait(&mut events, timeout) {
                Err(e) if !is_interrupt(&e) => return Err(Error::local(&e)),
                _ => {}
            }
            let now = self.clock.now();
            for event in events.iter() {
                match (event.key, &mut self.crew) {
                    (SIGNALS, _) => {}
                    (LISTENERS.., crew) => {
                        let index = event.key - LISTENERS;
                        let mut hand = |newcomer| crew.hand(newcomer, now);
                        self.acceptor.ready(index, now, &mut hand);
                    }
                    (key, Crew::Alone(worker)) => worker.event(key, now),
                    (_, Crew::Threads(..)) => {}
                }
            }
            self.obey_signals(now);
            if let Crew::Alone(worker) = &mut self.crew {
                worker.timeouts(now);
            }
            self.proceed(now);
            if self.failed.load(Ordering::SeqCst) {
                return Err(Error::new(Kind::System, "a worker's thread has failed"));
            }
        }
        self.crew.stop();
        let exit = match self.stage {
            Stage::Stopped => Exit::No,
            _ if self.shared.census.totals().cut > 0 => Exit::No,
            _ => Exit::Yes,
        };
        self.acceptor.close();
        self.shared.log.settle();
        self.tell_summary();
        self.shared.log.settle();
        Ok(exit)
    }

    fn is_over(&self) -> bool {
        match self.stage {
            Stage::Stopped => true,
            _ if !self.acceptor.is_closed() => false,
            _ => {
                // Asked first, so that the last departure wakes this loop.
                self.shared.census.watch();
                self.shared.census.open() == 0
            }
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let stage = match self.stage {
            Stage::Serving => self.lifetime,
            Stage::Draining(until) | Stage::Cutting(until) => Some(until),
            Stage::Stopped => None,
        };
        let worker = match &self.crew {
            Crew::Alone(worker) => worker.deadline(),
            Crew::Threads(..) => None,
        };
        [stage, worker, self.acceptor.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn obey_signals(&mut self, now: Duration) {
        for signal in self.signals.get().take() {
            match (signal, self.stage) {
                (SIGUSR1, _) => self.tell_summary(),
                (_, Stage::Serving) => {
                    self.begin_drain(now);
                }
                _ => self.stage = Stage::Stopped,
            }
        }
    }

    /// Goes on to the next stage when its time has come.
    fn proceed(&mut self, now: Duration) {
        self.acceptor.refresh(now);
        match self.stage {
            Stage::Serving if self.lifetime.is_some_and(|end| end <= now) => {
                self.begin_drain(now);
            }
            Stage::Draining(until) if until <= now => {
                self.crew.cut(now);
                // A little more than a cut connection takes to give up.
                self.stage = Stage::Cutting(now + CUT_GRACE + CUT_GRACE / 4);
            }
            Stage::Cutting(until) if until <= now => self.stage = Stage::Stopped,
            _ => {}
        }
    }

    fn begin_drain(&mut self, now: Duration) {
        let crew = &mut self.crew;
        self.acceptor
            .drain(now, &mut |newcomer| crew.hand(newcomer, now));
        self.stage = Stage::Draining(now + self.drain);
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

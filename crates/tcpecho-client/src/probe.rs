//! Echo by echo: a message every interval, a line for each echo, a summary.
//!
//! Messages go out on time whether or not the one before has come back; what
//! comes back is matched by the [`Ledger`]. With `--reconnect` each message
//! has a connection of its own, and there is never more than one.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::app::Io;
use common::{Error, Exit, Kind, Result};

use crate::config::{Payload, Probe};
use crate::dial::{Connection, Dialer};
use crate::failure;
use crate::ledger::{Event, Ledger, Matching};
use crate::link::Link;
use crate::output;
use crate::output::echoes::{self, Summary, What};
use crate::pattern::{Id, Pattern};
use crate::stats::{Jitter, Latencies};
use crate::sys;
use crate::tag::{self, Tags};
use crate::wait::{Stop, Woken};

/// Bytes read at once; a whole datagram.
const CHUNK: usize = 64 * 1024;

/// Datagrams, or errors about them, taken before signals and the clock have
/// their turn.
const TURN: usize = 64;

/// One run of echoes.
#[derive(Debug)]
struct Run<'a> {
    dialer: &'a Dialer,
    plan: &'a Probe,
    stop: &'a Stop,
    quiet: bool,
    target: String,
    /// Who answered last.
    address: Option<String>,
    pattern: Option<Pattern>,
    connection: Option<Connection>,
    /// What is left of the message that is being sent.
    unsent: Unsent,
    /// When the peer last took something of it.
    moved: Instant,
    ledger: Ledger,
    tags: Option<Tags>,
    latencies: Latencies,
    jitter: Jitter,
    started: Instant,
    /// When the next message is due.
    next: Instant,
    /// Why the last connection could not be made.
    refusal: Option<Error>,
}

/// Sends messages as planned and reports their echoes.
pub(crate) fn run(
    dialer: &Dialer,
    plan: &Probe,
    stop: &Stop,
    (quiet, verbose): (bool, bool),
    io: &mut Io,
) -> Result<Exit> {
    let target = dialer.name();
    let reporter = verbose.then(|| io.report.clone());
    let mut connection = None;
    if !plan.reconnect {
        connection = dialer.dial_patiently(stop, reporter.as_ref())?;
        if let (Some(connection), true) = (&connection, verbose) {
            output::connected(io, &target, connection);
        }
    }
    let tags = match &plan.payload {
        Payload::Made(sizes) if dialer.plan.udp && sizes.min >= tag::LEAST => {
            Some(Tags::new(some_key()))
        }
        Payload::Made(_) | Payload::Fixed(_) => None,
    };
    if let Some(link) = connection.as_ref().map(|c| &c.link)
        && link.is_datagram()
    {
        keep_errors(link);
    }
    // Without a connection, and without an error, a signal came first.
    let interrupted = !plan.reconnect && connection.is_none();
    let now = Instant::now();
    let mut run = Run {
        dialer,
        plan,
        stop,
        quiet,
        target,
        address: connection.as_ref().map(|c| c.address.clone()),
        pattern: match &plan.payload {
            Payload::Made(sizes) => Some(Pattern::new(0, *sizes)),
            Payload::Fixed(_) => None,
        },
        connection,
        unsent: Unsent::default(),
        moved: now,
        ledger: Ledger::new(match (dialer.plan.udp, tags) {
            (false, _) => Matching::Stream,
            (true, Some(tags)) => Matching::Tagged(tags),
            (true, None) => Matching::Alike,
        }),
        tags,
        latencies: Latencies::new()?,
        jitter: Jitter::default(),
        started: now,
        next: now,
        refusal: None,
    };
    let exit = if interrupted {
        Exit::No
    } else {
        run.echoes(io)?
    };
    run.ledger.end(
        run.started.elapsed(),
        plan.timeout_given.then_some(plan.timeout),
    );
    let exit = match exit {
        Exit::Yes if !run.ledger.all_right() => Exit::No,
        other => other,
    };
    run.summary(io)?;
    Ok(exit)
}

/// Something that differs from run to run.
fn some_key() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos() as u64;
    now ^ u64::from(std::process::id()) << 32
}

/// Asks for what ICMP errors are about. A system that cannot tell still reports
/// the errors, and their probes time out.
fn keep_errors(link: &Link) {
    if let Ok(address) = rustix::net::getsockname(link) {
        let ipv6 = address.address_family() == rustix::net::AddressFamily::INET6;
        let _ = sys::keep_errors(link, ipv6);
    }
}

impl Run<'_> {
    fn echoes(&mut self, io: &mut Io) -> Result<Exit> {
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.may_send() && self.next <= Instant::now() && !self.send_next(io)? {
                break;
            }
            if let Err(error) = self.transfer(&mut chunk, io)? {
                let go_on = self.broken(io, &error)?;
                if !go_on {
                    return Ok(Exit::No);
                }
            }
            let mut events = Vec::new();
            self.ledger.expire(self.started.elapsed(), &mut events);
            self.show(io, &events)?;
            if self.ledger.is_idle() {
                if self.plan.reconnect {
                    self.unsent = Unsent::default();
                    self.connection = None;
                    // What is late has no way to come back any more.
                    self.ledger.cut();
                }
                if !self.has_more() {
                    break;
                }
            }
            if self.stuck_at().is_some_and(|at| at <= Instant::now()) {
                let error = Error::new(Kind::Timeout, self.unsent.stuck());
                if !self.broken(io, &error)? {
                    return Ok(Exit::No);
                }
            }
            io.out.flush()?;
            if self.wait()? == Woken::Stopped {
                break;
            }
        }
        if self.ledger.received == 0
            && let Some(error) = self.refusal.take().filter(|_| self.address.is_none())
        {
            io.fail(&error)?;
            return Ok(error.exit());
        }
        // What the counts say comes to it at the end.
        Ok(Exit::Yes)
    }

    fn has_more(&self) -> bool {
        self.plan
            .pace
            .count
            .is_none_or(|count| self.ledger.sent < count)
    }

    /// Whether the next message may be sent once its time has come.
    fn may_send(&self) -> bool {
        // A ping-pong, and a connection for each, wait for the one before.
        let alone = self.plan.reconnect || self.plan.pace.interval.is_zero();
        self.has_more()
            && self.unsent.is_sent()
            && (!alone || self.ledger.is_idle())
            && !self.ledger.is_full()
    }

    /// When to give up on a peer that takes nothing: the message that is being
    /// sent is lost already, and none can follow it before it is out.
    fn stuck_at(&self) -> Option<Instant> {
        if self.unsent.is_sent() || !self.ledger.is_idle() {
            return None;
        }
        self.moved.checked_add(self.plan.timeout)
    }

    /// Sends the next message, or counts it as lost; false at a signal.
    fn send_next(&mut self, io: &mut Io) -> Result<bool> {
        let seq = self.ledger.sent + 1;
        // A message that was held up must not be made up for by a burst.
        self.next = (self.next + self.plan.pace.interval).max(Instant::now());
        if self.plan.reconnect {
            match self.dialer.dial_patiently(self.stop, None) {
                Ok(Some(connection)) => {
                    if connection.link.is_datagram() {
                        keep_errors(&connection.link);
                    }
                    self.address = Some(connection.address.clone());
                    self.connection = Some(connection);
                }
                Ok(None) => return Ok(false),
                Err(error) if error.exit() == Exit::Fault => return Err(error),
                Err(error) => {
                    self.ledger.unsent(seq, self.started.elapsed());
                    self.show_failure(io, seq, &error)?;
                    self.refusal = Some(error);
                    return Ok(true);
                }
            }
        }
        let payload = self.payload(seq);
        let now = self.started.elapsed();
        let expires = now.saturating_add(self.plan.timeout);
        self.unsent = Unsent {
            message: Some(Rc::clone(&payload)),
            sent: 0,
        };
        self.moved = Instant::now();
        self.ledger.sent(seq, payload, now, expires);
        Ok(true)
    }

    fn payload(&self, seq: u64) -> Rc<[u8]> {
        match (&self.plan.payload, &self.pattern) {
            (Payload::Fixed(bytes), _) => Rc::clone(bytes),
            (Payload::Made(_), None) => Rc::default(),
            (Payload::Made(_), Some(pattern)) => {
                let id = Id {
                    connection: 0,
                    sequence: seq,
                };
                let mut message = pattern.message(id);
                if let Some(tags) = self.tags {
                    tags.write(seq, &mut message);
                }
                message.into()
            }
        }
    }

    /// Sends and receives what can be now. The inner error is the connection's.
    fn transfer(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<Result<()>> {
        let Some(connection) = &mut self.connection else {
            return Ok(Ok(()));
        };
        if connection.link.is_datagram() {
            return self.datagrams(chunk, io).map(Ok);
        }
        let link = &mut connection.link;
        // When sending has failed, what has already come still counts.
        let before = self.unsent.rest().len();
        let failed = send(link, &mut self.unsent).err();
        if self.unsent.rest().len() < before {
            self.moved = Instant::now();
        }
        let mut events = Vec::new();
        let outcome = loop {
            match link.read(chunk) {
                Ok(0) => {
                    break Err(match &failed {
                        Some(e) => failure::of(e),
                        None => Error::new(Kind::Reset, "the peer closed the connection"),
                    });
                }
                Ok(n) => {
                    let now = self.started.elapsed();
                    self.ledger.stream(&chunk[..n], now, &mut events);
                    if failed.is_none() {
                        break Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    break match &failed {
                        Some(e) => Err(failure::of(e)),
                        None => Ok(()),
                    };
                }
                Err(e) => break Err(failure::of(&e)),
            }
        };
        self.show(io, &events)?;
        Ok(outcome)
    }

    /// Sends and receives datagrams. An error is about one of them, and the
    /// others go on.
    fn datagrams(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<()> {
        self.take_errors(chunk, io)?;
        self.send_datagram(chunk, io)?;
        let mut events = Vec::new();
        for _ in 0..TURN {
            let Some(connection) = &mut self.connection else {
                break;
            };
            match connection.link.read(chunk) {
                Ok(n) => {
                    let now = self.started.elapsed();
                    self.ledger.datagram(&chunk[..n], now, &mut events);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // What it is about is told apart from it.
                Err(_) => {
                    self.take_errors(chunk, io)?;
                }
            }
        }
        self.show(io, &events)
    }

    /// Sends the next datagram, if there is one. The system reports an error
    /// about an earlier one at this call instead of sending.
    fn send_datagram(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<()> {
        let mut unexplained = 0;
        while !self.unsent.is_sent() {
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            match connection.link.write(self.unsent.rest()) {
                Ok(_) => self.unsent = Unsent::default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => {
                    unexplained += usize::from(self.take_errors(chunk, io)? == 0);
                    if unexplained < 2 {
                        continue;
                    }
                    self.unsent = Unsent::default();
                    if let Some(seq) = self.ledger.not_sent() {
                        self.show_failure(io, seq, &failure::of(&e))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the errors about datagrams; how many there were.
    fn take_errors(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<usize> {
        let mut taken = 0;
        while taken < TURN
            && let Some(connection) = &self.connection
            && let Some((n, error)) = sys::kept_error(&connection.link, chunk)
        {
            taken += 1;
            if let Some(seq) = self.ledger.refused(&chunk[..n]) {
                self.show_failure(io, seq, &Error::network(&error))?;
            }
        }
        Ok(taken)
    }

    /// The connection is gone; false ends the run.
    fn broken(&mut self, io: &mut Io, error: &Error) -> Result<bool> {
        self.unsent = Unsent::default();
        self.connection = None;
        for seq in self.ledger.cut() {
            self.show_failure(io, seq, error)?;
        }
        if !self.plan.reconnect && self.has_more() {
            output::answer(io, &error.clone().with_subject(&self.target), None)?;
            return Ok(false);
        }
        Ok(true)
    }

    fn show(&mut self, io: &mut Io, events: &[Event]) -> Result<()> {
        let address = self.address.as_deref().unwrap_or(&self.target);
        for &event in events {
            if let Event::Reply { rtt, .. } = event {
                self.latencies.record(rtt);
                self.jitter.record(rtt);
            }
            if !self.quiet {
                echoes::event(io, address, event)?;
            }
        }
        Ok(())
    }

    fn show_failure(&self, io: &mut Io, seq: u64, error: &Error) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let address = self.address.as_deref().unwrap_or(&self.target);
        echoes::failure(io, address, seq, &error.clone().with_subject(&self.target))
    }

    fn wait(&self) -> Result<Woken> {
        let due = self.may_send().then_some(self.next);
        let expiry = self
            .ledger
            .next_expiry()
            .and_then(|expiry| self.started.checked_add(expiry));
        let deadline = [due, expiry, self.stuck_at()].into_iter().flatten().min();
        let link = self.connection.as_ref().map(|c| &c.link);
        if link.is_some_and(Link::holds_input) {
            return Ok(Woken::Ready);
        }
        let mut fds = Vec::with_capacity(2);
        fds.extend(link.and_then(|link| link.poll_fd(true, !self.unsent.is_sent())));
        self.stop.wait(&mut fds, deadline)
    }

    fn summary(&self, io: &mut Io) -> Result<()> {
        let duration: Duration = self.started.elapsed();
        let summary = Summary {
            target: &self.target,
            address: self.address.as_deref(),
            what: What::Echo,
            ledger: &self.ledger,
            latencies: &self.latencies,
            jitter: self.jitter,
            duration,
        };
        summary.show(io)
    }
}

/// A message on its way out.
#[derive(Debug, Default)]
struct Unsent {
    message: Option<Rc<[u8]>>,
    /// Bytes of it that have gone.
    sent: usize,
}

impl Unsent {
    fn rest(&self) -> &[u8] {
        self.message
            .as_ref()
            .map_or(&[], |message| &message[self.sent..])
    }

    /// Whether nothing is left of it. An empty datagram is something.
    fn is_sent(&self) -> bool {
        self.message.is_none()
    }

    /// What a peer that takes no more of it has done.
    fn stuck(&self) -> String {
        let (sent, all) = (self.sent, self.sent + self.rest().len());
        format!("the peer does not read: {sent} of the last message's {all} bytes could be sent")
    }
}

/// Sends what can be sent now of `unsent`.
fn send(link: &mut Link, unsent: &mut Unsent) -> io::Result<()> {
    link.flush()?;
    while !unsent.rest().is_empty() {
        match link.write(unsent.rest()) {
            Ok(n) => unsent.sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    if unsent.rest().is_empty() {
        *unsent = Unsent::default();
    }
    Ok(())
}

//! The engine: one thread, non-blocking sockets, absolute deadlines.
//!
//! Each turn asks the plan for the probes that are due, sends them in one
//! call, and takes in what has arrived in another; when nothing is due it
//! waits for the sockets until the plan's next moment or the next timeout.
//! What an answer means is decided by the [`Books`]; the engine tells the plan
//! and the observer.

mod receiving;
mod sending;

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use common::Result;
use common::app::Io;
use common::signal::{self, Signals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::books::Books;
use crate::clock::{Clock, Nanos, Stamps};
use crate::event::{Event, Observer, Refusal};
use crate::packet::{Template, Version};
use crate::plan::{Next, Plan, Settled};
use crate::socket::IcmpSocket;
use crate::sys::{Inbox, Outbox};
use crate::target::TargetId;

/// Waits shorter than this are spent turning round: the system would oversleep.
const SPIN: Nanos = 15_000;

/// While replies come faster than they are read, a probe is given up this
/// long after its time.
const OVERLOAD: Nanos = 1_000_000_000;

/// A socket and what goes out through it.
#[derive(Debug)]
pub(crate) struct Line {
    version: Version,
    socket: IcmpSocket,
    id: u16,
    template: Template,
    outbox: Outbox,
    /// The numbers of the probes in the outbox.
    outgoing: Vec<u64>,
    /// Whether anything has gone out.
    used: bool,
    /// The socket's drop counter, as last seen.
    drops: u32,
    /// Whether the replies to others are kept away.
    alone: bool,
}

impl Line {
    /// A line through this socket. `id` is the identifier of what a raw one
    /// sends.
    pub(crate) fn new(version: Version, socket: IcmpSocket, id: u16, template: Template) -> Self {
        Self {
            version,
            socket,
            id,
            template,
            outbox: Outbox::default(),
            outgoing: Vec::new(),
            used: false,
            drops: 0,
            alone: false,
        }
    }

    /// What it carries.
    pub(crate) fn version(&self) -> Version {
        self.version
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The plan is done.
    Done,
    /// Its deadline passed.
    Deadline,
    /// SIGINT or SIGTERM.
    Interrupted,
}

/// Sizes that suit the job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Probes sent at once, at most.
    pub(crate) batch: usize,
    /// Bytes of the longest message received.
    pub(crate) largest: usize,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Engine {
    clock: Clock,
    stamps: Stamps,
    lines: Vec<Line>,
    signals: Signals,
    /// Targets and probes.
    pub(crate) books: Books,
    inbox: Inbox,
    batch: usize,
    /// Packets and errors taken in before signals, the deadline and the probes
    /// that are due get their turn.
    pass: usize,
    /// The clock's last reading that need not be more exact than a turn.
    now: Nanos,
}

/// The parties of a run, handed through together.
struct Parties<'a> {
    plan: &'a mut dyn Plan,
    observer: &'a mut dyn Observer,
    io: &'a mut Io,
}

impl Engine {
    /// An engine over open sockets.
    pub(crate) fn new(
        clock: Clock,
        lines: Vec<Line>,
        signals: Signals,
        books: Books,
        sizes: Sizes,
    ) -> Self {
        // Bounded memory for large messages; more slots than probes go out, so
        // that one call shows that there is no more.
        let slots = (256 * 1024 / sizes.largest.max(1)).clamp(1, 2 * sizes.batch.max(2));
        Self {
            clock,
            stamps: Stamps::new(clock),
            lines,
            signals,
            books,
            inbox: Inbox::new(slots, sizes.largest),
            batch: sizes.batch,
            pass: receiving::PASS,
            now: 0,
        }
    }

    /// Replies that reached this machine and found the socket's buffer full.
    pub(crate) fn dropped(&self) -> u64 {
        let lines = self.lines.iter().filter(|line| line.drops > 0);
        lines
            .map(|line| u64::from(line.drops).saturating_sub(line.socket.spoiled()))
            .sum()
    }

    /// Runs a plan to its end.
    pub(crate) fn run(
        &mut self,
        plan: &mut dyn Plan,
        observer: &mut dyn Observer,
        io: &mut Io,
    ) -> Result<End> {
        let parties = &mut Parties { plan, observer, io };
        loop {
            if self.signals.pending() {
                for signal in self.signals.take() {
                    if signal != signal::SIGQUIT {
                        self.receive_all(parties)?;
                        return Ok(End::Interrupted);
                    }
                    let overdue = self.books.count_overdue(self.clock.now());
                    let targets = &self.books.targets;
                    parties.observer.snapshot(parties.io, targets, &overdue)?;
                }
            }
            let deadline = parties.plan.deadline();
            if deadline.is_some_and(|end| self.clock.now() >= end) {
                self.receive_all(parties)?;
                return Ok(End::Deadline);
            }
            if parties.observer.is_enough() {
                return Ok(End::Done);
            }
            let next = self.collect(parties)?;
            if parties.observer.held().is_some() {
                let targets = &self.books.targets;
                parties.observer.release(parties.io, self.clock, targets)?;
            }
            if self.queued() > 0 {
                for line in 0..self.lines.len() {
                    self.send(line, parties)?;
                }
                self.receive_all(parties)?;
            } else {
                match next {
                    Next::Done if !parties.observer.is_holding() => return Ok(End::Done),
                    Next::At(at) => self.wait(Some(at), parties)?,
                    _ => self.wait(None, parties)?,
                }
            }
            self.expire(parties)?;
        }
    }

    fn queued(&self) -> usize {
        self.lines.iter().map(|line| line.outgoing.len()).sum()
    }

    /// Puts what is due into the outboxes; returns why there is no more.
    fn collect(&mut self, parties: &mut Parties<'_>) -> Result<Next> {
        let now = self.clock.now();
        self.now = now;
        while self.queued() < self.batch {
            match parties.plan.next(now, &mut self.books.targets) {
                Next::Probe { target, size } => self.queue(target, size, parties)?,
                Next::Outstanding { target } => {
                    if let Some(seq) = self.books.unanswered(target) {
                        self.tell(target, &Event::Outstanding { seq }, parties)?;
                    }
                }
                Next::Refused(error) => {
                    let refusal = Refusal::new(error);
                    parties.observer.refused(parties.io, self.clock, &refusal)?;
                }
                other => return Ok(other),
            }
        }
        Ok(Next::Idle)
    }

    fn queue(&mut self, id: TargetId, size: u16, parties: &mut Parties<'_>) -> Result<()> {
        let Some(target) = self.books.targets.get(id) else {
            return Ok(());
        };
        if target.sent == 0 {
            parties.observer.started(parties.io, self.clock, target)?;
        }
        let (version, to) = (target.version(), destination(target.address, target.scope));
        let number = self.books.open(id, size);
        let Some(line) = self.lines.iter_mut().find(|line| line.version == version) else {
            self.mark_sent(number, self.clock.now(), parties);
            return self.unsent(number, libc::EAFNOSUPPORT, None, parties);
        };
        let size = usize::from(size);
        let cookie = self.books.cookies.make(number, size);
        line.outgoing.push(number);
        line.used = true;
        let template = &line.template;
        line.outbox.push(to, |buffer| {
            template.write(buffer, size, number as u16, cookie);
        });
        Ok(())
    }

    /// Gives up what has had its time, once everything that came until now is
    /// read: an answer may have come since the socket was last looked at.
    fn expire(&mut self, parties: &mut Parties<'_>) -> Result<()> {
        let timeout = parties.plan.timeout(&self.books.targets);
        let mut now = self.now;
        if self.books.is_due(now, timeout) && !self.receive_all(parties)? {
            now = now.saturating_sub(OVERLOAD);
        }
        while let Some((id, seq, settled)) = self.books.expire(now, timeout) {
            if settled == Settled::Lost {
                self.tell(id, &Event::Timeout { seq }, parties)?;
            }
            self.settle(id, Some(settled), parties)?;
        }
        self.books.forget();
        Ok(())
    }

    fn tell(&self, id: TargetId, event: &Event<'_>, parties: &mut Parties<'_>) -> Result<()> {
        match self.books.targets.get(id) {
            Some(target) => parties
                .observer
                .event(parties.io, self.clock, target, event),
            None => Ok(()),
        }
    }

    /// Tells the plan, and the observer if that decides the target.
    fn settle(
        &mut self,
        id: TargetId,
        settled: Option<Settled>,
        parties: &mut Parties<'_>,
    ) -> Result<()> {
        let Some(settled) = settled else {
            return Ok(());
        };
        let targets = &mut self.books.targets;
        if targets.get(id).is_none_or(|target| target.ended) {
            return Ok(());
        }
        let now = self.now;
        if !parties.plan.settled(id, settled, now, targets) {
            return Ok(());
        }
        self.books.close_target(id, now);
        if let Some(target) = self.books.targets.get_mut(id) {
            target.stats.end_run(now);
            target.ended = true;
            parties.observer.ended(parties.io, self.clock, target)?;
        }
        Ok(())
    }

    /// Waits until something arrives, or a moment of the plan's, or a timeout.
    fn wait(&mut self, until: Option<Nanos>, parties: &mut Parties<'_>) -> Result<()> {
        let timeout = parties.plan.timeout(&self.books.targets);
        let moments = [
            until,
            self.books.probes.next_expiry(timeout),
            parties.plan.deadline(),
            parties.observer.held(),
        ];
        let until = moments.into_iter().flatten().min();
        let now = self.clock.now();
        if until.is_some_and(|until| until < now + SPIN) {
            self.receive_all(parties)?;
            return Ok(());
        }
        parties.io.out.flush()?;
        let wake = [parties.plan.wake(), parties.observer.wake()];
        let sockets = self.lines.iter().map(|line| line.socket.as_fd());
        let mut fds: Vec<PollFd<'_>> = sockets
            .chain([self.signals.as_fd()])
            .chain(wake.into_iter().flatten())
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let timeout = until.map(|until| timespec(until.saturating_sub(self.clock.now())));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(common::Error::local(&e.into())),
        }
        self.now = self.clock.now();
        let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        for (index, ready) in (0..self.lines.len()).zip(ready) {
            if ready.intersects(PollFlags::ERR) {
                self.receive_errors(index, self.pass, parties)?;
            }
            if ready.intersects(PollFlags::IN | PollFlags::ERR) {
                self.receive(index, parties)?;
            }
        }
        Ok(())
    }

    /// Lets the system catch up.
    fn pause(&self, time: Nanos) -> Result<()> {
        let sockets = self.lines.iter().map(|line| line.socket.as_fd());
        let mut fds: Vec<PollFd<'_>> = sockets
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, Some(&timespec(time))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(common::Error::local(&e.into())),
        }
    }
}

fn timespec(time: Nanos) -> Timespec {
    Timespec {
        tv_sec: (time / 1_000_000_000).cast_signed(),
        tv_nsec: (time % 1_000_000_000).cast_signed(),
    }
}

fn destination(address: IpAddr, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, 0),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, scope).into(),
    }
}

#[cfg(test)]
mod tests;

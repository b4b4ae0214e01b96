//! The load engine: many connections on one thread and one level-triggered
//! readiness queue.
//!
//! A connection owns no buffer: what it sends is made when it can be sent,
//! what it receives is compared on the spot, both in one scratch buffer of the
//! engine. A connection is watched for writing only while something is unsent.
//! Connections are made without waiting for each other, at most [`WINDOW`] at
//! a time, so that a short backlog at the peer costs no second.

use std::io;
use std::time::{Duration, Instant};

use common::Result;
use polling::Event;

use super::ready::Readiness;
use super::schedule::Schedule;
use super::slot::{Slot, Stage};
use super::tally::Tally;
use crate::config::Load;
use crate::dial::Dialer;
use crate::failure;
use crate::link::Link;
use crate::pattern::Pattern;
use crate::sys;
use crate::wait::Stop;

/// Connections being made at the same time, before the run.
const WINDOW: usize = 100;

/// Bytes read or written at once.
const SCRATCH: usize = 256 * 1024;

/// Messages begun at once by the schedule; then what has come is looked at.
const BATCH: usize = 64 * 1024;

/// Writes to one connection before the others, and signals, have their turn.
const WRITES: usize = 16;

/// The key of the signals among the events.
const SIGNALS: usize = usize::MAX - 1;

/// A wait shorter than this is spent looking, since the system may oversleep.
const SPIN: Duration = Duration::from_micros(150);

/// How long a slot rests after its connection failed.
const REST: Duration = Duration::from_millis(10);

/// How often the clock of a run strikes.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// What a step of the engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The connections are made.
    Connecting,
    /// Messages are sent and come back.
    Running,
    /// Nothing more is begun; what is on its way comes back.
    Draining,
}

/// A load run.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    dialer: &'a Dialer,
    plan: &'a Load,
    stop: &'a Stop,
    ready: Readiness,
    pattern: Pattern,
    schedule: Option<Schedule>,
    slots: Vec<Slot>,
    scratch: Vec<u8>,
    phase: Phase,
    /// Connections that are not closed for good.
    alive: usize,
    /// Connections being made.
    opening: usize,
    /// The slots still to be opened, from here on.
    unopened: usize,
    /// Messages (with `--reconnect`, connections) begun by the schedule.
    begun: u64,
    /// Slots that have messages to send and are not watched for writing, kept
    /// for its memory.
    touched: Vec<usize>,
    /// With `--reconnect`: slots without a connection.
    idle: Vec<usize>,
    /// With `--reconnect`: slots whose connection failed, and when they may
    /// try again.
    resting: Vec<usize>,
    rested: Duration,
    started: Instant,
    /// The counts.
    pub(crate) tally: Tally,
}

impl<'a> Engine<'a> {
    /// An engine with nothing connected yet. Raises the limit of open files
    /// where it must.
    pub(crate) fn new(dialer: &'a Dialer, plan: &'a Load, stop: &'a Stop) -> Result<Self> {
        sys::allow_descriptors(plan.connections as u64 + 64)?;
        let ready = Readiness::new()?;
        ready.add(&stop.fd(), SIGNALS, true, false)?;
        let pattern = Pattern::new(plan.seed, plan.sizes);
        let slots: Vec<Slot> = (0..plan.connections)
            .map(|n| Slot::new(&pattern, n as u32, plan.rate.is_none()))
            .collect();
        Ok(Self {
            dialer,
            plan,
            stop,
            ready,
            pattern,
            schedule: plan.rate.map(|rate| Schedule::new(rate, plan.connections)),
            // The first slot takes the connection that is there already.
            idle: (1..slots.len()).rev().filter(|_| plan.reconnect).collect(),
            resting: Vec::new(),
            rested: Duration::ZERO,
            alive: slots.len(),
            slots,
            scratch: vec![0; SCRATCH],
            phase: Phase::Connecting,
            opening: 0,
            unopened: 0,
            begun: 0,
            touched: Vec::new(),
            started: Instant::now(),
            tally: Tally::new()?,
        })
    }

    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Makes all connections; the first is open already. `false` at a signal.
    pub(crate) fn connect(&mut self, first: Link, deadline: Instant) -> Result<bool> {
        self.adopt(0, first)?;
        if self.plan.reconnect {
            return Ok(true);
        }
        self.established(0)?;
        self.unopened = 1;
        while self.unopened < self.slots.len() || self.opening > 0 {
            while self.opening < WINDOW && self.unopened < self.slots.len() {
                let index = self.unopened;
                self.unopened += 1;
                self.open(index)?;
            }
            if self.opening == 0 {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.step(left)?;
            if self.stop.seen() > 0 {
                return Ok(false);
            }
            if left.is_zero() {
                for index in 0..self.slots.len() {
                    if self.slots[index].stage == Stage::Opening {
                        self.fail(index, "connect timed out")?;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Sends and receives until the time is over, a signal comes or no
    /// connection is left; `tick` is called every [`TICK`].
    pub(crate) fn run(
        &mut self,
        mut tick: impl FnMut(&mut Self, Duration) -> Result<()>,
    ) -> Result<Duration> {
        self.phase = Phase::Running;
        self.started = Instant::now();
        self.begin_first()?;
        let mut next_tick = TICK;
        loop {
            let elapsed = self.started.elapsed();
            if elapsed >= next_tick {
                tick(self, elapsed)?;
                while next_tick <= elapsed {
                    next_tick += TICK;
                }
            }
            if elapsed >= self.plan.duration || self.stop.seen() > 0 || self.alive == 0 {
                if let Some(schedule) = self.schedule {
                    self.begin_last(schedule, elapsed)?;
                }
                return Ok(elapsed);
            }
            let until = next_tick.min(self.plan.duration);
            let mut wait = until.saturating_sub(elapsed);
            if !self.resting.is_empty() {
                if elapsed >= self.rested {
                    self.idle.append(&mut self.resting);
                }
                wait = wait.min(REST);
            }
            if self.schedule.is_none() {
                self.reopen_idle()?;
            }
            if let Some(schedule) = self.schedule {
                self.begin_due(schedule, elapsed.as_nanos() as u64)?;
                wait = wait.min(self.until_due(schedule));
            }
            self.step(if wait < SPIN { Duration::ZERO } else { wait })?;
        }
    }

    /// Begins nothing more and waits for what is on its way, at the latest
    /// until `deadline`; then closes everything. A second signal ends it.
    pub(crate) fn drain(&mut self, deadline: Instant) -> Result<()> {
        self.phase = Phase::Draining;
        for index in 0..self.slots.len() {
            if self.schedule.is_some() && self.slots[index].is_open() {
                self.tally.unsent += self.slots[index].talk.unsent();
            }
            self.slots[index].talk.stop();
            let slot = &self.slots[index];
            if slot.is_open() && slot.talk.outstanding() == 0 {
                self.close(index)?;
            }
        }
        let requests = self.stop.seen();
        while self.slots.iter().any(Slot::is_open) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.seen() > requests {
                break;
            }
            self.step(left)?;
        }
        for index in 0..self.slots.len() {
            if self.slots[index].is_open() {
                self.tally.missing += self.slots[index].talk.outstanding();
                self.close(index)?;
            }
        }
        Ok(())
    }

    /// Begins what needs no schedule: every connection its first messages.
    fn begin_first(&mut self) -> Result<()> {
        if self.plan.reconnect {
            // This one is open already.
            self.begun = 1;
            self.slots[0].restart(&self.pattern, 0);
            return self.send(0, 0);
        }
        if self.schedule.is_some() {
            return Ok(());
        }
        for index in 0..self.slots.len() {
            self.slots[index].talk.allow(self.plan.pipeline);
            self.send(index, self.now())?;
        }
        Ok(())
    }

    /// `--reconnect` without a schedule: the next connection at once.
    fn reopen_idle(&mut self) -> Result<()> {
        // Not those that become idle meanwhile: the clock must be looked at.
        for _ in 0..self.idle.len() {
            if let Some(index) = self.idle.pop() {
                self.reopen(index, self.now())?;
            }
        }
        Ok(())
    }

    /// Begins what is due by now, at most a [`BATCH`] of it. `false` if there
    /// is more.
    fn begin_due(&mut self, schedule: Schedule, now: u64) -> Result<bool> {
        if self.plan.reconnect {
            while schedule.due(self.begun) <= now {
                // With no slot free it stays due, and its latency grows.
                let Some(index) = self.idle.pop() else { break };
                let due = schedule.due(self.begun);
                self.begun += 1;
                self.reopen(index, due)?;
            }
            return Ok(true);
        }
        let last = self.begun + BATCH as u64;
        while self.begun < last && schedule.due(self.begun) <= now {
            let index = schedule.connection(self.begun);
            self.begun += 1;
            let slot = &mut self.slots[index];
            if slot.is_open() {
                // Where a peer does not read, an event tells when it does.
                if !slot.talk.has_unsent() && !slot.watched.1 {
                    self.touched.push(index);
                }
                slot.talk.allow(1);
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            self.send(index, now)?;
        }
        self.touched = touched;
        Ok(schedule.due(self.begun) > now)
    }

    /// Begins all that was due when the run ended, also if this process was
    /// held up, and counts what could not be begun.
    fn begin_last(&mut self, schedule: Schedule, elapsed: Duration) -> Result<()> {
        let end = self.plan.duration.saturating_sub(Duration::from_nanos(1));
        let end = end.min(elapsed).as_nanos() as u64;
        let requests = self.stop.seen();
        while !self.begin_due(schedule, end)? && self.stop.requests() == requests {}
        self.tally.unsent += schedule.due_by(end).saturating_sub(self.begun);
        Ok(())
    }

    fn until_due(&self, schedule: Schedule) -> Duration {
        if self.plan.reconnect && self.idle.is_empty() {
            return TICK;
        }
        Duration::from_nanos(schedule.due(self.begun).saturating_sub(self.now()))
    }

    /// Waits for events, at most so long, and acts on them.
    fn step(&mut self, timeout: Duration) -> Result<()> {
        for at in 0..self.ready.wait(timeout)? {
            let event = self.ready.event(at);
            if event.key == SIGNALS {
                self.stop.requests();
            } else {
                self.act(event)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, event: Event) -> Result<()> {
        let index = event.key;
        if self.slots[index].stage == Stage::Opening {
            return self.established(index);
        }
        if event.readable && self.slots[index].is_open() {
            self.receive(index)?;
            // No event tells of what has been decrypted already.
            while self.slots[index]
                .link
                .as_ref()
                .is_some_and(Link::holds_input)
            {
                self.receive(index)?;
            }
        }
        if event.writable && self.slots[index].stage == Stage::Open {
            self.send(index, self.now())?;
        }
        Ok(())
    }

    /// Starts to connect a slot.
    fn open(&mut self, index: usize) -> Result<()> {
        match self.dialer.begin() {
            Ok(link) => {
                self.adopt(index, link)?;
                self.slots[index].stage = Stage::Opening;
                self.opening += 1;
                self.watch(index, false, true)
            }
            Err(e) => self.fail(index, failure::of(&e).message()),
        }
    }

    fn adopt(&mut self, index: usize, link: Link) -> Result<()> {
        self.ready.add(&link, index, false, false)?;
        let slot = &mut self.slots[index];
        slot.link = Some(link);
        slot.watched = (false, false);
        slot.stage = Stage::Open;
        Ok(())
    }

    /// A connect has come to its end, good or bad.
    fn established(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(link) = &mut slot.link else {
            return Ok(());
        };
        match link.advance() {
            Ok(true) => {}
            Ok(false) => {
                let write = link.holds_output();
                return self.watch(index, true, write);
            }
            Err(e) => return self.fail(index, failure::of(&e).message()),
        }
        self.opening -= usize::from(slot.stage == Stage::Opening);
        slot.stage = Stage::Open;
        self.tally.connected += 1;
        self.watch(index, true, false)
    }

    /// `--reconnect`: a fresh connection for one message, due at `since`.
    fn reopen(&mut self, index: usize, since: u64) -> Result<()> {
        let link = match self.dialer.begin() {
            Ok(link) => link,
            Err(e) => return self.fail(index, failure::of(&e).message()),
        };
        self.adopt(index, link)?;
        let slot = &mut self.slots[index];
        slot.restart(&self.pattern, since);
        // On loopback it is there at once; elsewhere writability will tell.
        let now = self.now();
        self.send(index, now)
    }

    /// Sends what may be sent and can be; `now` is when, for its latency.
    fn send(&mut self, index: usize, now: u64) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(link) = &mut slot.link else {
            return Ok(());
        };
        if let Err(e) = link.flush() {
            return self.fail(index, failure::of(&e).message());
        }
        for _ in 0..WRITES {
            if !slot.talk.has_unsent() {
                break;
            }
            let n = slot.talk.fill(&self.pattern, &mut self.scratch);
            match link.write(&self.scratch[..n]) {
                Ok(sent) => {
                    slot.talk.wrote(&self.pattern, sent, now);
                    if sent < n {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return self.fail(index, failure::of(&e).message()),
            }
        }
        let unsent = slot.talk.has_unsent() || link.holds_output();
        self.watch(index, true, unsent)
    }

    /// Reads once and compares.
    fn receive(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(link) = &mut slot.link else {
            return Ok(());
        };
        let n = match link.read(&mut self.scratch) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                // TLS may have answered the peer by itself.
                let unsent = slot.talk.has_unsent() || link.holds_output();
                return self.watch(index, true, unsent);
            }
            Err(e) => return self.fail(index, failure::of(&e).message()),
        };
        if n == 0 {
            return self.peer_end(index);
        }
        let now = self.started.elapsed().as_nanos() as u64;
        let (tally, since, schedule) = (&mut self.tally, slot.since, self.schedule);
        let mut sequence = slot.talk.awaited();
        let mut echoes = 0;
        let sane = slot
            .talk
            .received(&self.pattern, &self.scratch[..n], |echo| {
                let from = match (since, schedule) {
                    (Some(since), _) => since,
                    (None, Some(schedule)) => schedule.due_of(index as u32, sequence),
                    (None, None) => echo.since,
                };
                sequence += 1;
                echoes += 1;
                if echo.right {
                    tally.echo(echo.size, now.saturating_sub(from));
                } else {
                    tally.mismatches += 1;
                }
            });
        self.tally.settle();
        if !sane {
            self.tally.mismatches += 1;
            return self.fail(index, "the peer sent more than it had received");
        }
        let outstanding = slot.talk.outstanding();
        if self.plan.reconnect {
            return if outstanding == 0 && slot.stage == Stage::Open {
                self.half_close(index)
            } else {
                Ok(())
            };
        }
        if self.phase == Phase::Draining {
            return if outstanding == 0 {
                self.close(index)
            } else {
                Ok(())
            };
        }
        if self.schedule.is_none() {
            slot.talk.allow(echoes);
        }
        if slot.talk.has_unsent() && !slot.watched.1 {
            return self.send(index, now);
        }
        Ok(())
    }

    /// `--reconnect`: the echo is here; now the peer is to close in order.
    fn half_close(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        slot.stage = Stage::Closing;
        match slot.link.as_mut().map(Link::shutdown_write) {
            Some(Err(e)) => self.fail(index, failure::of(&e).message()),
            _ => self.watch(index, true, false),
        }
    }

    fn peer_end(&mut self, index: usize) -> Result<()> {
        if self.slots[index].stage != Stage::Closing {
            return self.fail(index, "the peer closed the connection");
        }
        self.tally.connected += 1;
        self.close(index)
    }

    /// A connection failed. With `--reconnect` its slot gets another.
    fn fail(&mut self, index: usize, why: &str) -> Result<()> {
        if self.slots[index].stage == Stage::Opening {
            self.opening -= 1;
        }
        self.tally.error(why);
        self.disconnect(index)?;
        if self.plan.reconnect {
            // Not at once, or a peer that refuses would be stormed.
            self.rested = self.started.elapsed() + REST;
            self.resting.push(index);
        }
        Ok(())
    }

    /// Ends a connection in order.
    fn close(&mut self, index: usize) -> Result<()> {
        self.disconnect(index)?;
        if self.plan.reconnect {
            self.idle.push(index);
        }
        Ok(())
    }

    fn disconnect(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        if let Some(link) = slot.link.take() {
            if let Some((rtt, retransmits)) = sys::tcp_info(&link) {
                self.tally.tcp_info(rtt, retransmits);
            }
            self.ready.remove(&link)?;
        }
        self.slots[index].stage = Stage::Closed;
        if !self.plan.reconnect {
            self.alive = self.alive.saturating_sub(1);
        }
        Ok(())
    }

    /// Watches a connection for what is needed, if that has changed.
    fn watch(&mut self, index: usize, read: bool, write: bool) -> Result<()> {
        let slot = &mut self.slots[index];
        if slot.watched == (read, write) {
            return Ok(());
        }
        let Some(link) = &slot.link else {
            return Ok(());
        };
        self.ready.modify(link, index, read, write)?;
        slot.watched = (read, write);
        Ok(())
    }
}

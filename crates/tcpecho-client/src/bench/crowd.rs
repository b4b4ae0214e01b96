//! The connections of a load run, and what happens at one of them.
//!
//! A connection owns no buffer: what it sends is made when it can be sent,
//! what it receives is compared on the spot, both in one scratch buffer. It is
//! watched for writing only while something is unsent. When something happens
//! is the [`engine`](super::engine)'s affair.

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

/// Bytes read or written at once.
const SCRATCH: usize = 256 * 1024;

/// Writes to one connection before the others, and signals, have their turn.
const WRITES: usize = 16;

/// How long a slot rests after its connection failed.
pub(super) const REST: Duration = Duration::from_millis(10);

/// What a turn of the engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connections are made.
    Connecting,
    /// Messages are sent and come back.
    Running,
    /// Nothing more is begun; what is on its way comes back.
    Draining,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Crowd<'a> {
    dialer: &'a Dialer,
    plan: &'a Load,
    pub(super) ready: Readiness,
    pub(super) pattern: Pattern,
    pub(super) schedule: Option<Schedule>,
    pub(super) slots: Vec<Slot>,
    scratch: Vec<u8>,
    pub(super) phase: Phase,
    /// Connections that are not closed for good.
    pub(super) alive: usize,
    /// Connections being made.
    pub(super) opening: usize,
    /// With `--reconnect`: slots without a connection.
    pub(super) idle: Vec<usize>,
    /// With `--reconnect`: slots whose connection failed, and when they may
    /// try again.
    resting: Vec<usize>,
    rested: Duration,
    /// When the run began.
    pub(super) started: Instant,
    pub(super) tally: Tally,
}

impl<'a> Crowd<'a> {
    /// Nobody connected yet.
    pub(super) fn new(dialer: &'a Dialer, plan: &'a Load) -> Result<Self> {
        let pattern = Pattern::new(plan.seed, plan.sizes);
        let slots: Vec<Slot> = (0..plan.connections)
            .map(|n| Slot::new(&pattern, n as u32, plan.rate.is_none()))
            .collect();
        Ok(Self {
            dialer,
            plan,
            ready: Readiness::new()?,
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
            started: Instant::now(),
            tally: Tally::new()?,
        })
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Lets the slots try again that have rested.
    pub(super) fn rouse(&mut self, elapsed: Duration) {
        if elapsed >= self.rested {
            self.idle.append(&mut self.resting);
        }
    }

    /// Whether some rest.
    pub(super) fn some_rest(&self) -> bool {
        !self.resting.is_empty()
    }

    /// A connection is ready.
    pub(super) fn act(&mut self, event: Event) -> Result<()> {
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
            self.send(index)?;
        }
        Ok(())
    }

    /// Starts to connect a slot.
    pub(super) fn open(&mut self, index: usize) -> Result<()> {
        match self.dialer.begin() {
            Ok(link) => {
                self.adopt(index, link)?;
                self.slots[index].stage = Stage::Opening;
                self.opening += 1;
                self.watch(index, false, true)
            }
            Err(e) => self.fail(index, &failure::of(&e).explanation()),
        }
    }

    pub(super) fn adopt(&mut self, index: usize, link: Link) -> Result<()> {
        self.ready.add(&link, index, false, false)?;
        let slot = &mut self.slots[index];
        slot.link = Some(link);
        slot.watched = (false, false);
        slot.stage = Stage::Open;
        Ok(())
    }

    /// A connect has come to its end, good or bad.
    pub(super) fn established(&mut self, index: usize) -> Result<()> {
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
            Err(e) => return self.fail(index, &failure::of(&e).explanation()),
        }
        self.opening -= usize::from(slot.stage == Stage::Opening);
        slot.stage = Stage::Open;
        // Before the clock of the run starts.
        self.tally.connected(0);
        self.watch(index, true, false)
    }

    /// `--reconnect`: a fresh connection for one message, due at `since`.
    pub(super) fn reopen(&mut self, index: usize, since: u64) -> Result<()> {
        let link = match self.dialer.begin() {
            Ok(link) => link,
            Err(e) => return self.fail(index, &failure::of(&e).explanation()),
        };
        self.adopt(index, link)?;
        let slot = &mut self.slots[index];
        slot.restart(&self.pattern, since);
        // On loopback it is there at once; elsewhere writability will tell.
        self.send(index)
    }

    /// Sends what may be sent and can be.
    pub(super) fn send(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(link) = &mut slot.link else {
            return Ok(());
        };
        if let Err(e) = link.flush() {
            return self.fail(index, &failure::of(&e).explanation());
        }
        for _ in 0..WRITES {
            if !slot.talk.has_unsent() {
                break;
            }
            let filled = slot.talk.fill(&self.pattern, &mut self.scratch);
            // Only now: making the messages is no latency of the peer.
            let now = self.started.elapsed().as_nanos() as u64;
            match link.write(&self.scratch[..filled.len]) {
                Ok(sent) => {
                    let begun = slot.talk.wrote(&self.pattern, filled, sent, now);
                    let due = |sequence| match (slot.since, self.schedule) {
                        (Some(since), Some(_)) => Some(since),
                        (None, Some(schedule)) => Some(schedule.due_of(index as u32, sequence)),
                        (_, None) => None,
                    };
                    for due in begun.filter_map(due) {
                        self.tally.sent_late(now.saturating_sub(due));
                    }
                    if sent < filled.len {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return self.fail(index, &failure::of(&e).explanation()),
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
            Err(e) => return self.fail(index, &failure::of(&e).explanation()),
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
                    tally.corrupt += 1;
                }
            });
        self.tally.settle(now);
        if !sane {
            self.tally.corrupt += 1;
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
            return self.send(index);
        }
        Ok(())
    }

    /// `--reconnect`: the echo is here; now the peer is to close in order.
    fn half_close(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        slot.stage = Stage::Closing;
        match slot.link.as_mut().map(Link::shutdown_write) {
            Some(Err(e)) => self.fail(index, &failure::of(&e).explanation()),
            _ => self.watch(index, true, false),
        }
    }

    fn peer_end(&mut self, index: usize) -> Result<()> {
        if self.slots[index].stage != Stage::Closing {
            return self.fail(index, "the peer closed the connection");
        }
        let now = self.now();
        self.tally.connected(now);
        self.close(index)
    }

    /// A connection failed. With `--reconnect` its slot gets another.
    pub(super) fn fail(&mut self, index: usize, why: &str) -> Result<()> {
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
    pub(super) fn close(&mut self, index: usize) -> Result<()> {
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

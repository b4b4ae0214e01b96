//! The load engine: when connections are made and messages begun, on one
//! thread and one level-triggered readiness queue. What happens at a
//! connection is in [`crowd`](super::crowd).
//!
//! Connections are made without waiting for each other, at most [`WINDOW`] at
//! a time, so that a short backlog at the peer costs no second.

use std::time::{Duration, Instant};

use common::Result;

use super::crowd::{Crowd, Phase, REST};
use super::pause::{LOOK, Pauses};
use super::schedule::Schedule;
use super::slot::{Slot, Stage};
use super::tally::Tally;
use crate::config::Load;
use crate::dial::Dialer;
use crate::link::Link;
use crate::sys;
use crate::wait::Stop;

/// Connections being made at the same time, before the run.
const WINDOW: usize = 100;

/// Messages begun at once by the schedule; then what has come is looked at.
const BATCH: usize = 64 * 1024;

/// The key of the signals among the events.
const SIGNALS: usize = usize::MAX - 1;

/// How often the clock of a run strikes.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// A load run.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    plan: &'a Load,
    stop: &'a Stop,
    crowd: Crowd<'a>,
    /// The slots still to be opened, from here on.
    unopened: usize,
    /// Messages (with `--reconnect`, connections) begun by the schedule.
    begun: u64,
    /// Slots that have messages to send and are not watched for writing, kept
    /// for its memory.
    touched: Vec<usize>,
    pauses: Pauses,
}

impl<'a> Engine<'a> {
    /// An engine with nothing connected yet. Raises the limit of open files
    /// where it must.
    pub(crate) fn new(dialer: &'a Dialer, plan: &'a Load, stop: &'a Stop) -> Result<Self> {
        sys::allow_descriptors(plan.connections as u64 + 64)?;
        let crowd = Crowd::new(dialer, plan)?;
        crowd.ready.add(&stop.fd(), SIGNALS, true, false)?;
        Ok(Self {
            plan,
            stop,
            crowd,
            unopened: 0,
            begun: 0,
            touched: Vec::new(),
            pauses: Pauses::new(match plan.rate {
                Some(_) => None,
                None => Some(plan.connections as u64 * plan.pipeline),
            }),
        })
    }

    /// The counts.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.crowd.tally
    }

    /// Makes all connections; the first is open already. `false` at a signal.
    pub(crate) fn connect(&mut self, first: Link, deadline: Instant) -> Result<bool> {
        self.crowd.adopt(0, first)?;
        if self.plan.reconnect {
            return Ok(true);
        }
        self.crowd.established(0)?;
        self.unopened = 1;
        while self.unopened < self.crowd.slots.len() || self.crowd.opening > 0 {
            while self.crowd.opening < WINDOW && self.unopened < self.crowd.slots.len() {
                let index = self.unopened;
                self.unopened += 1;
                self.crowd.open(index)?;
            }
            if self.crowd.opening == 0 {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.step(left, Ending::Roughly)?;
            if self.stop.seen() > 0 {
                return Ok(false);
            }
            if left.is_zero() {
                for index in 0..self.crowd.slots.len() {
                    if self.crowd.slots[index].stage == Stage::Opening {
                        self.crowd.fail(index, "connect timed out")?;
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
        mut tick: impl FnMut(&mut Tally, Duration) -> Result<()>,
    ) -> Result<Duration> {
        self.crowd.phase = Phase::Running;
        self.crowd.started = Instant::now();
        self.begin_first()?;
        let mut next_tick = TICK;
        loop {
            let elapsed = self.crowd.started.elapsed();
            if elapsed >= next_tick {
                tick(&mut self.crowd.tally, elapsed)?;
                while next_tick <= elapsed {
                    next_tick += TICK;
                }
            }
            if elapsed >= self.plan.duration || self.stop.seen() > 0 || self.crowd.alive == 0 {
                if let Some(schedule) = self.crowd.schedule {
                    self.begin_last(schedule, elapsed)?;
                }
                return Ok(elapsed);
            }
            let until = next_tick.min(self.plan.duration);
            let mut wait = until.saturating_sub(elapsed);
            self.crowd.rouse(elapsed);
            let mut ending = Ending::Roughly;
            if let Some(schedule) = self.crowd.schedule {
                self.begin_due(schedule, elapsed.as_nanos() as u64)?;
                let due = self.until_due(schedule);
                if due < wait {
                    (wait, ending) = (due, Ending::Exactly);
                }
            } else {
                self.reopen_idle()?;
            }
            // Asked now, since what was begun may have failed at once.
            if self.crowd.some_rest() {
                wait = wait.min(REST);
            }
            self.step(wait, ending)?;
        }
    }

    /// Begins nothing more and waits for what is on its way, at the latest
    /// until `deadline`; then closes everything. A second signal ends it.
    pub(crate) fn drain(&mut self, deadline: Instant) -> Result<()> {
        let crowd = &mut self.crowd;
        crowd.phase = Phase::Draining;
        for index in 0..crowd.slots.len() {
            if crowd.schedule.is_some() && crowd.slots[index].is_open() {
                crowd.tally.unsent += crowd.slots[index].talk.unsent();
            }
            crowd.slots[index].talk.stop();
            let slot = &crowd.slots[index];
            // One whose echo is here counts when its peer has closed, too.
            let over = slot.is_open() && slot.stage != Stage::Closing;
            if over && slot.talk.outstanding() == 0 {
                crowd.close(index)?;
            }
        }
        let requests = self.stop.seen();
        while self.crowd.slots.iter().any(Slot::is_open) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.seen() > requests {
                break;
            }
            self.step(left, Ending::Roughly)?;
        }
        let crowd = &mut self.crowd;
        for index in 0..crowd.slots.len() {
            match crowd.slots[index].stage {
                Stage::Closed => {}
                Stage::Closing => {
                    crowd.fail(index, "the peer had not closed the connection at the end")?;
                }
                Stage::Open | Stage::Opening => {
                    crowd.tally.missing += crowd.slots[index].talk.outstanding();
                    crowd.close(index)?;
                }
            }
        }
        Ok(())
    }

    /// Begins what needs no schedule: every connection its first messages.
    fn begin_first(&mut self) -> Result<()> {
        let crowd = &mut self.crowd;
        if self.plan.reconnect {
            // This one is open already.
            self.begun = 1;
            crowd.slots[0].restart(&crowd.pattern, 0);
            return crowd.send(0);
        }
        if crowd.schedule.is_some() {
            return Ok(());
        }
        for index in 0..crowd.slots.len() {
            crowd.slots[index].talk.allow(self.plan.pipeline);
            crowd.send(index)?;
        }
        Ok(())
    }

    /// `--reconnect` without a schedule: the next connection at once.
    fn reopen_idle(&mut self) -> Result<()> {
        // Not those that become idle meanwhile: the clock must be looked at.
        for _ in 0..self.crowd.idle.len() {
            if let Some(index) = self.crowd.idle.pop() {
                self.crowd.reopen(index, self.crowd.now())?;
            }
        }
        Ok(())
    }

    /// Begins what is due by now, at most a [`BATCH`] of it. `false` if there
    /// is more.
    fn begin_due(&mut self, schedule: Schedule, now: u64) -> Result<bool> {
        let crowd = &mut self.crowd;
        if self.plan.reconnect {
            while schedule.due(self.begun) <= now {
                // With no slot free it stays due, and its latency grows.
                let Some(index) = crowd.idle.pop() else { break };
                let due = schedule.due(self.begun);
                self.begun += 1;
                crowd.reopen(index, due)?;
            }
            return Ok(true);
        }
        let last = self.begun + BATCH as u64;
        while self.begun < last && schedule.due(self.begun) <= now {
            let index = schedule.connection(self.begun);
            self.begun += 1;
            let slot = &mut crowd.slots[index];
            if slot.is_open() {
                // Where a peer does not read, an event tells when it does.
                if !slot.talk.has_unsent() && !slot.watched.1 {
                    self.touched.push(index);
                }
                slot.talk.allow(1);
            }
        }
        for index in self.touched.drain(..) {
            crowd.send(index)?;
        }
        Ok(schedule.due(self.begun) > now)
    }

    /// Begins all that was due when the run ended, also if this process was
    /// held up, and counts what could not be begun.
    fn begin_last(&mut self, schedule: Schedule, elapsed: Duration) -> Result<()> {
        let end = self.plan.duration.saturating_sub(Duration::from_nanos(1));
        let end = end.min(elapsed).as_nanos() as u64;
        let requests = self.stop.seen();
        while !self.begin_due(schedule, end)? && self.stop.requests() == requests {}
        self.crowd.tally.unsent += schedule.due_by(end).saturating_sub(self.begun);
        Ok(())
    }

    fn until_due(&self, schedule: Schedule) -> Duration {
        if self.plan.reconnect && self.crowd.idle.is_empty() {
            return TICK;
        }
        Duration::from_nanos(schedule.due(self.begun).saturating_sub(self.crowd.now()))
    }

    /// Waits for events, at most so long, and acts on them.
    fn step(&mut self, timeout: Duration, ending: Ending) -> Result<()> {
        let start = Instant::now();
        let ready = self.await_events(start, timeout, ending)?;
        if ready > 0 {
            self.pauses.ended(start.elapsed());
        }
        for at in 0..ready {
            let event = self.crowd.ready.event(at);
            if event.key == SIGNALS {
                self.stop.requests();
            } else {
                self.crowd.act(event)?;
            }
        }
        Ok(())
    }

    /// Looks, or sleeps, or both; how much is ready then.
    fn await_events(&mut self, start: Instant, timeout: Duration, end: Ending) -> Result<usize> {
        let left = || timeout.saturating_sub(start.elapsed());
        if self.pauses.are_short() {
            let ready = self.look(start, timeout.min(LOOK))?;
            if ready > 0 {
                return Ok(ready);
            }
        }
        if end == Ending::Roughly {
            return self.crowd.ready.wait(left());
        }
        if let Some(early) = left().checked_sub(LOOK) {
            let ready = self.crowd.ready.wait_exactly(early)?;
            if ready > 0 {
                return Ok(ready);
            }
        }
        self.look(start, timeout)
    }

    /// Looks until so long after `start`, without sleeping.
    fn look(&mut self, start: Instant, time: Duration) -> Result<usize> {
        loop {
            let ready = self.crowd.ready.wait(Duration::ZERO)?;
            if ready > 0 || start.elapsed() >= time {
                return Ok(ready);
            }
            // The peer may be on this very processor.
            std::thread::yield_now();
        }
    }
}

/// How a wait without an event ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A little late is no harm.
    Roughly,
    /// A message is due then.
    Exactly,
}

//! The load engine: decides when to connect and to send, on one thread with one
//! level-triggered poller. [`connections`](super::connections) handles the
//! events of the connections.
//!
//! At most [`CONNECTING_MAX`] connects are in progress at a time. More could
//! overflow the backlog of the peer, and a dropped SYN is retransmitted only
//! after a second.

use std::time::{Duration, Instant};

use common::Result;

use super::connections::{Connections, Phase, RECONNECT_BACKOFF};
use super::load_stats::LoadStats;
use super::schedule::Schedule;
use super::slot::{Slot, SlotState};
use super::spin::{SPIN_TIME, SpinPolicy};
use crate::config::LoadOptions;
use crate::connection::Connection;
use crate::dial::Dialer;
use crate::sys;
use crate::wait::ShutdownSignal;

/// The number of connects in progress at the same time, before the run.
const CONNECTING_MAX: usize = 100;

/// The number of due messages that are started before events are handled.
const BATCH_MAX: usize = 64 * 1024;

/// The poller's key of the signals.
const SIGNALS: usize = usize::MAX - 1;

/// The length of an interval of the report.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// A load test and its state.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    options: &'a LoadOptions,
    shutdown: &'a ShutdownSignal,
    connections: Connections<'a>,
    /// The index of the next slot to connect before the run.
    next_slot: usize,
    /// The number of messages that the schedule has started; with `--reconnect`,
    /// of connections.
    messages_started: u64,
    /// Slots that have new messages and are not watched for writing. Empty
    /// between calls; kept for its memory.
    with_new_messages: Vec<usize>,
    spin_policy: SpinPolicy,
}

impl<'a> Engine<'a> {
    /// Creates an engine without connections. Raises the limit of open files if
    /// necessary.
    pub(crate) fn new(
        dialer: &'a Dialer,
        options: &'a LoadOptions,
        shutdown: &'a ShutdownSignal,
    ) -> Result<Self> {
        sys::raise_descriptor_limit(options.connections as u64 + 64)?;
        let connections = Connections::new(dialer, options)?;
        connections
            .poller
            .add(&shutdown.fd(), SIGNALS, true, false)?;
        Ok(Self {
            options,
            shutdown,
            connections,
            next_slot: 0,
            messages_started: 0,
            with_new_messages: Vec::new(),
            spin_policy: SpinPolicy::new(match options.rate {
                Some(_) => None,
                None => Some(options.connections as u64 * options.pipeline),
            }),
        })
    }

    /// Returns the statistics of the run.
    pub(crate) fn stats(&mut self) -> &mut LoadStats {
        &mut self.connections.stats
    }

    /// Opens all connections, of which `first` is open already. Returns `false`
    /// after a signal.
    pub(crate) fn connect(&mut self, first: Connection, deadline: Instant) -> Result<bool> {
        self.connections.register(0, first)?;
        if self.options.reconnect {
            return Ok(true);
        }
        self.connections.finish_connect(0)?;
        self.next_slot = 1;
        let count = self.connections.slots.len();
        while self.next_slot < count || self.connections.connecting > 0 {
            while self.connections.connecting < CONNECTING_MAX && self.next_slot < count {
                let index = self.next_slot;
                self.next_slot += 1;
                self.connections.start_connect(index)?;
            }
            if self.connections.connecting == 0 {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.poll_once(left, Precision::Coarse)?;
            if self.shutdown.requests_seen() > 0 {
                return Ok(false);
            }
            if left.is_zero() {
                for index in 0..count {
                    if self.connections.slots[index].state == SlotState::Connecting {
                        self.connections.fail(index, "connect timed out")?;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Sends and receives until the duration is over, a signal arrives, or no
    /// connection is left. Calls `on_tick` every [`TICK`]. Returns the time that
    /// this took.
    pub(crate) fn run(
        &mut self,
        mut on_tick: impl FnMut(&mut LoadStats, Duration) -> Result<()>,
    ) -> Result<Duration> {
        self.connections.phase = Phase::Running;
        self.connections.started = Instant::now();
        self.send_first()?;
        let mut next_tick = TICK;
        loop {
            let elapsed = self.connections.started.elapsed();
            if elapsed >= next_tick {
                on_tick(&mut self.connections.stats, elapsed)?;
                while next_tick <= elapsed {
                    next_tick += TICK;
                }
            }
            if elapsed >= self.options.duration
                || self.shutdown.requests_seen() > 0
                || self.connections.live == 0
            {
                if let Some(schedule) = self.connections.schedule {
                    self.send_overdue(schedule, elapsed)?;
                }
                return Ok(elapsed);
            }
            let until = next_tick.min(self.options.duration);
            let mut wait = until.saturating_sub(elapsed);
            self.connections.requeue(elapsed);
            let mut precision = Precision::Coarse;
            if let Some(schedule) = self.connections.schedule {
                self.send_due(schedule, elapsed.as_nanos() as u64)?;
                let due = self.until_due(schedule);
                if due < wait {
                    (wait, precision) = (due, Precision::Exact);
                }
            } else {
                self.reconnect_idle()?;
            }
            // Checked after the connects above, which may have failed.
            if self.connections.has_backoff() {
                wait = wait.min(RECONNECT_BACKOFF);
            }
            self.poll_once(wait, precision)?;
        }
    }

    /// Receives the echoes in flight until `deadline` or a further signal, then
    /// closes all connections. Starts no message.
    pub(crate) fn drain(&mut self, deadline: Instant) -> Result<()> {
        let connections = &mut self.connections;
        connections.phase = Phase::Draining;
        for index in 0..connections.slots.len() {
            if connections.schedule.is_some() && connections.slots[index].is_open() {
                connections.stats.unsent += connections.slots[index].stream.unsent();
            }
            connections.slots[index].stream.stop();
            let slot = &connections.slots[index];
            // A closing connection counts when the peer has closed it, too.
            let can_close = slot.is_open() && slot.state != SlotState::Closing;
            if can_close && slot.stream.outstanding() == 0 {
                connections.close(index)?;
            }
        }
        let requests = self.shutdown.requests_seen();
        while self.connections.slots.iter().any(Slot::is_open) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shutdown.requests_seen() > requests {
                break;
            }
            self.poll_once(left, Precision::Coarse)?;
        }
        let connections = &mut self.connections;
        for index in 0..connections.slots.len() {
            match connections.slots[index].state {
                SlotState::Closed => {}
                SlotState::Closing => {
                    connections.fail(index, "the peer did not close the connection in time")?;
                }
                SlotState::Open | SlotState::Connecting => {
                    connections.stats.missing += connections.slots[index].stream.outstanding();
                    connections.close(index)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the first messages of every connection in a closed loop, or of the
    /// connection that is open already with `--reconnect`.
    fn send_first(&mut self) -> Result<()> {
        let connections = &mut self.connections;
        if self.options.reconnect {
            self.messages_started = 1;
            connections.slots[0].restart(&connections.pattern, 0);
            return connections.send(0);
        }
        if connections.schedule.is_some() {
            return Ok(());
        }
        for index in 0..connections.slots.len() {
            connections.slots[index].stream.allow(self.options.pipeline);
            connections.send(index)?;
        }
        Ok(())
    }

    /// With `--reconnect` and no schedule: connects all idle slots.
    fn reconnect_idle(&mut self) -> Result<()> {
        // Slots that become idle during this loop have to wait for the next
        // call, since the caller has to check the time.
        for _ in 0..self.connections.idle.len() {
            if let Some(index) = self.connections.idle.pop() {
                self.connections.reconnect(index, self.connections.now())?;
            }
        }
        Ok(())
    }

    /// Starts the messages that are due by `now`, at most [`BATCH_MAX`] of them.
    /// Returns `false` if there are more.
    fn send_due(&mut self, schedule: Schedule, now: u64) -> Result<bool> {
        let connections = &mut self.connections;
        if self.options.reconnect {
            while schedule.due(self.messages_started) <= now {
                // Without an idle slot the message stays due, and its latency
                // grows.
                let Some(index) = connections.idle.pop() else {
                    break;
                };
                let due = schedule.due(self.messages_started);
                self.messages_started += 1;
                connections.reconnect(index, due)?;
            }
            return Ok(true);
        }
        let last = self.messages_started + BATCH_MAX as u64;
        while self.messages_started < last && schedule.due(self.messages_started) <= now {
            let index = schedule.connection(self.messages_started);
            self.messages_started += 1;
            let slot = &mut connections.slots[index];
            if slot.is_open() {
                // If the peer does not read, wait for the write event.
                if !slot.stream.has_unsent() && !slot.interest.1 {
                    self.with_new_messages.push(index);
                }
                slot.stream.allow(1);
            }
        }
        for index in self.with_new_messages.drain(..) {
            connections.send(index)?;
        }
        Ok(schedule.due(self.messages_started) > now)
    }

    /// Starts all messages that were due before the end of the run, even if this
    /// process was delayed, and counts those that could not be started.
    fn send_overdue(&mut self, schedule: Schedule, elapsed: Duration) -> Result<()> {
        let end = self
            .options
            .duration
            .saturating_sub(Duration::from_nanos(1));
        let end = end.min(elapsed).as_nanos() as u64;
        let requests = self.shutdown.requests_seen();
        while !self.send_due(schedule, end)? && self.shutdown.requests() == requests {}
        self.connections.stats.unsent += schedule.due_by(end).saturating_sub(self.messages_started);
        Ok(())
    }

    /// Returns the time until the next message is due.
    fn until_due(&self, schedule: Schedule) -> Duration {
        if self.options.reconnect && self.connections.idle.is_empty() {
            return TICK;
        }
        let due = schedule.due(self.messages_started);
        Duration::from_nanos(due.saturating_sub(self.connections.now()))
    }

    /// Waits for events, at most for `timeout`, and handles them.
    fn poll_once(&mut self, timeout: Duration, precision: Precision) -> Result<()> {
        let start = Instant::now();
        let count = self.wait(start, timeout, precision)?;
        if count > 0 {
            self.spin_policy.record(start.elapsed());
        }
        for n in 0..count {
            let event = self.connections.poller.event(n);
            if event.key == SIGNALS {
                self.shutdown.requests();
            } else {
                self.connections.handle_event(event)?;
            }
        }
        Ok(())
    }

    /// Waits for events by spinning, by sleeping, or by both in turn. Returns
    /// their number.
    fn wait(&mut self, start: Instant, timeout: Duration, precision: Precision) -> Result<usize> {
        let left = || timeout.saturating_sub(start.elapsed());
        if self.spin_policy.should_spin() {
            let count = self.spin(start, timeout.min(SPIN_TIME))?;
            if count > 0 {
                return Ok(count);
            }
        }
        if precision == Precision::Coarse {
            return self.connections.poller.wait(left());
        }
        if let Some(early) = left().checked_sub(SPIN_TIME) {
            let count = self.connections.poller.wait_exactly(early)?;
            if count > 0 {
                return Ok(count);
            }
        }
        self.spin(start, timeout)
    }

    /// Polls without sleeping until `time` after `start`. Returns the number of
    /// events.
    fn spin(&mut self, start: Instant, time: Duration) -> Result<usize> {
        loop {
            let count = self.connections.poller.wait(Duration::ZERO)?;
            if count > 0 || start.elapsed() >= time {
                return Ok(count);
            }
            // The peer may need this processor.
            std::thread::yield_now();
        }
    }
}

/// The precision of a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    /// The wait may take a few milliseconds longer.
    Coarse,
    /// A message is due at the timeout.
    Exact,
}

//! The load engine: decides when to connect and to send, on one thread with one
//! level-triggered poller. The table of [`connections`](super::connections)
//! opens and closes the connections and handles their events.

use std::time::{Duration, Instant};

use common::Result;

use super::connections::Connections;
use super::load_stats::LoadStats;
use super::schedule::Schedule;
use super::spin::Precision;
use crate::config::LoadOptions;
use crate::connection::Connection;
use crate::dial::Dialer;
use crate::sys;
use crate::wait::ShutdownSignal;

/// The number of due messages that are started before events are handled.
const MAX_BATCH: usize = 64 * 1024;

/// The length of an interval of the report.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// A load test and its state.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    options: &'a LoadOptions,
    shutdown: &'a ShutdownSignal,
    connections: Connections<'a>,
    /// The due times of the open loop.
    schedule: Option<Schedule>,
    /// The number of messages that the schedule has started; with `--reconnect`,
    /// of connections.
    messages_started: u64,
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
        let schedule = options
            .rate
            .map(|rate| Schedule::new(rate, options.connections));
        Ok(Self {
            options,
            shutdown,
            connections: Connections::new(dialer, options, schedule, shutdown.fd())?,
            schedule,
            messages_started: 0,
        })
    }

    /// Returns the statistics of the run.
    pub(crate) fn stats(&mut self) -> &mut LoadStats {
        self.connections.stats()
    }

    /// Opens all connections except `first`, which is already open. Returns
    /// `false` after a signal.
    pub(crate) fn connect(&mut self, first: Connection, deadline: Instant) -> Result<bool> {
        self.connections.add_first(first)?;
        if self.options.reconnect {
            return Ok(true);
        }
        while self.connections.start_connects()? {
            let left = deadline.saturating_duration_since(Instant::now());
            self.poll_once(left, Precision::Coarse)?;
            if self.shutdown.requests_seen() > 0 {
                return Ok(false);
            }
            if left.is_zero() {
                self.connections.fail_connects("connection timed out")?;
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
        self.connections.start_clock();
        self.send_first()?;
        let mut next_tick = TICK;
        loop {
            let elapsed = self.connections.elapsed();
            if elapsed >= next_tick {
                on_tick(self.connections.stats(), elapsed)?;
                while next_tick <= elapsed {
                    next_tick += TICK;
                }
            }
            if elapsed >= self.options.duration
                || self.shutdown.requests_seen() > 0
                || !self.connections.has_live()
            {
                if let Some(schedule) = self.schedule {
                    self.send_overdue(schedule, elapsed)?;
                }
                return Ok(elapsed);
            }
            let until = next_tick.min(self.options.duration);
            let mut wait = until.saturating_sub(elapsed);
            self.connections.end_backoff(elapsed);
            let mut precision = Precision::Coarse;
            if let Some(schedule) = self.schedule {
                self.send_due(schedule, elapsed.as_nanos() as u64)?;
                let due = self.until_due(schedule);
                if due < wait {
                    (wait, precision) = (due, Precision::Exact);
                }
            } else {
                self.connections.reconnect_idle()?;
            }
            // Checked after the connects above, which may have failed.
            if let Some(backoff) = self.connections.backoff() {
                wait = wait.min(backoff);
            }
            self.poll_once(wait, precision)?;
        }
    }

    /// Receives the echoes in flight until `deadline` or a further signal, then
    /// closes all connections. Starts no message.
    pub(crate) fn drain(&mut self, deadline: Instant) -> Result<()> {
        self.connections.begin_drain()?;
        let requests = self.shutdown.requests_seen();
        while self.connections.has_open() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shutdown.requests_seen() > requests {
                break;
            }
            self.poll_once(left, Precision::Coarse)?;
        }
        self.connections.end_drain()
    }

    /// Sends the first messages of every connection in a closed loop, or of the
    /// connection that is open already with `--reconnect`.
    fn send_first(&mut self) -> Result<()> {
        if self.options.reconnect {
            self.messages_started = 1;
            return self.connections.send_first();
        }
        if self.schedule.is_some() {
            return Ok(());
        }
        self.connections.fill_pipelines()
    }

    /// Starts the messages that are due by `now`, at most [`MAX_BATCH`] of them.
    /// Returns `false` if there are more.
    fn send_due(&mut self, schedule: Schedule, now: u64) -> Result<bool> {
        if self.options.reconnect {
            // Without an idle slot the message stays due, and its latency grows.
            while schedule.due_time(self.messages_started) <= now
                && self
                    .connections
                    .reconnect_next(schedule.due_time(self.messages_started))?
            {
                self.messages_started += 1;
            }
            return Ok(true);
        }
        let last = self.messages_started + MAX_BATCH as u64;
        while self.messages_started < last && schedule.due_time(self.messages_started) <= now {
            let index = schedule.connection(self.messages_started);
            self.messages_started += 1;
            self.connections.queue_message(index);
        }
        self.connections.send_queued()?;
        Ok(schedule.due_time(self.messages_started) > now)
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
        self.connections.stats().unsent += schedule
            .count_due(end)
            .saturating_sub(self.messages_started);
        Ok(())
    }

    /// Returns the time until the next message is due.
    fn until_due(&self, schedule: Schedule) -> Duration {
        if self.options.reconnect && !self.connections.has_idle() {
            return TICK;
        }
        let due = schedule.due_time(self.messages_started);
        Duration::from_nanos(due.saturating_sub(self.connections.now()))
    }

    /// Waits for events, at most for `timeout`, and handles them.
    fn poll_once(&mut self, timeout: Duration, precision: Precision) -> Result<()> {
        if self.connections.poll(timeout, precision)? {
            self.shutdown.requests();
        }
        Ok(())
    }
}

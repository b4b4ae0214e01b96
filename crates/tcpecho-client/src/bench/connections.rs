//! The connections of a load test, and how their events are handled.
//!
//! A connection has no buffer of its own: messages are generated when they can
//! be sent, and echoes are verified when they are read, both in one shared
//! buffer. A connection is watched for writing only while it has unsent bytes.
//! The [`engine`](super::engine) decides when to connect and to send.
//!
//! During the run, a slot is in one of three sets: with a connection, in
//! `idle`, or in `backing_off`. The latter two are used with `--reconnect` only.
//! Without it, a slot stays closed after the end of its connection and no longer
//! counts as `live`.

use std::io;
use std::time::{Duration, Instant};

use common::Result;
use polling::Event;

use super::load_stats::LoadStats;
use super::poller::EventPoller;
use super::schedule::Schedule;
use super::slot::{Slot, SlotState};
use crate::config::LoadOptions;
use crate::connection::{self, Connection};
use crate::dial::Dialer;
use crate::pattern::Pattern;
use crate::sys;

/// The size of the shared buffer, and so of a read or a write, in bytes.
const BUFFER_SIZE: usize = 256 * 1024;

/// The number of writes to one connection after which the other connections
/// and the signals are checked.
const WRITES_MAX: usize = 16;

/// The time from the failure of a connection to the next connect of its slot.
pub(super) const RECONNECT_BACKOFF: Duration = Duration::from_millis(10);

/// The phase of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connections are being opened.
    Connecting,
    /// Messages are sent and received.
    Running,
    /// No message is started; the echoes in flight are received.
    Draining,
}

/// All connections of a run and their shared state.
#[derive(Debug)]
pub(super) struct Connections<'a> {
    dialer: &'a Dialer,
    options: &'a LoadOptions,
    pub(super) poller: EventPoller,
    pub(super) pattern: Pattern,
    pub(super) schedule: Option<Schedule>,
    pub(super) slots: Vec<Slot>,
    buffer: Vec<u8>,
    pub(super) phase: Phase,
    /// The number of slots that have a connection or may get one.
    pub(super) live: usize,
    /// The number of connects in progress.
    pub(super) connecting: usize,
    /// With `--reconnect`: the slots that are ready to connect.
    pub(super) idle: Vec<usize>,
    /// With `--reconnect`: the slots that wait after a failed connection.
    backing_off: Vec<usize>,
    /// The time at which these slots become idle, since the start.
    backoff_until: Duration,
    /// The start of the run.
    pub(super) started: Instant,
    pub(super) stats: LoadStats,
}

impl<'a> Connections<'a> {
    /// Creates the slots without connections.
    pub(super) fn new(dialer: &'a Dialer, options: &'a LoadOptions) -> Result<Self> {
        let pattern = Pattern::new(options.seed, options.sizes);
        let slots: Vec<Slot> = (0..options.connections)
            .map(|n| Slot::new(&pattern, n as u32, options.rate.is_none()))
            .collect();
        Ok(Self {
            dialer,
            options,
            poller: EventPoller::new()?,
            pattern,
            schedule: options
                .rate
                .map(|rate| Schedule::new(rate, options.connections)),
            // The first slot gets the connection that is open already.
            idle: (1..slots.len())
                .rev()
                .filter(|_| options.reconnect)
                .collect(),
            backing_off: Vec::new(),
            backoff_until: Duration::ZERO,
            live: slots.len(),
            slots,
            buffer: vec![0; BUFFER_SIZE],
            phase: Phase::Connecting,
            connecting: 0,
            started: Instant::now(),
            stats: LoadStats::default(),
        })
    }

    /// Returns the time since the start in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Makes the slots idle at the end of their back-off.
    pub(super) fn requeue(&mut self, elapsed: Duration) {
        if elapsed >= self.backoff_until {
            self.idle.append(&mut self.backing_off);
        }
    }

    /// Returns whether a slot is backing off.
    pub(super) fn has_backoff(&self) -> bool {
        !self.backing_off.is_empty()
    }

    /// Handles an event of a connection.
    pub(super) fn handle_event(&mut self, event: Event) -> Result<()> {
        let index = event.key;
        if self.slots[index].state == SlotState::Connecting {
            return self.finish_connect(index);
        }
        if event.readable && self.slots[index].is_open() {
            self.receive(index)?;
            // Bytes that are decrypted already cause no further event.
            while self.slots[index]
                .connection
                .as_ref()
                .is_some_and(Connection::has_buffered_input)
            {
                self.receive(index)?;
            }
        }
        if event.writable && self.slots[index].state == SlotState::Open {
            self.send(index)?;
        }
        Ok(())
    }

    /// Starts to connect a slot.
    pub(super) fn start_connect(&mut self, index: usize) -> Result<()> {
        match self.dialer.start_connect() {
            Ok(connection) => {
                self.register(index, connection)?;
                self.slots[index].state = SlotState::Connecting;
                self.connecting += 1;
                self.set_interest(index, false, true)
            }
            Err(e) => self.fail_with(index, &e),
        }
    }

    /// Gives a slot its connection and registers it with the poller.
    pub(super) fn register(&mut self, index: usize, connection: Connection) -> Result<()> {
        self.poller.add(&connection, index, false, false)?;
        let slot = &mut self.slots[index];
        slot.connection = Some(connection);
        slot.interest = (false, false);
        slot.state = SlotState::Open;
        Ok(())
    }

    /// Continues a connect in progress, and counts it when it is complete.
    pub(super) fn finish_connect(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        match connection.finish_connect() {
            Ok(true) => {}
            Ok(false) => {
                let write = connection.wants_write();
                return self.set_interest(index, true, write);
            }
            Err(e) => return self.fail_with(index, &e),
        }
        self.connecting -= usize::from(slot.state == SlotState::Connecting);
        slot.state = SlotState::Open;
        // Connects come before the start of the run, which is its time 0.
        self.stats.record_connection(0);
        self.set_interest(index, true, false)
    }

    /// With `--reconnect`: opens a new connection for one message. Its latency is
    /// measured from `measured_from`.
    pub(super) fn reconnect(&mut self, index: usize, measured_from: u64) -> Result<()> {
        let connection = match self.dialer.start_connect() {
            Ok(connection) => connection,
            Err(e) => return self.fail_with(index, &e),
        };
        self.register(index, connection)?;
        let slot = &mut self.slots[index];
        slot.restart(&self.pattern, measured_from);
        // On loopback the connect is complete already. Otherwise this returns
        // WouldBlock, and the message is sent when the socket is writable.
        self.send(index)
    }

    /// Sends the messages that are allowed, as far as the socket accepts them.
    pub(super) fn send(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        if let Err(e) = connection.flush() {
            return self.fail_with(index, &e);
        }
        for _ in 0..WRITES_MAX {
            if !slot.stream.has_unsent() {
                break;
            }
            let filled = slot.stream.fill(&self.pattern, &mut self.buffer);
            // Taken after the messages are generated, so that this time is not
            // part of their latencies.
            let now = self.started.elapsed().as_nanos() as u64;
            match connection.write(&self.buffer[..filled.len]) {
                Ok(sent) => {
                    let started = slot.stream.mark_sent(&self.pattern, filled, sent, now);
                    let due_time = |sequence| match (slot.measured_from, self.schedule) {
                        (Some(due), Some(_)) => Some(due),
                        (None, Some(schedule)) => Some(schedule.due_of(index as u32, sequence)),
                        (_, None) => None,
                    };
                    for due in started.filter_map(due_time) {
                        self.stats.record_lateness(now.saturating_sub(due));
                    }
                    if sent < filled.len {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return self.fail_with(index, &e),
            }
        }
        let has_unsent = slot.stream.has_unsent() || connection.wants_write();
        self.set_interest(index, true, has_unsent)
    }

    /// Reads once and verifies the bytes.
    fn receive(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        let n = match connection.read(&mut self.buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                // TLS may have to send a message of its own.
                let has_unsent = slot.stream.has_unsent() || connection.wants_write();
                return self.set_interest(index, true, has_unsent);
            }
            Err(e) => return self.fail_with(index, &e),
        };
        if n == 0 {
            return self.handle_eof(index);
        }
        let now = self.started.elapsed().as_nanos() as u64;
        let (stats, measured_from, schedule) = (&mut self.stats, slot.measured_from, self.schedule);
        let mut sequence = slot.stream.awaited();
        let mut echoes = 0;
        let is_valid = slot
            .stream
            .receive(&self.pattern, &self.buffer[..n], |echo| {
                let from = match (measured_from, schedule) {
                    (Some(from), _) => from,
                    (None, Some(schedule)) => schedule.due_of(index as u32, sequence),
                    (None, None) => echo.sent_at,
                };
                sequence += 1;
                echoes += 1;
                if echo.is_right {
                    stats.record_echo(echo.size, now.saturating_sub(from));
                } else {
                    stats.corrupt += 1;
                }
            });
        self.stats.end_read(now);
        if !is_valid {
            self.stats.corrupt += 1;
            return self.fail(index, "the peer sent more bytes than it received");
        }
        let outstanding = slot.stream.outstanding();
        if self.options.reconnect {
            return if outstanding == 0 && slot.state == SlotState::Open {
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
            slot.stream.allow(echoes);
        }
        if slot.stream.has_unsent() && !slot.interest.1 {
            return self.send(index);
        }
        Ok(())
    }

    /// With `--reconnect`: shuts down the sending side after the echo, so that
    /// the peer closes the connection in order.
    fn half_close(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        slot.state = SlotState::Closing;
        match slot.connection.as_mut().map(Connection::shutdown_write) {
            Some(Err(e)) => self.fail_with(index, &e),
            _ => self.set_interest(index, true, false),
        }
    }

    /// Handles the peer's end of file, which is an error unless it is expected.
    fn handle_eof(&mut self, index: usize) -> Result<()> {
        if self.slots[index].state != SlotState::Closing {
            return self.fail(index, "the peer closed the connection");
        }
        let now = self.now();
        self.stats.record_connection(now);
        self.close(index)
    }

    /// Closes a connection after the error of a call on it.
    fn fail_with(&mut self, index: usize, error: &io::Error) -> Result<()> {
        self.fail(index, &connection::explain(error).explanation())
    }

    /// Closes a connection and counts it as failed. With `--reconnect`, its slot
    /// connects again after [`RECONNECT_BACKOFF`], so that a peer that refuses
    /// is not flooded with connects.
    pub(super) fn fail(&mut self, index: usize, reason: &str) -> Result<()> {
        if self.slots[index].state == SlotState::Connecting {
            self.connecting -= 1;
        }
        self.stats.record_error(reason);
        self.disconnect(index)?;
        if self.options.reconnect {
            self.backoff_until = self.started.elapsed() + RECONNECT_BACKOFF;
            self.backing_off.push(index);
        }
        Ok(())
    }

    /// Closes a connection that has not failed.
    pub(super) fn close(&mut self, index: usize) -> Result<()> {
        self.disconnect(index)?;
        if self.options.reconnect {
            self.idle.push(index);
        }
        Ok(())
    }

    fn disconnect(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        if let Some(connection) = slot.connection.take() {
            if let Some((rtt, retransmits)) = sys::tcp_info(&connection) {
                self.stats.record_tcp_info(rtt, retransmits);
            }
            self.poller.remove(&connection)?;
        }
        self.slots[index].state = SlotState::Closed;
        if !self.options.reconnect {
            self.live = self.live.saturating_sub(1);
        }
        Ok(())
    }

    /// Changes the events that a connection is watched for, if they differ.
    fn set_interest(&mut self, index: usize, read: bool, write: bool) -> Result<()> {
        let slot = &mut self.slots[index];
        if slot.interest == (read, write) {
            return Ok(());
        }
        let Some(connection) = &slot.connection else {
            return Ok(());
        };
        self.poller.modify(connection, index, read, write)?;
        slot.interest = (read, write);
        Ok(())
    }
}

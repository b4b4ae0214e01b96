//! The table of the connections of a load test: it opens and closes them, handles
//! their events, and holds those that are idle.
//!
//! The [`engine`](super::engine) decides when to connect and to send, and calls
//! the methods of the table; a [`slot`](super::slot) moves the bytes of one
//! connection. A connection is watched for writing only while it has unsent bytes.
//!
//! With `--reconnect`, a slot has a connection or is in the queue of
//! [`reconnect`](super::reconnect). Without it, a slot stays closed after the end
//! of its connection and no longer counts as `live`.
//!
//! At most [`MAX_CONNECTING`] connects are in progress at a time. More could
//! overflow the backlog of the peer, and a dropped SYN is retransmitted only
//! after a second.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use common::Result;
use polling::Event;

use super::load_stats::LoadStats;
use super::poller::EventPoller;
use super::reconnect::ReconnectQueue;
use super::schedule::Schedule;
use super::slot::{Load, Received, Slot, SlotState};
use super::spin::{Precision, SpinPolicy};
use crate::config::LoadOptions;
use crate::connection::{self, Connection, TLS_ALERT_HINT};
use crate::dial::Dialer;
use crate::pattern::Pattern;

/// The number of connects in progress at the same time, before the run.
const MAX_CONNECTING: usize = 100;

/// The poller's key of the signals.
const SIGNALS: usize = usize::MAX - 1;

/// All connections of a run and their shared state.
#[derive(Debug)]
pub(super) struct Connections<'a> {
    dialer: &'a Dialer,
    options: &'a LoadOptions,
    poller: EventPoller,
    spin_policy: SpinPolicy,
    load: Load,
    slots: Vec<Slot>,
    /// The index of the next slot to connect before the run.
    next_slot: usize,
    /// The number of connects in progress.
    connecting: usize,
    /// The number of slots that have a connection or may get one.
    live: usize,
    /// With `--reconnect`: the slots without a connection.
    reconnect_queue: ReconnectQueue,
    /// Slots that have new messages and are not watched for writing.
    queued: Vec<usize>,
    /// Whether no message is started anymore; the echoes in flight are received.
    is_draining: bool,
}

impl<'a> Connections<'a> {
    /// Creates the slots without connections. `signals` is a descriptor that
    /// [`Self::poll`] also watches.
    pub(super) fn new(
        dialer: &'a Dialer,
        options: &'a LoadOptions,
        schedule: Option<Schedule>,
        signals: BorrowedFd<'_>,
    ) -> Result<Self> {
        let poller = EventPoller::new()?;
        poller.add(&signals, SIGNALS, true, false)?;
        let pattern = Pattern::new(options.seed, options.sizes);
        let slots: Vec<Slot> = (0..options.connections)
            .map(|n| Slot::new(&pattern, n as u32, schedule.is_none()))
            .collect();
        let in_flight = options.connections as u64 * options.pipeline;
        Ok(Self {
            dialer,
            options,
            poller,
            spin_policy: SpinPolicy::new(schedule.is_none().then_some(in_flight)),
            load: Load::new(pattern, schedule),
            next_slot: 1,
            connecting: 0,
            live: slots.len(),
            // The first slot gets the connection that is open already.
            reconnect_queue: ReconnectQueue::new(
                (1..slots.len()).rev().filter(|_| options.reconnect),
            ),
            slots,
            queued: Vec::new(),
            is_draining: false,
        })
    }

    /// Sets the start of the run to the current time.
    pub(super) fn start_clock(&mut self) {
        self.load.start_clock();
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.load.elapsed()
    }

    /// Returns the time since the start in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.load.now()
    }

    /// Returns the statistics of the run.
    pub(super) fn stats(&mut self) -> &mut LoadStats {
        &mut self.load.stats
    }

    /// Returns whether a connection is open or may be opened again.
    pub(super) fn has_live(&self) -> bool {
        self.live > 0
    }

    /// Returns whether a connection is open or being opened.
    pub(super) fn has_open(&self) -> bool {
        self.slots.iter().any(Slot::is_open)
    }

    /// Returns whether a slot is ready to connect, with `--reconnect`.
    pub(super) fn has_idle(&self) -> bool {
        self.reconnect_queue.idle() > 0
    }

    /// Gives the first slot its connection, which is open already.
    pub(super) fn add_first(&mut self, connection: Connection) -> Result<()> {
        self.slots[0].open(connection, SlotState::Open, &self.poller)?;
        if self.options.reconnect {
            return Ok(());
        }
        self.finish_connect(0)
    }

    /// Starts to connect the slots that have no connection yet, as far as
    /// [`MAX_CONNECTING`] allows. Returns whether connects are in progress.
    pub(super) fn start_connects(&mut self) -> Result<bool> {
        while self.connecting < MAX_CONNECTING && self.next_slot < self.slots.len() {
            let index = self.next_slot;
            self.next_slot += 1;
            self.start_connect(index)?;
        }
        Ok(self.connecting > 0)
    }

    fn start_connect(&mut self, index: usize) -> Result<()> {
        let connection = match self.dialer.start_connect() {
            Ok(connection) => connection,
            Err(e) => return self.fail_with(index, &e),
        };
        self.connecting += 1;
        let slot = &mut self.slots[index];
        slot.open(connection, SlotState::Connecting, &self.poller)?;
        slot.watch(&self.poller, false, true)
    }

    /// Continues a connect in progress, and counts it when it is complete.
    fn finish_connect(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let was_connecting = slot.state() == SlotState::Connecting;
        match slot.finish_connect() {
            Ok(true) => {}
            Ok(false) => {
                let write = slot.wants_write();
                return slot.watch(&self.poller, true, write);
            }
            Err(e) => return self.fail_with(index, &e),
        }
        self.connecting -= usize::from(was_connecting);
        // Connects come before the start of the run, which is its time 0.
        self.load.stats.record_connection(0);
        slot.watch(&self.poller, true, false)
    }

    /// Fails the connects that are in progress.
    pub(super) fn fail_connects(&mut self, reason: &str) -> Result<()> {
        for index in 0..self.slots.len() {
            if self.slots[index].state() == SlotState::Connecting {
                self.fail(index, reason)?;
            }
        }
        Ok(())
    }

    /// Sends the first messages of every connection in a closed loop.
    pub(super) fn fill_pipelines(&mut self) -> Result<()> {
        for index in 0..self.slots.len() {
            self.slots[index].allow(self.options.pipeline);
            self.send(index)?;
        }
        Ok(())
    }

    /// With `--reconnect`: sends the message of the first connection.
    pub(super) fn send_first(&mut self) -> Result<()> {
        self.slots[0].prepare_message(&self.load, 0);
        self.send(0)
    }

    /// With `--reconnect`: opens a connection in each idle slot, and sends its
    /// message.
    pub(super) fn reconnect_idle(&mut self) -> Result<()> {
        // Slots that become idle during this loop have to wait for the next
        // call, since the caller has to check the time.
        for _ in 0..self.reconnect_queue.idle() {
            self.reconnect_next(self.now())?;
        }
        Ok(())
    }

    /// With `--reconnect`: opens a connection in an idle slot and sends its
    /// message, of which the latency is measured from `measured_from`. Returns
    /// `false` if no slot is idle.
    pub(super) fn reconnect_next(&mut self, measured_from: u64) -> Result<bool> {
        let Some(index) = self.reconnect_queue.pop() else {
            return Ok(false);
        };
        match self.dialer.start_connect() {
            Ok(connection) => {
                let slot = &mut self.slots[index];
                slot.open(connection, SlotState::Open, &self.poller)?;
                slot.prepare_message(&self.load, measured_from);
                // On loopback the connect is complete already. Otherwise this
                // returns WouldBlock, and the message is sent when the socket is
                // writable.
                self.send(index)?;
            }
            Err(e) => self.fail_with(index, &e)?,
        }
        Ok(true)
    }

    /// Makes slots idle at the end of their back-off. `elapsed` is the time since
    /// the start.
    pub(super) fn end_backoff(&mut self, elapsed: Duration) {
        self.reconnect_queue.end_backoff(elapsed);
    }

    /// Returns the longest back-off of the slots that wait for its end.
    pub(super) fn backoff(&self) -> Option<Duration> {
        self.reconnect_queue.backoff()
    }

    /// Allows one more message on a connection, which [`Self::send_queued`] sends.
    pub(super) fn queue_message(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.is_open() {
            // If the peer does not read, wait for the write event.
            if !slot.has_unsent() && !slot.is_watched_for_writing() {
                self.queued.push(index);
            }
            slot.allow(1);
        }
    }

    /// Sends the messages of all connections that have new ones.
    pub(super) fn send_queued(&mut self) -> Result<()> {
        let mut queued = std::mem::take(&mut self.queued);
        for index in queued.drain(..) {
            self.send(index)?;
        }
        // Kept for its memory.
        self.queued = queued;
        Ok(())
    }

    /// Waits for events, at most for `timeout`, and handles them. Returns whether
    /// a signal has arrived.
    pub(super) fn poll(&mut self, timeout: Duration, precision: Precision) -> Result<bool> {
        let count = self
            .spin_policy
            .wait(&mut self.poller, timeout, precision)?;
        let mut has_signal = false;
        for n in 0..count {
            let event = self.poller.event(n);
            if event.key == SIGNALS {
                has_signal = true;
            } else {
                self.handle_event(event)?;
            }
        }
        Ok(has_signal)
    }

    fn handle_event(&mut self, event: Event) -> Result<()> {
        let index = event.key;
        if self.slots[index].state() == SlotState::Connecting {
            return self.finish_connect(index);
        }
        if event.readable && self.slots[index].is_open() {
            self.receive(index)?;
            // Bytes that are decrypted already cause no further event.
            while self.slots[index].has_buffered_input() {
                self.receive(index)?;
            }
        }
        if event.writable && self.slots[index].state() == SlotState::Open {
            self.send(index)?;
        }
        Ok(())
    }

    /// Sends the messages that are allowed, as far as the socket accepts them.
    fn send(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        match slot.send(&mut self.load) {
            Ok(()) => {
                let write = slot.wants_write();
                slot.watch(&self.poller, true, write)
            }
            Err(e) => self.fail_with(index, &e),
        }
    }

    /// Reads once, and continues as the echoes allow.
    fn receive(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let echoes = match slot.receive(&mut self.load) {
            Ok(Received::Echoes(echoes)) => echoes,
            Ok(Received::Nothing) => {
                // TLS may also have to send its own messages.
                let write = slot.wants_write();
                return slot.watch(&self.poller, true, write);
            }
            Ok(Received::Excess) => {
                return self.fail(index, "the peer sent more bytes than it received");
            }
            Ok(Received::TlsAlert) => return self.fail(index, TLS_ALERT_HINT),
            Ok(Received::Eof) => return self.handle_eof(index),
            Err(e) => return self.fail_with(index, &e),
        };
        let is_done = slot.in_flight() == 0;
        if self.options.reconnect {
            return if is_done && slot.state() == SlotState::Open {
                self.half_close(index)
            } else {
                Ok(())
            };
        }
        if self.is_draining {
            return if is_done { self.close(index) } else { Ok(()) };
        }
        if self.load.is_closed_loop() {
            slot.allow(echoes);
        }
        if slot.has_unsent() && !slot.is_watched_for_writing() {
            return self.send(index);
        }
        Ok(())
    }

    /// With `--reconnect`: ends the sending side after the echo.
    fn half_close(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        match slot.half_close() {
            Ok(()) => slot.watch(&self.poller, true, false),
            Err(e) => self.fail_with(index, &e),
        }
    }

    /// Handles the peer's end of file, which is an error unless it is expected.
    fn handle_eof(&mut self, index: usize) -> Result<()> {
        if self.slots[index].state() != SlotState::Closing {
            return self.fail(index, "the peer closed the connection");
        }
        let now = self.load.now();
        self.load.stats.record_connection(now);
        self.close(index)
    }

    /// Starts no message anymore, and closes the connections that wait for
    /// nothing.
    pub(super) fn begin_drain(&mut self) -> Result<()> {
        self.is_draining = true;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if !self.load.is_closed_loop() && slot.is_open() {
                self.load.stats.unsent += slot.unsent();
            }
            slot.stop();
            // A closing connection counts only when the peer has also closed it.
            let can_close = slot.is_open() && slot.state() != SlotState::Closing;
            if can_close && slot.in_flight() == 0 {
                self.close(index)?;
            }
        }
        Ok(())
    }

    /// Closes all connections, and counts the echoes that have not arrived.
    pub(super) fn end_drain(&mut self) -> Result<()> {
        for index in 0..self.slots.len() {
            match self.slots[index].state() {
                SlotState::Closed => {}
                SlotState::Closing => {
                    self.fail(index, "the peer did not close the connection in time")?;
                }
                SlotState::Open | SlotState::Connecting => {
                    self.load.stats.missing += self.slots[index].in_flight();
                    self.close(index)?;
                }
            }
        }
        Ok(())
    }

    /// Closes a connection after the error of a call on it.
    fn fail_with(&mut self, index: usize, error: &io::Error) -> Result<()> {
        self.fail(index, &connection::explain(error).explanation())
    }

    /// Closes a connection and counts it as failed. With `--reconnect`, its slot
    /// connects again after a back-off.
    fn fail(&mut self, index: usize, reason: &str) -> Result<()> {
        if self.slots[index].state() == SlotState::Connecting {
            self.connecting -= 1;
        }
        self.load.stats.record_error(reason);
        self.disconnect(index)?;
        if self.options.reconnect {
            let now = self.load.elapsed();
            self.reconnect_queue.push_failed(index, now);
        }
        Ok(())
    }

    /// Closes a connection that has not failed.
    fn close(&mut self, index: usize) -> Result<()> {
        self.disconnect(index)?;
        if self.options.reconnect {
            self.reconnect_queue.push(index);
        }
        Ok(())
    }

    fn disconnect(&mut self, index: usize) -> Result<()> {
        self.slots[index].close(&self.poller, &mut self.load.stats)?;
        if !self.options.reconnect {
            self.live = self.live.saturating_sub(1);
        }
        Ok(())
    }
}

//! A slot of the load engine. It holds one connection, or with `--reconnect`
//! one connection after another, and moves the bytes of its messages.
//!
//! A slot has no buffer: messages are generated when they can be sent, and echoes
//! are verified when they are read, both in one buffer that all slots share.

use std::io;
use std::time::{Duration, Instant};

use common::Result;

use super::load_stats::LoadStats;
use super::poller::EventPoller;
use super::schedule::Schedule;
use super::stream::MessageStream;
use crate::connection::{self, Connection};
use crate::pattern::Pattern;
use crate::sys;

/// The size of the shared buffer, and so of a read or a write, in bytes.
const BUFFER_SIZE: usize = 256 * 1024;

/// The number of writes to one connection after which the other connections
/// and the signals are checked.
const MAX_WRITES: usize = 16;

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    /// The slot has no connection.
    Closed,
    /// The connect is in progress.
    Connecting,
    /// The connection is open, and messages are sent and received.
    Open,
    /// All echoes have arrived, and the peer's end of file is expected.
    Closing,
}

/// What all slots of a run share.
#[derive(Debug)]
pub(super) struct Load {
    pattern: Pattern,
    schedule: Option<Schedule>,
    buffer: Vec<u8>,
    /// The start of the run.
    started: Instant,
    pub(super) stats: LoadStats,
}

impl Load {
    /// Creates the shared values of a run that starts now.
    pub(super) fn new(pattern: Pattern, schedule: Option<Schedule>) -> Self {
        Self {
            pattern,
            schedule,
            buffer: vec![0; BUFFER_SIZE],
            started: Instant::now(),
            stats: LoadStats::default(),
        }
    }

    /// Sets the start of the run to the current time.
    pub(super) fn start_clock(&mut self) {
        self.started = Instant::now();
    }

    /// Returns whether messages are sent when echoes arrive, not on schedule.
    pub(super) fn is_closed_loop(&self) -> bool {
        self.schedule.is_none()
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the time since the start in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// There is nothing to read yet.
    Nothing,
    /// Bytes that complete this number of echoes.
    Echoes(u64),
    /// More bytes than the peer has received.
    Excess,
    /// The peer's end of file.
    Eof,
    /// The alert of a TLS server, on a connection without TLS.
    TlsAlert,
}

/// A slot with its connection and the messages of it.
#[derive(Debug)]
pub(super) struct Slot {
    /// The index of the slot, which is also the poller's key.
    number: u32,
    connection: Option<Connection>,
    state: SlotState,
    /// Whether the poller watches for reading and for writing.
    interest: (bool, bool),
    stream: MessageStream,
    /// With `--reconnect`: the time from which the latency of the connection's
    /// only message is measured, in nanoseconds since the start.
    measured_from: Option<u64>,
    /// With `--reconnect`: the sequence number of the next connection's message.
    sequence: u64,
}

impl Slot {
    /// Creates a closed slot. `is_timed` records the send time of each message.
    pub(super) fn new(pattern: &Pattern, number: u32, is_timed: bool) -> Self {
        Self {
            number,
            connection: None,
            state: SlotState::Closed,
            interest: (false, false),
            stream: MessageStream::new(pattern, number, 0, is_timed),
            measured_from: None,
            sequence: 0,
        }
    }

    pub(super) fn state(&self) -> SlotState {
        self.state
    }

    /// Returns whether the slot has a connection, which may be incomplete.
    pub(super) fn is_open(&self) -> bool {
        self.state != SlotState::Closed
    }

    /// Returns whether the poller reports when more bytes can be sent.
    pub(super) fn is_watched_for_writing(&self) -> bool {
        self.interest.1
    }

    /// Returns whether decrypted bytes wait, which the poller does not report.
    pub(super) fn has_buffered_input(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(Connection::has_buffered_input)
    }

    /// Returns whether there are messages to send.
    pub(super) fn has_unsent(&self) -> bool {
        self.stream.has_unsent()
    }

    /// Returns the number of allowed messages that have not been started.
    pub(super) fn unsent(&self) -> u64 {
        self.stream.unsent()
    }

    /// Returns the number of messages in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.stream.in_flight()
    }

    /// Allows `n` more messages to be sent.
    pub(super) fn allow(&mut self, n: u64) {
        self.stream.allow(n);
    }

    /// Allows no further message; a partly sent message is completed.
    pub(super) fn stop(&mut self) {
        self.stream.stop();
    }

    /// Gives the slot its connection and registers it with the poller.
    pub(super) fn open(
        &mut self,
        connection: Connection,
        state: SlotState,
        poller: &EventPoller,
    ) -> Result<()> {
        poller.add(&connection, self.number as usize, false, false)?;
        self.connection = Some(connection);
        self.interest = (false, false);
        self.state = state;
        Ok(())
    }

    /// Continues a connect in progress; returns whether it is complete.
    pub(super) fn finish_connect(&mut self) -> io::Result<bool> {
        let Some(connection) = &mut self.connection else {
            return Ok(false);
        };
        if !connection.finish_connect()? {
            return Ok(false);
        }
        self.state = SlotState::Open;
        Ok(true)
    }

    /// Prepares a single message for a new connection. Sequence numbers
    /// continue, so that an echo of an earlier connection is detected.
    pub(super) fn prepare_message(&mut self, load: &Load, measured_from: u64) {
        self.stream = MessageStream::new(&load.pattern, self.number, self.sequence, false);
        self.stream.allow(1);
        self.sequence += 1;
        self.measured_from = Some(measured_from);
    }

    /// Sends the messages that are allowed, as far as the socket accepts them.
    pub(super) fn send(&mut self, load: &mut Load) -> io::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        connection.flush()?;
        for _ in 0..MAX_WRITES {
            if !self.stream.has_unsent() {
                break;
            }
            let filled = self.stream.fill(&load.pattern, &mut load.buffer);
            // Taken after the messages are generated, so that this time is not
            // part of their latencies.
            let now = load.now();
            let sent = match connection.write(&load.buffer[..filled.len]) {
                Ok(sent) => sent,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            };
            let started = self.stream.mark_sent(&load.pattern, filled, sent, now);
            if let Some(schedule) = load.schedule {
                for sequence in started {
                    let due = self
                        .measured_from
                        .unwrap_or_else(|| schedule.due_time_on(self.number, sequence));
                    load.stats.record_lateness(now.saturating_sub(due));
                }
            }
            if sent < filled.len {
                break;
            }
        }
        Ok(())
    }

    /// Reads once, verifies the bytes and counts the echoes.
    pub(super) fn receive(&mut self, load: &mut Load) -> io::Result<Received> {
        let Some(connection) = &mut self.connection else {
            return Ok(Received::Nothing);
        };
        let n = match connection.read(&mut load.buffer) {
            Ok(0) => return Ok(Received::Eof),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(e) => return Err(e),
        };
        let now = load.now();
        let (number, measured_from) = (self.number, self.measured_from);
        let mut sequence = self.stream.next_echo();
        let (mut echoes, mut has_corrupt) = (0, false);
        let Load {
            pattern,
            schedule,
            buffer,
            stats,
            ..
        } = load;
        let is_valid = self.stream.receive(pattern, &buffer[..n], |echo| {
            let from = match (measured_from, &schedule) {
                (Some(from), _) => from,
                (None, Some(schedule)) => schedule.due_time_on(number, sequence),
                (None, None) => echo.sent_at,
            };
            sequence += 1;
            echoes += 1;
            if echo.is_correct {
                stats.record_echo(echo.size, now.saturating_sub(from));
            } else {
                stats.corrupt += 1;
                has_corrupt = true;
            }
        });
        stats.end_read(now);
        let is_corrupt = !is_valid || has_corrupt || self.stream.is_corrupt();
        if is_corrupt
            && matches!(connection, Connection::Tcp(_))
            && connection::is_tls_alert(&buffer[..n])
        {
            return Ok(Received::TlsAlert);
        }
        if !is_valid {
            stats.corrupt += 1;
            return Ok(Received::Excess);
        }
        Ok(Received::Echoes(echoes))
    }

    /// Shuts down the sending side after the last echo, so that the peer closes
    /// the connection in order.
    pub(super) fn half_close(&mut self) -> io::Result<()> {
        self.state = SlotState::Closing;
        self.connection
            .as_mut()
            .map_or(Ok(()), Connection::shutdown_write)
    }

    /// Closes the connection, and counts what the kernel reports about it.
    pub(super) fn close(&mut self, poller: &EventPoller, stats: &mut LoadStats) -> Result<()> {
        if let Some(connection) = self.connection.take() {
            if let Some((rtt, retransmits)) = sys::tcp_info(&connection) {
                stats.record_tcp_info(rtt, retransmits);
            }
            poller.remove(&connection)?;
        }
        self.state = SlotState::Closed;
        Ok(())
    }

    /// Returns whether messages or encrypted bytes wait to be sent.
    pub(super) fn wants_write(&self) -> bool {
        let connection = self.connection.as_ref();
        self.stream.has_unsent() || connection.is_some_and(Connection::wants_write)
    }

    /// Changes the events that the connection is watched for, if they differ.
    pub(super) fn watch(&mut self, poller: &EventPoller, read: bool, write: bool) -> Result<()> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        if self.interest != (read, write) {
            poller.modify(connection, self.number as usize, read, write)?;
            self.interest = (read, write);
        }
        Ok(())
    }
}

//! A slot of the load engine. It holds one connection, or with `--reconnect`
//! one connection after another.

use super::stream::MessageStream;
use crate::connection::Connection;
use crate::pattern::Pattern;

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    /// The slot has no connection.
    Closed,
    /// The connect is in progress.
    Connecting,
    /// The connection is open, and messages are sent and received.
    Open,
    /// All echoes have arrived, and the peer's end of file is expected.
    Closing,
}

/// A slot with its connection and the messages of it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) connection: Option<Connection>,
    pub(crate) state: SlotState,
    /// Whether the poller watches for reading and for writing.
    pub(crate) interest: (bool, bool),
    pub(crate) stream: MessageStream,
    /// With `--reconnect`: the time from which the latency of the connection's
    /// only message is measured, in nanoseconds since the start.
    pub(crate) measured_from: Option<u64>,
    number: u32,
    /// With `--reconnect`: the sequence number of the next connection's message.
    sequence: u64,
}

impl Slot {
    /// Creates a closed slot. `is_timed` records the send time of each message.
    pub(crate) fn new(pattern: &Pattern, number: u32, is_timed: bool) -> Self {
        Self {
            connection: None,
            state: SlotState::Closed,
            interest: (false, false),
            stream: MessageStream::new(pattern, number, 0, is_timed),
            measured_from: None,
            number,
            sequence: 0,
        }
    }

    /// Prepares a single message for a new connection. Sequence numbers
    /// continue, so that an echo of an earlier connection is detected.
    pub(crate) fn restart(&mut self, pattern: &Pattern, measured_from: u64) {
        self.stream = MessageStream::new(pattern, self.number, self.sequence, false);
        self.stream.allow(1);
        self.sequence += 1;
        self.measured_from = Some(measured_from);
    }

    /// Returns whether the slot has a connection, which may be incomplete.
    pub(crate) fn is_open(&self) -> bool {
        self.state != SlotState::Closed
    }
}

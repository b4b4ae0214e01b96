//! What the log tells: the events of a server's life.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::peer::Peer;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// The peer ended its side and has everything back.
    Eof,
    /// The peer reset the connection.
    Reset,
    /// Nothing moved for `--idle-timeout`.
    Idle,
    /// `--max-bytes` were echoed.
    MaxBytes,
    /// The server ended before the peer did.
    Drain,
    /// A fault asked for.
    Fault,
    /// Something else failed.
    Error,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::MaxBytes => "max-bytes",
            Self::Drain => "drain",
            Self::Fault => "fault",
            Self::Error => "error",
        })
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// TCP, also under TLS.
    Tcp,
    /// UDP.
    Udp,
    /// A Unix stream socket.
    Unix,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The server listens here.
    Listening {
        /// Its address.
        address: &'a Peer,
        /// For what.
        protocol: Protocol,
    },
    /// A connection was accepted.
    Connected {
        /// Who.
        peer: &'a Peer,
        /// At which of the server's addresses; only where the log asks.
        local: Option<&'a Peer>,
    },
    /// Bytes came, as one read gave them.
    Received {
        /// From whom.
        peer: &'a Peer,
        /// Over what.
        protocol: Protocol,
        /// What.
        data: &'a [u8],
    },
    /// A connection has ended.
    Closed {
        /// Whose.
        peer: &'a Peer,
        /// Bytes taken in.
        bytes_in: u64,
        /// Bytes sent.
        bytes_out: u64,
        /// How long it lasted.
        duration: Duration,
        /// Why it ended.
        reason: Reason,
    },
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Connections served.
    pub(crate) connections: u64,
    /// Connections turned away.
    pub(crate) refused: u64,
    /// Datagrams that came.
    pub(crate) datagrams_in: u64,
    /// Datagrams that were sent.
    pub(crate) datagrams_out: u64,
    /// Bytes taken in, datagrams included.
    pub(crate) bytes_in: u64,
    /// Bytes sent.
    pub(crate) bytes_out: u64,
    /// Connections cut off at the end.
    pub(crate) cut: u64,
    /// Events the log could not take.
    pub(crate) events_dropped: u64,
    /// How long the server has run.
    pub(crate) duration: Duration,
}

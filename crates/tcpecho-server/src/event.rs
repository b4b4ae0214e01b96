//! The events of the log and the summary of a run, independent of their form.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::address::{Address, Protocol};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// The peer ended its side and has received every reply.
    Eof,
    /// The peer reset the connection.
    Reset,
    /// No byte was transferred for `--idle-timeout`.
    Idle,
    /// The limit of `--max-bytes` was reached.
    MaxBytes,
    /// The server ended before the peer did.
    Drain,
    /// The reset was requested by `--reset`.
    Fault,
    /// The connection failed for another reason.
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

/// One event of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The server listens on an address.
    Listening {
        address: &'a Address,
        protocol: Protocol,
    },
    /// The server accepted a connection.
    Connected {
        peer: &'a Address,
        /// The server's end of the connection, if the log shows it.
        local: Option<&'a Address>,
    },
    /// The server received bytes, as returned by one read.
    Received {
        peer: &'a Address,
        protocol: Protocol,
        data: &'a [u8],
    },
    /// A connection was closed or reset.
    Closed {
        peer: &'a Address,
        bytes_received: u64,
        bytes_sent: u64,
        /// The time since the connection was accepted.
        duration: Duration,
        reason: Reason,
    },
}

/// The totals of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The number of connections served.
    pub(crate) connections: u64,
    /// Connections refused because of `--max-per-ip`.
    pub(crate) refused: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) datagrams_sent: u64,
    /// Bytes received, including those of datagrams.
    pub(crate) bytes_received: u64,
    /// Bytes sent, including those of datagrams.
    pub(crate) bytes_sent: u64,
    /// Connections cut off at the end of the drain.
    pub(crate) cut: u64,
    /// Events that the log could not take.
    pub(crate) events_dropped: u64,
    /// The time since the server started.
    pub(crate) duration: Duration,
}

//! A query that was sent, and the received message that may answer it.

use std::time::Instant;

use crate::server::Protocol;

/// Identifies a query in the tables of sockets and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueryId {
    /// The slab key of its lookup.
    pub(crate) lookup: u32,
    /// The serial number, which increases with every query.
    pub(crate) serial: u32,
}

impl QueryId {
    /// Returns both parts in one number.
    pub(crate) fn token(self) -> u64 {
        u64::from(self.lookup) << 32 | u64::from(self.serial)
    }

    /// Returns the ID with this [`QueryId::token`].
    pub(crate) fn from_token(token: u64) -> Self {
        Self {
            lookup: (token >> 32) as u32,
            serial: token as u32,
        }
    }
}

/// The socket that a query was sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentVia {
    /// The number of a UDP socket in the upstream's pool.
    Udp(usize),
    /// The number of one of the upstream's connections.
    Connection(usize),
    Https,
}

/// A query that was sent and that can still be answered.
#[derive(Clone, Debug)]
pub(crate) struct InFlightQuery {
    /// The serial number of its [`QueryId`].
    pub(crate) serial: u32,
    /// The index of the server that it was sent to.
    pub(crate) server: usize,
    pub(crate) via: SentVia,
    /// The ID in its DNS header.
    pub(crate) message_id: u16,
    pub(crate) sent: Instant,
    /// Whether it occupies the congestion window. It does until it times out.
    pub(crate) in_window: bool,
    /// Whether it carries an OPT record.
    pub(crate) has_edns: bool,
}

/// A message that was received with the ID of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether it was longer than the receive buffer.
    pub(crate) is_cut: bool,
    pub(crate) protocol: Protocol,
}

/// Returns the ID of a DNS message, unless it is shorter than two bytes.
pub(crate) fn message_id(bytes: &[u8]) -> Option<u16> {
    bytes
        .first_chunk::<2>()
        .map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_both_parts_of_the_id() {
        let id = QueryId {
            lookup: 0x0102_0304,
            serial: u32::MAX,
        };
        assert_eq!(id.token(), 0x0102_0304_ffff_ffff);
        assert_eq!(QueryId::from_token(id.token()), id);
    }
}

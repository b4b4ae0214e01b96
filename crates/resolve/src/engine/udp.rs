//! A UDP socket connected to one server, and the query IDs in use on it.
//!
//! A connected socket receives only packets from the server's address and port.
//! The system chooses the local port; IDs come from the system's random number
//! generator.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use net::sys::{self, Message, RecvBatch, RecvLayout, SendFlags};

use super::query::QueryId;

/// The maximum number of datagrams per system call.
pub(super) const BATCH: usize = 32;

/// The receive buffer to request, in bytes; the granted size is read back.
const RECV_BUFFER: usize = 4 << 20;

/// Bytes of the receive buffer that a small datagram takes, with overhead.
const DATAGRAM_COST: usize = 2304;

/// A source of unpredictable 16-bit numbers.
#[derive(Debug)]
pub(crate) struct QueryIds {
    bytes: [u8; 512],
    used: usize,
}

impl QueryIds {
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; 512],
            used: 512,
        }
    }

    /// Returns the next number. Fails if the system has no random numbers.
    pub(crate) fn draw(&mut self) -> io::Result<u16> {
        if self.used == self.bytes.len() {
            getrandom::fill(&mut self.bytes).map_err(io::Error::other)?;
            self.used = 0;
        }
        let at = self.used;
        self.used += 2;
        Ok(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]))
    }
}

/// Creates the buffers for a batch of datagrams of `size` bytes.
pub(super) fn recv_batch(size: usize) -> RecvBatch {
    RecvBatch::new(RecvLayout {
        slots: BATCH,
        size,
        control: 0,
        // The sockets are connected.
        has_address: false,
    })
}

/// A fast hasher for IDs, which are already random.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u16(byte.into());
        }
    }

    fn write_u16(&mut self, id: u16) {
        // Spreads the bits to both ends of the word, which a hash table uses.
        let mixed = self.0.rotate_left(16) ^ u64::from(id);
        self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A socket with an ephemeral port that serves a limited number of queries.
#[derive(Debug)]
pub(crate) struct EphemeralSocket {
    pub(crate) socket: UdpSocket,
    /// Distinguishes this socket from earlier ones with the same number.
    pub(crate) serial: u32,
    /// The outstanding queries by the ID in their header.
    queries: HashMap<u16, QueryId, BuildHasherDefault<IdHasher>>,
    /// The number of queries for which an answer is still accepted.
    pub(crate) outstanding: usize,
    /// The number of further queries before the socket expires.
    remaining: u32,
    /// The time at which the socket expires in any case.
    expires_at: Instant,
    /// The batch of datagrams to be sent: their bytes, one after the other.
    buffer: Vec<u8>,
    /// The end of each datagram in `buffer`.
    ends: Vec<usize>,
    /// Datagrams that fit into the receive buffer.
    pub(crate) recv_capacity: usize,
    /// Whether the system has ever accepted a datagram.
    has_sent: bool,
}

impl EphemeralSocket {
    /// Opens a socket that is connected to `server` and expires after
    /// `max_queries` queries or at `expires_at`. A large receive buffer is only
    /// worth its memory if many answers may arrive together.
    pub(crate) fn open(
        server: SocketAddr,
        has_large_buffer: bool,
        max_queries: u32,
        expires_at: Instant,
    ) -> io::Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        let mut granted = DATAGRAM_COST * 64;
        if has_large_buffer {
            let view = socket2::SockRef::from(&socket);
            // If the system refuses, its default size applies.
            let _ = view.set_recv_buffer_size(RECV_BUFFER);
            granted = view.recv_buffer_size()?;
        }
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            serial: 0,
            queries: HashMap::default(),
            outstanding: 0,
            remaining: max_queries,
            expires_at,
            buffer: Vec::new(),
            ends: Vec::new(),
            recv_capacity: (granted / DATAGRAM_COST).max(1),
            has_sent: false,
        })
    }

    /// Returns whether another socket should take its place for new queries.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.remaining == 0 || now >= self.expires_at
    }

    /// Returns whether it or a socket that it replaces has sent a datagram.
    pub(crate) fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Takes over the state of the socket that it replaces.
    pub(crate) fn inherit_has_sent(&mut self, has_sent: bool) {
        self.has_sent |= has_sent;
    }

    /// Returns whether the batch is full.
    pub(crate) fn is_batch_full(&self) -> bool {
        self.ends.len() >= BATCH
    }

    /// Assigns an unused ID to a query.
    pub(crate) fn allocate_id(&mut self, ids: &mut QueryIds, query: QueryId) -> io::Result<u16> {
        loop {
            let id = ids.draw()?;
            if let Entry::Vacant(entry) = self.queries.entry(id) {
                entry.insert(query);
                self.outstanding = self.queries.len();
                self.remaining = self.remaining.saturating_sub(1);
                return Ok(id);
            }
        }
    }

    /// Makes an ID available again.
    pub(crate) fn release_id(&mut self, id: u16) {
        self.queries.remove(&id);
        self.outstanding = self.queries.len();
    }

    /// Returns the query with this ID.
    pub(crate) fn query(&self, id: u16) -> Option<QueryId> {
        self.queries.get(&id).copied()
    }

    /// Iterates over all outstanding queries.
    pub(crate) fn queries(&self) -> impl Iterator<Item = QueryId> {
        self.queries.values().copied()
    }

    /// Adds the datagram that `compose` writes to the batch.
    pub(crate) fn push(&mut self, compose: impl FnOnce(&mut Vec<u8>)) {
        compose(&mut self.buffer);
        self.ends.push(self.buffer.len());
    }

    /// Returns whether the batch holds datagrams.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Sends the batch. Datagrams that do not fit into the send buffer stay in
    /// it. Stops at a datagram that the system refuses, drops it, and returns the
    /// error.
    pub(crate) fn flush(&mut self) -> Option<io::Error> {
        while !self.ends.is_empty() {
            let error = match self.send_batch() {
                Ok(sent) => {
                    self.has_sent |= sent > 0;
                    self.drop_first(sent);
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return None,
                // A packet filter that drops some datagrams is like a lossy
                // network; one that lets nothing out is an error to report.
                io::ErrorKind::PermissionDenied if self.has_sent => self.drop_first(1),
                // ENOBUFS: the queue of the interface is full.
                _ if error.raw_os_error() == Some(libc::ENOBUFS) => self.drop_first(1),
                _ => {
                    self.drop_first(1);
                    return Some(error);
                }
            }
        }
        None
    }

    /// Sends up to [`BATCH`] datagrams, and returns their number.
    fn send_batch(&self) -> io::Result<usize> {
        let mut start = 0;
        let messages = self.ends.iter().take(BATCH).map(|&end| {
            let data = &self.buffer[start..end];
            start = end;
            Message {
                data,
                to: None,
                control: &[],
            }
        });
        sys::send(&self.socket, messages, SendFlags::empty())
    }

    fn drop_first(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        if count == self.ends.len() {
            self.buffer.clear();
            self.ends.clear();
            return;
        }
        let bytes = self.ends[count - 1];
        self.buffer.drain(..bytes);
        self.ends.drain(..count);
        self.ends.iter_mut().for_each(|end| *end -= bytes);
    }
}

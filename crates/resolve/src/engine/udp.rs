//! A UDP socket connected to one server, with the ids in use on it.
//!
//! Being connected, it gets packets from that address and port alone. Its own
//! port is the system's choice, ids are drawn from the system's generator.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use crate::sys;

/// Asked of the system for each socket; what it grants is read back.
const BUFFER: usize = 4 << 20;

/// What one small datagram costs of a receive buffer, overhead included.
const COST: usize = 2304;

/// Unpredictable ids.
#[derive(Debug)]
pub(crate) struct Ids {
    bytes: [u8; 512],
    used: usize,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; 512],
            used: 512,
        }
    }

    /// One more.
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

/// Hashes ids, which are random already.
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
        // Spreads the bits to where a table looks: the upper and the lower end.
        let mixed = self.0.rotate_left(16) ^ u64::from(id);
        self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) socket: UdpSocket,
    /// Distinguishes this socket from earlier ones with the same number.
    pub(crate) serial: u32,
    /// The flights by id.
    flights: HashMap<u16, u32, BuildHasherDefault<IdHasher>>,
    pub(crate) in_use: usize,
    /// New queries before it is worn, and when it is so in any case.
    left: u32,
    until: Instant,
    /// Datagrams to be sent: their bytes, where each ends, their flights.
    data: Vec<u8>,
    ends: Vec<usize>,
    batch: Vec<u32>,
    /// Datagrams its receive buffer holds.
    pub(crate) room: usize,
    /// Whether anything was ever sent.
    proven: bool,
}

impl Port {
    /// A socket for `server`; a large buffer only where many answers are to
    /// come at once. It is worn after `queries`, or at `until`.
    pub(crate) fn open(
        server: SocketAddr,
        large: bool,
        queries: u32,
        until: Instant,
    ) -> io::Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        let mut granted = COST * 64;
        if large {
            let view = socket2::SockRef::from(&socket);
            // Refused, the system's default has to do: it is read back.
            let _ = view.set_recv_buffer_size(BUFFER);
            granted = view.recv_buffer_size()?;
        }
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            serial: 0,
            flights: HashMap::default(),
            in_use: 0,
            left: queries,
            until,
            data: Vec::new(),
            ends: Vec::new(),
            batch: Vec::new(),
            room: (granted / COST).max(1),
            proven: false,
        })
    }

    /// Whether another port is to take its place for new queries.
    pub(crate) fn is_worn(&self, now: Instant) -> bool {
        self.left == 0 || now >= self.until
    }

    /// Whether anything was ever sent from it, or from the one before it.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Takes over what the port before it has proved.
    pub(crate) fn proven_by(&mut self, proven: bool) {
        self.proven |= proven;
    }

    /// Whether the batch is full.
    pub(crate) fn full(&self) -> bool {
        self.ends.len() >= sys::BATCH
    }

    /// Takes an id for `flight` that is not in use.
    pub(crate) fn assign(&mut self, ids: &mut Ids, flight: u32) -> io::Result<u16> {
        loop {
            let id = ids.draw()?;
            if let Entry::Vacant(entry) = self.flights.entry(id) {
                entry.insert(flight);
                self.in_use = self.flights.len();
                self.left = self.left.saturating_sub(1);
                return Ok(id);
            }
        }
    }

    /// Gives an id back.
    pub(crate) fn release(&mut self, id: u16) {
        self.flights.remove(&id);
        self.in_use = self.flights.len();
    }

    /// The flight an id belongs to.
    pub(crate) fn flight(&self, id: u16) -> Option<u32> {
        self.flights.get(&id).copied()
    }

    /// All flights.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.flights.values().copied().collect()
    }

    /// Adds a datagram to the batch, written by `compose`.
    pub(crate) fn add(&mut self, flight: u32, compose: impl FnOnce(&mut Vec<u8>)) {
        compose(&mut self.data);
        self.ends.push(self.data.len());
        self.batch.push(flight);
    }

    /// Whether something waits to be sent.
    pub(crate) fn pending(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Sends the batch. What the system has no room for now stays in it; a
    /// datagram it refuses is dropped and told, with its flight.
    pub(crate) fn flush(&mut self) -> Option<(u32, io::Error)> {
        while !self.ends.is_empty() {
            let (sent, error) = sys::send(&self.socket, &mut self.data, &self.ends);
            self.proven |= sent > 0;
            self.drop_first(sent);
            let Some(error) = error else { continue };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return None,
                // A packet filter that drops some of what goes out is a lossy
                // network; one that lets nothing out is a fault to tell.
                io::ErrorKind::PermissionDenied if self.proven => self.drop_first(1),
                // ENOBUFS: a full queue of the interface.
                _ if error.raw_os_error() == Some(libc::ENOBUFS) => self.drop_first(1),
                _ => {
                    let flight = self.batch[0];
                    self.drop_first(1);
                    return Some((flight, error));
                }
            }
        }
        None
    }

    fn drop_first(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        if count == self.ends.len() {
            self.data.clear();
            self.ends.clear();
            self.batch.clear();
            return;
        }
        let bytes = self.ends[count - 1];
        self.data.drain(..bytes);
        self.ends.drain(..count);
        self.batch.drain(..count);
        self.ends.iter_mut().for_each(|end| *end -= bytes);
    }
}

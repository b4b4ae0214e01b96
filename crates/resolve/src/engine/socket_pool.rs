//! The UDP sockets of one server.
//!
//! The source port of a query is half of what an off-path attacker has to guess
//! (RFC 5452), so no socket is used for long: after a number of queries or seconds
//! another one takes its place, and the old one stays open only for the answers
//! to its outstanding queries.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net::sys::RecvBatch;

use super::query::QueryId;
use super::udp::{BATCH, EphemeralSocket, QueryIds};

/// Sockets in use for new queries.
const MAX_ACTIVE: usize = 4;

/// Sockets of one server, including those that wait for answers.
const MAX_SOCKETS: usize = 64;

/// Sockets of all servers, unless that is less than [`MAX_ACTIVE`] each:
/// descriptors are limited, often to 1024.
const MAX_TOTAL: usize = 512;

/// Queries from one socket: a random number between this one and twice as many.
const MIN_QUERIES: u32 = 256;

/// The time for which a socket is used for new queries.
const MAX_AGE: Duration = Duration::from_secs(5);

/// The sockets by number. Each keeps its number until it is closed.
#[derive(Debug)]
pub(crate) struct SocketPool {
    sockets: Vec<Option<EphemeralSocket>>,
    /// The numbers of the sockets in use for new queries.
    active: Vec<usize>,
    /// The index in `active` of the socket that gets the next query.
    current: usize,
    max_sockets: usize,
    /// The serial number of the newest socket.
    serial: u32,
}

impl SocketPool {
    /// Creates an empty pool; there is one for each of the `servers` servers.
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            sockets: Vec::new(),
            active: Vec::new(),
            current: 0,
            max_sockets: (MAX_TOTAL / servers.max(1)).clamp(MAX_ACTIVE + 1, MAX_SOCKETS),
            serial: 0,
        }
    }

    /// Iterates over the open sockets with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &EphemeralSocket)> {
        let all = self.sockets.iter().enumerate();
        all.filter_map(|(number, socket)| Some((number, socket.as_ref()?)))
    }

    /// Returns the range of numbers; some of them may be unused.
    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.sockets.len()
    }

    fn get(&self, number: usize) -> Option<&EphemeralSocket> {
        self.sockets.get(number)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut EphemeralSocket> {
        self.sockets.get_mut(number)?.as_mut()
    }

    /// Returns the query with this ID on the socket that received a datagram. A socket
    /// that was closed since then has no queries, even if another one uses its number.
    pub(crate) fn query(&self, number: usize, serial: u32, id: u16) -> Option<QueryId> {
        let socket = self.get(number).filter(|socket| socket.serial == serial)?;
        socket.query(id)
    }

    /// Returns all outstanding queries of a socket.
    pub(crate) fn queries(&self, number: usize) -> Vec<QueryId> {
        let socket = self.get(number).into_iter();
        socket.flat_map(EphemeralSocket::queries).collect()
    }

    /// Returns the outstanding queries of all sockets.
    pub(crate) fn all_queries(&self) -> impl Iterator<Item = QueryId> {
        self.iter().flat_map(|(_, socket)| socket.queries())
    }

    /// Returns the numbers of the sockets with outstanding queries.
    pub(crate) fn awaited(&self) -> Vec<usize> {
        let awaited = self.iter().filter(|(_, socket)| socket.outstanding > 0);
        awaited.map(|(number, _)| number).collect()
    }

    /// Receives the datagrams that arrived on a socket, up to a batch, and returns the
    /// socket's serial number. Fails with `WouldBlock` if the receive buffer is empty.
    pub(crate) fn receive(&self, number: usize, batch: &mut RecvBatch) -> io::Result<u32> {
        let socket = self.get(number).ok_or(io::ErrorKind::WouldBlock)?;
        batch.receive(&socket.socket, BATCH)?;
        Ok(socket.serial)
    }

    /// Ends the batch of a socket, so that the next query goes to another one.
    pub(crate) fn end_batch(&mut self, number: usize) {
        if self.get(number).is_some_and(EphemeralSocket::has_unsent) {
            self.rotate();
        }
    }

    /// Sends the batch of a socket; see [`EphemeralSocket::flush`].
    pub(crate) fn flush(&mut self, number: usize) -> Option<io::Error> {
        self.get_mut(number)?.flush()
    }

    /// Returns how many datagrams fit into the receive buffers of the active
    /// sockets.
    pub(crate) fn recv_capacity(&self) -> usize {
        let active = self.active.iter().filter_map(|&number| self.get(number));
        active.map(|socket| socket.recv_capacity).sum()
    }

    /// Returns the number of a socket for the next query, and whether it is new.
    ///
    /// The batch of one socket is filled before the next socket is used, so that
    /// it goes out in one call. All of them are used, for the capacity of their
    /// receive buffers and for the variety of their ports.
    pub(crate) fn select(
        &mut self,
        server: SocketAddr,
        has_large_buffer: bool,
        ids: &mut QueryIds,
        now: Instant,
    ) -> io::Result<(usize, bool)> {
        let is_busy = |socket: &EphemeralSocket| socket.outstanding >= BATCH;
        let needs_another = self.active.len() < MAX_ACTIVE
            && self
                .active
                .iter()
                .all(|&n| self.get(n).is_some_and(is_busy));
        if needs_another {
            match self.open(server, has_large_buffer, ids, now) {
                Ok(number) => {
                    self.active.push(number);
                    self.current = self.active.len() - 1;
                    return Ok((number, true));
                }
                Err(error) if self.active.is_empty() => return Err(error),
                // The open sockets serve the query.
                Err(_) => {}
            }
        }
        if self
            .current_socket()
            .is_some_and(EphemeralSocket::is_batch_full)
        {
            self.rotate();
        }
        let number = self.active[self.current];
        if self
            .current_socket()
            .is_some_and(|socket| !socket.is_expired(now))
        {
            return Ok((number, false));
        }
        match self.open(server, has_large_buffer, ids, now) {
            Ok(new) => {
                let has_sent = self.get(number).is_some_and(EphemeralSocket::has_sent);
                if let Some(socket) = self.get_mut(new) {
                    socket.inherit_has_sent(has_sent);
                }
                self.active[self.current] = new;
                self.close_if_unused(number);
                Ok((new, true))
            }
            // If no further socket can be opened, the expired one remains in use.
            Err(_) => Ok((number, false)),
        }
    }

    /// Selects the next active socket after a batch is complete.
    fn rotate(&mut self) {
        if !self.active.is_empty() {
            self.current = (self.current + 1) % self.active.len();
        }
    }

    /// Releases an ID of a socket, and closes a retired socket after its last
    /// outstanding query.
    pub(crate) fn release(&mut self, number: usize, id: u16) {
        if let Some(socket) = self.get_mut(number) {
            socket.release_id(id);
            if !self.active.contains(&number) {
                self.close_if_unused(number);
            }
        }
    }

    fn current_socket(&self) -> Option<&EphemeralSocket> {
        self.get(*self.active.get(self.current)?)
    }

    fn close_if_unused(&mut self, number: usize) {
        if self
            .get(number)
            .is_some_and(|socket| socket.outstanding == 0)
        {
            self.sockets[number] = None;
        }
    }

    fn open(
        &mut self,
        server: SocketAddr,
        has_large_buffer: bool,
        ids: &mut QueryIds,
        now: Instant,
    ) -> io::Result<usize> {
        let free = self.sockets.iter().position(Option::is_none);
        if free.is_none() && self.sockets.len() >= self.max_sockets {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let max_queries = MIN_QUERIES + u32::from(ids.draw()?) % MIN_QUERIES;
        let expires_at = now + MAX_AGE;
        let mut socket = EphemeralSocket::open(server, has_large_buffer, max_queries, expires_at)?;
        self.serial = self.serial.wrapping_add(1);
        socket.serial = self.serial;
        let number = free.unwrap_or(self.sockets.len());
        match free {
            Some(number) => self.sockets[number] = Some(socket),
            None => self.sockets.push(Some(socket)),
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const QUERY: QueryId = QueryId {
        lookup: 1,
        serial: 2,
    };

    /// The sockets for a server that does not answer, and a simulated clock.
    struct Fixture {
        pool: SocketPool,
        ids: QueryIds,
        server: UdpSocket,
        now: Instant,
        /// How many sockets were opened. Their local ports may repeat: the
        /// system is free to assign a closed one again.
        opened: usize,
    }

    impl Fixture {
        fn new(servers: usize) -> Self {
            Self {
                pool: SocketPool::new(servers),
                ids: QueryIds::new(),
                server: UdpSocket::bind("127.0.0.1:0").unwrap(),
                now: Instant::now(),
                opened: 0,
            }
        }

        /// Allocates an ID for one query; returns the socket's number and the ID.
        fn query(&mut self) -> (usize, u16) {
            let server = self.server.local_addr().unwrap();
            let (number, is_new) = self
                .pool
                .select(server, false, &mut self.ids, self.now)
                .unwrap();
            self.opened += usize::from(is_new);
            let socket = self.pool.get_mut(number).unwrap();
            (number, socket.allocate_id(&mut self.ids, QUERY).unwrap())
        }

        fn open_sockets(&self) -> usize {
            self.pool.iter().count()
        }
    }

    #[test]
    fn a_socket_expires_after_some_queries() {
        let mut fixture = Fixture::new(1);
        for _ in 0..10_000 {
            let (number, id) = fixture.query();
            fixture.pool.release(number, id);
            assert!(fixture.open_sockets() <= 1, "an expired socket is open");
        }
        let (least, most) = (10_000 / 512, 10_000 / 256 + 1);
        let opened = fixture.opened;
        assert!((least..=most).contains(&opened), "{opened}");
    }

    #[test]
    fn a_socket_expires_after_some_time() {
        let mut fixture = Fixture::new(1);
        for second in 0..60 {
            let (number, id) = fixture.query();
            fixture.pool.release(number, id);
            fixture.now += Duration::from_secs(1);
            assert_eq!(fixture.opened, second / 5 + 1, "{second}");
        }
    }

    /// A datagram that was received on a closed socket is not matched with the
    /// queries of the socket that uses its number now.
    #[test]
    fn a_reused_number_is_not_the_same_socket() {
        let mut fixture = Fixture::new(1);
        let (number, old_id) = fixture.query();
        let old = fixture.pool.get(number).unwrap().serial;
        assert_eq!(fixture.pool.query(number, old, old_id), Some(QUERY));
        // The socket expires with a query outstanding and is closed after the
        // answer; the next one takes its number.
        fixture.now += MAX_AGE;
        let (second, _) = fixture.query();
        assert_ne!(second, number);
        fixture.pool.release(number, old_id);
        assert!(fixture.pool.get(number).is_none());
        fixture.now += MAX_AGE;
        let (third, id) = fixture.query();
        assert_eq!(third, number);
        let new = fixture.pool.get(number).unwrap().serial;
        assert_eq!(fixture.pool.query(number, new, id), Some(QUERY));
        assert_eq!(fixture.pool.query(number, old, id), None);
    }

    #[test]
    fn the_number_of_sockets_is_bounded_while_nothing_is_answered() {
        for (servers, most) in [(1, MAX_SOCKETS), (8, 64), (64, 8), (1000, MAX_ACTIVE + 1)] {
            let mut fixture = Fixture::new(servers);
            let mut outstanding = Vec::new();
            for _ in 0..30_000 {
                outstanding.push(fixture.query());
                fixture.pool.rotate();
            }
            assert_eq!(fixture.open_sockets(), most, "{servers}");
            for (number, id) in outstanding {
                fixture.pool.release(number, id);
            }
            assert_eq!(
                fixture.open_sockets(),
                MAX_ACTIVE,
                "retired sockets are closed"
            );
        }
    }
}

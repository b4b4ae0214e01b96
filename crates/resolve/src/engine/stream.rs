//! A non-blocking connection to a server, over TCP or TLS, with many queries
//! outstanding at a time (RFC 7766).
//!
//! Queries wait in a queue until the connection may send them. A message is
//! preceded by its length and may arrive in any number of pieces.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use super::frames::FrameBuffer;
use super::query::QueryId;
use super::udp::QueryIds;
use crate::tls::Session;

/// A connection that may not be established yet.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    is_connected: bool,
    tls: Option<Box<Session>>,
    /// Bytes to be written to the socket or, with TLS, to the session.
    write_buffer: VecDeque<u8>,
    /// Messages that wait to be sent, with their IDs.
    queue: VecDeque<(u16, Vec<u8>)>,
    /// The number of queries that were sent and have not been answered.
    unanswered: usize,
    /// The maximum number of queries that may be unanswered.
    limit: usize,
    /// The limit with which the connection was opened.
    initial_limit: usize,
    frames: FrameBuffer,
    queries: HashMap<u16, QueuedQuery>,
    /// The number of messages received.
    pub(crate) answered: usize,
    /// The time at which bytes last arrived.
    pub(crate) last_read: Option<Instant>,
    has_ended: bool,
}

/// A query on a connection, in the queue or sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedQuery {
    pub(crate) id: QueryId,
    /// The time at which it left the queue.
    pub(crate) sent: Option<Instant>,
}

impl Stream {
    /// Starts to connect. At most `limit` queries are unanswered at a time: a
    /// server that closes connections after some queries answers that many, and
    /// further ones would be lost.
    pub(crate) fn open(
        address: SocketAddr,
        tls: Option<Box<Session>>,
        limit: usize,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => return Err(e),
            _ => {}
        }
        Ok(Self {
            socket: socket.into(),
            is_connected: false,
            tls,
            write_buffer: VecDeque::new(),
            queue: VecDeque::new(),
            unanswered: 0,
            limit,
            initial_limit: limit,
            frames: FrameBuffer::default(),
            queries: HashMap::new(),
            answered: 0,
            last_read: None,
            has_ended: false,
        })
    }

    /// Returns whether it is connected and the TLS handshake, if any, complete.
    pub(crate) fn is_established(&self) -> bool {
        self.is_connected && !self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Queues the message that `compose` writes, with a new ID, and returns the
    /// ID. Fails if the message is longer than 65,535 bytes.
    pub(crate) fn send(
        &mut self,
        ids: &mut QueryIds,
        query: QueryId,
        compose: impl FnOnce(u16, &mut Vec<u8>),
    ) -> io::Result<u16> {
        let id = loop {
            let id = ids.draw()?;
            if !self.queries.contains_key(&id) {
                break id;
            }
        };
        let mut message = vec![0, 0];
        compose(id, &mut message);
        let length = u16::try_from(message.len() - 2)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        message[..2].copy_from_slice(&length.to_be_bytes());
        self.queue.push_back((id, message));
        let queued = QueuedQuery {
            id: query,
            sent: None,
        };
        self.queries.insert(id, queued);
        Ok(id)
    }

    /// Makes an ID available again and removes its query from the queue.
    pub(crate) fn release(&mut self, id: u16) {
        match self.queries.remove(&id) {
            Some(query) if query.sent.is_some() => self.unanswered -= 1,
            Some(_) => self.queue.retain(|(other, _)| *other != id),
            None => {}
        }
    }

    /// Returns the query with this ID and when it was sent; `None` if it is still in
    /// the queue.
    pub(crate) fn sent_query(&self, id: u16) -> Option<(QueryId, Instant)> {
        let query = self.queries.get(&id)?;
        Some((query.id, query.sent?))
    }

    /// Returns how many more queries it would send now.
    pub(crate) fn spare_capacity(&self) -> usize {
        self.limit.saturating_sub(self.queries.len())
    }

    /// Returns the length of the queue.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Returns how many queries are in the queue or unanswered.
    pub(crate) fn outstanding(&self) -> usize {
        self.queries.len()
    }

    /// Returns all queries in the queue or unanswered.
    pub(crate) fn queries(&self) -> Vec<QueuedQuery> {
        self.queries.values().copied().collect()
    }

    /// Returns the limit for the connection that follows this one: the number of
    /// queries that were answered, if others were not.
    pub(crate) fn limit_for_next(&self) -> usize {
        if self.unanswered == 0 {
            return self.limit;
        }
        self.answered.max(1)
    }

    /// Returns whether to wait until the socket is writable. During a handshake
    /// queries wait for the server, not for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        let has_more =
            !self.write_buffer.is_empty() || self.unanswered < self.limit && !self.queue.is_empty();
        !self.is_connected
            || match &self.tls {
                None => has_more,
                Some(tls) => tls.wants_write() || has_more && !tls.is_handshaking(),
            }
    }

    /// Reads and writes as much as the socket allows. Received messages are then
    /// available from [`Stream::next_message`], even after an error. The end of
    /// the stream is an error of kind `UnexpectedEof`.
    pub(crate) fn drive(&mut self, now: Instant) -> io::Result<()> {
        if !self.is_connected {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            match self.socket.peer_addr() {
                Ok(_) => self.is_connected = true,
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        // Answers that have arrived count even if nothing can be sent any more.
        let written = self.write(now);
        self.read(now)?;
        written?;
        // A TLS handshake has to answer the messages just read.
        self.write(now)?;
        if self.has_ended {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Moves the next message from the queue to the write buffer; returns whether
    /// there was one.
    fn dequeue(&mut self, now: Instant) -> bool {
        while self.unanswered < self.limit
            && let Some((id, message)) = self.queue.pop_front()
        {
            if let Some(query) = self.queries.get_mut(&id) {
                query.sent = Some(now);
                self.unanswered += 1;
                self.write_buffer.extend(message);
                return true;
            }
        }
        false
    }

    /// Passes messages to TLS, each in a separate record, since some servers read one
    /// message per record and ignore the others until more data arrives.
    fn encrypt(&mut self, now: Instant) -> io::Result<()> {
        while !self.write_buffer.is_empty() || self.dequeue(now) {
            let Some(tls) = &mut self.tls else { break };
            let taken = tls.writer().write(self.write_buffer.make_contiguous())?;
            if taken == 0 {
                break;
            }
            self.write_buffer.drain(..taken);
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        if self.tls.is_some() && self.is_established() {
            self.encrypt(now)?;
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            return Ok(());
        }
        while self.dequeue(now) {}
        while !self.write_buffer.is_empty() {
            let (part, _) = self.write_buffer.as_slices();
            match self.socket.write(part) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => drop(self.write_buffer.drain(..taken)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = match &mut self.tls {
                None => self.socket.read(&mut buffer),
                Some(tls) => {
                    let read = tls.read_tls(&mut self.socket);
                    if matches!(read, Ok(n) if n > 0) {
                        match tls.process_new_packets() {
                            // TLS can end before the TCP connection does.
                            Ok(state) => self.has_ended |= state.peer_has_closed(),
                            Err(error) => {
                                // Tries to send the alert that explains the error.
                                let _ = tls.write_tls(&mut self.socket);
                                return Err(io::Error::other(error));
                            }
                        }
                        self.last_read = Some(now);
                    }
                    read
                }
            };
            match read {
                Ok(0) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Ok(n) => {
                    self.last_read = Some(now);
                    acknowledge(&self.socket);
                    match &mut self.tls {
                        None => self.frames.extend(&buffer[..n]),
                        Some(tls) => drain(tls, &mut self.frames)?,
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            // Messages are processed before more bytes are read.
            if self.has_ended || self.frames.is_ready() {
                return Ok(());
            }
        }
    }

    /// Takes the next whole message.
    pub(crate) fn next_message(&mut self) -> Option<Vec<u8>> {
        let message = self.frames.next()?;
        self.answered += 1;
        if self.answered > self.initial_limit {
            // The connection has outlived its predecessor.
            self.limit = self.limit.saturating_mul(4);
        }
        Some(message)
    }
}

/// Acknowledges received data immediately, on systems that allow it.
///
/// A server may hold back the end of its answers until then (RFC 896), and a
/// delayed acknowledgement would cost 40 ms each time. The option is not
/// permanent, so it is set after each read; a failure only costs time.
fn acknowledge(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(socket).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Moves decrypted bytes to the frame buffer.
fn drain(tls: &mut Session, frames: &mut FrameBuffer) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match tls.reader().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => frames.extend(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;

//! A connection to a server with many queries on it at once (RFC 7766), over
//! TCP or TLS, never blocking: a length before each message, whatever pieces
//! they come in.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use super::frames::Frames;
use super::udp::Ids;
use crate::tls::Session;

/// A connection, perhaps not established yet.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    connected: bool,
    tls: Option<Box<Session>>,
    /// Bytes to be written to the socket or, with TLS, into it.
    out: VecDeque<u8>,
    /// Messages that wait for their turn, with their ids.
    unsent: VecDeque<(u16, Vec<u8>)>,
    /// How many have gone out and are not answered, and how many may be.
    flying: usize,
    limit: usize,
    /// How many it could be relied on to take when it was opened.
    start: usize,
    inbox: Frames,
    /// What an id belongs to.
    flights: HashMap<u16, Held>,
    /// Messages that came.
    pub(crate) answered: usize,
    /// When anything last came.
    pub(crate) heard: Option<Instant>,
    ended: bool,
}

/// A query on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) flight: u32,
    /// When it went out, if it has.
    pub(crate) sent: Option<Instant>,
}

impl Stream {
    /// Begins to connect. No more than `limit` queries are out at once: a
    /// server that ends connections after some queries takes as many, and
    /// those behind them would go out for nothing.
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
            connected: false,
            tls,
            out: VecDeque::new(),
            unsent: VecDeque::new(),
            flying: 0,
            limit,
            start: limit,
            inbox: Frames::default(),
            flights: HashMap::new(),
            answered: 0,
            heard: None,
            ended: false,
        })
    }

    /// Whether it came to be: connected and, with TLS, shaken hands on.
    pub(crate) fn is_established(&self) -> bool {
        self.connected && !self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Queues a message, composed with an id of its own.
    pub(crate) fn send(
        &mut self,
        ids: &mut Ids,
        flight: u32,
        compose: impl FnOnce(u16, &mut Vec<u8>),
    ) -> io::Result<u16> {
        let id = loop {
            let id = ids.draw()?;
            if !self.flights.contains_key(&id) {
                break id;
            }
        };
        let mut message = vec![0, 0];
        compose(id, &mut message);
        let length = u16::try_from(message.len() - 2)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        message[..2].copy_from_slice(&length.to_be_bytes());
        self.unsent.push_back((id, message));
        let sent = None;
        self.flights.insert(id, Held { flight, sent });
        Ok(id)
    }

    /// Gives an id back.
    pub(crate) fn release(&mut self, id: u16) {
        match self.flights.remove(&id) {
            Some(held) if held.sent.is_some() => self.flying -= 1,
            Some(_) => self.unsent.retain(|(other, _)| *other != id),
            None => {}
        }
    }

    /// The flight an id belongs to and when it went out, if it has.
    pub(crate) fn flight(&self, id: u16) -> Option<(u32, Instant)> {
        let held = self.flights.get(&id)?;
        Some((held.flight, held.sent?))
    }

    /// How many more it would let out now.
    pub(crate) fn spare(&self) -> usize {
        self.limit.saturating_sub(self.flights.len())
    }

    /// How many wait for their turn, and how many there are with them.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.unsent.len(), self.flights.len())
    }

    /// Everything on it.
    pub(crate) fn all(&self) -> Vec<Held> {
        self.flights.values().copied().collect()
    }

    /// How many queries the next connection may have out at once, after this
    /// one has ended: as many as it answered, if it left others unanswered.
    pub(crate) fn next_limit(&self) -> usize {
        if self.flying == 0 {
            return self.limit;
        }
        self.answered.max(1)
    }

    /// Whether to wait for the socket to take bytes. During a handshake
    /// messages wait for the server's word, not for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        let more = !self.out.is_empty() || self.flying < self.limit && !self.unsent.is_empty();
        !self.connected
            || match &self.tls {
                None => more,
                Some(tls) => tls.wants_write() || more && !tls.is_handshaking(),
            }
    }

    /// Moves bytes as far as they go. Messages that came are to be taken by
    /// [`Stream::next`]; an error, the end among them, ends the connection
    /// once they are.
    pub(crate) fn drive(&mut self, now: Instant) -> io::Result<()> {
        if !self.connected {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            match self.socket.peer_addr() {
                Ok(_) => self.connected = true,
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        // What has come counts, also where nothing can be sent any more.
        let written = self.write(now);
        self.read(now)?;
        written?;
        // A handshake answers what it read.
        self.write(now)?;
        if self.ended {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Takes the message whose turn it is; whether there was one.
    fn fill(&mut self, now: Instant) -> bool {
        while self.flying < self.limit
            && let Some((id, message)) = self.unsent.pop_front()
        {
            if let Some(held) = self.flights.get_mut(&id) {
                held.sent = Some(now);
                self.flying += 1;
                self.out.extend(message);
                return true;
            }
        }
        false
    }

    /// Gives messages to TLS, each in a record of its own: of one that holds
    /// several, servers have been seen to forget what follows the first until
    /// something else comes.
    fn encrypt(&mut self, now: Instant) -> io::Result<()> {
        while !self.out.is_empty() || self.fill(now) {
            let Some(tls) = &mut self.tls else { break };
            let taken = tls.writer().write(self.out.make_contiguous())?;
            if taken == 0 {
                break;
            }
            self.out.drain(..taken);
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
        while self.fill(now) {}
        while !self.out.is_empty() {
            let (part, _) = self.out.as_slices();
            match self.socket.write(part) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => drop(self.out.drain(..taken)),
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
                            // Its own end, whenever that of TCP follows.
                            Ok(state) => self.ended |= state.peer_has_closed(),
                            Err(error) => {
                                // The alert that says why is worth sending.
                                let _ = tls.write_tls(&mut self.socket);
                                return Err(io::Error::other(error));
                            }
                        }
                        self.heard = Some(now);
                    }
                    read
                }
            };
            match read {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(n) => {
                    self.heard = Some(now);
                    acknowledge(&self.socket);
                    match &mut self.tls {
                        None => self.inbox.extend(&buffer[..n]),
                        Some(tls) => drain(tls, &mut self.inbox)?,
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            // What is here is worth more than what may come.
            if self.ended || self.inbox.is_ready() {
                return Ok(());
            }
        }
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.inbox.next()?;
        self.answered += 1;
        if self.answered > self.start {
            // It has not ended where the one before it did.
            self.limit = self.limit.saturating_mul(4);
        }
        Some(message)
    }
}

/// Acknowledges what came at once, where the system can: a server may hold back
/// the end of its answers until then (RFC 896), and delayed acknowledgements
/// would cost 40 ms each time. The system forgets the wish soon, so it is said
/// after each read; that it may be refused costs time only.
fn acknowledge(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(socket).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Moves decrypted bytes over.
fn drain(tls: &mut Session, inbox: &mut Frames) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match tls.reader().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => inbox.extend(&buffer[..n]),
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

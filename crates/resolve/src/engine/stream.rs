//! A connection to a server with many queries on it at once (RFC 7766), over
//! TCP or TLS, never blocking: a length before each message, whatever pieces
//! they come in.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

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
    /// Bytes of messages, as far as they came.
    inbox: Vec<u8>,
    /// Which flight an id belongs to.
    flights: HashMap<u16, u32>,
    /// Messages that came.
    pub(crate) answered: u64,
    /// When anything last came.
    pub(crate) heard: Option<Instant>,
    ended: bool,
}

impl Stream {
    /// Begins to connect.
    pub(crate) fn open(address: SocketAddr, tls: Option<Box<Session>>) -> io::Result<Self> {
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
            inbox: Vec::new(),
            flights: HashMap::new(),
            answered: 0,
            heard: None,
            ended: false,
        })
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
        self.out.extend(message);
        self.flights.insert(id, flight);
        Ok(id)
    }

    /// Gives an id back.
    pub(crate) fn release(&mut self, id: u16) {
        self.flights.remove(&id);
    }

    /// The flight an id belongs to.
    pub(crate) fn flight(&self, id: u16) -> Option<u32> {
        self.flights.get(&id).copied()
    }

    /// All flights.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.flights.values().copied().collect()
    }

    /// Whether to wait for the socket to take bytes.
    pub(crate) fn wants_write(&self) -> bool {
        !self.connected
            || !self.out.is_empty()
            || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
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
        self.write()?;
        self.read(now)?;
        // A handshake answers what it read.
        self.write()?;
        if self.ended && !self.has_message() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            if !self.out.is_empty() && !tls.is_handshaking() {
                while !self.out.is_empty() {
                    let (part, _) = self.out.as_slices();
                    let taken = tls.writer().write(part)?;
                    if taken == 0 {
                        break;
                    }
                    self.out.drain(..taken);
                }
            }
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
                        if let Err(error) = tls.process_new_packets() {
                            // The alert that says why is worth sending.
                            let _ = tls.write_tls(&mut self.socket);
                            return Err(io::Error::other(error));
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
                    match &mut self.tls {
                        None => self.inbox.extend_from_slice(&buffer[..n]),
                        Some(tls) => drain(tls, &mut self.inbox)?,
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            // What is here is worth more than what may come.
            if self.has_message() {
                return Ok(());
            }
        }
    }

    fn has_message(&self) -> bool {
        match self.inbox.split_first_chunk::<2>() {
            Some((length, rest)) => rest.len() >= usize::from(u16::from_be_bytes(*length)),
            None => false,
        }
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.inbox.split_first_chunk::<2>()?;
        let message = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let message = message.to_vec();
        self.inbox.drain(..message.len() + 2);
        self.answered += 1;
        Some(message)
    }
}

/// Moves decrypted bytes over.
fn drain(tls: &mut Session, inbox: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match tls.reader().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => inbox.extend_from_slice(&buffer[..n]),
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

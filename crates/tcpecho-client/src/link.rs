//! An open connection of any kind, as non-blocking reads and writes.
//!
//! All modes work on this one type, so each of them runs over TCP, TLS, a
//! socket of the local domain and UDP without knowing which.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

use crate::tls::Session;

/// One connection, in non-blocking mode.
#[derive(Debug)]
pub(crate) enum Link {
    /// TCP, with TCP_NODELAY.
    Tcp(TcpStream),
    /// A stream of the local domain.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<Session>),
    /// A connected UDP socket; a read is one datagram, a write too.
    Udp(UdpSocket),
    /// The same for a broadcast or multicast address, from where no answer
    /// comes: any sender's datagram is read.
    Group(UdpSocket, SocketAddr),
}

impl Link {
    /// Reads what has come. `Ok(0)` is the end of the peer's side (but for
    /// UDP, where it is an empty datagram), `WouldBlock` nothing yet.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retrying(|| match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Udp(socket) | Self::Group(socket, _) => socket.recv(buffer),
            Self::Tls(session) => session.read(buffer),
        })
    }

    /// Sends as much as fits; `WouldBlock` when nothing does.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retrying(|| match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            Self::Group(socket, to) => socket.send_to(bytes, *to),
            Self::Tls(session) => session.write(bytes),
        })
    }

    /// Ends this side; the other may go on. UDP knows no end.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        let outcome = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Udp(_) | Self::Group(..) => Ok(()),
            Self::Tls(session) => session.close_write(),
        };
        outcome.map_err(|e| match e.kind() {
            // What shutdown(2) says once the peer has reset the connection.
            io::ErrorKind::NotConnected => rustix::io::Errno::CONNRESET.into(),
            _ => e,
        })
    }

    /// Sends on what TLS holds back; the others hold nothing.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(session) => session.flush(),
            _ => Ok(()),
        }
    }

    /// Whether [`Self::flush`] has something to send.
    pub(crate) fn holds_output(&self) -> bool {
        match self {
            Self::Tls(session) => session.wants_write(),
            _ => false,
        }
    }

    /// Whether bytes, or their end, can be read although the socket is silent.
    pub(crate) fn holds_input(&self) -> bool {
        match self {
            Self::Tls(session) => session.has_buffered(),
            _ => false,
        }
    }

    /// Goes on with a connect that is under way; whether it is complete, TLS's
    /// handshake included. Wait for writability first.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        match self {
            Self::Tls(session) => session.advance(),
            _ => Ok(true),
        }
    }

    /// The error that has befallen the connection, if any.
    pub(crate) fn failure(&self) -> io::Result<()> {
        self.take_error()?.map_or(Ok(()), Err)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Udp(socket) | Self::Group(socket, _) => socket.take_error(),
            Self::Tls(session) => session.stream().take_error(),
        }
    }

    /// Whether reads and writes are whole datagrams.
    pub(crate) fn is_datagram(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::Group(..))
    }

    /// How to poll it for reading and writing; `None` for neither, since an
    /// idle descriptor that has hung up would end every wait.
    pub(crate) fn poll_fd(&self, read: bool, write: bool) -> Option<PollFd<'_>> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write || self.holds_output());
        (!flags.is_empty()).then(|| PollFd::from_borrowed_fd(self.as_fd(), flags))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Udp(socket) | Self::Group(socket, _) => socket.as_fd(),
            Self::Tls(session) => session.stream().as_fd(),
        }
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

fn retrying(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

//! An open connection of any kind, with non-blocking reads and writes.
//!
//! All modes use this type, so each of them works over TCP, TLS, Unix sockets and
//! UDP alike.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

use common::Error;
use rustix::event::{PollFd, PollFlags};

use crate::tls::{self, TlsStream};

/// One connection, in non-blocking mode.
#[derive(Debug)]
pub(crate) enum Connection {
    /// A TCP connection with TCP_NODELAY.
    Tcp(TcpStream),
    /// A connected Unix stream socket.
    Unix(UnixStream),
    /// A TLS session over a TCP connection.
    Tls(Box<TlsStream>),
    /// A connected UDP socket; each read and each write is one datagram.
    Udp(UdpSocket),
    /// A UDP socket that sends to a broadcast or multicast address. It is not
    /// connected, since replies come from other addresses.
    UnconnectedUdp(UdpSocket, SocketAddr),
}

impl Connection {
    /// Reads the bytes that are available. `Ok(0)` is the peer's end of file, or
    /// an empty datagram over UDP; `WouldBlock` means that there is nothing to
    /// read yet.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry_interrupted(|| match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Udp(socket) | Self::UnconnectedUdp(socket, _) => socket.recv(buffer),
            Self::Tls(stream) => stream.read(buffer),
        })
    }

    /// Sends the bytes that the socket accepts, or returns `WouldBlock` if none
    /// do.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry_interrupted(|| match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            Self::UnconnectedUdp(socket, to) => socket.send_to(bytes, *to),
            Self::Tls(stream) => stream.write(bytes),
        })
    }

    /// Shuts down the sending side (half-close). Does nothing over UDP.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        let outcome = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Udp(_) | Self::UnconnectedUdp(..) => Ok(()),
            Self::Tls(stream) => stream.close_write(),
        };
        outcome.map_err(|e| match e.kind() {
            // shutdown(2) returns ENOTCONN after a reset by the peer.
            io::ErrorKind::NotConnected => rustix::io::Errno::CONNRESET.into(),
            _ => e,
        })
    }

    /// Sends encrypted bytes that TLS has buffered. Other connections have no
    /// buffer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }

    /// Returns whether [`Self::flush`] has something to send.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.wants_write(),
            _ => false,
        }
    }

    /// Returns whether TLS has decrypted bytes to read, which a poll does not
    /// report.
    pub(crate) fn has_buffered_input(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.has_buffered_input(),
            _ => false,
        }
    }

    /// Continues a connect in progress, including the TLS handshake; returns
    /// whether it is complete. Call it when the socket is writable.
    pub(crate) fn finish_connect(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        match self {
            Self::Tls(stream) => stream.handshake(),
            _ => Ok(true),
        }
    }

    /// Fails with the pending error of the socket, if there is one.
    pub(crate) fn check_error(&self) -> io::Result<()> {
        self.take_error()?.map_or(Ok(()), Err)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Udp(socket) | Self::UnconnectedUdp(socket, _) => socket.take_error(),
            Self::Tls(stream) => stream.tcp().take_error(),
        }
    }

    /// Returns whether each read and write is a datagram.
    pub(crate) fn is_datagram(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::UnconnectedUdp(..))
    }

    /// Returns the descriptor to poll for reading and writing. `None` if there
    /// is nothing to poll for, since a descriptor that has hung up would end
    /// every wait.
    pub(crate) fn poll_fd(&self, wants_read: bool, wants_write: bool) -> Option<PollFd<'_>> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, wants_read);
        flags.set(PollFlags::OUT, wants_write || self.wants_write());
        (!flags.is_empty()).then(|| PollFd::from_borrowed_fd(self.as_fd(), flags))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Udp(socket) | Self::UnconnectedUdp(socket, _) => socket.as_fd(),
            Self::Tls(stream) => stream.tcp().as_fd(),
        }
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// The hint for a reply that is a TLS alert.
pub(crate) const TLS_ALERT_HINT: &str = "the reply is a TLS alert: use --tls";

/// Returns whether bytes that arrive in place of an echo are the alert of a TLS
/// server: type 21, version 3.x, and a length of 2 (RFC 8446, section 5.1).
pub(crate) fn is_tls_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&[21, 3]) && bytes.get(3..5).is_none_or(|length| length == [0, 2])
}

/// Converts the error of a failed call on a connection: a TLS error if it is
/// one, otherwise a network error.
pub(crate) fn explain(error: &io::Error) -> Error {
    tls::error(error).unwrap_or_else(|| Error::network(error))
}

fn retry_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

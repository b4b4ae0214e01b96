//! The layer between the socket and the state machine of a connection: none, or
//! TLS.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::socket_io;
use crate::tls::{Session, TlsConfig};

/// A byte stream over a non-blocking socket.
#[derive(Debug)]
pub(crate) enum Channel {
    /// The bytes of the socket.
    Plain,
    /// A TLS session over the socket.
    Tls(Box<Session>),
}

impl Channel {
    /// Creates the channel of a new connection, with TLS if there is a
    /// configuration for it.
    pub(crate) fn new(tls: Option<&TlsConfig>) -> io::Result<Self> {
        match tls {
            None => Ok(Self::Plain),
            Some(config) => Ok(Self::Tls(Box::new(Session::new(config)?))),
        }
    }

    /// Receives available bytes. Returns 0 at end of file.
    pub(crate) fn recv(&mut self, socket: &impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Plain => socket_io::recv(socket, buffer),
            Self::Tls(session) => session.recv(socket, buffer),
        }
    }

    /// Sends bytes and returns how many of them were accepted.
    pub(crate) fn send(&mut self, socket: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Plain => socket_io::send(socket, bytes),
            Self::Tls(session) => session.send(socket, bytes),
        }
    }

    /// Shuts the sending side down.
    pub(crate) fn shutdown(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        match self {
            Self::Plain => rustix::net::shutdown(socket, Shutdown::Write),
            Self::Tls(session) => session.shutdown(socket),
        }
    }

    /// Sends a close_notify alert before the socket is closed, if this is TLS.
    pub(crate) fn send_close_notify(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        match self {
            Self::Plain => Ok(()),
            Self::Tls(_) => self.shutdown(socket),
        }
    }

    /// Continues the handshake and sends buffered records, as far as the socket
    /// allows.
    pub(crate) fn drive(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        match self {
            Self::Plain => Ok(()),
            Self::Tls(session) => session.drive(socket),
        }
    }

    /// Returns whether the handshake is complete, so that bytes can be sent and
    /// received.
    pub(crate) fn is_established(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Tls(session) => session.is_established(),
        }
    }

    /// Returns whether the channel has buffered records that the socket did not
    /// accept.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(session) => session.wants_write(),
        }
    }

    /// Returns whether the channel has buffered input or an end of file that
    /// [`Channel::recv`] has not returned yet. The poller does not report those.
    pub(crate) fn has_buffered_input(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(session) => session.has_buffered_input(),
        }
    }
}

//! What lies between the socket and the machine: nothing, or TLS.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::conn::Shared;
use crate::event::Reason;
#[cfg(feature = "tls")]
use crate::tls::Session;

/// A way for bytes through a non-blocking socket.
#[derive(Debug)]
pub(crate) enum Channel {
    /// The socket's own bytes.
    Plain,
    /// Encrypted ones.
    #[cfg(feature = "tls")]
    Tls(Box<Session>),
}

#[cfg_attr(
    not(feature = "tls"),
    allow(
        unused_variables,
        clippy::unnecessary_wraps,
        reason = "a plain socket has nothing to add"
    )
)]
impl Channel {
    /// The channel of a new connection.
    pub(crate) fn new(shared: &Shared) -> Result<Self, Reason> {
        #[cfg(feature = "tls")]
        if let Some(settings) = &shared.tls {
            let session = Session::new(settings).map_err(|_| Reason::Error)?;
            return Ok(Self::Tls(Box::new(session)));
        }
        Ok(Self::Plain)
    }

    /// Receives what is there. 0 is the end of file.
    pub(crate) fn recv(&mut self, socket: &impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Plain => recv(socket, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.recv(socket, buffer),
        }
    }

    /// Sends what the socket takes.
    pub(crate) fn send(&mut self, socket: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Plain => send(socket, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.send(socket, bytes),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shutdown(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        match self {
            Self::Plain => rustix::net::shutdown(socket, Shutdown::Write),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.shutdown(socket),
        }
    }

    /// Says goodbye before the socket is closed, where that is a custom.
    pub(crate) fn farewell(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        match self {
            Self::Plain => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(_) => self.shutdown(socket),
        }
    }

    /// Goes on with what the channel itself has to say: a handshake, bytes
    /// that the socket did not take.
    pub(crate) fn proceed(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        match self {
            Self::Plain => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.proceed(socket),
        }
    }

    /// Whether it can carry bytes yet.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.is_open(),
        }
    }

    /// Whether it has bytes that the socket did not take.
    pub(crate) fn wants_room(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.wants_room(),
        }
    }

    /// Whether it holds received bytes, or an end, that nobody has asked for
    /// yet: the socket will not be reported for those.
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.has_input(),
        }
    }
}

/// Receives from the socket itself.
pub(crate) fn recv(socket: &impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((n, _)) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Sends through the socket itself.
pub(crate) fn send(socket: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

//! Connects to Unix sockets.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Error, Kind, Result};
use socket2::{Domain, Socket, Type};

use super::{Dialed, Dialer};
use crate::connection::Connection;
use crate::wait::{ShutdownSignal, Wake};

/// The delay between attempts to connect to a Unix socket with a full backlog.
const BACKLOG_RETRY_DELAY: Duration = Duration::from_millis(10);

impl Dialer {
    /// Connects to the Unix socket; returns `None` after a signal.
    pub(super) fn connect_unix(&self, shutdown: &ShutdownSignal) -> Result<Option<Dialed>> {
        let started = Instant::now();
        let address = self.options.target.unix();
        let address = address.unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()));
        let address = address.map_err(|e| Error::local(&e))?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| Error::local(&e))?;
        socket.set_nonblocking(true).map_err(|e| Error::local(&e))?;
        loop {
            match socket.connect(&address) {
                Ok(()) => break,
                // The backlog is full, and no event reports when it has room.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if started.elapsed() >= self.options.timeout {
                        return Err(Error::new(Kind::Timeout, "connection timed out"));
                    }
                    if shutdown.sleep(BACKLOG_RETRY_DELAY)? == Wake::Shutdown {
                        return Ok(None);
                    }
                }
                // A missing socket file is a local error, unless the socket
                // existed before or the run only tests whether it exists.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.is_socket_missing.set(true);
                    let is_answer = self.options.connect_only || self.has_connected.get();
                    let kind = if is_answer {
                        Kind::Refused
                    } else {
                        Kind::System
                    };
                    return Err(Error::new(kind, "the socket does not exist"));
                }
                Err(e) => return Err(Error::network(&e)),
            }
        }
        self.has_connected.set(true);
        Ok(Some(Dialed {
            connection: Connection::Unix(UnixStream::from(socket)),
            address: self.target_name(),
            connect: started.elapsed(),
            tls: None,
        }))
    }
}

//! TLS on the event loop: rustls between the socket and the state machine.
//!
//! The rules of plain sockets apply: records that the socket does not accept
//! are sent before anything else is read or sent. So a connection buffers at
//! most one chunk, and nothing is read from a peer that does not read.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use common::{Error, Kind, Result};
use net::tls::explain;
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection};

use crate::socket_io;

/// How often one call reads from the socket before other connections are
/// served. A single read may return records without application data.
const MAX_READS: usize = 16;

/// The configuration that all sessions share.
#[derive(Clone, Debug)]
pub(crate) struct TlsConfig(Arc<ServerConfig>);

impl TlsConfig {
    /// Loads a certificate chain and its private key from PEM files.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self> {
        let invalid = |why: &str| Error::input(key.display().to_string(), why);
        let chain = net::tls::certificates(cert)?;
        let pem =
            fs::read(key).map_err(|e| Error::local(&e).with_subject(key.display().to_string()))?;
        let private_key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| invalid("the file contains no PEM private key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(Kind::System, e.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private_key)
            .map_err(|e| invalid(&explain(&e).sentence))?;
        Ok(Self(Arc::new(config)))
    }
}

/// The TLS session of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ServerConnection,
    /// The number of decrypted bytes that have not been returned yet.
    buffered: usize,
    /// Whether the peer's close_notify has been received and not returned yet.
    /// It can arrive in the same read as the last bytes, and no readiness event
    /// follows then.
    close_notify_pending: bool,
    /// Whether the sending side is to be shut down once everything is sent.
    shutdown_requested: bool,
    /// Whether the sending side has been shut down.
    shutdown_done: bool,
}

impl Session {
    /// Creates a session before its handshake.
    pub(crate) fn new(config: &TlsConfig) -> io::Result<Self> {
        let tls = ServerConnection::new(Arc::clone(&config.0)).map_err(io::Error::other)?;
        Ok(Self {
            tls,
            buffered: 0,
            close_notify_pending: false,
            shutdown_requested: false,
            shutdown_done: false,
        })
    }

    /// Returns whether the handshake is complete.
    pub(crate) fn is_established(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Returns whether records wait for the socket to become writable.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Returns whether [`Session::recv`] has something to return without
    /// reading from the socket.
    pub(crate) fn has_buffered_input(&self) -> bool {
        self.buffered > 0 || self.close_notify_pending
    }

    /// Sends buffered records and continues the handshake.
    pub(crate) fn drive(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        self.flush(socket)?;
        for _ in 0..MAX_READS {
            if self.is_established() || self.wants_write() {
                break;
            }
            match self.read_records(socket) {
                Ok(true) => {}
                Ok(false) => return Err(Errno::CONNRESET),
                Err(Errno::AGAIN) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Returns decrypted bytes, or 0 at the end of file, with or without a
    /// close_notify alert.
    pub(crate) fn recv(&mut self, socket: &impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        for _ in 0..MAX_READS {
            match self.tls.reader().read(buffer) {
                Ok(n) => {
                    self.buffered -= n.min(self.buffered);
                    self.close_notify_pending &= n > 0;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // An end of file without close_notify. The bytes before it
                // were complete records.
                Err(_) => return Ok(0),
            }
            self.read_records(socket)?;
            if self.wants_write() {
                break;
            }
        }
        Err(Errno::AGAIN)
    }

    /// Encrypts and sends bytes. Accepts none while earlier records wait.
    pub(crate) fn send(&mut self, socket: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.flush(socket)?;
        if self.wants_write() {
            return Err(Errno::AGAIN);
        }
        let n = self.tls.writer().write(bytes).map_err(|e| errno(&e))?;
        self.flush(socket)?;
        Ok(n)
    }

    /// Sends close_notify and shuts down the sending side of the socket as soon
    /// as all records have been sent.
    pub(crate) fn shutdown(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        if !self.shutdown_requested {
            self.shutdown_requested = true;
            self.tls.send_close_notify();
        }
        self.flush(socket)
    }

    /// Reads from the socket once and decrypts complete records. Returns false
    /// at the end of file.
    fn read_records(&mut self, socket: &impl AsFd) -> Result<bool, Errno> {
        let n = self
            .tls
            .read_tls(&mut SocketStream(socket))
            .map_err(|e| errno(&e))?;
        let Ok(state) = self.tls.process_new_packets() else {
            // Sends the alert that explains the error; whether it arrives does
            // not matter here.
            let _ = self.flush(socket);
            return Err(Errno::PROTO);
        };
        self.buffered = state.plaintext_bytes_to_read();
        self.close_notify_pending = state.peer_has_closed();
        self.flush(socket)?;
        Ok(n > 0)
    }

    fn flush(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut SocketStream(socket)) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(errno(&e)),
            }
        }
        if self.shutdown_requested && !self.shutdown_done {
            self.shutdown_done = true;
            rustix::net::shutdown(socket, Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Adapts a socket to the traits that rustls requires.
struct SocketStream<'a, S>(&'a S);

impl<S: AsFd> Read for SocketStream<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(socket_io::recv(self.0, buffer)?)
    }
}

impl<S: AsFd> Write for SocketStream<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(socket_io::send(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::PROTO)
}

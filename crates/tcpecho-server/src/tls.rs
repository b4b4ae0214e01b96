//! TLS on the same loop: rustls between the socket and the machine.
//!
//! The rules of the plain socket hold: what the socket does not take is waited
//! for before anything else is read or sent, so a connection holds one piece
//! at most, and nothing is taken from a peer that does not read.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use common::tls::explain;
use common::{Error, Kind, Result};
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection};

use crate::channel;

/// Records taken in one turn before others have theirs, since not every
/// record has bytes for the machine.
const ROUNDS: usize = 16;

/// The settings that all sessions share.
pub(crate) type Settings = Arc<ServerConfig>;

/// Reads a certificate chain and its key, both PEM.
pub(crate) fn settings(cert: &Path, key: &Path) -> Result<Settings> {
    let bad = |what: &str| Error::input(key.display().to_string(), what);
    let chain = common::tls::certificates(cert)?;
    let pem =
        fs::read(key).map_err(|e| Error::local(&e).with_subject(key.display().to_string()))?;
    let secret = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| bad("the file holds no PEM private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::System, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|e| bad(&explain(&e).sentence))?;
    Ok(Arc::new(settings))
}

/// One TLS connection.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ServerConnection,
    /// Decrypted bytes that nobody has asked for yet.
    input: usize,
    /// The peer's farewell has come and nobody has been told yet. It may come
    /// in the same read as the last bytes, and no event follows it then.
    farewell: bool,
    /// To be shut down once everything has gone.
    ending: bool,
    /// It has been.
    ended: bool,
}

impl Session {
    /// A session before its handshake.
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: ServerConnection::new(Arc::clone(settings))?,
            input: 0,
            farewell: false,
            ending: false,
            ended: false,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.tls.is_handshaking()
    }

    pub(crate) fn wants_room(&self) -> bool {
        self.tls.wants_write()
    }

    pub(crate) fn has_input(&self) -> bool {
        self.input > 0 || self.farewell
    }

    /// Handshakes as far as it goes, and sends what waits.
    pub(crate) fn proceed(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        self.flush(socket)?;
        for _ in 0..ROUNDS {
            if self.is_open() || self.wants_room() {
                break;
            }
            match self.take_records(socket) {
                Ok(true) => {}
                Ok(false) => return Err(Errno::CONNRESET),
                Err(Errno::AGAIN) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub(crate) fn recv(&mut self, socket: &impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        for _ in 0..ROUNDS {
            match self.tls.reader().read(buffer) {
                Ok(n) => {
                    self.input -= n.min(self.input);
                    self.farewell &= n > 0;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // An end without a farewell. What came before it is whole.
                Err(_) => return Ok(0),
            }
            self.take_records(socket)?;
            if self.wants_room() {
                break;
            }
        }
        Err(Errno::AGAIN)
    }

    pub(crate) fn send(&mut self, socket: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.flush(socket)?;
        if self.wants_room() {
            return Err(Errno::AGAIN);
        }
        let n = self.tls.writer().write(bytes).map_err(|e| errno(&e))?;
        self.flush(socket)?;
        Ok(n)
    }

    pub(crate) fn shutdown(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        if !self.ending {
            self.ending = true;
            self.tls.send_close_notify();
        }
        self.flush(socket)
    }

    /// Reads once and decrypts; false at the end of file.
    fn take_records(&mut self, socket: &impl AsFd) -> Result<bool, Errno> {
        let n = self
            .tls
            .read_tls(&mut Plain(socket))
            .map_err(|e| errno(&e))?;
        let Ok(state) = self.tls.process_new_packets() else {
            // The alert says why; whether it arrives is the peer's affair.
            let _ = self.flush(socket);
            return Err(Errno::PROTO);
        };
        self.input = state.plaintext_bytes_to_read();
        self.farewell = state.peer_has_closed();
        self.flush(socket)?;
        Ok(n > 0)
    }

    fn flush(&mut self, socket: &impl AsFd) -> Result<(), Errno> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Plain(socket)) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(errno(&e)),
            }
        }
        if self.ending && !self.ended {
            self.ended = true;
            rustix::net::shutdown(socket, Shutdown::Write)?;
        }
        Ok(())
    }
}

/// The socket as rustls wants it.
struct Plain<'a, S>(&'a S);

impl<S: AsFd> Read for Plain<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(channel::recv(self.0, buffer)?)
    }
}

impl<S: AsFd> Write for Plain<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(channel::send(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::PROTO)
}

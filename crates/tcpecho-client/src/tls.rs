//! TLS over a non-blocking TCP connection, by rustls.
//!
//! [`TlsStream`] reads and writes like the TCP connection below it, with two
//! additions for an event loop: encrypted bytes may wait to be sent
//! ([`TlsStream::wants_write`]), and decrypted bytes may wait to be read although
//! the socket has no event ([`TlsStream::has_buffered_input`]).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use common::{Error, Kind, Result};
use net::tls::{Explanation, Remedy, Roots, Verifier, cause, explain};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// The number of reads from the socket after which the caller continues even
/// if no record contained bytes for it.
const MAX_READS: usize = 16;

/// The options of `--tls`.
#[derive(Clone, Debug)]
pub(crate) struct TlsOptions {
    /// A PEM file with the CA certificates to trust instead of the system's.
    pub(crate) cacert: Option<PathBuf>,
    /// Whether to accept any certificate.
    pub(crate) insecure: bool,
    /// The name to verify the certificate against, also sent as SNI.
    pub(crate) server_name: String,
}

/// The settings that all TLS connections of a run share.
#[derive(Clone, Debug)]
pub(crate) struct TlsConnector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnector {
    /// Reads the CA certificates and checks the server name.
    pub(crate) fn new(options: &TlsOptions) -> Result<Self> {
        let name = ServerName::try_from(options.server_name.clone())
            .map_err(|_| Error::input(&options.server_name, "not a valid name in a certificate"))?;
        let verifier = if options.insecure {
            Verifier::insecure()
        } else {
            Verifier::new(Roots::load(options.cacert.as_slice(), None)?)?
        };
        let mut config =
            net::tls::client_config(verifier, rustls::DEFAULT_VERSIONS)?.with_no_client_auth();
        // Every connection makes a full handshake, so that their times can be
        // compared.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

/// A TLS connection, in non-blocking mode.
#[derive(Debug)]
pub(crate) struct TlsStream {
    tls: ClientConnection,
    stream: TcpStream,
    /// The number of decrypted bytes that are not read yet.
    buffered: usize,
    /// Whether the peer's close_notify has arrived and the caller has not read
    /// the end of file yet. It may arrive together with the last bytes, so that
    /// no event follows.
    has_close_notify: bool,
}

impl TlsStream {
    /// Starts a session on a non-blocking TCP connection. The handshake is made
    /// by [`TlsStream::handshake`], or by the first reads and writes.
    pub(crate) fn new(connector: &TlsConnector, stream: TcpStream) -> io::Result<Self> {
        let tls = ClientConnection::new(Arc::clone(&connector.config), connector.name.clone())
            .map_err(io::Error::other)?;
        Ok(Self {
            tls,
            stream,
            buffered: 0,
            has_close_notify: false,
        })
    }

    /// Returns the TCP connection below this session.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    /// Continues the handshake without waiting; returns whether it is complete.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        self.flush()?;
        for _ in 0..MAX_READS {
            if !self.tls.is_handshaking() {
                return Ok(true);
            }
            match self.read_records() {
                Ok(true) => self.flush()?,
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(!self.tls.is_handshaking())
    }

    /// Returns whether encrypted bytes wait to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Returns whether decrypted bytes, or their end of file, wait to be read.
    pub(crate) fn has_buffered_input(&self) -> bool {
        self.buffered > 0 || self.has_close_notify
    }

    /// Sends as many encrypted bytes as the socket accepts.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads once from the socket and decrypts; returns `false` at its end.
    fn read_records(&mut self) -> io::Result<bool> {
        let n = self.tls.read_tls(&mut self.stream)?;
        match self.tls.process_new_packets() {
            Ok(state) => {
                self.buffered = state.plaintext_bytes_to_read();
                self.has_close_notify = state.peer_has_closed();
                Ok(n > 0)
            }
            Err(e) => {
                // Sends the alert that explains the error to the peer.
                let _ = self.flush();
                Err(io::Error::new(io::ErrorKind::InvalidData, e))
            }
        }
    }

    /// Reads decrypted bytes. An end of file without close_notify is an error,
    /// since an attacker could have caused it. Returns `WouldBlock` also after
    /// [`MAX_READS`] reads without bytes for the caller, so that it can check
    /// its deadline and the signals.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MAX_READS {
            match self.tls.reader().read(buffer) {
                Ok(n) => {
                    self.buffered = self.buffered.saturating_sub(n);
                    self.has_close_notify &= n > 0;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    let why = "the peer closed the TLS connection without close_notify";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                Err(e) => return Err(e),
            }
            self.buffered = 0;
            self.read_records()?;
            self.flush()?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Encrypts and sends as many bytes as fit.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let n = self.tls.writer().write(bytes)?;
        self.flush()?;
        if n == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    }

    /// Sends close_notify, after which nothing more can be sent.
    pub(crate) fn close_write(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush()
    }
}

/// Returns the TLS error inside an I/O error, if there is one, with a hint.
pub(crate) fn error(error: &io::Error) -> Option<Error> {
    let Explanation { sentence, remedy } = explain(cause(error)?);
    let error = Error::new(Kind::Tls, sentence);
    Some(match remedy {
        None => error,
        Some(remedy) => error.hint(match remedy {
            Remedy::TrustAuthority => {
                "trust its CA with --cacert FILE, or any certificate with --insecure"
            }
            Remedy::ExpectName => "expect another name with --server-name",
            Remedy::CheckClock => "check this machine's clock",
            Remedy::ClientCertificate => "client certificates are not supported",
            Remedy::NoTls => "connect without --tls",
        }),
    })
}

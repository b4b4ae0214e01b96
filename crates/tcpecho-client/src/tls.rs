//! TLS over a non-blocking TCP stream, by rustls.
//!
//! [`Session`] reads and writes like the stream beneath, with two additions an
//! event loop must know: encrypted bytes may wait to be sent
//! ([`Session::wants_write`]), and decrypted ones may wait to be read although
//! the socket is silent ([`Session::has_buffered`]).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use common::tls::{Explanation, Remedy, cause, explain};
use common::{Error, Kind, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use no_verification::NoVerification;

mod no_verification;

/// Reads from the socket before the caller has its turn: not every record has
/// bytes for it.
const ROUNDS: usize = 16;

/// Whom to believe, and who the peer is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The authorities in this PEM file instead of the system's.
    pub(crate) cacert: Option<PathBuf>,
    /// Any certificate will do.
    pub(crate) insecure: bool,
    /// The name the certificate must be for.
    pub(crate) server_name: String,
}

/// The settings for all connections of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Settings {
    /// Reads the authorities and checks the name.
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let name = ServerName::try_from(plan.server_name.clone())
            .map_err(|_| Error::input(&plan.server_name, "no name a certificate could be for"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider as Arc<CryptoProvider>)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(Kind::System, e.to_string()))?;
        let mut config = if plan.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerification(algorithms)))
                .with_no_client_auth()
        } else {
            builder
                .with_root_certificates(roots(plan)?)
                .with_no_client_auth()
        };
        // Echoes are small, and every connection is a fresh one.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

fn roots(plan: &Plan) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &plan.cacert else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(common::tls::no_authorities().hint("--cacert FILE names some"));
        }
        return Ok(roots);
    };
    for certificate in common::tls::certificates(path)? {
        roots.add(certificate).map_err(|e| {
            Error::new(Kind::Input, explain(&e).sentence).with_subject(path.display().to_string())
        })?;
    }
    Ok(roots)
}

/// One TLS connection.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ClientConnection,
    stream: TcpStream,
    /// Decrypted bytes that have not been read.
    buffered: usize,
    /// The peer's farewell has come and has not been told. It may come in the
    /// same read as the last bytes, and no event follows it then.
    farewell: bool,
}

impl Session {
    /// Wraps a non-blocking stream; the handshake comes with
    /// [`Session::advance`], or with the first reads and writes.
    pub(crate) fn new(settings: &Settings, stream: TcpStream) -> io::Result<Self> {
        let tls = ClientConnection::new(Arc::clone(&settings.config), settings.name.clone())
            .map_err(io::Error::other)?;
        Ok(Self {
            tls,
            stream,
            buffered: 0,
            farewell: false,
        })
    }

    /// The stream beneath.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Does what can be done of the handshake now; whether it is complete.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        self.flush()?;
        for _ in 0..ROUNDS {
            if !self.tls.is_handshaking() {
                return Ok(true);
            }
            match self.take_in() {
                Ok(true) => self.flush()?,
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(!self.tls.is_handshaking())
    }

    /// Whether encrypted bytes wait to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether decrypted bytes, or their end, wait to be read.
    pub(crate) fn has_buffered(&self) -> bool {
        self.buffered > 0 || self.farewell
    }

    /// Sends encrypted bytes as far as the socket takes them.
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

    /// Reads from the socket once and decrypts; `false` at its end.
    fn take_in(&mut self) -> io::Result<bool> {
        let n = self.tls.read_tls(&mut self.stream)?;
        match self.tls.process_new_packets() {
            Ok(state) => {
                self.buffered = state.plaintext_bytes_to_read();
                self.farewell = state.peer_has_closed();
                Ok(n > 0)
            }
            Err(e) => {
                // The alert that says why.
                let _ = self.flush();
                Err(io::Error::new(io::ErrorKind::InvalidData, e))
            }
        }
    }

    /// Decrypted bytes; an end without TLS's own end is an error, since
    /// anybody on the way could have made it. `WouldBlock` also after some
    /// records without a byte for the caller, who looks at signals and the
    /// clock before the next.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..ROUNDS {
            match self.tls.reader().read(buffer) {
                Ok(n) => {
                    self.buffered = self.buffered.saturating_sub(n);
                    self.farewell &= n > 0;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    let why = "the peer cut the TLS connection without closing it";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                Err(e) => return Err(e),
            }
            self.buffered = 0;
            self.take_in()?;
            self.flush()?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Encrypts and sends as much as fits.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let n = self.tls.writer().write(bytes)?;
        self.flush()?;
        if n == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn close_write(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush()
    }
}

/// The error of TLS inside an I/O error, if there is one.
pub(crate) fn error(error: &io::Error) -> Option<Error> {
    let Explanation { sentence, remedy } = explain(cause(error)?);
    let error = Error::new(Kind::Tls, sentence);
    Some(match remedy {
        None => error,
        Some(remedy) => error.hint(match remedy {
            Remedy::TrustAuthority => {
                "--cacert FILE trusts another authority, --insecure trusts all"
            }
            Remedy::ExpectName => "--server-name is the name to expect",
            Remedy::CheckClock => "check this machine's clock",
            Remedy::ClientCertificate => "this client has none to present",
            Remedy::NoTls => "connect without --tls",
        }),
    })
}

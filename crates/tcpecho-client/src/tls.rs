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

use common::{Error, Kind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeType,
    InvalidMessage, RootCertStore, SignatureScheme,
};

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
                .with_custom_certificate_verifier(Arc::new(Anybody(algorithms)))
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
            return Err(
                Error::new(Kind::System, "this system has no certificate authorities")
                    .hint("name some with --cacert"),
            );
        }
        return Ok(roots);
    };
    let bad = |why: String| Error::new(Kind::System, why).about(path.display().to_string());
    let file = std::fs::File::open(path)
        .map_err(|e| Error::local(&e).about(path.display().to_string()))?;
    for certificate in CertificateDer::pem_reader_iter(file) {
        certificate
            .map_err(|e| bad(format!("no certificates in PEM form: {e}")))
            .and_then(|c| roots.add(c).map_err(|e| bad(e.to_string())))?;
    }
    if roots.is_empty() {
        return Err(bad("no certificates in PEM form".to_owned()));
    }
    Ok(roots)
}

/// `--insecure`: believes every certificate, but not every signature.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
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
        while self.tls.is_handshaking() {
            match self.take_in() {
                Ok(true) => self.flush()?,
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
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
    /// anybody on the way could have made it.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
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

/// What rustls says, if the error is one of its own.
pub(crate) fn error(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match inner {
        rustls::Error::InappropriateHandshakeMessage {
            got_type: HandshakeType::ClientHello,
            ..
        } => "the peer does not speak TLS: it echoed the first message of the handshake; \
              connect without --tls"
            .to_owned(),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the peer does not speak TLS; connect without --tls".to_owned()
        }
        // What rustls has no variant of its own for, by the name it has beneath.
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is a CA's, which no server may use; make one with \
             basicConstraints=CA:FALSE, or use --insecure"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(reason) => certificate(reason),
        rustls::Error::AlertReceived(alert) => format!("the peer refused: TLS alert {alert:?}"),
        other => other.to_string(),
    })
}

/// What is wrong with a certificate, and what can be done about it.
fn certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "the certificate's issuer is not known; name a file \
             with its CA by --cacert, or use --insecure"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired; the peer needs a new one, or use --insecure".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet; is the clock right?".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            // They come as `DnsName("localhost")`.
            let names = presented.iter().map(|name| {
                let quoted = name.split('"').nth(1);
                quoted.unwrap_or(name)
            });
            format!(
                "the certificate is not valid for {}, only for {}; --server-name is the name to \
                 expect",
                expected.to_str(),
                names.collect::<Vec<_>>().join(", ")
            )
        }
        other => format!("the certificate is not accepted: {other}"),
    }
}

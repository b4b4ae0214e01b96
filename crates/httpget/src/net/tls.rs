//! TLS with rustls and ring: trusted certificate authorities, the client certificate,
//! and the properties of a session. The files are read and the certificate authorities
//! loaded for the first https connection, so that other transfers are not slowed down.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ::net::tls::{self, Remedy, Roots, Verifier, x509};
use common::{Error, Kind, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ClientConnection, SupportedProtocolVersion, version};

use super::exchange;
use super::stream::{Stream, TlsStream};
use super::tls_info::TlsInfo;
use crate::files;
use crate::policy::pin::Pin;

/// The options of TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    /// PEM files of certificate authorities to trust instead of the system's.
    pub(crate) ca_files: Vec<PathBuf>,
    /// A directory of such files.
    pub(crate) ca_dir: Option<PathBuf>,
    /// Whether any certificate is accepted.
    pub(crate) insecure: bool,
    /// The client certificate, and its key if that is in another file.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Whether TLS 1.2 is disabled.
    pub(crate) no_tls12: bool,
    /// Whether TLS 1.3 is disabled.
    pub(crate) no_tls13: bool,
    /// The accepted public keys of the server; empty to accept any.
    pub(crate) pins: Vec<Pin>,
}

/// Performs TLS handshakes with the options of the user.
#[derive(Debug)]
pub(crate) struct TlsConnector {
    options: TlsOptions,
    config: OnceLock<Result<Arc<ClientConfig>>>,
}

impl TlsConnector {
    pub(crate) fn new(options: TlsOptions) -> Self {
        Self {
            options,
            config: OnceLock::new(),
        }
    }

    /// Reads the files of certificates and keys, once. Their errors are reported
    /// before any error of the network.
    pub(crate) fn prepare(&self) -> Result<Arc<ClientConfig>> {
        let config = self.config.get_or_init(|| configure(&self.options));
        config.clone()
    }

    /// Performs the handshake with `host` over `inner`.
    pub(crate) fn connect(
        &self,
        host: &str,
        inner: Box<dyn Stream>,
    ) -> Result<(TlsStream, TlsInfo)> {
        let config = self.prepare()?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::new(Kind::Tls, "the host name is not valid in a certificate"))?;
        let session = ClientConnection::new(config, name).map_err(|e| tls_error(&e))?;
        let stream = TlsStream::handshake(session, inner).map_err(|e| {
            match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(tls) => tls_error(tls),
                None => match Error::network(&e) {
                    error if error.kind() == Kind::Timeout => error,
                    error => Error::new(
                        Kind::Tls,
                        format!("the TLS handshake failed: {}", error.message()),
                    )
                    .hint("use http:// if the server does not use TLS"),
                },
            }
        })?;
        let info = TlsInfo::new(stream.session(), !self.options.insecure);
        let presented = stream.session().peer_certificates().unwrap_or_default();
        if !self.options.pins.is_empty() && !is_pinned(presented, &self.options.pins) {
            return Err(Error::new(
                Kind::Tls,
                "the server's public key does not match --pinnedpubkey",
            ));
        }
        Ok((stream, info))
    }
}

/// Whether the server's own certificate, the first one, has a pinned key. If it
/// cannot be parsed, the answer is no, even if a pinned certificate follows.
fn is_pinned(presented: &[CertificateDer<'_>], pins: &[Pin]) -> bool {
    presented
        .first()
        .and_then(|leaf| x509::parse(leaf))
        .is_some_and(|leaf| pins.iter().any(|pin| pin.matches(&leaf.public_key)))
}

/// Converts an error of rustls, and adds a hint if there is a remedy.
pub(crate) fn tls_error(error: &rustls::Error) -> Error {
    let explained = tls::explain(error);
    let failed = Error::new(Kind::Tls, explained.sentence);
    let hint = match explained.remedy {
        Some(Remedy::TrustAuthority) => "use --cacert FILE to trust the issuer",
        Some(Remedy::CheckClock) => "check this machine's clock",
        Some(Remedy::ClientCertificate) => "present one with --cert FILE",
        Some(Remedy::NoTls) => "use http:// for this port",
        Some(Remedy::ExpectName) | None => match error {
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
                "the server may require an older cipher, or a curve such as P-521, that is not supported"
            }
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
                "the server may support only versions older than TLS 1.2"
            }
            _ => return failed,
        },
    };
    failed.hint(hint)
}

fn configure(options: &TlsOptions) -> Result<Arc<ClientConfig>> {
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    if !options.no_tls13 {
        versions.push(&version::TLS13);
    }
    if !options.no_tls12 {
        versions.push(&version::TLS12);
    }
    if versions.is_empty() {
        return Err(Error::usage("no TLS version is enabled"));
    }
    let verifier = if options.insecure {
        Verifier::insecure()
    } else {
        Verifier::new(Roots::load(&options.ca_files, options.ca_dir.as_deref())?)?
    };
    let verifier = verifier.with_observer(exchange::record_chain);
    let builder = tls::client_config(verifier, &versions)?;
    let mut config = match &options.certificate {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let (chain, key) = read_identity(path, options.key.as_deref())?;
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                let message = match e {
                    rustls::Error::InconsistentKeys(_) => {
                        "the private key does not match the certificate".to_owned()
                    }
                    other => format!("the certificate cannot be used: {other}"),
                };
                Error::new(Kind::System, message).with_subject(path.display().to_string())
            })?
        }
    };
    // Without ALPN, some servers would choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_identity(certificate: &Path, key: Option<&Path>) -> Result<Identity> {
    let chain = tls::certificates(certificate)?;
    let file = key.unwrap_or(certificate);
    let pem = files::read(file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let message = "the file contains no unencrypted private key in PEM format";
        let error = Error::new(Kind::System, message).with_subject(file.display().to_string());
        match key {
            Some(_) => error,
            None => error.hint("use --key FILE if the key is in another file"),
        }
    })?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::pin;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use testkit::tls::{Authority, Leaf};

    #[test]
    fn only_the_first_certificate_is_pinned() {
        let authority = Authority::new();
        let (file, _) = authority.files(Leaf::Good);
        let genuine = CertificateDer::from_pem_file(file).unwrap();
        let key = x509::parse(&genuine).unwrap().public_key;
        let digest = ::ring::digest::digest(&::ring::digest::SHA256, &key);
        let pins = pin::parse(&format!("sha256//{}", STANDARD.encode(digest))).unwrap();
        let unreadable = CertificateDer::from(vec![0x30, 0]);
        assert!(is_pinned(&[genuine.clone(), unreadable.clone()], &pins));
        assert!(!is_pinned(&[unreadable, genuine], &pins));
        assert!(!is_pinned(&[], &pins));
    }
}

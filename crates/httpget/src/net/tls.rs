//! TLS with rustls and ring: trusted authorities, the client certificate, and the
//! properties of a session. The files are read and the authorities loaded for
//! the first https connection, so that other transfers are not slowed down.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use common::tls::{self, Remedy};
use common::{Error, Kind, Result};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion, version,
};

use super::stream::{Stream, TlsStream};
use super::verify::Verifier;
use super::x509::{self, Certificate};
use crate::files;
use crate::policy::pin::Pin;

/// The options of TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    /// PEM files of authorities to trust instead of the system's.
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

/// The properties of a TLS session, or of a failed handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsInfo {
    /// The version, such as `TLSv1.3`; `None` if the handshake failed.
    pub(crate) version: Option<&'static str>,
    /// The cipher suite by its IANA name, such as `TLS_AES_256_GCM_SHA384`; `None`
    /// if the handshake failed.
    pub(crate) cipher: Option<String>,
    /// The certificates that could be parsed, starting with the server's own.
    pub(crate) chain: Vec<Certificate>,
    /// Whether the certificate was verified.
    pub(crate) verified: bool,
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
                    error => Error::new(Kind::Tls, format!("TLS handshake: {}", error.message()))
                        .hint("does this port speak TLS?"),
                },
            }
        })?;
        let info = tls_info(stream.session(), !self.options.insecure);
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

fn tls_info(session: &ClientConnection, verified: bool) -> TlsInfo {
    let chain = session.peer_certificates().unwrap_or_default();
    TlsInfo {
        version: Some(match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        }),
        cipher: session
            .negotiated_cipher_suite()
            // rustls names the suites of TLS 1.3 with another prefix than IANA.
            .map(|suite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")),
        chain: chain.iter().map_while(|der| x509::parse(der)).collect(),
        verified,
    }
}

/// Converts an error of rustls, and adds a hint if there is a remedy.
pub(crate) fn tls_error(error: &rustls::Error) -> Error {
    let explained = tls::explain(error);
    let failed = Error::new(Kind::Tls, explained.sentence);
    let hint = match explained.remedy {
        Some(Remedy::TrustAuthority) => "use --cacert FILE to trust it",
        Some(Remedy::CheckClock) => "check this machine's clock",
        Some(Remedy::ClientCertificate) => "present one with --cert FILE",
        Some(Remedy::NoTls) => "does this port speak http?",
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
    let provider = Arc::new(ring::default_provider());
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    if !options.no_tls13 {
        versions.push(&version::TLS13);
    }
    if !options.no_tls12 {
        versions.push(&version::TLS12);
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|e| Error::usage(format!("no TLS version is enabled: {e}")))?;
    let verifier = if options.insecure {
        Verifier::insecure(&provider)
    } else {
        let (authorities, explicit) = trusted_roots(options)?;
        Verifier::new(&provider, authorities, explicit).map_err(|e| Error::new(Kind::System, e))?
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &options.certificate {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let (chain, key) = read_identity(path, options.key.as_deref())?;
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                Error::new(
                    Kind::System,
                    format!("the certificate and the key do not match: {e}"),
                )
                .with_subject(path.display().to_string())
            })?
        }
    };
    // Without ALPN, some servers would choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the trusted authorities, and the certificates of `--cacert`.
fn trusted_roots(options: &TlsOptions) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let mut store = RootCertStore::empty();
    let mut explicit = Vec::new();
    let mut files = options.ca_files.clone();
    if let Some(dir) = &options.ca_dir {
        let entries = std::fs::read_dir(dir).map_err(|e| file_error(&e, dir))?;
        for entry in entries {
            let path = entry.map_err(|e| file_error(&e, dir))?.path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    for file in &files {
        let is_explicit = options.ca_files.contains(file);
        let certificates = match read_certificates(file) {
            Ok(certificates) => certificates,
            // A directory may also contain other files.
            Err(error) if error.kind() == Kind::Input && !is_explicit => continue,
            Err(error) => return Err(error),
        };
        if is_explicit {
            explicit.extend(certificates.iter().cloned());
        }
        for certificate in certificates {
            // A named file must be usable; other files may contain certificates
            // that are not.
            if let Err(e) = store.add(certificate)
                && is_explicit
            {
                return Err(
                    Error::new(Kind::System, format!("unusable certificate: {e}"))
                        .with_subject(file.display().to_string()),
                );
            }
        }
    }
    if options.ca_files.is_empty() && options.ca_dir.is_none() {
        let native = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(native.certs);
        if store.is_empty() {
            let why = native.errors.first().map(ToString::to_string);
            return Err(Error::new(
                Kind::System,
                format!(
                    "the system has no trusted certificate authorities{}",
                    why.map(|why| format!(" ({why})")).unwrap_or_default()
                ),
            )
            .hint("install ca-certificates, or use --cacert FILE"));
        }
    }
    Ok((store, explicit))
}

fn file_error(error: &std::io::Error, path: &Path) -> Error {
    Error::local(error).with_subject(path.display().to_string())
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    files::check_size(file)?;
    tls::certificates(file)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_identity(certificate: &Path, key: Option<&Path>) -> Result<Identity> {
    let chain = read_certificates(certificate)?;
    let file = key.unwrap_or(certificate);
    let pem = files::read(file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        Error::new(
            Kind::System,
            "the file contains no unencrypted private key in PEM format",
        )
        .with_subject(file.display().to_string())
        .hint("use --key FILE if the key is in another file")
    })?;
    Ok((chain, key))
}

impl fmt::Display for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.unwrap_or("TLS");
        write!(
            f,
            "{version} {}",
            self.cipher.as_deref().unwrap_or("failed")
        )
    }
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

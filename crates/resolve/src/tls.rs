//! TLS for DNS over TLS and HTTPS: rustls with ring. Certificates are verified
//! against the system's certificate authorities or those of `--cacert`.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::Result;
use net::tls::{Remedy, Verifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// The reason why this build cannot use TLS; `None`, because it can.
pub(crate) const MISSING: Option<&str> = None;

/// The certificates that connections trust.
pub(crate) use net::tls::Roots as Trust;

/// The configuration that connections share.
pub(crate) type Config = ClientConfig;

/// The TLS state of one connection, without its socket.
pub(crate) type Session = ClientConnection;

/// Reads the certificates of a PEM file, or those of the system.
pub(crate) fn trust(file: Option<&Path>) -> Result<Trust> {
    let files: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
    Trust::load(&files, None)
}

/// Creates the configuration for DNS over TLS.
pub(crate) fn for_tls(trust: &Trust) -> Result<Arc<Config>> {
    let verifier = Verifier::new(trust.clone())?;
    let mut config =
        net::tls::client_config(verifier, rustls::DEFAULT_VERSIONS)?.with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok(Arc::new(config))
}

/// Creates the state of a connection to the server `name`.
pub(crate) fn session(config: &Arc<Config>, name: &str) -> io::Result<Session> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)
}

/// Combines a session with its socket into a stream for blocking I/O.
pub(crate) fn blocking<S: Read + Write>(session: Session, socket: S) -> StreamOwned<Session, S> {
    StreamOwned::new(session, socket)
}

/// Returns whether a certificate can be verified for `name`.
pub(crate) fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Creates the configuration of the HTTP client.
pub(crate) fn for_https(trust: &Trust) -> TlsConfig {
    let roots = trust
        .authorities()
        .iter()
        .map(|c| Certificate::from_der(c.as_ref()).to_owned());
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(net::tls::provider())
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .build()
}

/// Describes the TLS error inside an I/O error, if there is one.
pub(crate) fn cause(error: &io::Error) -> Option<String> {
    net::tls::cause(error).map(sentence)
}

/// Describes a TLS error for users, with a hint.
pub(crate) fn sentence(error: &rustls::Error) -> String {
    let explained = net::tls::explain(error);
    let hint = match explained.remedy {
        Some(Remedy::TrustAuthority) => "; use --cacert FILE to trust another authority",
        Some(Remedy::ExpectName) => "; use @tls://IP#NAME to expect another name",
        Some(Remedy::CheckClock) => "; check this machine's clock",
        Some(Remedy::ClientCertificate | Remedy::NoTls) | None => "",
    };
    explained.sentence + hint
}

//! The properties of a TLS session that are reported: version, cipher suite and
//! certificates.

use std::fmt;

use ::net::tls::x509::{self, Certificate};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, ProtocolVersion};

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

impl TlsInfo {
    /// Returns the properties of an established session.
    pub(super) fn new(session: &ClientConnection, verified: bool) -> Self {
        let chain = session.peer_certificates().unwrap_or_default();
        Self {
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

    /// Returns the properties of a handshake that has not succeeded yet: only the
    /// certificates that the server presented.
    pub(super) fn of_chain(chain: &[&CertificateDer<'_>]) -> Self {
        Self {
            chain: chain.iter().map_while(|der| x509::parse(der)).collect(),
            ..Self::default()
        }
    }
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

//! Verification of server certificates.
//!
//! In addition to what rustls accepts, a certificate that equals one of `--cacert`
//! byte for byte is trusted if its dates and its name are valid: a self-signed one,
//! or one of an unknown authority. With `-k` the certificate is not checked, but
//! the peer must still prove that it holds the key.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::exchange;
use super::tls::TlsInfo;
use super::x509;
use crate::http::date::Seconds;

/// A verifier of server certificates.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// The trusted certificates; `None` with `-k`.
    trust: Option<TrustStore>,
}

/// Trusted authorities and single certificates.
#[derive(Debug)]
struct TrustStore {
    authorities: Arc<WebPkiServerVerifier>,
    /// The certificates of `--cacert`, trusted as they are.
    explicit: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Returns a verifier that trusts these authorities and certificates.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        authorities: RootCertStore,
        explicit: Vec<CertificateDer<'static>>,
    ) -> Result<Self, String> {
        let authorities = WebPkiServerVerifier::builder_with_provider(
            Arc::new(authorities),
            Arc::clone(provider),
        );
        Ok(Self {
            provider: Arc::clone(provider),
            trust: Some(TrustStore {
                authorities: authorities.build().map_err(|e| e.to_string())?,
                explicit,
            }),
        })
    }

    /// Returns a verifier for `-k`.
    pub(super) fn insecure(provider: &Arc<CryptoProvider>) -> Self {
        Self {
            provider: Arc::clone(provider),
            trust: None,
        }
    }

    /// Checks that `signature` was made with the key of `certificate`, by one of the
    /// first `max_algorithms` algorithms of its scheme.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        max_algorithms: usize,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = x509::public_key(certificate).ok_or_else(|| unusable_key("cannot be parsed"))?;
        if let Some(bits) = key.rsa_bits()
            && bits < RSA_BITS_MIN
        {
            return Err(unusable_key(&format!(
                "is RSA with {bits} bits; at least {RSA_BITS_MIN} are required"
            )));
        }
        let mapping = self.provider.signature_verification_algorithms.mapping;
        let algorithms = mapping
            .iter()
            .find(|(scheme, _)| *scheme == signature.scheme)
            .map_or(&[][..], |(_, algorithms)| *algorithms);
        let matches_key = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            algorithm.public_key_alg_id().as_ref() == key.algorithm
        };
        let mut matching = algorithms
            .iter()
            .take(max_algorithms)
            .filter(matches_key)
            .peekable();
        if matching.peek().is_none() {
            return Err(unusable_key(
                "is of an unsupported kind, such as the curve P-521",
            ));
        }
        let has_strong_validator = matching.any(|algorithm| {
            algorithm
                .verify_signature(key.bits, message, signature.signature())
                .is_ok()
        });
        if has_strong_validator {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(rustls::Error::General(
                "the server cannot prove that it holds the key of its certificate".to_owned(),
            ))
        }
    }
}

/// The minimum length in bits of an RSA key that ring accepts.
const RSA_BITS_MIN: usize = 2048;

fn unusable_key(why: &str) -> rustls::Error {
    rustls::Error::General(format!("the server's key cannot be verified: it {why}"))
}

impl TrustStore {
    /// Checks a certificate of `--cacert`; `None` if it is not one of them.
    fn check_explicit(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Result<(), rustls::Error>> {
        self.explicit
            .iter()
            .any(|explicit| explicit == certificate)
            .then(|| check_dates(certificate, now).and_then(|()| check_name(certificate, name)))
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let now = Seconds::try_from(now.as_secs()).unwrap_or(Seconds::MAX);
    match x509::parse(certificate) {
        None => Err(CertificateError::BadEncoding.into()),
        Some(info) if now < info.not_before => Err(CertificateError::NotValidYet.into()),
        Some(info) if now > info.not_after => Err(CertificateError::Expired.into()),
        Some(_) => Ok(()),
    }
}

fn check_name(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // A certificate that is refused is reported as well.
        let chain = std::iter::once(certificate).chain(intermediates);
        let info = TlsInfo {
            chain: chain.map_while(|der| x509::parse(der)).collect(),
            ..TlsInfo::default()
        };
        exchange::with_current(|exchange| exchange.presented_chain = Some(Arc::new(info)));
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let outcome =
            trust
                .authorities
                .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match outcome {
            Ok(verified) => Ok(verified),
            Err(error) => match trust.check_explicit(certificate, name, now) {
                Some(outcome) => outcome.map(|()| ServerCertVerified::assertion()),
                None => Err(error),
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signature, usize::MAX)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // In TLS 1.3 a scheme includes the curve.
        self.check_signature(message, certificate, signature, 1)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let mut schemes = algorithms.supported_schemes();
        if self.trust.is_none() {
            // Offered to get a useful error: a server with such a key would
            // otherwise abort the handshake.
            schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
        }
        schemes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject;
    use std::time::Duration;
    use testkit::tls::{Authority, Leaf};

    #[test]
    fn a_certificate_of_cacert_is_trusted_as_it_is() {
        let authority = Authority::new();
        let provider = Arc::new(ring::default_provider());
        let read = |leaf| CertificateDer::from_pem_file(authority.files(leaf).0).unwrap();
        let check = |explicit: &CertificateDer<'static>, shown: &CertificateDer<'_>, name: &str| {
            let mut roots = RootCertStore::empty();
            roots.add(explicit.clone()).unwrap();
            let verifier = Verifier::new(&provider, roots, vec![explicit.clone()]).unwrap();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(2_000_000_000));
            verifier
                .verify_server_cert(shown, &[], &name, &[], now)
                .is_ok()
        };
        for leaf in [Leaf::SelfSigned, Leaf::Authority, Leaf::Good] {
            let explicit = read(leaf);
            assert!(check(&explicit, &explicit, "localhost"), "{leaf:?}");
            assert!(check(&explicit, &explicit, "127.0.0.1"), "{leaf:?}");
            assert!(!check(&explicit, &explicit, "other.test"), "{leaf:?}");
            // Another certificate with the same names is not trusted.
            assert!(!check(&explicit, &read(leaf), "localhost"), "{leaf:?}");
        }
        for leaf in [Leaf::Expired, Leaf::NotYetValid, Leaf::WrongName] {
            let explicit = read(leaf);
            assert!(!check(&explicit, &explicit, "localhost"), "{leaf:?}");
        }
    }
}

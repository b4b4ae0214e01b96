//! Verification of server certificates.
//!
//! In addition to what rustls accepts, a certificate that equals one of `--cacert`
//! byte for byte is trusted if its dates and its name are valid: a self-signed one,
//! one of an unknown authority, or that of an authority. Without roots the certificate
//! is not checked, but the peer must still prove that it holds the key.
//!
//! rustls checks this proof with the key of an X.509 version 3 certificate only, and
//! devices that made their own certificate often present version 1. So the key is
//! taken from the certificate by [`x509`].

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, PeerMisbehaved, RootCertStore, SignatureScheme,
};

use common::Result;

use super::roots::{Roots, no_authorities};
use super::x509::{self, Seconds};

/// A function that is called with the certificates that a server presents, its own
/// first, before they are verified.
pub type ChainObserver = fn(&[&CertificateDer<'_>]);

/// A verifier of server certificates.
#[derive(Debug)]
pub struct Verifier {
    provider: Arc<CryptoProvider>,
    /// The trusted certificates; `None` to accept any.
    trust: Option<TrustStore>,
    observer: Option<ChainObserver>,
}

/// Trusted authorities and single certificates.
#[derive(Debug)]
struct TrustStore {
    authorities: Arc<WebPkiServerVerifier>,
    /// The certificates that the user has named, trusted as they are.
    explicit: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Returns a verifier that trusts these certificates. Fails if none of them can be
    /// used.
    pub fn new(roots: Roots) -> Result<Self> {
        let provider = super::provider();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.authorities);
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        Ok(Self {
            provider,
            trust: Some(TrustStore {
                // Fails only if the store is empty.
                authorities: builder.build().map_err(|_| no_authorities(None))?,
                explicit: roots.explicit,
            }),
            observer: None,
        })
    }

    /// Returns a verifier that accepts every certificate, but not every signature.
    pub fn insecure() -> Self {
        Self {
            provider: super::provider(),
            trust: None,
            observer: None,
        }
    }

    /// Calls a function with the certificates of each server.
    #[must_use]
    pub fn with_observer(mut self, observer: ChainObserver) -> Self {
        self.observer = Some(observer);
        self
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
        let is_valid = matching.any(|algorithm| {
            algorithm
                .verify_signature(key.bits, message, signature.signature())
                .is_ok()
        });
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(rustls::Error::General(
                "the server's proof that it holds its key is wrong".to_owned(),
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
        if let Some(observe) = self.observer {
            let chain: Vec<_> = std::iter::once(certificate).chain(intermediates).collect();
            observe(&chain);
        }
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
        if !may_sign_tls13(signature.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
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

/// Whether a handshake of TLS 1.3 may be signed like this: not with PKCS #1 padding or
/// SHA-1, which are only for certificates (RFC 8446, section 4.2.3).
fn may_sign_tls13(scheme: SignatureScheme) -> bool {
    use SignatureScheme as S;
    !matches!(
        scheme,
        S::RSA_PKCS1_SHA1
            | S::RSA_PKCS1_SHA256
            | S::RSA_PKCS1_SHA384
            | S::RSA_PKCS1_SHA512
            | S::ECDSA_SHA1_Legacy
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use std::time::Duration;
    use testkit::tls::{Authority, Leaf};

    #[test]
    fn a_handshake_of_tls_1_3_is_not_signed_with_pkcs1() {
        use SignatureScheme as S;
        for (scheme, expected) in [
            (S::RSA_PKCS1_SHA1, false),
            (S::RSA_PKCS1_SHA256, false),
            (S::RSA_PKCS1_SHA384, false),
            (S::RSA_PKCS1_SHA512, false),
            (S::ECDSA_SHA1_Legacy, false),
            (S::RSA_PSS_SHA256, true),
            (S::ECDSA_NISTP256_SHA256, true),
            (S::ED25519, true),
        ] {
            assert_eq!(may_sign_tls13(scheme), expected, "{scheme:?}");
        }
    }

    #[test]
    fn a_certificate_of_cacert_is_trusted_as_it_is() {
        let authority = Authority::new();
        let read = |leaf| CertificateDer::from_pem_file(authority.files(leaf).0).unwrap();
        let check = |explicit: &CertificateDer<'static>, shown: &CertificateDer<'_>, name: &str| {
            let roots = Roots {
                authorities: vec![explicit.clone()],
                explicit: vec![explicit.clone()],
            };
            let verifier = Verifier::new(roots).unwrap();
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

//! `--insecure`: accepts every certificate, but not every signature.
//!
//! The peer must still prove that it holds the key of the certificate that it
//! presents. rustls checks this proof with the key of an X.509 version 3
//! certificate only. Devices that made their own certificate often present
//! version 1, so for these the key is taken out of the certificate first.

use rustls::CertificateError::{self, BadEncoding, BadSignature};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use webpki::RawPublicKeyEntity;

/// A verifier that checks nothing but signatures of handshakes.
#[derive(Debug)]
pub(super) struct NoVerification(pub(super) WebPkiSupportedAlgorithms);

impl NoVerification {
    /// Verifies a signature of a TLS 1.2 handshake by the key of a version 1
    /// certificate. rustls has no function for this.
    fn verify_tls12_with_key(
        &self,
        message: &[u8],
        key: &SubjectPublicKeyInfoDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = RawPublicKeyEntity::try_from(key).map_err(|_| BadEncoding)?;
        // In TLS 1.2 a scheme does not name the curve, so there may be several
        // algorithms, one for each.
        let mut algorithms = self
            .0
            .mapping
            .iter()
            .filter(|(scheme, _)| *scheme == signature.scheme)
            .flat_map(|(_, algorithms)| *algorithms);
        let is_valid = algorithms.any(|algorithm| {
            key.verify_signature(*algorithm, message, signature.signature())
                .is_ok()
        });
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(BadSignature.into())
        }
    }
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.0)
            .or_else(|error| {
                let key = version_1_key(certificate, error)?;
                self.verify_tls12_with_key(message, &key, signature)
            })
            .map_err(explained)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.0)
            .or_else(|error| {
                let key = version_1_key(certificate, error)?;
                crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &self.0)
            })
            .map_err(explained)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Returns the key of a certificate that was refused for being of version 1,
/// or the error if it was refused for another reason.
fn version_1_key(
    certificate: &CertificateDer<'_>,
    error: Error,
) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let is_version_1 = match &error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            matches!(
                other.0.downcast_ref(),
                Some(webpki::Error::UnsupportedCertVersion)
            )
        }
        _ => false,
    };
    if !is_version_1 {
        return Err(error);
    }
    // A trust anchor may be of version 1, so webpki can parse it as one.
    let mut store = RootCertStore::empty();
    store.add(certificate.clone())?;
    let anchor = store.roots.first().ok_or(BadEncoding)?;
    Ok(in_sequence(&anchor.subject_public_key_info).into())
}

/// Encodes `content` as a DER SEQUENCE.
fn in_sequence(content: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|&&byte| byte == 0).count()..];
    let header = match digits {
        [] => vec![SEQUENCE, 0],
        [short @ ..0x80] => vec![SEQUENCE, *short],
        digits => [&[SEQUENCE, 0x80 | digits.len() as u8], digits].concat(),
    };
    [&header, content].concat()
}

/// Replaces the error of a wrong signature, since rustls uses the same one for
/// the issuer's signature on the certificate.
fn explained(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(BadSignature) => {
            Error::General("the server's proof that it holds its key is wrong".to_owned())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::in_sequence;

    #[test]
    fn lengths_have_as_many_digits_as_they_need() {
        for (length, header) in [
            (0, &[0x30, 0][..]),
            (0x7f, &[0x30, 0x7f]),
            (0x80, &[0x30, 0x81, 0x80]),
            (0x100, &[0x30, 0x82, 1, 0]),
        ] {
            let encoded = in_sequence(&vec![5; length]);
            assert_eq!(&encoded[..header.len()], header);
            assert_eq!(encoded.len(), header.len() + length);
        }
    }
}

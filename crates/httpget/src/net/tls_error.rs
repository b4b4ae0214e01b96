//! What a failure of TLS means, in words and without the names of rustls.

use common::{Error, Kind};
use rustls::{AlertDescription, CertificateError};

/// A failure of TLS, with a hint if the user can do something.
pub(crate) fn error(error: &rustls::Error) -> Error {
    let tls = |message: &str| Error::new(Kind::Tls, message);
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate(reason),
        rustls::Error::AlertReceived(alert) => {
            let error = tls(&format!(
                "the server refused: TLS alert {}",
                words(&format!("{alert:?}"))
            ));
            match alert {
                AlertDescription::CertificateRequired => {
                    error.hint("it wants a client certificate (--cert)")
                }
                AlertDescription::HandshakeFailure => error.hint(
                    "it may want older ciphers or curves than TLS 1.2 with forward secrecy has",
                ),
                AlertDescription::ProtocolVersion => {
                    error.hint("it may speak older versions than TLS 1.2 only")
                }
                _ => error,
            }
        }
        rustls::Error::InvalidMessage(_) => {
            tls("the peer does not speak TLS").hint("does this port speak http?")
        }
        rustls::Error::PeerIncompatible(why) => tls(&format!(
            "the server has no way to speak TLS in common with us: {}",
            words(&format!("{why:?}"))
        )),
        rustls::Error::PeerMisbehaved(why) => tls(&format!(
            "the server breaks the rules of TLS: {}",
            words(&format!("{why:?}"))
        )),
        rustls::Error::NoCertificatesPresented => tls("the server presented no certificate"),
        rustls::Error::General(text) => tls(&format!("TLS: {text}")),
        rustls::Error::DecryptError => tls("a TLS record cannot be decrypted"),
        other => tls(&format!("TLS: {}", words(&format!("{other:?}")))),
    }
}

/// A certificate that is refused.
fn certificate(reason: &CertificateError) -> Error {
    let tls = |message: &str| Error::new(Kind::Tls, message);
    let refused = |why: &str| tls(&format!("the certificate is not accepted: {why}"));
    match reason {
        CertificateError::UnknownIssuer => {
            tls("the certificate's issuer is not known").hint("use --cacert FILE to trust it")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            tls("the certificate has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            tls("the certificate is not valid yet").hint("is the clock right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            tls("the certificate is for another name")
        }
        CertificateError::Revoked => tls("the certificate is revoked"),
        CertificateError::BadSignature => refused("its signature is wrong, or its key too short"),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            refused("it is signed by an algorithm that is not supported, such as SHA-1")
        }
        CertificateError::UnhandledCriticalExtension => {
            refused("it has a critical extension that is not known")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            refused("it is not for servers")
        }
        CertificateError::BadEncoding => refused("it cannot be read"),
        other => match words(&format!("{other:?}")).as_str() {
            "unsupported cert version" => refused("it is of X.509 version 1"),
            "ca used as end entity" => refused("it is that of an authority, not of a server"),
            other => refused(other),
        },
    }
}

/// The words of the innermost name in a Debug text: `Other(OtherError(BadDer))`
/// is "bad der".
fn words(debug: &str) -> String {
    let name = debug
        .split(['{', ')', ',', '"'])
        .next()
        .and_then(|names| names.split('(').rfind(|name| !name.trim().is_empty()))
        .unwrap_or_default();
    let mut words = String::new();
    let mut before = ' ';
    for c in name.trim().chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_names_of_types() {
        for (debug, shown) in [
            (
                "Other(OtherError(CaUsedAsEndEntity))",
                "ca used as end entity",
            ),
            ("HandshakeFailure", "handshake failure"),
            (
                "InvalidPurposeContext { required: ServerAuth }",
                "invalid purpose context",
            ),
            ("General(\"x {y}\")", "general"),
            ("Unknown(112)", "112"),
            ("", ""),
        ] {
            assert_eq!(words(debug), shown);
        }
        for reason in [
            CertificateError::BadSignature,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::UnknownRevocationStatus,
        ] {
            let text = error(&rustls::Error::InvalidCertificate(reason)).to_string();
            assert!(
                text.chars().all(|c| !c.is_ascii_uppercase() && c != '('),
                "{text}"
            );
        }
    }
}

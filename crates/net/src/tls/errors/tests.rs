//! Tests of the messages for TLS errors.

use super::*;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ContentType, PeerIncompatible, PeerMisbehaved};
use std::sync::Arc;

fn sentence(error: impl Into<rustls::Error>) -> String {
    explain(&error.into()).sentence
}

#[test]
fn sentences_contain_no_identifiers() {
    use CertificateError as C;
    let webpki = |e: WebPkiError| C::Other(OtherError(Arc::new(e)));
    let certificates = [
        C::BadEncoding,
        C::Expired,
        C::NotValidYet,
        C::Revoked,
        C::UnhandledCriticalExtension,
        C::UnknownIssuer,
        C::UnknownRevocationStatus,
        C::ExpiredRevocationList,
        C::BadSignature,
        C::NotValidForName,
        C::InvalidPurpose,
        C::InvalidOcspResponse,
        C::ApplicationVerificationFailure,
        C::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1],
            supported_algorithms: vec![],
        },
        webpki(WebPkiError::UnsupportedCertVersion),
        webpki(WebPkiError::CaUsedAsEndEntity),
        webpki(WebPkiError::EndEntityUsedAsCa),
        webpki(WebPkiError::MaximumPathDepthExceeded),
        webpki(WebPkiError::MalformedExtensions),
        webpki(WebPkiError::UnsupportedNameType),
        C::Other(OtherError(Arc::new(io::Error::other("anything")))),
    ];
    let mut errors: Vec<rustls::Error> = certificates.into_iter().map(Into::into).collect();
    errors.extend([
        rustls::Error::InappropriateMessage {
            expect_types: vec![ContentType::Alert],
            got_type: ContentType::Handshake,
        },
        InvalidMessage::InvalidContentType.into(),
        InvalidMessage::MissingData("CertificatePayloadTls13").into(),
        PeerMisbehaved::SelectedUnofferedCipherSuite.into(),
        PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
        rustls::Error::NoCertificatesPresented,
        rustls::Error::DecryptError,
        rustls::Error::PeerSentOversizedRecord,
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
        rustls::Error::AlertReceived(AlertDescription::Unknown(200)),
        rustls::Error::Other(OtherError(Arc::new(io::Error::other("anything")))),
    ]);
    for error in errors {
        let text = sentence(error.clone());
        let camel = |w: &str| w.chars().skip(1).any(char::is_uppercase) && w.len() > 4;
        let known = ["(basicConstraints", "CA:TRUE)"];
        assert!(
            !text.split(' ').any(|w| camel(w) && !known.contains(&w)),
            "{error:?}: {text}"
        );
        assert!(text.starts_with(|c: char| c.is_lowercase()) || text.starts_with("TLS"));
    }
}

#[test]
fn errors_are_described_in_sentences() {
    let version = OtherError(Arc::new(WebPkiError::UnsupportedCertVersion));
    assert_eq!(
        sentence(CertificateError::Other(version)),
        "the certificate is not X.509 version 3"
    );
    assert_eq!(
        sentence(PeerIncompatible::NoCipherSuitesInCommon),
        "the peer and this program have no TLS settings in common (no cipher suites in common)"
    );
    assert_eq!(
        sentence(rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
        "the peer refused the connection: TLS alert unknown_ca"
    );
    let expired = CertificateError::ExpiredContext {
        time: UnixTime::since_unix_epoch(std::time::Duration::from_secs(2)),
        not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(1)),
    };
    assert_eq!(sentence(expired), "the certificate has expired");
}

#[test]
fn the_listed_names_of_a_certificate_are_limited() {
    let name = |presented: Vec<String>| {
        sentence(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.test").expect("parse a name"),
            presented,
        })
    };
    assert_eq!(
        name(vec![
            "DnsName(\"b.test\")".to_owned(),
            "IpAddress(127.0.0.1)".to_owned()
        ]),
        "the certificate is not valid for a.test, only for b.test, 127.0.0.1"
    );
    assert_eq!(
        name(Vec::new()),
        "the certificate is not valid for a.test, nor for any other name"
    );
    let long = "é".repeat(10_000);
    let text = name(vec![format!("DnsName(\"{long}\")"); 20_000]);
    assert!(text.len() < 1200, "{} bytes", text.len());
    assert!(text.ends_with("... and 19995 more"), "{text}");
}

/// An error of another crate that contains one of rustls.
#[derive(Debug)]
struct Wrapper(rustls::Error);

impl std::fmt::Display for Wrapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapper")
    }
}

impl std::error::Error for Wrapper {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn the_cause_is_found_at_any_depth() {
    let error = io::Error::other(io::Error::other(rustls::Error::DecryptError));
    assert_eq!(cause(&error), Some(&rustls::Error::DecryptError));
    assert_eq!(cause(&io::ErrorKind::TimedOut.into()), None);
    let error = io::Error::other(Wrapper(rustls::Error::DecryptError));
    assert_eq!(cause(&error), Some(&rustls::Error::DecryptError));
}

#[test]
fn remedies_follow_the_fault() {
    let remedy = |error: rustls::Error| explain(&error).remedy;
    let certificate = |error: CertificateError| remedy(error.into());
    assert_eq!(
        certificate(CertificateError::UnknownIssuer),
        Some(Remedy::TrustAuthority)
    );
    assert_eq!(
        certificate(CertificateError::NotValidForName),
        Some(Remedy::ExpectName)
    );
    let context = CertificateError::NotValidForNameContext {
        expected: ServerName::try_from("a.test").expect("parse a name"),
        presented: Vec::new(),
    };
    assert_eq!(certificate(context), Some(Remedy::ExpectName));
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
    let not_yet = CertificateError::NotValidYetContext {
        time,
        not_before: time,
    };
    assert_eq!(certificate(not_yet), Some(Remedy::CheckClock));
    assert_eq!(
        certificate(CertificateError::NotValidYet),
        Some(Remedy::CheckClock)
    );
    assert_eq!(certificate(CertificateError::Expired), None);
    assert_eq!(
        remedy(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
        )),
        Some(Remedy::ClientCertificate)
    );
    assert_eq!(
        remedy(rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure
        )),
        None
    );
    assert_eq!(
        remedy(InvalidMessage::InvalidContentType.into()),
        Some(Remedy::NoTls)
    );
    assert_eq!(
        remedy(rustls::Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::ServerHello],
            got_type: HandshakeType::ClientHello,
        }),
        Some(Remedy::NoTls)
    );
}

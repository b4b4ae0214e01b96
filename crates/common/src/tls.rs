//! TLS errors as sentences, and the certificates of a PEM file: the same words
//! in every tool (feature `tls`).
//!
//! rustls names most faults by the identifier of an enum variant, which is not
//! a text for users. [`explain`] says what is wrong; what can be done about it
//! differs from tool to tool, so it is only classified, by [`Remedy`].

use std::fmt::Write;
use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{AlertDescription, CertificateError, HandshakeType, InvalidMessage, OtherError};
use webpki::Error as Path509;

use crate::error::{Error, Kind, Result};

/// A change that could make the same handshake succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Trust the authority that issued the certificate.
    TrustAuthority,
    /// Expect another name in the certificate.
    ExpectName,
    /// Correct this machine's clock, if it is wrong.
    CheckClock,
    /// Present a client certificate.
    ClientCertificate,
    /// Connect without TLS.
    NoTls,
}

/// A TLS error for users: one lower-case sentence, and the remedy if there is
/// a usual one. The sentence may hold names that the peer chose; escape it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The description of the failure.
    pub sentence: String,
    /// What may help.
    pub remedy: Option<Remedy>,
}

/// Names of a certificate that a sentence lists.
const NAMES_MAX: usize = 5;

/// Characters of one such name.
const NAME_MAX: usize = 100;

/// Explains an error of rustls.
pub fn explain(error: &rustls::Error) -> Explanation {
    use rustls::Error as E;
    let mut remedy = None;
    let sentence = match error {
        E::InvalidCertificate(reason) => {
            remedy = remedy_of(reason);
            certificate(reason)
        }
        E::InappropriateHandshakeMessage {
            got_type: HandshakeType::ClientHello,
            ..
        } => {
            remedy = Some(Remedy::NoTls);
            "the peer does not speak TLS: it sends back what it receives".to_owned()
        }
        E::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => {
            remedy = Some(Remedy::NoTls);
            "the peer does not speak TLS".to_owned()
        }
        E::AlertReceived(alert) => {
            if *alert == AlertDescription::CertificateRequired {
                remedy = Some(Remedy::ClientCertificate);
            }
            format!(
                "the peer refused the connection: TLS alert {}",
                name(*alert)
            )
        }
        E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => {
            "the peer sent a TLS message out of order".to_owned()
        }
        E::InvalidMessage(why) => detailed("the peer sent an invalid TLS message", why),
        E::PeerMisbehaved(why) => detailed("the peer violated the TLS protocol", why),
        E::PeerIncompatible(why) => detailed(
            "the peer and this program have no TLS settings in common",
            why,
        ),
        E::NoCertificatesPresented => "the peer sent no certificate".to_owned(),
        E::UnsupportedNameType => "a certificate cannot be checked for this name".to_owned(),
        E::DecryptError => "a TLS record from the peer does not decrypt".to_owned(),
        E::PeerSentOversizedRecord => "the peer sent a TLS record that is too large".to_owned(),
        E::NoApplicationProtocol => {
            "the peer and this program have no application protocol in common (ALPN)".to_owned()
        }
        E::InconsistentKeys(_) => "the private key does not belong to the certificate".to_owned(),
        E::FailedToGetCurrentTime => "the system clock cannot be read".to_owned(),
        E::FailedToGetRandomBytes => "the system gave no random bytes".to_owned(),
        E::General(text) => format!("TLS failed: {text}"),
        _ => "TLS failed".to_owned(),
    };
    Explanation { sentence, remedy }
}

/// The error of rustls inside an I/O error, at any depth.
pub fn cause(error: &io::Error) -> Option<&rustls::Error> {
    let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
    loop {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(error);
        }
        // An I/O error reports the source of its content, not its content.
        inner = match inner.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref()?,
            None => inner.source()?,
        };
    }
}

/// The error of a system without certificate authorities. The hint, with the
/// option's name, is the tool's.
pub fn no_authorities() -> Error {
    Error::new(Kind::System, "this system has no certificate authorities")
}

/// The certificates of a PEM file. Every error is about the file: kind `input`
/// if its content is at fault.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let about = || path.display().to_string();
    let pem = std::fs::read(path).map_err(|e| Error::local(&e).with_subject(about()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(Error::new(Kind::Input, "the file holds no PEM certificate").with_subject(about()))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(Error::new(Kind::Input, "the file is not valid PEM").with_subject(about())),
    }
}

fn remedy_of(reason: &CertificateError) -> Option<Remedy> {
    use CertificateError as C;
    match reason {
        C::UnknownIssuer => Some(Remedy::TrustAuthority),
        C::NotValidForName | C::NotValidForNameContext { .. } => Some(Remedy::ExpectName),
        C::NotValidYet | C::NotValidYetContext { .. } => Some(Remedy::CheckClock),
        _ => None,
    }
}

fn certificate(reason: &CertificateError) -> String {
    use CertificateError as C;
    let text = match reason {
        C::NotValidForNameContext {
            expected,
            presented,
        } => return other_names(&expected.to_str(), presented),
        C::UnknownIssuer => "the certificate's issuer is unknown",
        C::Expired | C::ExpiredContext { .. } => "the certificate has expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "the certificate is not valid yet",
        C::NotValidForName => "the certificate is valid for other names only",
        C::Revoked => "the certificate is revoked",
        C::BadEncoding => "the certificate cannot be parsed",
        C::BadSignature => "the certificate's signature is wrong",
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "the certificate is not for use by a server"
        }
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => UNSUPPORTED_ALGORITHM,
        C::UnhandledCriticalExtension => UNSUPPORTED_EXTENSION,
        C::Other(other) => path(other),
        // Deprecated variants and those of revocation lists, which are not used.
        _ if format!("{reason:?}").starts_with("UnsupportedSignatureAlgorithm") => {
            UNSUPPORTED_ALGORITHM
        }
        _ => "the certificate is not accepted",
    };
    text.to_owned()
}

const UNSUPPORTED_ALGORITHM: &str =
    "the certificate is signed by an unsupported algorithm or kind of key";
const UNSUPPORTED_EXTENSION: &str =
    "the certificate has a critical extension that is not supported";

/// What webpki has against a certificate or its chain.
fn path(other: &OtherError) -> &'static str {
    match other.0.downcast_ref::<Path509>() {
        Some(Path509::UnsupportedCertVersion) => "the certificate is not X.509 version 3",
        Some(Path509::CaUsedAsEndEntity) => {
            "the certificate is that of a certificate authority, not of a server \
             (basicConstraints CA:TRUE)"
        }
        Some(Path509::EndEntityUsedAsCa) => {
            "the certificate is issued by one that is not a certificate authority"
        }
        Some(Path509::UnsupportedCriticalExtension) => UNSUPPORTED_EXTENSION,
        Some(Path509::NameConstraintViolation) => {
            "the certificate's authority may not issue certificates for this name"
        }
        Some(
            Path509::PathLenConstraintViolated
            | Path509::MaximumPathDepthExceeded
            | Path509::MaximumPathBuildCallsExceeded
            | Path509::MaximumSignatureChecksExceeded
            | Path509::MaximumNameConstraintComparisonsExceeded,
        ) => "the certificate's chain of issuers is too long",
        Some(
            Path509::ExtensionValueInvalid
            | Path509::MalformedExtensions
            | Path509::MalformedDnsIdentifier
            | Path509::MalformedNameConstraint
            | Path509::InvalidNetworkMaskConstraint
            | Path509::InvalidSerialNumber
            | Path509::SignatureAlgorithmMismatch
            | Path509::EmptyEkuExtension,
        ) => "the certificate cannot be parsed",
        _ => "the certificate is not accepted",
    }
}

/// `presented` holds entries such as `DnsName("localhost")`.
fn other_names(expected: &str, presented: &[String]) -> String {
    let mut text = format!("the certificate is not valid for {expected}, ");
    if presented.is_empty() {
        text.push_str("nor for any other name");
        return text;
    }
    text.push_str("only for ");
    for (number, entry) in presented.iter().take(NAMES_MAX).enumerate() {
        let inside = entry.split_once('(').and_then(|(_, r)| r.strip_suffix(')'));
        let name = inside.unwrap_or(entry).trim_matches('"');
        let cut = name.char_indices().nth(NAME_MAX).map(|(at, _)| at);
        let mark = if cut.is_some() { "..." } else { "" };
        let cut = cut.unwrap_or(name.len());
        let comma = if number > 0 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}{mark}", &name[..cut]);
    }
    if presented.len() > NAMES_MAX {
        let _ = write!(text, " and {} more", presented.len() - NAMES_MAX);
    }
    text
}

/// The name of an alert as RFC 8446 and its predecessors spell it.
fn name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return number.to_string(),
    };
    name.to_owned()
}

/// A sentence, and in brackets the words that the name of a variant is made of:
/// `NoCipherSuitesInCommon` becomes `no cipher suites in common`.
fn detailed(sentence: &str, why: &impl std::fmt::Debug) -> String {
    let variant = format!("{why:?}");
    let mut text = format!("{sentence} (");
    let start = text.len();
    for c in variant.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && text.len() > start {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{ContentType, PeerIncompatible, PeerMisbehaved};
    use std::sync::Arc;

    fn said(error: impl Into<rustls::Error>) -> String {
        explain(&error.into()).sentence
    }

    #[test]
    fn no_identifier_of_an_enum_is_shown() {
        use CertificateError as C;
        let webpki = |e: Path509| C::Other(OtherError(Arc::new(e)));
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
            webpki(Path509::UnsupportedCertVersion),
            webpki(Path509::CaUsedAsEndEntity),
            webpki(Path509::EndEntityUsedAsCa),
            webpki(Path509::MaximumPathDepthExceeded),
            webpki(Path509::MalformedExtensions),
            webpki(Path509::UnsupportedNameType),
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
            let text = said(error.clone());
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
    fn sentences() {
        let version = OtherError(Arc::new(Path509::UnsupportedCertVersion));
        assert_eq!(
            said(CertificateError::Other(version)),
            "the certificate is not X.509 version 3"
        );
        assert_eq!(
            said(PeerIncompatible::NoCipherSuitesInCommon),
            "the peer and this program have no TLS settings in common (no cipher suites in common)"
        );
        assert_eq!(
            said(rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
            "the peer refused the connection: TLS alert unknown_ca"
        );
        let expired = CertificateError::ExpiredContext {
            time: UnixTime::since_unix_epoch(std::time::Duration::from_secs(2)),
            not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(1)),
        };
        assert_eq!(said(expired), "the certificate has expired");
    }

    #[test]
    fn names_of_a_certificate_are_bounded() {
        let name = |presented: Vec<String>| {
            said(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a.test").expect("a name"),
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
            expected: ServerName::try_from("a.test").expect("a name"),
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

    #[test]
    fn a_pem_file_without_a_certificate_is_invalid_input() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let subject = path.display().to_string();
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        for (content, message) in [
            ("", "the file holds no PEM certificate"),
            (key, "the file holds no PEM certificate"),
            (cut, "the file is not valid PEM"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = certificates(&path).unwrap_err();
            assert_eq!(error.kind(), Kind::Input);
            assert_eq!(error.to_string(), format!("{subject}: {message}"));
        }
        let one = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, format!("{key}{one}text\n{one}")).unwrap();
        let found = certificates(&path).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].as_ref(), [1, 2, 3]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(certificates(&path).unwrap_err().kind(), Kind::System);
    }
}

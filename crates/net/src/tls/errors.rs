//! Messages for TLS errors, the same in every tool.
//!
//! rustls describes most errors by the identifier of an enum variant. [`explain`]
//! returns a message for users. The remedy depends on the options of the tool, so
//! it is only classified, as a [`Remedy`].

use std::fmt::Write;
use std::io;

use rustls::{AlertDescription, CertificateError, HandshakeType, InvalidMessage, OtherError};
use webpki::Error as WebPkiError;

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
    /// Use a connection without TLS.
    NoTls,
}

/// A description of a TLS error for users. Escape the sentence before printing it,
/// since it can contain names chosen by the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The description of the failure, in lower case without a full stop.
    pub sentence: String,
    /// The usual remedy, if there is one.
    pub remedy: Option<Remedy>,
}

/// The maximum number of certificate names that a message lists.
const NAMES_MAX: usize = 5;

/// The maximum number of characters of each listed name.
const NAME_MAX: usize = 100;

/// Describes an error of rustls for users.
pub fn explain(error: &rustls::Error) -> Explanation {
    use rustls::Error as E;
    let mut remedy = None;
    let sentence = match error {
        E::InvalidCertificate(reason) => {
            remedy = remedy_of(reason);
            describe_certificate(reason)
        }
        E::InappropriateHandshakeMessage {
            got_type: HandshakeType::ClientHello,
            ..
        } => {
            remedy = Some(Remedy::NoTls);
            "the peer does not speak TLS: it echoes the bytes it receives".to_owned()
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
                alert_name(*alert)
            )
        }
        E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => {
            "the peer sent a TLS message out of order".to_owned()
        }
        E::InvalidMessage(reason) => with_reason("the peer sent an invalid TLS message", reason),
        E::PeerMisbehaved(reason) => with_reason("the peer violated the TLS protocol", reason),
        E::PeerIncompatible(reason) => with_reason(
            "the peer and this program have no TLS settings in common",
            reason,
        ),
        E::NoCertificatesPresented => "the peer sent no certificate".to_owned(),
        E::UnsupportedNameType => "a certificate cannot be verified for this name".to_owned(),
        E::DecryptError => "a TLS record from the peer cannot be decrypted".to_owned(),
        E::PeerSentOversizedRecord => "the peer sent a TLS record that is too large".to_owned(),
        E::NoApplicationProtocol => {
            "the peer and this program have no application protocol in common (ALPN)".to_owned()
        }
        E::InconsistentKeys(_) => "the private key does not belong to the certificate".to_owned(),
        E::FailedToGetCurrentTime => "the system clock cannot be read".to_owned(),
        E::FailedToGetRandomBytes => "the system returned no random bytes".to_owned(),
        E::General(text) => format!("TLS failed: {text}"),
        _ => "TLS failed".to_owned(),
    };
    Explanation { sentence, remedy }
}

/// Returns the error of rustls inside an I/O error, at any depth.
pub fn cause(error: &io::Error) -> Option<&rustls::Error> {
    let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
    loop {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(error);
        }
        // The source of an I/O error is that of its content, not the content.
        inner = match inner.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref()?,
            None => inner.source()?,
        };
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

fn describe_certificate(reason: &CertificateError) -> String {
    use CertificateError as C;
    let text = match reason {
        C::NotValidForNameContext {
            expected,
            presented,
        } => return describe_names(&expected.to_str(), presented),
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
        C::Other(other) => describe_path(other),
        // Deprecated variants, and those about revocation lists, which are not used.
        _ if format!("{reason:?}").starts_with("UnsupportedSignatureAlgorithm") => {
            UNSUPPORTED_ALGORITHM
        }
        _ => "the certificate is not accepted",
    };
    text.to_owned()
}

const UNSUPPORTED_ALGORITHM: &str =
    "the certificate is signed with an unsupported algorithm or key type";
const UNSUPPORTED_EXTENSION: &str =
    "the certificate has a critical extension that is not supported";

/// Describes an error of webpki about a certificate or its chain.
fn describe_path(other: &OtherError) -> &'static str {
    match other.0.downcast_ref::<WebPkiError>() {
        Some(WebPkiError::UnsupportedCertVersion) => "the certificate is not X.509 version 3",
        Some(WebPkiError::CaUsedAsEndEntity) => {
            "the certificate is that of a certificate authority, not of a server \
             (basicConstraints CA:TRUE)"
        }
        Some(WebPkiError::EndEntityUsedAsCa) => {
            "the certificate is issued by one that is not a certificate authority"
        }
        Some(WebPkiError::UnsupportedCriticalExtension) => UNSUPPORTED_EXTENSION,
        Some(WebPkiError::NameConstraintViolation) => {
            "the certificate's authority may not issue certificates for this name"
        }
        Some(
            WebPkiError::PathLenConstraintViolated
            | WebPkiError::MaximumPathDepthExceeded
            | WebPkiError::MaximumPathBuildCallsExceeded
            | WebPkiError::MaximumSignatureChecksExceeded
            | WebPkiError::MaximumNameConstraintComparisonsExceeded,
        ) => "the certificate's chain of issuers is too long",
        Some(
            WebPkiError::ExtensionValueInvalid
            | WebPkiError::MalformedExtensions
            | WebPkiError::MalformedDnsIdentifier
            | WebPkiError::MalformedNameConstraint
            | WebPkiError::InvalidNetworkMaskConstraint
            | WebPkiError::InvalidSerialNumber
            | WebPkiError::SignatureAlgorithmMismatch
            | WebPkiError::EmptyEkuExtension,
        ) => "the certificate cannot be parsed",
        _ => "the certificate is not accepted",
    }
}

/// Describes a certificate for other names; `presented` contains entries such as
/// `DnsName("localhost")`.
fn describe_names(expected: &str, presented: &[String]) -> String {
    let mut text = format!("the certificate is not valid for {expected}, ");
    if presented.is_empty() {
        text.push_str("nor for any other name");
        return text;
    }
    text.push_str("only for ");
    for (index, entry) in presented.iter().take(NAMES_MAX).enumerate() {
        let content = entry.split_once('(').and_then(|(_, r)| r.strip_suffix(')'));
        let name = content.unwrap_or(entry).trim_matches('"');
        let cut = name.char_indices().nth(NAME_MAX).map(|(index, _)| index);
        let ellipsis = if cut.is_some() { "..." } else { "" };
        let cut = cut.unwrap_or(name.len());
        let comma = if index > 0 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}{ellipsis}", &name[..cut]);
    }
    if presented.len() > NAMES_MAX {
        let _ = write!(text, " and {} more", presented.len() - NAMES_MAX);
    }
    text
}

/// Returns the name of an alert in RFC 8446 and its predecessors.
fn alert_name(alert: AlertDescription) -> String {
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

/// Appends the name of a variant as words in parentheses:
/// `NoCipherSuitesInCommon` becomes `(no cipher suites in common)`.
fn with_reason(sentence: &str, reason: &impl std::fmt::Debug) -> String {
    let variant = format!("{reason:?}");
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
mod tests;

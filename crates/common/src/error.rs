//! The error that every tool reports: a kind, a subject, a message and an
//! optional hint.
//!
//! The kind determines the exit status and the `"kind"` of the JSON record. The
//! text form is one line, `SUBJECT: message; hint`, in which untrusted text is
//! escaped. [`crate::app::Reporter`] adds the name of the tool.

use std::fmt;
use std::io;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::exit::Exit;
use crate::text;

/// A result with the error of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an error. The name in JSON is the variant in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The command line is invalid. Status 2.
    Usage,
    /// An operand or a line of input is invalid. Status 2.
    Input,
    /// The system denies permission. Status 2.
    Permission,
    /// A file, socket or other resource of this machine failed. Status 2.
    System,
    /// A name could not be resolved. Status 3.
    Name,
    /// The network or host cannot be reached. Status 3.
    Unreachable,
    /// The peer refuses the connection. Status 3.
    Refused,
    /// The peer reset the connection. Status 3.
    Reset,
    /// No answer before the timeout. Status 3.
    Timeout,
    /// The TLS handshake or the certificate check failed. Status 3.
    Tls,
    /// The peer violated the protocol. Status 3.
    Protocol,
    /// The server reported a failure. Status 3.
    Server,
    /// The content differs from the expected content. Status 1.
    Mismatch,
    /// The content exceeds a size limit. Status 1.
    Size,
    /// The requested value or file does not exist. Status 1.
    Missing,
}

impl Kind {
    /// Returns the exit status of this kind.
    pub fn exit(self) -> Exit {
        match self {
            Self::Usage | Self::Input | Self::Permission | Self::System => Exit::LocalError,
            Self::Mismatch | Self::Size | Self::Missing => Exit::Negative,
            Self::Name
            | Self::Unreachable
            | Self::Refused
            | Self::Reset
            | Self::Timeout
            | Self::Tls
            | Self::Protocol
            | Self::Server => Exit::Network,
        }
    }

    /// Returns the name in JSON, such as `"refused"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Permission => "permission",
            Self::System => "system",
            Self::Name => "name",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Server => "server",
            Self::Mismatch => "mismatch",
            Self::Size => "size",
            Self::Missing => "missing",
        }
    }

    /// Returns the kind of an I/O error of a network call.
    pub fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as K;
        match error.kind() {
            K::PermissionDenied => Self::Permission,
            K::ConnectionRefused => Self::Refused,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::NotConnected => {
                Self::Reset
            }
            K::TimedOut | K::WouldBlock => Self::Timeout,
            K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown => Self::Unreachable,
            K::UnexpectedEof | K::InvalidData => Self::Protocol,
            _ => Self::System,
        }
    }
}

/// An error for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    origin: Option<String>,
    subject: Option<String>,
    message: String,
    hint: Option<String>,
    stdout_closed: bool,
}

impl Error {
    /// Creates an error. The message is in lower case and has no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            origin: None,
            subject: None,
            message: message.into(),
            hint: None,
            stdout_closed: false,
        }
    }

    /// Creates an error about the command line; [`crate::app::run`] adds a hint that
    /// refers to the help.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Creates an error about an invalid operand or line of input.
    pub fn input(operand: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message).with_subject(operand)
    }

    /// Creates the error of a failed network call, with the kind of the I/O error.
    pub fn network(error: &io::Error) -> Self {
        Self::new(Kind::of_io(error), io_message(error))
    }

    /// Creates the error of a failed local operation, for example on a file. Its kind is
    /// `permission` if the system denies permission, else `system`.
    pub fn local(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => Kind::Permission,
            _ => Kind::System,
        };
        Self::new(kind, io_message(error))
    }

    /// Creates the error of a failed write to standard output. A closed pipe ends
    /// the tool without a message.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        Self {
            stdout_closed: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::local(error).with_subject("standard output")
        }
    }

    /// Sets the operand, file or target that the error is about.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the line of input that contains the subject, as `FILE:LINE`. It
    /// appears in the text only; the `"target"` in JSON is the subject.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Adds a hint: what to do about the error.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the exit status of this error.
    pub fn exit(&self) -> Exit {
        self.kind.exit()
    }

    /// Returns the subject, unescaped.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Returns the message without subject and hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the message and the hint without the subject.
    pub fn explanation(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// Appends text to the message.
    #[must_use]
    pub fn and(mut self, more: impl fmt::Display) -> Self {
        self.message = format!("{} {more}", self.message);
        self
    }

    /// Whether the reader of standard output closed the pipe.
    pub fn is_stdout_closed(&self) -> bool {
        self.stdout_closed
    }
}

/// Returns the text of an I/O error in lower case, without the error number that
/// Rust appends.
pub fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.find(" (os error ") {
        Some(at) => &text[..at],
        None => &text,
    };
    let mut chars = text.chars();
    match chars.next() {
        // Abbreviations such as TLS keep their capitals.
        Some(first) if !chars.as_str().starts_with(|c: char| c.is_uppercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The maximum number of characters of a subject in an error line, which is enough for
/// the longest path.
const MAX_SUBJECT: usize = 4096;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.subject].into_iter().flatten() {
            if part.is_empty() {
                f.write_str("'': ")?;
                continue;
            }
            // A line of input can be long, and its beginning identifies it.
            match part.char_indices().nth(MAX_SUBJECT) {
                Some((cut, _)) => write!(f, "{}...: ", text::escape(&part.as_bytes()[..cut]))?,
                None => write!(f, "{}: ", text::escape(part.as_bytes()))?,
            }
        }
        write!(f, "{}", text::escape(self.message.as_bytes()))?;
        if let Some(hint) = &self.hint {
            write!(f, "; {}", text::escape(hint.as_bytes()))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Serializes `{"type":"error","target":…,"kind":…,"message":…,"time":…}` with the
/// current time.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_keys(&[]).serialize(serializer)
    }
}

/// An error record with additional keys that are null.
pub(crate) struct ErrorRecord<'a> {
    error: &'a Error,
    keys: &'a [&'a str],
}

impl Error {
    /// Returns the record with the additional keys of the tool, all null, before the time.
    pub(crate) fn with_keys<'a>(&'a self, keys: &'a [&'a str]) -> ErrorRecord<'a> {
        ErrorRecord { error: self, keys }
    }
}

impl Serialize for ErrorRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error = self.error;
        let mut map = serializer.serialize_map(Some(5 + self.keys.len()))?;
        map.serialize_entry("type", "error")?;
        map.serialize_entry("target", &error.subject)?;
        map.serialize_entry("kind", error.kind.name())?;
        map.serialize_entry("message", &error.explanation())?;
        for key in self.keys {
            map.serialize_entry(key, &None::<()>)?;
        }
        map.serialize_entry("time", &crate::time::now())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_have_the_same_message() {
        let error = Error::input("10.0.0.0/33", "the prefix length is out of range")
            .hint("use 0 to 32 for IPv4");
        assert_eq!(
            error.to_string(),
            "10.0.0.0/33: the prefix length is out of range; use 0 to 32 for IPv4"
        );
        let json = serde_json::to_string(&error).unwrap();
        let (start, time) = json.split_at(json.find(r#","time":"#).unwrap());
        assert_eq!(
            start,
            r#"{"type":"error","target":"10.0.0.0/33","kind":"input","message":"the prefix length is out of range; use 0 to 32 for IPv4""#
        );
        assert_eq!(
            time.len(),
            r#","time":"2026-01-02T03:04:05.678901Z"}"#.len()
        );
    }

    #[test]
    fn additional_keys_are_null_and_before_the_time() {
        let error = Error::input("x", "not an address");
        let json = serde_json::to_string(&error.with_keys(&["seq", "icmp"])).unwrap();
        let start = r#"{"type":"error","target":"x","kind":"input","message":"not an address","seq":null,"icmp":null,"time":""#;
        assert!(json.starts_with(start), "{json}");
    }

    #[test]
    fn control_characters_are_escaped() {
        let error = Error::input("a\nb\u{1b}[31m", "not an address");
        assert_eq!(error.to_string(), "a\\x0ab\\x1b[31m: not an address");
    }

    #[test]
    fn io_errors_are_printed_in_lower_case_without_their_number() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(io_message(&error), "no such file or directory");
    }

    #[test]
    fn a_long_subject_is_truncated() {
        let long = "\u{e9}".repeat(MAX_SUBJECT);
        let error = Error::input(&long, "bad");
        assert_eq!(error.to_string(), format!("{long}: bad"));
        let error = Error::input(format!("{long}x"), "bad");
        assert_eq!(error.to_string(), format!("{long}...: bad"));
    }

    #[test]
    fn the_kind_determines_the_status() {
        assert_eq!(Kind::Permission.exit(), Exit::LocalError);
        assert_eq!(Kind::Server.exit(), Exit::Network);
        assert_eq!(Kind::Size.exit(), Exit::Negative);
        assert_eq!(
            serde_json::to_string(&Kind::Unreachable).unwrap(),
            format!("\"{}\"", Kind::Unreachable.name())
        );
    }

    #[test]
    fn network_errors_have_the_kind_of_the_io_error() {
        use io::ErrorKind as K;
        for (io, kind) in [
            (K::PermissionDenied, Kind::Permission),
            (K::ConnectionRefused, Kind::Refused),
            (K::ConnectionReset, Kind::Reset),
            (K::ConnectionAborted, Kind::Reset),
            (K::BrokenPipe, Kind::Reset),
            (K::NotConnected, Kind::Reset),
            (K::TimedOut, Kind::Timeout),
            (K::WouldBlock, Kind::Timeout),
            (K::HostUnreachable, Kind::Unreachable),
            (K::NetworkUnreachable, Kind::Unreachable),
            (K::NetworkDown, Kind::Unreachable),
            (K::UnexpectedEof, Kind::Protocol),
            (K::InvalidData, Kind::Protocol),
            (K::AddrInUse, Kind::System),
        ] {
            assert_eq!(Error::network(&io.into()).kind(), kind, "{io:?}");
        }
    }

    #[test]
    fn local_errors_have_kind_system_or_permission() {
        let kind = |io: io::ErrorKind| Error::local(&io.into()).kind();
        assert_eq!(kind(io::ErrorKind::PermissionDenied), Kind::Permission);
        assert_eq!(kind(io::ErrorKind::ConnectionRefused), Kind::System);
        assert_eq!(kind(io::ErrorKind::NotFound), Kind::System);
    }

    #[test]
    fn abbreviations_keep_their_capitals() {
        let error = io::Error::other("TLS failed");
        assert_eq!(io_message(&error), "TLS failed");
        assert_eq!(io_message(&io::Error::other("")), "");
    }

    #[test]
    fn an_addition_comes_before_the_hint() {
        let error = Error::new(Kind::Reset, "connection reset").hint("try again");
        let error = error.and("after 5 bytes").with_subject("host");
        assert_eq!(
            error.to_string(),
            "host: connection reset after 5 bytes; try again"
        );
        assert_eq!(error.message(), "connection reset after 5 bytes");
        assert_eq!(
            error.explanation(),
            "connection reset after 5 bytes; try again"
        );
    }

    #[test]
    fn any_number_of_keys_can_be_added() {
        let error = Error::input("x", "not an address");
        let keys = ["a", "b", "c", "d", "e", "f"];
        for count in 0..=keys.len() {
            let json = serde_json::to_value(error.with_keys(&keys[..count])).unwrap();
            assert_eq!(json.as_object().unwrap().len(), 5 + count);
            let text = serde_json::to_string(&error.with_keys(&keys[..count])).unwrap();
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&text).unwrap()["kind"],
                "input"
            );
        }
    }
}

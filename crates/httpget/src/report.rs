//! The result of a transfer: the source of the JSON record, of `-w`, of `--time`,
//! and of the exit status.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{Error, Exit, Kind};

use crate::http::charset::Encoding;
use crate::http::head::Head;
use crate::net::{Exchange, NetworkError};

/// The reason why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// A local error, or a failure of the network or the peer.
    Error(Error),
    /// A negative answer, with exit status 1; `kind` is that of the JSON record.
    Negative { kind: &'static str, message: String },
}

impl FetchError {
    pub(crate) fn negative(kind: &'static str, message: impl Into<String>) -> Self {
        Self::Negative {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Error(error) => error.exit(),
            Self::Negative { .. } => Exit::Negative,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Error(error) => error.kind().name(),
            Self::Negative { kind, .. } => kind,
        }
    }

    /// Returns the message with its hint.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Error(error) => error.explanation(),
            Self::Negative { message, .. } => message.clone(),
        }
    }

    /// Whether the body exceeds a limit on its size.
    pub(crate) fn is_too_large(&self) -> bool {
        self.kind() == "size"
    }

    /// Whether standard output was closed, which ends the run quietly.
    pub(crate) fn is_stdout_closed(&self) -> bool {
        matches!(self, Self::Error(error) if error.is_stdout_closed())
    }

    /// Returns an error of kind `protocol`.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::Error(Error::new(Kind::Protocol, message))
    }
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The error of an attempt, and whether the connection ended within the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptError {
    pub(crate) error: FetchError,
    pub(crate) is_cut: bool,
}

impl<T: Into<FetchError>> From<T> for AttemptError {
    fn from(error: T) -> Self {
        Self {
            error: error.into(),
            is_cut: false,
        }
    }
}

impl From<NetworkError> for AttemptError {
    fn from(failure: NetworkError) -> Self {
        Self {
            error: FetchError::Error(failure.error),
            is_cut: failure.is_cut,
        }
    }
}

/// A redirect that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) location: String,
}

/// The result of the transfer of one URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// The URL as typed, without credentials.
    pub(crate) url: String,
    pub(crate) final_url: Option<String>,
    /// The request method, `GET` or `HEAD`.
    pub(crate) method: &'static str,
    /// The head of the last response.
    pub(crate) head: Option<Arc<Head>>,
    /// The first redirects that were followed, up to [`REDIRECTS_MAX`].
    pub(crate) redirects: Vec<Redirect>,
    /// The number of redirects that were followed.
    pub(crate) redirect_count: u32,
    /// The last exchange, that of the final response.
    pub(crate) exchange: Exchange,
    /// The body, if it was held in memory.
    pub(crate) body: Option<Vec<u8>>,
    /// The declared charset of the body; `None` for UTF-8 and for a body that is
    /// still compressed.
    pub(crate) charset: Option<&'static Encoding>,
    /// Whether the body is the value of `--pointer`, which is JSON.
    pub(crate) is_pointer_value: bool,
    /// The file that the body was saved to.
    pub(crate) file: Option<PathBuf>,
    /// The length of the body as delivered, and as received.
    pub(crate) bytes: u64,
    pub(crate) wire_bytes: u64,
    /// The bytes of all heads received.
    pub(crate) head_bytes: u64,
    /// The digest of the body in lower-case hexadecimal.
    pub(crate) sha256: Option<String>,
    /// The time from the first lookup to the end.
    pub(crate) total: Duration,
    /// The time from the start to the last exchange.
    pub(crate) redirect_time: Duration,
    /// The number of connections made.
    pub(crate) connects: u32,
    /// The number of attempts after the first.
    pub(crate) retries: u32,
    pub(crate) error: Option<FetchError>,
    /// Whether the status counts as a failure; with `--no-fail` none does.
    pub(crate) is_failure_status: bool,
}

/// The maximum number of recorded redirects, and the limit on the bytes of their
/// URLs: with `--max-redirs -1` a server may send any number.
const REDIRECTS_MAX: usize = 1000;
const REDIRECT_BYTES_MAX: usize = 4 << 20;

impl Report {
    /// Counts a redirect, and records it within the limits.
    pub(crate) fn add_redirect(&mut self, redirect: Redirect) {
        self.redirect_count = self.redirect_count.saturating_add(1);
        let size = |redirect: &Redirect| redirect.url.len() + redirect.location.len();
        let bytes: usize = self.redirects.iter().map(size).sum();
        if self.redirects.len() < REDIRECTS_MAX && bytes + size(&redirect) <= REDIRECT_BYTES_MAX {
            self.redirects.push(redirect);
        }
    }

    /// Returns the contribution of this transfer to the exit status.
    pub(crate) fn exit(&self) -> Exit {
        let status = if self.is_failure_status {
            Exit::Negative
        } else {
            Exit::Success
        };
        self.error
            .as_ref()
            .map_or(Exit::Success, FetchError::exit)
            .and(status)
    }

    /// Returns the time from the end of the request to the first byte of the
    /// response.
    pub(crate) fn first_byte(&self) -> Option<Duration> {
        let (sent, first) = (self.exchange.sent_at?, self.exchange.first_byte?);
        Some(first.saturating_duration_since(sent))
    }
}

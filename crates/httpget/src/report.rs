//! What became of one URL: the source of the JSON record, of `-w`, of
//! `--time`, and of the exit status.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{Error, Exit, Kind};

use crate::http::charset::Encoding;
use crate::http::head::Head;
use crate::net::{Exchange, NetworkError};

/// Why a URL did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// A fault here or in the network.
    Error(Error),
    /// A certain no: status 1. The kind is one word for JSON.
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
            Self::Negative { .. } => Exit::No,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Error(error) => error.kind().name(),
            Self::Negative { kind, .. } => kind,
        }
    }

    /// The sentence and the hint.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Error(error) => error.explanation(),
            Self::Negative { message, .. } => message.clone(),
        }
    }

    /// Only that the reader of stdout has gone.
    pub(crate) fn is_stdout_closed(&self) -> bool {
        matches!(self, Self::Error(error) if error.is_stdout_closed())
    }

    /// A protocol fault.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::Error(Error::new(Kind::Protocol, message))
    }
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A error, and whether the connection ended within the body.
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

/// One redirect that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) location: String,
}

/// What became of one URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// As typed, without credentials.
    pub(crate) url: String,
    pub(crate) final_url: Option<String>,
    /// `GET` or `HEAD`.
    pub(crate) method: &'static str,
    /// The head of the last response.
    pub(crate) head: Option<Arc<Head>>,
    /// The redirects that were followed, up to [`REDIRECTS_MAX`] of them.
    pub(crate) redirects: Vec<Redirect>,
    /// How many redirects were followed.
    pub(crate) redirect_count: u32,
    /// The last exchange.
    pub(crate) exchange: Exchange,
    /// The body, where it was kept in memory.
    pub(crate) body: Option<Vec<u8>>,
    /// The declared charset of the body; `None` for UTF-8 and for bytes that are
    /// still compressed.
    pub(crate) charset: Option<&'static Encoding>,
    /// Whether that is the value a pointer named, which is JSON.
    pub(crate) is_pointer_value: bool,
    /// Where it was saved.
    pub(crate) file: Option<PathBuf>,
    /// Bytes of the body as delivered, and as they came.
    pub(crate) bytes: u64,
    pub(crate) wire_bytes: u64,
    /// Bytes of heads received.
    pub(crate) head_bytes: u64,
    /// Lower-case hexadecimal digits.
    pub(crate) sha256: Option<String>,
    /// From the first lookup to the end.
    pub(crate) total: Duration,
    /// From the start to the start of the last exchange.
    pub(crate) redirect_time: Duration,
    /// Connections connection.
    pub(crate) connects: u32,
    /// Tries after the first.
    pub(crate) retries: u32,
    pub(crate) error: Option<FetchError>,
    /// Whether the status is a failure; with `--no-fail` none is.
    pub(crate) is_failure_status: bool,
}

/// The most redirects that are recorded, and the most bytes of their URLs: with
/// `--max-redirs -1` a server may send any number.
const REDIRECTS_MAX: usize = 1000;
const REDIRECT_BYTES_MAX: usize = 4 << 20;

impl Report {
    /// Counts a redirect, and records it if there is room.
    pub(crate) fn add_redirect(&mut self, redirect: Redirect) {
        self.redirect_count = self.redirect_count.saturating_add(1);
        let size = |redirect: &Redirect| redirect.url.len() + redirect.location.len();
        let bytes: usize = self.redirects.iter().map(size).sum();
        if self.redirects.len() < REDIRECTS_MAX && bytes + size(&redirect) <= REDIRECT_BYTES_MAX {
            self.redirects.push(redirect);
        }
    }

    /// Its share of the exit status.
    pub(crate) fn exit(&self) -> Exit {
        let status = if self.is_failure_status {
            Exit::No
        } else {
            Exit::Yes
        };
        self.error
            .as_ref()
            .map_or(Exit::Yes, FetchError::exit)
            .and(status)
    }

    /// From the request sent to the first byte of the answer.
    pub(crate) fn first_byte(&self) -> Option<Duration> {
        let (sent, first) = (self.exchange.sent_at?, self.exchange.first_byte?);
        Some(first.saturating_duration_since(sent))
    }
}

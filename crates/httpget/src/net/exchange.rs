//! The exchange of one request and its response.
//!
//! ureq calls the connector and the transport on the thread that makes the
//! request, but cannot pass values to them or back. So the current exchange is
//! kept in a thread-local variable: it is set before the call of ureq, updated by
//! [`super::transport`] and [`super::dial`], and returned with the response.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;
use rustls::pki_types::CertificateDer;

use super::Request;
use super::abort::AbortHandle;
use super::tls_info::TlsInfo;
use crate::http::head::Head;
use crate::policy::proxy::Proxy;

/// The peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The TCP address of the origin or of the proxy.
    Address(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The durations and the properties of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionInfo {
    /// The duration of the name lookup; `None` without a lookup.
    pub(crate) dns: Option<Duration>,
    /// The duration of the TCP connect, including the requests to a proxy.
    pub(crate) connect: Option<Duration>,
    /// The duration of the TLS handshake.
    pub(crate) tls: Option<Duration>,
    pub(crate) peer: Option<Peer>,
    pub(crate) tls_info: Option<Arc<TlsInfo>>,
}

/// A request with everything known about its response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    /// Input: the proxy to use.
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// Input: the zone of the host's IPv6 address.
    pub(crate) zone: Option<String>,
    /// Input: the head of the request, until it is sent.
    pub(crate) request_head: Vec<u8>,
    /// Input: the offset of the body if the rest of it is requested.
    pub(crate) resume_offset: u64,
    /// Input: the handle that aborts the exchange.
    pub(crate) abort_handle: Option<Arc<AbortHandle>>,
    /// The connection; the durations are `None` if it was used before.
    pub(crate) connection: ConnectionInfo,
    /// The certificates that the last peer presented, accepted or not.
    pub(crate) presented_chain: Option<Arc<TlsInfo>>,
    /// Whether the connection was used before.
    pub(crate) reused: bool,
    /// The head of the request as it was sent.
    pub(crate) sent: Vec<u8>,
    /// The time when the request had been sent.
    pub(crate) sent_at: Option<Instant>,
    /// The time when the first byte of the response was received.
    pub(crate) first_byte: Option<Instant>,
    /// The heads of interim responses (1xx), as received.
    pub(crate) informational: Vec<Vec<u8>>,
    /// The head of the final response.
    pub(crate) head: Option<Arc<Head>>,
}

thread_local! {
    static CURRENT: RefCell<Exchange> = RefCell::default();
    /// The deadline of all reads and writes of this thread. The timeouts of ureq
    /// apply to one call of the transport, which may read many times.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Records the certificates that the peer presents, also if they are refused.
pub(super) fn record_chain(chain: &[&CertificateDer<'_>]) {
    let info = Arc::new(TlsInfo::of_chain(chain));
    with_current(|exchange| exchange.presented_chain = Some(info));
}

/// Sets the deadline of all further reads and writes of this thread.
pub(crate) fn set_deadline(deadline: Option<Instant>) {
    DEADLINE.set(deadline);
}

/// Returns the deadline of [`set_deadline`].
pub(crate) fn deadline() -> Option<Instant> {
    DEADLINE.get()
}

/// Starts an exchange on this thread; `head` is that of the request.
pub(crate) fn begin(request: &Request<'_>, head: &[u8]) {
    set_deadline(request.deadline);
    CURRENT.set(Exchange {
        proxy: request.proxy.clone(),
        request_head: head.to_vec(),
        zone: request.zone.map(str::to_owned),
        resume_offset: request.resume_offset,
        abort_handle: request.abort_handle.clone(),
        ..Exchange::default()
    });
}

/// Calls `f` with the exchange of this thread.
pub(crate) fn with_current<R>(f: impl FnOnce(&mut Exchange) -> R) -> R {
    CURRENT.with_borrow_mut(f)
}

/// Returns the exchange of this thread in its current state.
pub(crate) fn take() -> Exchange {
    CURRENT.take()
}

/// A failure to send a request or to receive its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkError {
    /// The error to report.
    pub(crate) error: Error,
    /// Whether the connection ended within the message, so that the rest of it
    /// may be requested.
    pub(crate) is_cut: bool,
}

impl NetworkError {
    /// Returns the error of a message that was cut short.
    pub(crate) fn cut_short(error: Error) -> Self {
        Self {
            error,
            is_cut: true,
        }
    }
}

impl From<Error> for NetworkError {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_cut: false,
        }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for NetworkError {}

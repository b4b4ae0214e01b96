//! What one request and its response leave behind.
//!
//! ureq calls the connector and the transport on the thread that makes the
//! request, but has no way to hand them anything, nor to hand anything back.
//! So the exchange of the moment lives in a slot of the thread: filled before
//! ureq is called, completed by [`super::wire`] and [`super::dial`], and
//! taken out with the response.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;

use super::Request;
use super::abort::AbortHandle;
use super::tls::TlsInfo;
use crate::http::head::Head;
use crate::policy::proxy::Proxy;

/// The peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A TCP address: the origin's, or the proxy's.
    Address(SocketAddr),
    /// A Unix socket.
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

/// What making a connection took and found.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionInfo {
    /// The name lookup; `None` where there was none to do.
    pub(crate) dns: Option<Duration>,
    /// TCP, and what a proxy needed on top.
    pub(crate) connect: Option<Duration>,
    /// The TLS handshake.
    pub(crate) tls: Option<Duration>,
    pub(crate) peer: Option<Peer>,
    pub(crate) tls_info: Option<Arc<TlsInfo>>,
}

/// One request and what is known of its response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    /// Given: the proxy to go through.
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// Given: the zone of the host's IPv6 address.
    pub(crate) zone: Option<String>,
    /// Given: the head of the request, until it is sent.
    pub(crate) request_head: Vec<u8>,
    /// Given: bytes of the body that are there already.
    pub(crate) resume_offset: u64,
    /// Given: where others may end it.
    pub(crate) abort_handle: Option<Arc<AbortHandle>>,
    /// What the connection took; of a connection used again only what it is.
    pub(crate) connection: ConnectionInfo,
    /// The certificates that the last peer presented, accepted or not.
    pub(crate) presented_chain: Option<Arc<TlsInfo>>,
    /// Whether the connection had served before.
    pub(crate) reused: bool,
    /// The request's head as it was sent.
    pub(crate) sent: Vec<u8>,
    /// When it had been sent.
    pub(crate) sent_at: Option<Instant>,
    /// When the first byte of an answer came.
    pub(crate) first_byte: Option<Instant>,
    /// Heads of status 1xx, as received.
    pub(crate) informational: Vec<Vec<u8>>,
    /// The head of the response.
    pub(crate) head: Option<Arc<Head>>,
}

thread_local! {
    static CURRENT: RefCell<Exchange> = RefCell::default();
    /// When reading and writing must be done, however the peer spreads what
    /// it says. ureq's timeouts are for one call of the transport, and one
    /// call may read many times.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Bounds whatever this thread reads and writes from now on.
pub(crate) fn set_deadline(deadline: Option<Instant>) {
    DEADLINE.set(deadline);
}

/// What [`set_deadline`] said.
pub(crate) fn deadline() -> Option<Instant> {
    DEADLINE.get()
}

/// Starts an exchange on this thread.
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

/// Looks at, or adds to, the exchange of this thread.
pub(crate) fn with_current<R>(f: impl FnOnce(&mut Exchange) -> R) -> R {
    CURRENT.with_borrow_mut(f)
}

/// Takes the exchange of this thread as it stands.
pub(crate) fn take() -> Exchange {
    CURRENT.take()
}

/// A failure of the network below the response's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkError {
    /// What the user is told.
    pub(crate) error: Error,
    /// Whether the connection ended before the body did, so that the rest
    /// may be asked for.
    pub(crate) is_cut: bool,
}

impl NetworkError {
    /// The body or the head ended too early.
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

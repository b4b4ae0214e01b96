//! Network access: ureq's agent with a connector and a transport of this crate.
//!
//! [`Network::send`] sends one request and returns the head of its response with
//! a reader of the body. [`dial`] makes connections, [`transport`] reads and
//! writes messages, and [`exchange`] holds the values that ureq cannot pass on.
//! The `unversioned` traits of ureq are used only here and in [`transport`].

mod abort;
mod dial;
mod exchange;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod stream;
mod tls;
mod tls_info;
mod transport;
mod tunnel;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Error, Kind};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};

pub(crate) use abort::AbortHandle;
use dial::Host;
pub(crate) use dial::{DialOptions, Dialer, format_duration};
pub(crate) use exchange::{Exchange, NetworkError, Peer};
pub(crate) use tls::{TlsConnector, TlsOptions};
pub(crate) use tunnel::proxy_authorization;

use crate::http::head::Head;
use crate::policy::proxy::Proxy;
use transport::UreqTransport;

/// A request to send.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// Whether the method is HEAD instead of GET.
    pub(crate) head: bool,
    pub(crate) url: &'a str,
    /// The zone of the URL's IPv6 address.
    pub(crate) zone: Option<&'a str>,
    /// All headers in order.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// The target of the request line, if it is not the path of the URL.
    pub(crate) target: Option<String>,
    /// The offset from which the body is requested, for messages.
    pub(crate) resume_offset: u64,
    /// The time at which the transfer must be finished.
    pub(crate) deadline: Option<Instant>,
    /// The handle that aborts the request.
    pub(crate) abort_handle: Option<Arc<AbortHandle>>,
}

/// A response with a body that has not been read.
pub(crate) struct Response {
    pub(crate) head: Arc<Head>,
    pub(crate) exchange: Exchange,
    pub(crate) body: BodyReader,
}

/// The time for which a peer may send nothing, and the option that sets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallPolicy {
    pub(crate) timeout: Duration,
    /// The minimum speed in bytes per second, if `timeout` comes from `--speed-time`.
    pub(crate) min_speed: Option<u64>,
}

impl StallPolicy {
    /// Returns the error of a peer that was silent for too long.
    fn error(self) -> Error {
        if let Some(min_speed) = self.min_speed {
            return speed_error(min_speed, self.timeout);
        }
        let message = format!(
            "the server sent nothing for {}",
            format_duration(self.timeout)
        );
        Error::new(Kind::Timeout, message).hint("use --stall-timeout to wait longer")
    }
}

/// Returns the error of a transfer slower than `min_speed` bytes per second.
pub(crate) fn speed_error(min_speed: u64, time: Duration) -> Error {
    let message = format!(
        "the transfer was slower than {min_speed} bytes per second for {} (--speed-limit)",
        format_duration(time)
    );
    Error::new(Kind::Timeout, message)
}

/// Returns the error of a transfer that exceeds `--max-time`.
pub(crate) fn max_time_error() -> Error {
    Error::new(
        Kind::Timeout,
        "the transfer did not finish within --max-time",
    )
}

/// Sends requests over pooled connections.
#[derive(Debug)]
pub(crate) struct Network {
    agent: ureq::Agent,
    stall: StallPolicy,
}

impl Network {
    /// Creates a network with a pool of up to `idle` connections. `stall` limits how
    /// long a peer may be silent.
    pub(crate) fn new(dialer: Dialer, idle: usize, stall: StallPolicy) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_idle_connections(idle)
            .max_idle_connections_per_host(idle)
            .timeout_per_read(Some(stall.timeout))
            .timeout_per_write(Some(stall.timeout))
            .build();
        let agent = ureq::Agent::with_parts(config, DialConnector(dialer), NullResolver);
        Self { agent, stall }
    }

    /// Sends a request and receives the head of its response. Retries on a new
    /// connection if a pooled one turns out to be closed.
    pub(crate) fn send(
        &self,
        request: &Request<'_>,
    ) -> Result<Response, (NetworkError, Box<Exchange>)> {
        let head = match request_head(request) {
            Ok(head) => head,
            Err(error) => return Err((error.into(), Box::default())),
        };
        loop {
            exchange::begin(request, &head);
            let outcome = self.send_once(request);
            let mut exchange = exchange::take();
            if exchange.connection.tls_info.is_none() && outcome.is_err() {
                exchange.connection.tls_info = exchange.presented_chain.take();
            }
            let error = match outcome {
                Ok(body) => match exchange.head.clone() {
                    Some(head) => {
                        return Ok(Response {
                            head,
                            exchange,
                            body,
                        });
                    }
                    None => NetworkError::from(Error::new(Kind::Protocol, "no response")),
                },
                Err(error) => convert_error(error, self.stall),
            };
            let is_stale = exchange.reused
                && exchange.first_byte.is_none()
                && error.error.kind() != Kind::Timeout;
            if !is_stale {
                return Err((error, Box::new(exchange)));
            }
        }
    }

    fn send_once(&self, request: &Request<'_>) -> Result<BodyReader, ureq::Error> {
        // ureq only needs the origin: the transport sends `request_head`.
        let (origin, _) = split_url(request.url);
        let mut builder = if request.head {
            self.agent.head(origin)
        } else {
            self.agent.get(origin)
        };
        // A configuration for one request copies that of the agent, so it is created only
        // if necessary.
        if let Some(deadline) = request.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            builder = builder.config().timeout_global(Some(left)).build();
        }
        Ok(BodyReader {
            inner: Box::new(builder.call()?.into_body().into_reader()),
            stall: self.stall,
        })
    }
}

/// Splits a URL into its origin and its path with the query.
fn split_url(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..]
        .find(['/', '?'])
        .map_or(url.len(), |at| host + at);
    url.split_at(path)
}

/// Returns the head of a request; its length is not limited.
fn request_head(request: &Request<'_>) -> Result<Vec<u8>, Error> {
    let (_, path) = split_url(request.url);
    let target = request.target.as_deref().unwrap_or(path);
    let method = if request.head { "HEAD" } else { "GET" };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in request.headers {
        if value.contains(['\r', '\n', '\0']) {
            return Err(Error::new(
                Kind::Input,
                format!("the value of {name} contains a line break or NUL"),
            ));
        }
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    Ok(head.into_bytes())
}

/// A reader of the body of a response, without the chunked coding.
pub(crate) struct BodyReader {
    inner: Box<dyn Read + Send>,
    stall: StallPolicy,
}

impl BodyReader {
    /// Reads some bytes; 0 only at the end of a complete body.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NetworkError> {
        self.inner
            .read(buffer)
            .map_err(|e| convert_error(ureq::Error::from(e), self.stall))
    }

    /// Reads the rest of a short body, so that its connection can be used again.
    /// Closes the connection if the rest exceeds `max_bytes` or takes longer than
    /// `max_time`.
    pub(crate) fn drain(mut self, max_bytes: usize, max_time: Duration) {
        let before = exchange::deadline();
        let until = Instant::now() + max_time;
        exchange::set_deadline(Some(before.map_or(until, |before| before.min(until))));
        let mut buffer = [0; 8 * 1024];
        let mut left = max_bytes;
        while left > 0 {
            match self.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => left = left.saturating_sub(n),
            }
        }
        exchange::set_deadline(before);
    }
}

/// Converts an error of ureq. Errors of this crate that it wraps are unwrapped; ureq's
/// own errors are timeouts, and URLs and headers that it rejects.
fn convert_error(error: ureq::Error, stall: StallPolicy) -> NetworkError {
    use ureq::Timeout;
    let own = match error {
        ureq::Error::Other(inner) => match inner.downcast::<NetworkError>() {
            Ok(failure) => return *failure,
            Err(inner) => Error::new(Kind::Protocol, inner.to_string()),
        },
        ureq::Error::Timeout(Timeout::PerRead | Timeout::PerWrite) => {
            return NetworkError::cut_short(stall.error());
        }
        ureq::Error::Timeout(_) => max_time_error(),
        ureq::Error::Io(e) => return NetworkError::cut_short(Error::network(&e)),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Error::new(Kind::Input, "the host name is not valid in a URL")
        }
        other => Error::new(Kind::Protocol, other.to_string()),
    };
    own.into()
}

/// The connector of ureq: wraps each connection in a [`UreqTransport`].
#[derive(Debug)]
struct DialConnector(Dialer);

impl Connector for DialConnector {
    type Out = UreqTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<UreqTransport>, ureq::Error> {
        let uri = details.uri;
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (proxy, zone) =
            exchange::with_current(|exchange| (exchange.proxy.clone(), exchange.zone.clone()));
        let host = Host {
            name: host,
            zone: zone.as_deref(),
        };
        let limit = *details.timeout.after;
        let (stream, connection) = self
            .0
            .dial(secure, host, port, proxy.as_deref(), limit)
            .map_err(transport::wrap_error)?;
        Ok(Some(UreqTransport::new(stream, connection, zone)))
    }
}

/// A resolver that does nothing: ureq resolves the host even for a pooled
/// connection, and the dialer looks names up when it needs to.
#[derive(Debug)]
struct NullResolver;

impl Resolver for NullResolver {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut none = self.empty();
        none.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        Ok(none)
    }
}

//! The network: ureq's agent over a connector and transport of our own.
//!
//! [`Network::send`] makes one request and returns the head of its response
//! with a reader of the body. [`dial`] makes connections, [`wire`] frames
//! what runs over them, [`exchange`] carries what ureq has no place for.
//! ureq's `unversioned` traits appear here and in [`wire`] only.

mod abort;
mod dial;
mod exchange;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod stream;
mod tls;
mod transport;
mod tunnel;
mod verify;
mod x509;

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

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// HEAD instead of GET.
    pub(crate) head: bool,
    pub(crate) url: &'a str,
    /// The zone of its IPv6 address.
    pub(crate) zone: Option<&'a str>,
    /// All headers to send, in order.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// The target for the request line, where it is not the path.
    pub(crate) target: Option<String>,
    /// Bytes of the body that are there already, when the rest is asked for.
    pub(crate) resume_offset: u64,
    /// When the whole must be done.
    pub(crate) deadline: Option<Instant>,
    /// Where others may end it.
    pub(crate) abort_handle: Option<Arc<AbortHandle>>,
}

/// A response whose body waits to be read.
pub(crate) struct Response {
    pub(crate) head: Arc<Head>,
    pub(crate) exchange: Exchange,
    pub(crate) body: BodyReader,
}

/// How long a peer may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallPolicy {
    pub(crate) timeout: Duration,
    /// Where that is because nothing is slower than so many bytes a second.
    pub(crate) min_speed: Option<u64>,
}

impl StallPolicy {
    /// The error of one that was silent for longer.
    fn error(self) -> Error {
        if let Some(min_speed) = self.min_speed {
            return speed_error(min_speed, self.timeout);
        }
        let message = format!(
            "the server was silent for {}",
            format_duration(self.timeout)
        );
        Error::new(Kind::Timeout, message).hint("--stall-timeout allows more")
    }
}

/// The error of a speed under `least` bytes a second.
pub(crate) fn speed_error(min_speed: u64, time: Duration) -> Error {
    let message = format!(
        "slower than {min_speed} bytes a second for {}",
        format_duration(time)
    );
    Error::new(Kind::Timeout, message)
}

/// The error of a transfer that takes longer than `-m` allows.
pub(crate) fn max_time_error() -> Error {
    Error::new(Kind::Timeout, "not done within the time of --max-time")
}

/// Makes requests over pooled connections.
#[derive(Debug)]
pub(crate) struct Network {
    agent: ureq::Agent,
    stall: StallPolicy,
}

impl Network {
    /// A network that keeps `idle` connections for further requests, and
    /// waits for no peer longer than `stall` says.
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

    /// Sends a request and receives the head of its response. A connection
    /// that was kept and turns out to have been closed is replaced.
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
        // ureq need know no more than where to: `request_head` is what is sent.
        let (origin, _) = split_url(request.url);
        let mut builder = if request.head {
            self.agent.head(origin)
        } else {
            self.agent.get(origin)
        };
        // Settings of its own cost a request a copy of the agent's.
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

/// A URL's origin, and its target: path and query.
fn split_url(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..]
        .find(['/', '?'])
        .map_or(url.len(), |at| host + at);
    url.split_at(path)
}

/// The head of a request, of whatever length.
fn request_head(request: &Request<'_>) -> Result<Vec<u8>, Error> {
    let (_, path) = split_url(request.url);
    let target = request.target.as_deref().unwrap_or(path);
    let method = if request.head { "HEAD" } else { "GET" };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in request.headers {
        if value.contains(['\r', '\n', '\0']) {
            return Err(Error::new(
                Kind::Input,
                format!("the value of {name} would have a line break or NUL in it"),
            ));
        }
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    Ok(head.into_bytes())
}

/// The body of a response, as it came but for the chunks.
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

    /// Reads a short body to its end, so that its connection can be used
    /// again. What is longer than `most`, or not here within `patience`, is
    /// not worth it: the connection is closed then.
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

/// What an error of ureq means. Ours pass through as they are; of its own
/// only timeouts, and what a URL or header cannot be, are left.
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
            Error::new(Kind::Input, "this host cannot stand in a URL")
        }
        other => Error::new(Kind::Protocol, other.to_string()),
    };
    own.into()
}

/// ureq's connector: the dialer with a [`UreqTransport`] around what it makes.
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

/// ureq asks for addresses even where a kept connection will serve; the
/// dialer looks names up when it needs them.
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

//! The network: ureq's agent over a connector and transport of our own.
//!
//! [`Network::ask`] makes one request and returns the head of its response
//! with a reader of the body. [`dial`] makes connections, [`wire`] frames
//! what runs over them, [`exchange`] carries what ureq has no place for.
//! ureq's `unversioned` traits appear here and in [`wire`] only.

mod dial;
mod exchange;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod line;
mod stream;
mod tls;
mod tunnel;
mod verify;
mod wire;
mod x509;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Error, Kind};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};

use dial::Host;
pub(crate) use dial::{DialOptions, Dialer, shown};
pub(crate) use exchange::{Exchange, Failure, Peer};
pub(crate) use line::Line;
pub(crate) use tls::{Tls, TlsOptions};
pub(crate) use tunnel::authorization;

use crate::http::head::Head;
use crate::policy::proxy::Proxy;
use wire::Wire;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    /// HEAD instead of GET.
    pub(crate) head: bool,
    pub(crate) url: &'a str,
    /// The zone of its IPv6 address.
    pub(crate) zone: Option<&'a str>,
    /// All headers to send, in order.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// The target for the request line, where it is not the path.
    pub(crate) absolute: Option<String>,
    /// Bytes of the body that are there already, when the rest is asked for.
    pub(crate) had: u64,
    /// When the whole must be done.
    pub(crate) deadline: Option<Instant>,
    /// Where others may end it.
    pub(crate) line: Option<Arc<Line>>,
}

/// A response whose body waits to be read.
pub(crate) struct Answer {
    pub(crate) head: Arc<Head>,
    pub(crate) exchange: Exchange,
    pub(crate) body: BodyReader,
}

/// How long a peer may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    pub(crate) time: Duration,
    /// Where that is because nothing is slower than so many bytes a second.
    pub(crate) least: Option<u64>,
}

impl Silence {
    /// The error of one that was silent for longer.
    fn error(self) -> Error {
        if let Some(least) = self.least {
            return too_slow(least, self.time);
        }
        let message = format!("the server was silent for {}", shown(self.time));
        Error::new(Kind::Timeout, message).hint("--stall-timeout allows more")
    }
}

/// The error of a speed under `least` bytes a second.
pub(crate) fn too_slow(least: u64, time: Duration) -> Error {
    let message = format!("slower than {least} bytes a second for {}", shown(time));
    Error::new(Kind::Timeout, message)
}

/// The error of a transfer that takes longer than `-m` allows.
pub(crate) fn out_of_time() -> Error {
    Error::new(Kind::Timeout, "not done within the time of --max-time")
}

/// Makes requests over pooled connections.
#[derive(Debug)]
pub(crate) struct Network {
    agent: ureq::Agent,
    stall: Silence,
}

impl Network {
    /// A network that keeps `idle` connections for further requests, and
    /// waits for no peer longer than `stall` says.
    pub(crate) fn new(dialer: Dialer, idle: usize, stall: Silence) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_idle_connections(idle)
            .max_idle_connections_per_host(idle)
            .timeout_per_read(Some(stall.time))
            .timeout_per_write(Some(stall.time))
            .build();
        let agent = ureq::Agent::with_parts(config, Chain(dialer), Nowhere);
        Self { agent, stall }
    }

    /// Sends a request and receives the head of its response. A connection
    /// that was kept and turns out to have been closed is replaced.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, (Failure, Box<Exchange>)> {
        let request = match head_of(ask) {
            Ok(request) => request,
            Err(error) => return Err((error.into(), Box::default())),
        };
        loop {
            exchange::begin(ask, &request);
            let outcome = self.once(ask);
            let mut exchange = exchange::take();
            if exchange.made.facts.is_none() && outcome.is_err() {
                exchange.made.facts = exchange.presented.take();
            }
            let error = match outcome {
                Ok(body) => match exchange.head.clone() {
                    Some(head) => {
                        return Ok(Answer {
                            head,
                            exchange,
                            body,
                        });
                    }
                    None => Failure::from(Error::new(Kind::Protocol, "no response")),
                },
                Err(error) => understand(error, self.stall),
            };
            let stale = exchange.reused
                && exchange.first_byte.is_none()
                && error.error.kind() != Kind::Timeout;
            if !stale {
                return Err((error, Box::new(exchange)));
            }
        }
    }

    fn once(&self, ask: &Ask<'_>) -> Result<BodyReader, ureq::Error> {
        // ureq need know no more than where to: `head_of` is what is sent.
        let (origin, _) = split(ask.url);
        let mut request = if ask.head {
            self.agent.head(origin)
        } else {
            self.agent.get(origin)
        };
        // Settings of its own cost a request a copy of the agent's.
        if let Some(deadline) = ask.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            request = request.config().timeout_global(Some(left)).build();
        }
        Ok(BodyReader {
            inner: Box::new(request.call()?.into_body().into_reader()),
            stall: self.stall,
        })
    }
}

/// A URL's origin, and its target: path and query.
fn split(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..]
        .find(['/', '?'])
        .map_or(url.len(), |at| host + at);
    url.split_at(path)
}

/// The head of a request, of whatever length.
fn head_of(ask: &Ask<'_>) -> Result<Vec<u8>, Error> {
    let (_, path) = split(ask.url);
    let target = ask.absolute.as_deref().unwrap_or(path);
    let method = if ask.head { "HEAD" } else { "GET" };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in ask.headers {
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
    stall: Silence,
}

impl BodyReader {
    /// Reads some bytes; 0 only at the end of a complete body.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.inner
            .read(buffer)
            .map_err(|e| understand(ureq::Error::from(e), self.stall))
    }

    /// Reads a short body to its end, so that its connection can be used
    /// again. What is longer than `most`, or not here within `patience`, is
    /// not worth it: the connection is closed then.
    pub(crate) fn drain(mut self, most: usize, patience: Duration) {
        let before = exchange::deadline();
        let until = Instant::now() + patience;
        exchange::set_deadline(Some(before.map_or(until, |before| before.min(until))));
        let mut buffer = [0; 8 * 1024];
        let mut left = most;
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
fn understand(error: ureq::Error, stall: Silence) -> Failure {
    use ureq::Timeout;
    let own = match error {
        ureq::Error::Other(inner) => match inner.downcast::<Failure>() {
            Ok(failure) => return *failure,
            Err(inner) => Error::new(Kind::Protocol, inner.to_string()),
        },
        ureq::Error::Timeout(Timeout::PerRead | Timeout::PerWrite) => {
            return Failure::cut(stall.error());
        }
        ureq::Error::Timeout(_) => out_of_time(),
        ureq::Error::Io(e) => return Failure::cut(Error::network(&e)),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Error::new(Kind::Input, "this host cannot stand in a URL")
        }
        other => Error::new(Kind::Protocol, other.to_string()),
    };
    own.into()
}

/// ureq's connector: the dialer with a [`Wire`] around what it makes.
#[derive(Debug)]
struct Chain(Dialer);

impl Connector for Chain {
    type Out = Wire;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Wire>, ureq::Error> {
        let uri = details.uri;
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (proxy, zone) =
            exchange::with(|exchange| (exchange.proxy.clone(), exchange.zone.clone()));
        let host = Host {
            name: host,
            zone: zone.as_deref(),
        };
        let limit = *details.timeout.after;
        let (stream, made) = self
            .0
            .dial(secure, host, port, proxy.as_deref(), limit)
            .map_err(wire::fail)?;
        Ok(Some(Wire::new(stream, made, zone)))
    }
}

/// ureq asks for addresses even where a kept connection will serve; the
/// dialer looks names up when it needs them.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
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

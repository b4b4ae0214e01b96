//! Makes connections: looks up the host, connects to the fastest of its addresses, opens
//! a tunnel through a proxy, and starts TLS, all of it within `--connect-timeout`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::address::Family;
use common::endpoint;
use common::{Error, Kind, Result};
use socket2::{Domain, SockAddr, Socket, Type};

use super::exchange::{self, ConnectionInfo, Peer};
use super::stream::{SocketStream, Stream};
use super::tls::TlsConnector;
use super::tls_info::TlsInfo;
use super::tunnel::{self, TunnelTarget};
use crate::policy::proxy::{Protocol, Proxy};
use crate::policy::request_url;
use crate::policy::route::Routes;

/// The delay before connecting again to a Unix socket with a full backlog.
const FULL_QUEUE_DELAY: Duration = Duration::from_millis(10);

/// The options of connections.
#[derive(Clone, Debug)]
pub(crate) struct DialOptions {
    pub(crate) family: Family,
    /// The time limit for everything before the request.
    pub(crate) timeout: Duration,
    /// The local interface or address to send from.
    pub(crate) interface: Option<String>,
    /// The Unix socket to connect to instead of the host.
    pub(crate) unix_socket: Option<PathBuf>,
    /// The rules of `--resolve` and `--connect-to`.
    pub(crate) routes: Routes,
    /// The User-Agent of CONNECT requests.
    pub(crate) user_agent: Option<String>,
}

/// The host of a URL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host<'a> {
    /// The name or address, without brackets.
    pub(super) name: &'a str,
    /// The zone of an IPv6 address.
    pub(super) zone: Option<&'a str>,
}

/// Makes connections, with TLS for https.
#[derive(Debug)]
pub(crate) struct Dialer {
    options: DialOptions,
    tls: TlsConnector,
}

/// The deadline of a connection and the option that set it.
#[derive(Clone, Copy)]
struct ConnectDeadline {
    at: Instant,
    allowed: Duration,
    /// Whether `--max-time` ends before the connect timeout.
    is_max_time: bool,
}

impl ConnectDeadline {
    fn left(self) -> Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.expired());
        }
        Ok(left)
    }

    fn expired(self) -> Error {
        self.timeout("no connection")
    }

    /// Returns the error of a step that did not finish in time.
    fn timeout(self, what: &str) -> Error {
        if !self.is_max_time {
            let allowed = format_duration(self.allowed);
            let message = format!("{what} within {allowed} (--connect-timeout)");
            return Error::new(Kind::Timeout, message);
        }
        // Names only the option, since the time that was left for the connection would be
        // confusing.
        Error::new(Kind::Timeout, format!("{what} within --max-time"))
    }

    /// Replaces a timeout error with one that names the limit. `is_connected` is true
    /// if the connection to a proxy was made.
    fn rename(self, error: Error, is_connected: bool) -> Error {
        match error.kind() {
            Kind::Timeout if is_connected => self.timeout("no answer from the proxy"),
            Kind::Timeout => self.expired(),
            _ => error,
        }
    }
}

/// Formats a duration with at most three digits.
pub(crate) fn format_duration(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{} s", (ms / 100.0).round() / 10.0)
    }
}

impl Dialer {
    pub(crate) fn new(options: DialOptions, tls: TlsConnector) -> Self {
        Self { options, tls }
    }

    /// Connects to `host`, within `limit` if that is less than the connect
    /// timeout.
    pub(super) fn dial(
        &self,
        secure: bool,
        host: Host<'_>,
        port: u16,
        proxy: Option<&Proxy>,
        limit: Duration,
    ) -> Result<(Box<dyn Stream>, ConnectionInfo)> {
        let allowed = self.options.timeout.min(limit);
        let deadline = ConnectDeadline {
            at: Instant::now() + allowed,
            allowed,
            is_max_time: limit < self.options.timeout,
        };
        let mut connection = ConnectionInfo::default();
        if secure {
            self.tls.prepare()?;
        }
        let mut stream = self
            .open(secure, host, port, proxy, deadline, &mut connection)
            .map_err(|e| deadline.rename(e, connection.connect.is_some()))?;
        if secure {
            let start = Instant::now();
            let (tls, info) = self.tls.connect(host.name, stream).map_err(|e| {
                exchange::with_current(|exchange| exchange.connection = connection.clone());
                match e.kind() {
                    Kind::Timeout => {
                        let error = deadline.timeout("no answer to the TLS handshake");
                        if deadline.is_max_time {
                            error
                        } else {
                            error.hint("use http:// for plain HTTP")
                        }
                    }
                    _ => e,
                }
            })?;
            connection.tls = Some(start.elapsed());
            connection.tls_info = Some(Arc::new(info));
            stream = Box::new(tls);
        }
        stream.set_deadline(None).map_err(|e| Error::local(&e))?;
        Ok((stream, connection))
    }

    /// Makes the connection that carries the TLS session with the origin.
    fn open(
        &self,
        secure: bool,
        host: Host<'_>,
        port: u16,
        proxy: Option<&Proxy>,
        deadline: ConnectDeadline,
        connection: &mut ConnectionInfo,
    ) -> Result<Box<dyn Stream>> {
        if let Some(path) = &self.options.unix_socket {
            let start = Instant::now();
            let socket = connect_unix(path, deadline)?;
            connection.connect = Some(start.elapsed());
            connection.peer = Some(Peer::Unix(path.clone()));
            return plain_stream(socket, deadline);
        }
        let (name, port) = self.options.routes.connect_to(host.name, port);
        let Some(proxy) = proxy else {
            return self.tcp(&name, host.zone, port, deadline, connection);
        };
        let host = name;
        let mut stream = self
            .tcp(&proxy.host, None, proxy.port, deadline, connection)
            .map_err(|e| Error::new(e.kind(), format!("proxy: {}", e.message())))?;
        let start = Instant::now();
        if proxy.protocol == Protocol::Https {
            let (tls, _): (_, TlsInfo) = self
                .tls
                .connect(&proxy.host, stream)
                .map_err(|e| Error::new(e.kind(), format!("proxy: {}", e.message())))?;
            stream = Box::new(tls);
        }
        let name = TunnelTarget::Name(host.clone(), port);
        match proxy.protocol {
            Protocol::Http | Protocol::Https if secure => {
                let agent = self.options.user_agent.as_deref();
                tunnel::connect(&mut *stream, proxy, &name, agent)?;
            }
            // Plain http is requested in absolute-form, without a tunnel.
            Protocol::Http | Protocol::Https => {}
            Protocol::Socks4a | Protocol::Socks5h => {
                let target = match host.parse() {
                    Ok(address) => TunnelTarget::Address(SocketAddr::new(address, port)),
                    Err(_) => name,
                };
                tunnel::socks(&mut *stream, proxy, &target)?;
            }
            Protocol::Socks4 | Protocol::Socks5 => {
                let found = self.lookup(&host, port, deadline, connection)?;
                let is_usable = |a: &&SocketAddr| proxy.protocol == Protocol::Socks5 || a.is_ipv4();
                let address = found.iter().find(is_usable).or(found.first());
                let address =
                    address.ok_or_else(|| Error::new(Kind::Name, "the name has no address"))?;
                tunnel::socks(&mut *stream, proxy, &TunnelTarget::Address(*address))?;
            }
        }
        connection.connect = connection.connect.map(|connect| connect + start.elapsed());
        Ok(stream)
    }

    fn lookup(
        &self,
        host: &str,
        port: u16,
        deadline: ConnectDeadline,
        connection: &mut ConnectionInfo,
    ) -> Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.options.routes.resolve(host, port) {
            let mut addresses = addresses;
            addresses.retain(|a| self.options.family.admits(&a.ip()));
            if addresses.is_empty() {
                let message = format!("no {} address", self.options.family);
                return Err(Error::new(Kind::Name, message).with_subject(host));
            }
            return Ok(addresses);
        }
        if request_url::is_localhost(host) {
            let mut local: Vec<SocketAddr> = vec![
                (Ipv4Addr::LOCALHOST, port).into(),
                (Ipv6Addr::LOCALHOST, port).into(),
            ];
            local.retain(|a| self.options.family.admits(&a.ip()));
            return Ok(local);
        }
        let parsed = endpoint::parse_host(host).map_err(|e| Error::input(host, e))?;
        let start = Instant::now();
        let timeout = match parsed {
            endpoint::Host::Address(_) => None,
            _ => Some(deadline.left()?),
        };
        let found = ::net::lookup(&parsed, port, self.options.family, timeout)?;
        if timeout.is_some() {
            connection.dns = Some(start.elapsed());
        }
        Ok(found)
    }

    fn tcp(
        &self,
        host: &str,
        zone: Option<&str>,
        port: u16,
        deadline: ConnectDeadline,
        connection: &mut ConnectionInfo,
    ) -> Result<Box<dyn Stream>> {
        let mut addresses = self.lookup(host, port, deadline, connection)?;
        if let Some(zone) = zone {
            let index = common::zone::index(zone).map_err(|why| Error::new(Kind::Input, why))?;
            for address in &mut addresses {
                if let SocketAddr::V6(v6) = address {
                    v6.set_scope_id(index);
                }
            }
        }
        let start = Instant::now();
        let local = self.options.interface.as_deref();
        let (stream, address) = ::net::connect(&addresses, deadline.left()?, |socket, to| {
            bind_local(socket, to, local)
        })?;
        stream.set_nodelay(true).map_err(|e| Error::local(&e))?;
        connection.connect = Some(start.elapsed());
        connection.peer = Some(Peer::Address(address));
        plain_stream(stream, deadline)
    }
}

/// Returns a stream over a socket, with the deadline of the connection.
fn plain_stream(socket: impl Into<Socket>, deadline: ConnectDeadline) -> Result<Box<dyn Stream>> {
    let mut stream = SocketStream::new(socket);
    stream
        .set_deadline(Some(deadline.at))
        .map_err(|e| Error::local(&e))?;
    Ok(Box::new(stream))
}

/// Connects to a Unix socket. While its backlog is full, a blocking connect would
/// wait without a limit, and a non-blocking one returns EAGAIN with nothing to
/// poll for, so this retries at intervals.
fn connect_unix(path: &Path, deadline: ConnectDeadline) -> Result<Socket> {
    let describe = |e: std::io::Error| {
        let error = match e.kind() {
            std::io::ErrorKind::NotFound => Error::local(&e),
            _ => Error::network(&e),
        };
        error.with_subject(path.display().to_string())
    };
    let address = SockAddr::unix(path).map_err(describe)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| Error::local(&e))?;
    socket.set_nonblocking(true).map_err(|e| Error::local(&e))?;
    loop {
        match socket.connect(&address) {
            Ok(()) => break,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(deadline.left()?.min(FULL_QUEUE_DELAY));
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(describe(e)),
        }
    }
    socket
        .set_nonblocking(false)
        .map_err(|e| Error::local(&e))?;
    Ok(socket)
}

/// Binds a socket to a local address, or to an interface by name.
fn bind_local(socket: &Socket, to: &SocketAddr, local: Option<&str>) -> std::io::Result<()> {
    let Some(local) = local else { return Ok(()) };
    match local.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_ipv4() == to.is_ipv4() => {
            socket.bind(&SocketAddr::new(address, 0).into())
        }
        Ok(_) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
        Err(_) => ::net::bind_to_interface(socket, local),
    }
}

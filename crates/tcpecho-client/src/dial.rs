//! Opens the [`Connection`] to the target for every mode.
//!
//! A thread looks up the name, [`net::race`] races the addresses, sockets
//! are bound to `--source` and `--interface`, and `--retry` repeats a failed
//! connect. A signal ends each of these waits; the functions then return `None`
//! instead of a connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::address::Family;
use common::app::Reporter;
use common::endpoint::Endpoint;
use common::{Error, Kind, Result, zone};
use rustix::event::PollFd;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::connection::{self, Connection};
use crate::sys;
use crate::target::Target;
use crate::tls;
use crate::wait::{ShutdownSignal, Wake};

mod lookup;
mod unix;

/// The settings of a connect.
#[derive(Clone, Debug)]
pub(crate) struct DialOptions {
    pub(crate) target: Target,
    /// The address family to which the lookup is restricted.
    pub(crate) family: Family,
    /// Whether to use UDP instead of TCP.
    pub(crate) udp: bool,
    /// The local address to connect from.
    pub(crate) source: Option<SocketAddr>,
    /// The network interface to connect through.
    pub(crate) interface: Option<String>,
    /// The settings of TLS; `None` connects without it.
    pub(crate) tls: Option<tls::TlsOptions>,
    /// The time limit of one attempt, including the lookup.
    pub(crate) timeout: Duration,
    /// The number of retries after a failed connection attempt.
    pub(crate) retry: u32,
    /// The time before each retry.
    pub(crate) retry_delay: Duration,
    /// Whether the run only tests the connection (`--connect-only`).
    pub(crate) connect_only: bool,
}

/// An open connection, with the address and the times of its connect.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) connection: Connection,
    /// The address of the peer as text.
    pub(crate) address: String,
    /// The duration of the TCP handshake, without the lookup.
    pub(crate) connect: Duration,
    /// The duration of the TLS handshake.
    pub(crate) tls: Option<Duration>,
}

/// Opens connections to the target.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) options: DialOptions,
    /// The result of the lookup, cached until a connect fails.
    addresses: RefCell<Vec<SocketAddr>>,
    /// The address of the last connection.
    last_address: Cell<Option<SocketAddr>>,
    /// Whether a connect to the Unix socket has succeeded before.
    has_connected: Cell<bool>,
    /// Whether the Unix socket did not exist in the last attempt.
    is_socket_missing: Cell<bool>,
    tls: Option<tls::TlsConnector>,
}

impl Dialer {
    /// Creates a dialer, without a lookup. Fails if the source address or the
    /// interface cannot be used on this machine.
    pub(crate) fn new(options: DialOptions) -> Result<Self> {
        if let Some(source) = options.source {
            Socket::new(Domain::for_address(source), Type::DGRAM, None)
                .and_then(|socket| {
                    if let Some(interface) = &options.interface {
                        net::bind_to_interface(&socket, interface)?;
                    }
                    socket.bind(&source.into())
                })
                .map_err(|e| source_error(&e, source.ip()))?;
        }
        if let Some(interface) = &options.interface {
            let domain = match options.family {
                Family::V6 => Domain::IPV6,
                Family::V4 | Family::Any => Domain::IPV4,
            };
            Socket::new(domain, Type::DGRAM, None)
                .and_then(|socket| net::bind_to_interface(&socket, interface))
                .map_err(|e| Error::local(&e).with_subject("--interface"))?;
        }
        let tls = options.tls.as_ref().map(tls::TlsConnector::new);
        Ok(Self {
            tls: tls.transpose()?,
            options,
            addresses: RefCell::default(),
            last_address: Cell::default(),
            has_connected: Cell::default(),
            is_socket_missing: Cell::default(),
        })
    }

    /// Returns the target as messages and records show it.
    pub(crate) fn target_name(&self) -> String {
        self.options.target.to_string()
    }

    /// Connects, with as many retries as `--retry` allows.
    pub(crate) fn dial_with_retries(
        &self,
        shutdown: &ShutdownSignal,
        verbose: Option<&Reporter>,
    ) -> Result<Option<Dialed>> {
        self.dial_retrying(&mut self.options.retry.clone(), shutdown, verbose)
    }

    /// Connects, with at most `retries_left` retries, which it counts down.
    pub(crate) fn dial_retrying(
        &self,
        retries_left: &mut u32,
        shutdown: &ShutdownSignal,
        verbose: Option<&Reporter>,
    ) -> Result<Option<Dialed>> {
        loop {
            match self.dial(shutdown) {
                Err(error)
                    if *retries_left > 0
                        && (is_retryable_connect(error.kind()) || self.is_socket_missing.get()) =>
                {
                    if !self.wait_for_retry(retries_left, &error, shutdown, verbose)? {
                        return Ok(None);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Consumes one retry and waits for its delay. Returns false if a signal
    /// arrives.
    pub(crate) fn wait_for_retry(
        &self,
        retries_left: &mut u32,
        error: &Error,
        shutdown: &ShutdownSignal,
        verbose: Option<&Reporter>,
    ) -> Result<bool> {
        if let Some(report) = verbose {
            let retries = match *retries_left {
                1 => "1 retry".to_owned(),
                count => format!("{count} retries"),
            };
            report.line(format_args!("{error}; {retries} left"));
        }
        *retries_left = retries_left.saturating_sub(1);
        Ok(shutdown.sleep(self.options.retry_delay)? != Wake::Shutdown)
    }

    /// Connects in a single attempt.
    pub(crate) fn dial(&self, shutdown: &ShutdownSignal) -> Result<Option<Dialed>> {
        self.is_socket_missing.set(false);
        let outcome = match &self.options.target {
            Target::Inet(endpoint, _) => self.connect_inet(endpoint, shutdown),
            Target::Unix(_) | Target::Abstract(_) => self.connect_unix(shutdown),
        };
        outcome.map_err(|error| {
            self.addresses.borrow_mut().clear();
            match error.subject() {
                Some(_) => error,
                None => error.with_subject(self.target_name()),
            }
        })
    }

    /// Starts a non-blocking connect to the address of the last connection. It is
    /// complete when the socket is writable and has no error.
    pub(crate) fn start_connect(&self) -> io::Result<Connection> {
        let address: SockAddr = match (self.options.target.unix(), self.last_address.get()) {
            (Some(address), _) => address?,
            (None, Some(address)) => address.into(),
            (None, None) => return Err(io::ErrorKind::NotConnected.into()),
        };
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if let Some(to) = address.as_socket() {
            socket.set_tcp_nodelay(true)?;
            self.bind(&socket, &to)?;
        }
        match socket.connect(&address) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                Err(e)
            }
            _ if address.is_unix() => Ok(Connection::Unix(socket.into())),
            _ => self.wrap_stream(socket.into()),
        }
    }

    /// Adds TLS to a TCP connection, if it is enabled.
    fn wrap_stream(&self, stream: TcpStream) -> io::Result<Connection> {
        if let Some(connector) = &self.tls {
            let stream = tls::TlsStream::new(connector, stream)?;
            return Ok(Connection::Tls(Box::new(stream)));
        }
        Ok(Connection::Tcp(stream))
    }

    /// Completes the TLS handshake; returns `false` after a signal.
    fn finish_handshake(
        connection: &mut Connection,
        deadline: Option<Instant>,
        shutdown: &ShutdownSignal,
    ) -> Result<bool> {
        loop {
            match connection.finish_connect() {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Error::new(
                        Kind::Tls,
                        "the peer closed the connection during the TLS handshake",
                    ));
                }
                Err(e) => return Err(connection::explain(&e)),
            }
            let mut fds: Vec<PollFd<'_>> = connection.poll_fd(true, false).into_iter().collect();
            match shutdown.wait(&mut fds, deadline)? {
                Wake::Shutdown => return Ok(false),
                // The peer may keep sending without completing the handshake.
                _ if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return Err(Error::new(Kind::Timeout, "TLS handshake timed out"));
                }
                Wake::TimedOut | Wake::Ready => {}
            }
        }
    }

    fn connect_inet(
        &self,
        endpoint: &Endpoint,
        shutdown: &ShutdownSignal,
    ) -> Result<Option<Dialed>> {
        let deadline = Instant::now().checked_add(self.options.timeout);
        if self.addresses.borrow().is_empty() {
            match self.lookup(endpoint, deadline, shutdown)? {
                Some(found) => *self.addresses.borrow_mut() = found,
                None => return Ok(None),
            }
        }
        let addresses = self.addresses.borrow().clone();
        let started = Instant::now();
        let (mut connection, address) = if self.options.udp {
            self.open_udp(&addresses)?
        } else {
            let left = deadline.map_or(self.options.timeout, |deadline| {
                deadline.saturating_duration_since(started)
            });
            let bind = |socket: &Socket, address: &SocketAddr| self.bind(socket, address);
            let race = net::connect_interruptible(&addresses, left, Some(shutdown.fd()), bind)?;
            let Some((stream, address)) = race else {
                shutdown.requests();
                return Ok(None);
            };
            stream
                .set_nodelay(true)
                .and_then(|()| stream.set_nonblocking(true))
                .map_err(|e| Error::network(&e))?;
            let connection = self.wrap_stream(stream);
            (connection.map_err(|e| connection::explain(&e))?, address)
        };
        let connect = started.elapsed();
        let mut tls = None;
        if self.tls.is_some() {
            if !Self::finish_handshake(&mut connection, deadline, shutdown)? {
                return Ok(None);
            }
            tls = Some(started.elapsed().saturating_sub(connect));
        }
        self.last_address.set(Some(address));
        Ok(Some(Dialed {
            connection,
            address: address.to_string(),
            connect,
            tls,
        }))
    }

    /// Binds a new socket to the source address and the interface.
    fn bind(&self, socket: &Socket, address: &SocketAddr) -> io::Result<()> {
        if let Some(interface) = &self.options.interface {
            net::bind_to_interface(socket, interface)?;
        }
        if let Some(source) = self.options.source {
            if address.is_ipv4() {
                sys::bind_address_no_port(socket)?;
            }
            socket.bind(&source.into())?;
        }
        Ok(())
    }

    /// Opens a UDP socket to the first address that has a route. UDP has no
    /// handshake that could show whether something listens there.
    fn open_udp(&self, addresses: &[SocketAddr]) -> Result<(Connection, SocketAddr)> {
        let mut first_error = None;
        for &address in addresses {
            match self.udp_socket(address) {
                Ok(connection) => return Ok((connection, address)),
                Err(e) => first_error = first_error.or(Some(Error::network(&e))),
            }
        }
        Err(first_error.unwrap_or_else(|| Error::new(Kind::Name, "the name has no address")))
    }

    fn udp_socket(&self, address: SocketAddr) -> io::Result<Connection> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        self.bind(&socket, &address)?;
        socket.set_nonblocking(true)?;
        let is_group = address.ip().is_multicast()
            || match socket.connect(&address.into()) {
                // connect(2) returns EACCES for the broadcast address of any
                // network of this machine, unless SO_BROADCAST is set.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    socket.set_broadcast(true)?;
                    true
                }
                outcome => outcome.map(|()| false)?,
            };
        Ok(if is_group {
            Connection::UnconnectedUdp(socket.into(), address)
        } else {
            Connection::Udp(socket.into())
        })
    }
}

/// Returns the error of a source address that cannot be bound.
fn source_error(error: &io::Error, source: IpAddr) -> Error {
    let local = Error::local(error);
    let local = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            local.hint("no network interface of this host has this address")
        }
        io::ErrorKind::InvalidInput if zone::is_needed(source) => local.hint(format!(
            "a link-local address requires an interface, as in {source}%IFACE"
        )),
        _ => local,
    };
    local.with_subject(source.to_string())
}

/// Returns whether a retry may succeed after an error of this kind.
fn is_retryable_connect(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Reset | Kind::Name
    )
}

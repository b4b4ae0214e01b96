//! Creates, binds and opens the listening sockets of the operands.
//!
//! All sockets are bound before any of them listens, so no client can reach a
//! server that fails to start. Operands with port 0 share one port; if it is in
//! use at one address, all are bound again with another port. A wildcard address
//! serves both families with one IPv6 socket, or IPv4 only if the system has no
//! IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use common::address::Family;
use common::endpoint::{Endpoint, Host};
use common::{Error, Kind, Result, zone};
use socket2::{Domain, Socket, Type};

use crate::address::Address;
use crate::udp::UdpSocket;
use crate::unix::{self, SocketFile};

/// The maximum number of attempts to find a free port that all operands can
/// share.
const MAX_ATTEMPTS: usize = 32;

/// The backlog of inherited sockets that do not listen yet.
const INHERITED_BACKLOG: i32 = 4096;

/// The timeout for the lookup of a host name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// An address to listen on, as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddr {
    /// A host and port, and the network interface to which it is limited.
    Inet(Endpoint, Option<String>),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace of Unix sockets.
    Abstract(String),
}

/// The options of listening sockets.
#[derive(Clone, Debug)]
pub(crate) struct ListenOptions {
    /// The address families to use.
    pub(crate) family: Family,
    /// The maximum number of connections that wait to be accepted.
    pub(crate) backlog: i32,
    /// Whether other processes may share the port.
    pub(crate) reuse_port: bool,
    /// Whether to receive datagrams at the same ports.
    pub(crate) udp: bool,
    /// The network interface for addresses without one.
    pub(crate) interface: Option<String>,
    /// The permission bits of Unix sockets, or `None` to use the umask.
    pub(crate) mode: Option<u32>,
}

/// The opened sockets, in the order of the operands.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// The sockets that accept connections.
    pub(crate) listeners: Vec<Listener>,
    /// The sockets that receive datagrams.
    pub(crate) udp: Vec<UdpSocket>,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Removes the path when it is dropped, which is before the socket is
    /// closed: until then no other server takes the path for a stale one.
    _file: Option<SocketFile>,
    socket: Socket,
    address: Address,
}

impl Listener {
    /// Prepares a socket that another process has bound. `listens` is true if
    /// it is already listening.
    pub(crate) fn inherited(socket: Socket, listens: bool) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let address = match address.as_socket() {
            Some(inet) => {
                set_listener_options(&socket)?;
                Address::Inet(inet)
            }
            None => Address::unix(&address),
        };
        socket.set_nonblocking(true)?;
        if !listens {
            socket.listen(INHERITED_BACKLOG)?;
        }
        Ok(Self {
            socket,
            address,
            // The process that created the path removes it.
            _file: None,
        })
    }

    /// Returns the address to which the socket is bound.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the port, or `None` for a Unix socket.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.address {
            Address::Inet(address) => Some(address.port()),
            Address::Unix(_) | Address::Abstract(_) | Address::Unnamed(_) => None,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Opens sockets for all addresses, or returns the errors of all addresses.
pub(crate) fn open(
    addrs: &[(String, ListenAddr)],
    options: &ListenOptions,
) -> Result<Sockets, Vec<Error>> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match BindAttempt::new(options).bind_all(addrs) {
            Err(BindFailure::PortInUse(_)) if attempts < MAX_ATTEMPTS => {}
            Err(BindFailure::PortInUse(error)) => return Err(vec![error]),
            Err(BindFailure::Errors(errors)) => return Err(errors),
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// The reason why an attempt to bind all addresses failed.
enum BindFailure {
    /// The port that the system chose for one address is in use at another;
    /// the next attempt gets another port.
    PortInUse(Error),
    /// The errors would be the same at the next attempt.
    Errors(Vec<Error>),
}

/// The error of one address.
struct BindError {
    error: Error,
    /// Whether another port that the system chooses may be free.
    is_retryable: bool,
}

impl From<Error> for BindError {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_retryable: false,
        }
    }
}

/// One attempt to bind all addresses.
struct BindAttempt<'a> {
    options: &'a ListenOptions,
    /// The port that addresses with port 0 share, once the system has chosen it.
    shared_port: Option<u16>,
    sockets: Sockets,
}

impl<'a> BindAttempt<'a> {
    fn new(options: &'a ListenOptions) -> Self {
        Self {
            options,
            shared_port: None,
            sockets: Sockets::default(),
        }
    }

    /// Binds all addresses, then makes the sockets listen.
    fn bind_all(mut self, addrs: &[(String, ListenAddr)]) -> Result<Sockets, BindFailure> {
        let mut errors = Vec::new();
        for (index, (text, addr)) in addrs.iter().enumerate() {
            let shared = self.options.reuse_port && matches!(addr, ListenAddr::Inet(..));
            if !shared && addrs[..index].iter().any(|(_, earlier)| earlier == addr) {
                errors.push(Error::input(
                    text,
                    "the address was given twice; remove one",
                ));
                continue;
            }
            if let Err(failed) = self.bind_one(addr, addrs) {
                let error = failed.error.with_subject(text);
                if failed.is_retryable {
                    return Err(BindFailure::PortInUse(error));
                }
                errors.push(error);
            }
        }
        let listeners = &self.sockets.listeners;
        for (index, listener) in listeners.iter().enumerate() {
            if let Err(e) = listener.socket.listen(self.options.backlog) {
                let used_by_operand = e.kind() == io::ErrorKind::AddrInUse
                    && listeners[..index]
                        .iter()
                        .any(|earlier| earlier.port() == listener.port());
                let error = if used_by_operand {
                    Error::local(&e).hint("another operand already uses this port")
                } else {
                    explain_bind_error(&e, listener.port())
                };
                errors.push(error.with_subject(listener.address.to_string()));
            }
        }
        if errors.is_empty() {
            Ok(self.sockets)
        } else {
            Err(BindFailure::Errors(errors))
        }
    }

    /// Binds one operand. A host name may have several addresses.
    fn bind_one(
        &mut self,
        addr: &ListenAddr,
        addrs: &[(String, ListenAddr)],
    ) -> Result<(), BindError> {
        let (endpoint, interface) = match addr {
            ListenAddr::Unix(path) => {
                let (socket, file) = unix::bind(path, self.options.mode)?;
                self.sockets.listeners.push(Listener {
                    _file: Some(file),
                    socket,
                    address: Address::Unix(path.as_path().into()),
                });
                return Ok(());
            }
            ListenAddr::Abstract(name) => {
                let socket = unix::bind_abstract(name)?;
                self.sockets.listeners.push(Listener {
                    _file: None,
                    socket,
                    address: Address::Abstract(name.as_bytes().into()),
                });
                return Ok(());
            }
            ListenAddr::Inet(endpoint, interface) => (endpoint, interface),
        };
        let interface = interface.as_ref().or(self.options.interface.as_ref());
        let interface = interface.map(String::as_str);
        let any_port = endpoint.port == 0;
        let port = match self.shared_port {
            Some(shared) if any_port => shared,
            _ => endpoint.port,
        };
        let addresses = match (&endpoint.host, self.options.family) {
            (Host::Any, Family::V4) => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))],
            (Host::Any, Family::V6) => vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))],
            (Host::Any, Family::Any) => {
                let socket = self.bind_wildcard(port, interface);
                let socket = socket.map_err(|e| retryable_error(&e, port, any_port))?;
                return self.add_listener(socket, false, any_port, interface);
            }
            (host, family) => {
                let mut host = host.clone();
                if let Host::Name(name) = &host {
                    let ascii = zone::to_ascii(name);
                    host = Host::Name(ascii.map_err(|why| Error::new(Kind::Input, why))?);
                }
                net::lookup(&host, port, family, Some(LOOKUP_TIMEOUT))?
            }
        };
        // `[::]` also accepts IPv4 connections, unless another operand does.
        let only_v6 =
            self.options.family == Family::V6 || addrs.iter().any(|(_, addr)| is_any_v4(addr));
        for mut address in addresses {
            if let Some(shared) = self.shared_port
                && any_port
            {
                address.set_port(shared);
            }
            if let Some(interface) = interface
                && zone::is_needed(address.ip())
            {
                let index = zone::index(interface).map_err(|why| Error::new(Kind::System, why))?;
                address = zone::within(address, index);
            }
            let socket = self.bind(address, only_v6, Type::STREAM, interface);
            let socket = socket.map_err(|e| retryable_error(&e, address.port(), any_port))?;
            self.add_listener(socket, only_v6, any_port, interface)?;
        }
        Ok(())
    }

    /// Adds a bound socket, and binds a UDP socket at the same address.
    fn add_listener(
        &mut self,
        socket: Socket,
        only_v6: bool,
        any_port: bool,
        interface: Option<&str>,
    ) -> Result<(), BindError> {
        let address = socket.local_addr().map(|address| address.as_socket());
        let address = address.map_err(|e| Error::local(&e))?;
        let address = address.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        if any_port {
            self.shared_port.get_or_insert(address.port());
        }
        self.sockets.listeners.push(Listener {
            socket,
            address: Address::Inet(address),
            _file: None,
        });
        if self.options.udp {
            let socket = self.bind(address, only_v6, Type::DGRAM, interface);
            let socket = socket.and_then(UdpSocket::new);
            let socket = socket.map_err(|e| retryable_error(&e, address.port(), any_port))?;
            self.sockets.udp.push(socket);
        }
        Ok(())
    }

    /// Binds a socket to all addresses of both families, or of IPv4 only if
    /// that fails for a reason other than a port in use.
    fn bind_wildcard(&self, port: u16, interface: Option<&str>) -> io::Result<Socket> {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match self.bind(all, false, Type::STREAM, interface) {
            Err(e) if e.kind() != io::ErrorKind::AddrInUse => {
                let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                self.bind(all, false, Type::STREAM, interface)
            }
            outcome => outcome,
        }
    }

    fn bind(
        &self,
        address: SocketAddr,
        only_v6: bool,
        kind: Type,
        interface: Option<&str>,
    ) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, None)?;
        if let Some(interface) = interface {
            net::bind_to_interface(&socket, interface)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        if self.options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if kind == Type::STREAM {
            // A restarted server must not wait for connections of the last run
            // in TIME_WAIT.
            socket.set_reuse_address(true)?;
            set_listener_options(&socket)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    }
}

/// Returns the error of a bind. If the system chose the port, another attempt
/// may succeed.
fn retryable_error(error: &io::Error, port: u16, any_port: bool) -> BindError {
    BindError {
        error: explain_bind_error(error, Some(port)),
        is_retryable: any_port && error.kind() == io::ErrorKind::AddrInUse,
    }
}

/// Sets the options of a listener. Its connections inherit them: small replies
/// are sent immediately, and urgent data is data like any other.
fn set_listener_options(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)
}

fn is_any_v4(addr: &ListenAddr) -> bool {
    matches!(addr, ListenAddr::Inet(Endpoint { host: Host::Address(IpAddr::V4(a)), .. }, _) if a.is_unspecified())
}

fn explain_bind_error(error: &io::Error, port: Option<u16>) -> Error {
    let local = Error::local(error);
    match (error.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(_)) => local.hint("use another port, or 0 for a free port"),
        (io::ErrorKind::PermissionDenied, Some(port)) => local.hint(format!(
            "port {port} needs root or the capability CAP_NET_BIND_SERVICE"
        )),
        (io::ErrorKind::AddrNotAvailable, _) => {
            local.hint("no network interface of this host has this address")
        }
        _ => local,
    }
}

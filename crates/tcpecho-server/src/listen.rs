//! Listening sockets: from operands to descriptors.
//!
//! Everything is bound before anything listens, so no client meets half a
//! server. Several operands with port 0 get the same port; should it be taken
//! at one of them, all begin again with another. A wildcard serves both
//! families through one IPv6 socket, or IPv4 alone where there is no IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use common::address::Family;
use common::endpoint::{Endpoint, Host};
use common::{Error, Kind, Result, net, zone};
use socket2::{Domain, Socket, Type};

use crate::peer::Peer;
use crate::udp::Port;
use crate::unix::{self, SocketFile};

/// How often a shared free port is looked for.
const TRIES: usize = 32;

/// Connections that may wait at a socket somebody else bound but did not
/// listen on.
const INHERITED_BACKLOG: i32 = 4096;

/// How long a name of an operand may take to resolve.
const LOOKUP: Duration = Duration::from_secs(5);

/// Where to listen, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An address, or all, and a port, perhaps on one network interface only.
    Inet(Endpoint, Option<String>),
    /// A path in the file system.
    Unix(PathBuf),
    /// A name in the abstract namespace of Linux.
    Abstract(String),
}

/// How to listen.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Which families.
    pub(crate) family: Family,
    /// How many connections may wait to be accepted.
    pub(crate) backlog: i32,
    /// Whether others may share the port.
    pub(crate) reuse_port: bool,
    /// Whether to take datagrams at the same ports.
    pub(crate) udp: bool,
    /// The network interface of places that name none.
    pub(crate) interface: Option<String>,
    /// The permission bits of Unix sockets; by the umask if not given.
    pub(crate) mode: Option<u32>,
}

/// What was opened, in the order of the operands.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Where connections come in.
    pub(crate) listeners: Vec<Listener>,
    /// Where datagrams come in.
    pub(crate) ports: Vec<Port>,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Removed from the file system when this goes, and before the socket is
    /// closed: until then its path cannot be taken for a stale one.
    _file: Option<SocketFile>,
    socket: Socket,
    address: Peer,
}

impl Listener {
    /// A socket that was bound by somebody else, and may listen already.
    pub(crate) fn inherited(socket: Socket, listens: bool) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let address = match address.as_socket() {
            Some(inet) => {
                prepare(&socket)?;
                Peer::Inet(inet)
            }
            None => Peer::unix(&address),
        };
        socket.set_nonblocking(true)?;
        if !listens {
            socket.listen(INHERITED_BACKLOG)?;
        }
        Ok(Self {
            socket,
            address,
            // Whoever made it removes it.
            _file: None,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Peer {
        &self.address
    }

    /// Its port, if it has one.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.address {
            Peer::Inet(address) => Some(address.port()),
            Peer::Unix(_) | Peer::Abstract(_) | Peer::Unnamed(_) => None,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Opens all places, or none.
pub(crate) fn open(places: &[(String, Place)], options: &Options) -> Result<Sockets, Vec<Error>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Binding::new(options).all(places) {
            Err(Failure::PortTaken(_)) if tries < TRIES => {}
            Err(Failure::PortTaken(error)) => return Err(vec![error]),
            Err(Failure::Errors(errors)) => return Err(errors),
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// Why binding did not come off.
enum Failure {
    /// The port the system chose for one operand is taken at another.
    PortTaken(Error),
    /// Something that another try would not mend.
    Errors(Vec<Error>),
}

/// One attempt to bind everything.
struct Binding<'a> {
    options: &'a Options,
    /// The port that operands with port 0 share, once there is one.
    chosen: Option<u16>,
    sockets: Sockets,
}

/// An error, and whether another shared port might do.
type Refusal = (Error, bool);

impl<'a> Binding<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            options,
            chosen: None,
            sockets: Sockets::default(),
        }
    }

    fn all(mut self, places: &[(String, Place)]) -> Result<Sockets, Failure> {
        let mut errors = Vec::new();
        for (index, (text, place)) in places.iter().enumerate() {
            let shared = self.options.reuse_port && matches!(place, Place::Inet(..));
            if !shared && places[..index].iter().any(|(_, earlier)| earlier == place) {
                errors.push(Error::input(text, "given twice"));
                continue;
            }
            match self.one(place, places) {
                Ok(()) => {}
                Err((error, true)) => return Err(Failure::PortTaken(error.with_subject(text))),
                Err((error, false)) => errors.push(error.with_subject(text)),
            }
        }
        let listeners = &self.sockets.listeners;
        for (index, listener) in listeners.iter().enumerate() {
            if let Err(e) = listener.socket.listen(self.options.backlog) {
                let own = e.kind() == io::ErrorKind::AddrInUse
                    && listeners[..index]
                        .iter()
                        .any(|earlier| earlier.port() == listener.port());
                let error = if own {
                    Error::local(&e).hint("another operand has it already")
                } else {
                    bind_error(&e, listener.port())
                };
                errors.push(error.with_subject(listener.address.to_string()));
            }
        }
        if errors.is_empty() {
            Ok(self.sockets)
        } else {
            Err(Failure::Errors(errors))
        }
    }

    /// Binds one operand; a name may stand for several addresses.
    fn one(&mut self, place: &Place, places: &[(String, Place)]) -> Result<(), Refusal> {
        let endpoint = match place {
            Place::Unix(path) => {
                let (socket, file) = unix::bind(path, self.options.mode).map_err(|e| (e, false))?;
                self.sockets.listeners.push(Listener {
                    _file: Some(file),
                    socket,
                    address: Peer::Unix(path.as_path().into()),
                });
                return Ok(());
            }
            Place::Abstract(name) => {
                let socket = unix::bind_abstract(name).map_err(|e| (e, false))?;
                self.sockets.listeners.push(Listener {
                    _file: None,
                    socket,
                    address: Peer::Abstract(name.as_bytes().into()),
                });
                return Ok(());
            }
            Place::Inet(endpoint, interface) => (endpoint, interface),
        };
        let (endpoint, interface) = endpoint;
        let interface = interface.as_ref().or(self.options.interface.as_ref());
        let interface = interface.map(String::as_str);
        let free = endpoint.port == 0;
        let port = match self.chosen {
            Some(chosen) if free => chosen,
            _ => endpoint.port,
        };
        let addresses = match (&endpoint.host, self.options.family) {
            (Host::Any, Family::V4) => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))],
            (Host::Any, Family::V6) => vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))],
            (Host::Any, Family::Any) => {
                let socket = self.wildcard(port, interface);
                let socket = socket.map_err(|e| refusal(&e, port, free))?;
                return self.complete(socket, false, free, interface);
            }
            (host, family) => {
                let mut host = host.clone();
                if let Host::Name(name) = &host {
                    let ascii = zone::to_ascii(name);
                    let bad = |why| (Error::new(Kind::Input, why), false);
                    host = Host::Name(ascii.map_err(bad)?);
                }
                net::lookup(&host, port, family, Some(LOOKUP)).map_err(|e| (e, false))?
            }
        };
        // `[::]` takes IPv4 too, unless that is asked for apart.
        let only_v6 = self.options.family == Family::V6 || places.iter().any(|(_, p)| is_any_v4(p));
        for mut address in addresses {
            if let Some(chosen) = self.chosen
                && free
            {
                address.set_port(chosen);
            }
            if let Some(interface) = interface
                && zone::is_needed(address.ip())
            {
                let bad = |why| (Error::new(Kind::System, why), false);
                address = zone::within(address, zone::index(interface).map_err(bad)?);
            }
            let socket = self.bind(address, only_v6, Type::STREAM, interface);
            let socket = socket.map_err(|e| refusal(&e, address.port(), free))?;
            self.complete(socket, only_v6, free, interface)?;
        }
        Ok(())
    }

    /// Takes a bound socket in, and binds its twin for datagrams.
    fn complete(
        &mut self,
        socket: Socket,
        only_v6: bool,
        free: bool,
        interface: Option<&str>,
    ) -> Result<(), Refusal> {
        let address = socket.local_addr().map(|address| address.as_socket());
        let address = address.map_err(|e| (Error::local(&e), false))?;
        let address = address.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        if free {
            self.chosen.get_or_insert(address.port());
        }
        self.sockets.listeners.push(Listener {
            socket,
            address: Peer::Inet(address),
            _file: None,
        });
        if self.options.udp {
            let port = self.bind(address, only_v6, Type::DGRAM, interface);
            let port = port.and_then(Port::new);
            let port = port.map_err(|e| refusal(&e, address.port(), free))?;
            self.sockets.ports.push(port);
        }
        Ok(())
    }

    /// All addresses of both families, or IPv4 alone if IPv6 cannot be had; a
    /// port in use is in use.
    fn wildcard(&self, port: u16, interface: Option<&str>) -> io::Result<Socket> {
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
            bind_device(&socket, interface)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        if self.options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if kind == Type::STREAM {
            // A restart must not wait for the last run's TIME_WAIT.
            socket.set_reuse_address(true)?;
            prepare(&socket)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    }
}

/// An error of binding; with a port that the system chose, it may be another
/// next time.
fn refusal(error: &io::Error, port: u16, free: bool) -> Refusal {
    let again = free && error.kind() == io::ErrorKind::AddrInUse;
    (bind_error(error, Some(port)), again)
}

/// What a listening socket of ours has, and its connections inherit: no
/// delaying of small answers, and urgent data as data like any other.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_device(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_device(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "--interface is not supported on this system",
    ))
}

fn is_any_v4(place: &Place) -> bool {
    matches!(place, Place::Inet(Endpoint { host: Host::Address(IpAddr::V4(a)), .. }, _) if a.is_unspecified())
}

fn bind_error(error: &io::Error, port: Option<u16>) -> Error {
    let local = Error::local(error);
    match (error.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(port)) => local.hint(format!(
            "port {port} is taken; choose another, or 0 for a free one"
        )),
        (io::ErrorKind::PermissionDenied, Some(port)) => local.hint(format!(
            "port {port} needs root or the capability CAP_NET_BIND_SERVICE"
        )),
        (io::ErrorKind::AddrNotAvailable, _) => local.hint("no interface here has this address"),
        _ => local,
    }
}

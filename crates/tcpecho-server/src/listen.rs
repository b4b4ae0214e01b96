//! Listening sockets: from operands to descriptors.
//!
//! Everything is bound before anything listens, so no client meets half a
//! server. Several operands with port 0 get the same port; should it be taken
//! at one of them, all begin again with another. A wildcard serves both
//! families through one IPv6 socket, or IPv4 alone where there is no IPv6.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::address::Family;
use common::endpoint::{Endpoint, Host};
use common::{Error, Result, net};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::peer::Peer;

/// How often a shared free port is looked for.
const TRIES: usize = 32;

/// How long a name of an operand may take to resolve.
const LOOKUP: Duration = Duration::from_secs(5);

/// Where to listen, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An address, or all, and a port.
    Inet(Endpoint),
    /// A path in the file system.
    Unix(PathBuf),
}

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Which families.
    pub(crate) family: Family,
    /// How many connections may wait to be accepted.
    pub(crate) backlog: i32,
    /// Whether others may share the port.
    pub(crate) reuse_port: bool,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    address: Peer,
    /// Removed from the file system when this goes.
    _file: Option<SocketFile>,
}

impl Listener {
    /// Where it listens.
    pub(crate) fn address(&self) -> &Peer {
        &self.address
    }

    /// Its port, if it has one.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.address {
            Peer::Inet(address) => Some(address.port()),
            Peer::Unix(_) | Peer::Unnamed(_) => None,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Opens all places, or none.
pub(crate) fn open(
    places: &[(String, Place)],
    options: Options,
) -> Result<Vec<Listener>, Vec<Error>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Binding::new(options).all(places) {
            Err(Failure::PortTaken(_)) if tries < TRIES => {}
            Err(Failure::PortTaken(error)) => return Err(vec![error]),
            Err(Failure::Errors(errors)) => return Err(errors),
            Ok(listeners) => return Ok(listeners),
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
struct Binding {
    options: Options,
    /// The port that operands with port 0 share, once there is one.
    chosen: Option<u16>,
}

impl Binding {
    fn new(options: Options) -> Self {
        Self {
            options,
            chosen: None,
        }
    }

    fn all(mut self, places: &[(String, Place)]) -> Result<Vec<Listener>, Failure> {
        let mut listeners = Vec::new();
        let mut errors = Vec::new();
        for (text, place) in places {
            match self.one(place, places) {
                Ok(bound) => listeners.extend(bound),
                Err((error, true)) => return Err(Failure::PortTaken(error.about(text))),
                Err((error, false)) => errors.push(error.about(text)),
            }
        }
        for listener in &listeners {
            if let Err(e) = listener.socket.listen(self.options.backlog) {
                errors.push(bind_error(&e, listener.port()).about(listener.address.to_string()));
            }
        }
        if errors.is_empty() {
            Ok(listeners)
        } else {
            Err(Failure::Errors(errors))
        }
    }

    /// Binds one operand; a name may stand for several addresses. The flag
    /// says whether another shared port might do.
    fn one(
        &mut self,
        place: &Place,
        places: &[(String, Place)],
    ) -> Result<Vec<Listener>, (Error, bool)> {
        let endpoint = match place {
            Place::Unix(path) => return bind_unix(path).map(|l| vec![l]).map_err(|e| (e, false)),
            Place::Inet(endpoint) => endpoint,
        };
        let shared = endpoint.port == 0 && self.chosen.is_some();
        let port = match endpoint.port {
            0 => self.chosen.unwrap_or(0),
            port => port,
        };
        let failed = |e: io::Error| {
            let again = shared && e.kind() == io::ErrorKind::AddrInUse;
            (bind_error(&e, Some(port)), again)
        };
        let addresses = match (&endpoint.host, self.options.family) {
            (Host::Any, Family::V4) => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))],
            (Host::Any, Family::V6) => vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))],
            (Host::Any, Family::Any) => {
                let both = self.wildcard(port).map_err(failed)?;
                return Ok(vec![self.note(both)]);
            }
            (host, family) => {
                net::lookup(host, port, family, Some(LOOKUP)).map_err(|e| (e, false))?
            }
        };
        let mut bound = Vec::new();
        for mut address in addresses {
            if address.port() == 0
                && let Some(chosen) = self.chosen
            {
                address.set_port(chosen);
            }
            // `[::]` takes IPv4 too, unless that is asked for apart.
            let only_v6 =
                self.options.family == Family::V6 || places.iter().any(|(_, p)| is_any_v4(p));
            let socket = self.bind(address, only_v6).map_err(failed)?;
            bound.push(self.note(socket));
        }
        Ok(bound)
    }

    /// All addresses of both families. Only a system without IPv6 falls back
    /// to IPv4 alone; a port in use is in use.
    fn wildcard(&self, port: u16) -> io::Result<Socket> {
        use io::ErrorKind::{AddrInUse, PermissionDenied};
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match self.bind(all, false) {
            Err(e) if !matches!(e.kind(), AddrInUse | PermissionDenied) => {
                self.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false)
            }
            outcome => outcome,
        }
    }

    fn bind(&self, address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        // A restart must not wait for the last run's TIME_WAIT.
        socket.set_reuse_address(true)?;
        if self.options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        Ok(socket)
    }

    /// Completes a listener and remembers its port.
    fn note(&mut self, socket: Socket) -> Listener {
        let address = socket.local_addr().ok().and_then(|a| a.as_socket());
        let address = address.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        self.chosen.get_or_insert(address.port());
        Listener {
            socket,
            address: Peer::Inet(address),
            _file: None,
        }
    }
}

/// What a listening socket of ours has, and its connections inherit: no
/// delaying of small answers, and urgent data as data like any other.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)
}

fn is_any_v4(place: &Place) -> bool {
    matches!(place, Place::Inet(Endpoint { host: Host::Address(IpAddr::V4(a)), .. }) if a.is_unspecified())
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

fn bind_unix(path: &Path) -> Result<Listener> {
    let fail = |e: io::Error| Error::local(&e);
    let address = SockAddr::unix(path).map_err(fail)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fail)?;
    match socket.bind(&address) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address, &e)?;
            socket.bind(&address).map_err(fail)?;
        }
        outcome => outcome.map_err(fail)?,
    }
    socket.set_nonblocking(true).map_err(fail)?;
    let file = SocketFile::of(path).map_err(fail)?;
    Ok(Listener {
        socket,
        address: Peer::Unix(path.into()),
        _file: Some(file),
    })
}

/// Removes a socket file that nobody listens at, and nothing else.
fn remove_stale(path: &Path, address: &SockAddr, in_use: &io::Error) -> Result<()> {
    let meta = fs::symlink_metadata(path).map_err(|e| Error::local(&e))?;
    if !meta.file_type().is_socket() {
        return Err(Error::new(common::Kind::System, "exists and is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| Error::local(&e))?;
    // Not blocking: a full backlog is somebody listening, too.
    probe.set_nonblocking(true).map_err(|e| Error::local(&e))?;
    match probe.connect(address) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| Error::local(&e))
        }
        _ => Err(Error::local(in_use).hint("another program listens there")),
    }
}

/// A socket's file, removed with this value if it is still the same file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (meta.dev(), meta.ino()),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if same {
            // The directory may have been closed to us; then it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

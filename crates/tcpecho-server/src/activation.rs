//! Being started by others: sockets handed down by systemd (sd_listen_fds(3))
//! and inetd, and telling systemd how far one is (sd_notify(3)).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use common::{Error, Io, Kind, Result};
use rustix::net::{AddressFamily, SocketType, sockopt};
use socket2::Socket;

use crate::listen::Listener;
use crate::sys;
use crate::udp::Port;

/// The first descriptor that systemd hands down.
const FIRST: i32 = 3;

/// What an inherited descriptor turned out to be.
#[derive(Debug)]
pub(crate) enum Inherited {
    /// A socket to accept connections from.
    Listener(Listener),
    /// A socket to take datagrams from.
    Port(Port),
    /// A connection.
    Connection(OwnedFd),
}

impl Inherited {
    /// Looks at a socket.
    fn of(fd: OwnedFd) -> io::Result<Self> {
        match sockopt::socket_type(&fd)? {
            SocketType::STREAM => {}
            SocketType::DGRAM if is_ip(&fd)? => return Port::new(Socket::from(fd)).map(Self::Port),
            _ => return Err(io::Error::other("a socket of a kind not served here")),
        }
        let listens = sockopt::socket_acceptconn(&fd)?;
        if !listens && rustix::net::getpeername(&fd).is_ok() {
            rustix::io::ioctl_fionbio(&fd, true)?;
            return Ok(Self::Connection(fd));
        }
        Listener::inherited(Socket::from(fd), listens).map(Self::Listener)
    }
}

fn is_ip(fd: &OwnedFd) -> io::Result<bool> {
    let family = sockopt::socket_domain(fd)?;
    Ok(family == AddressFamily::INET || family == AddressFamily::INET6)
}

/// The sockets of `LISTEN_FDS`, if they are meant for this process.
pub(crate) fn systemd_sockets(io: &Io) -> Result<Vec<Inherited>> {
    let number = |name: &str| io.env(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0);
    (FIRST..)
        .take(count as usize)
        .map(|fd| {
            let about = |e: io::Error| Error::local(&e).about(format!("descriptor {fd}"));
            let fd = sys::inherited(fd).map_err(about)?;
            Inherited::of(fd).map_err(about)
        })
        .collect()
}

/// The socket that inetd made standard input.
pub(crate) fn inetd_socket() -> Result<Inherited> {
    let found = sys::inherited(0).and_then(Inherited::of);
    found.map_err(|e| {
        let error = match e.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOTSOCK.raw_os_error() => {
                Error::new(Kind::System, "not a socket")
            }
            _ => Error::local(&e),
        };
        error
            .about("standard input")
            .hint("--inetd is for inetd, xinetd and systemd, which pass one")
    })
}

/// How to tell systemd, where it wants to be told.
#[derive(Clone, Debug)]
pub(crate) struct Notify(Option<String>);

impl Notify {
    /// From the environment.
    pub(crate) fn new(io: &Io) -> Self {
        Self(io.env("NOTIFY_SOCKET").filter(|path| !path.is_empty()))
    }

    /// Sends a state such as `READY=1`.
    pub(crate) fn tell(&self, state: &str) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        send(path, state).map_err(|e| Error::local(&e).about(format!("NOTIFY_SOCKET {path}")))
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = path.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state.as_bytes(), &address).map(drop);
    }
    socket.send_to(state.as_bytes(), path).map(drop)
}

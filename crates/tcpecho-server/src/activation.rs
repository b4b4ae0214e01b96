//! Being started by others: sockets handed down by systemd (sd_listen_fds(3))
//! and inetd, and telling systemd how far one is (sd_notify(3)).

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use common::{Error, Io, Kind, Result};
use rustix::net::{AddressFamily, SocketType, sockopt};
use socket2::Socket;

use crate::listen::Listener;
use crate::sys::{Handed, NotHanded};
use crate::udp::Port;

/// The first descriptor that systemd hands down.
const FIRST: i32 = 3;

/// How long the receiver of a notification may leave its queue full.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);

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

/// Takes what was handed down: the descriptor of `--ready-fd`, the sockets of
/// `LISTEN_FDS` if they are meant for this process, the one that inetd made
/// standard input. To be called before anything is opened.
pub(crate) fn take(ready: Option<i32>, inetd: bool, io: &Io) -> Result<Handed> {
    let numbers = if inetd {
        0..1
    } else {
        let (pid, count) = (io.env("LISTEN_PID"), io.env("LISTEN_FDS"));
        descriptors(pid.as_deref(), count.as_deref(), std::process::id())
    };
    Handed::take(ready, numbers).map_err(|NotHanded { number, error }| {
        if ready == Some(number) {
            Error::local(&error)
                .with_subject(format!("--ready-fd {number}"))
                .hint(format!("open it for the server, as {number}>FILE does"))
        } else {
            not_served(number, &error)
        }
    })
}

/// The descriptors that `LISTEN_PID` and `LISTEN_FDS` hand down to process
/// `own`; none if they do not parse or are meant for another process.
pub(crate) fn descriptors(pid: Option<&str>, count: Option<&str>, own: u32) -> Range<i32> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    if number(pid) != Some(own) {
        return FIRST..FIRST;
    }
    let count = number(count).and_then(|count| i32::try_from(count).ok());
    FIRST..FIRST.saturating_add(count.unwrap_or(0))
}

/// What the sockets that were handed down are.
pub(crate) fn sort(sockets: Vec<(i32, OwnedFd)>) -> Result<Vec<Inherited>> {
    sockets
        .into_iter()
        .map(|(number, fd)| Inherited::of(fd).map_err(|e| not_served(number, &e)))
        .collect()
}

/// The error about a descriptor; number 0 comes from inetd.
fn not_served(number: i32, error: &io::Error) -> Error {
    if number != 0 {
        return Error::local(error).with_subject(format!("descriptor {number}"));
    }
    let not_a_socket = Some(rustix::io::Errno::NOTSOCK.raw_os_error());
    let error = match error.raw_os_error() {
        code if code == not_a_socket => Error::new(Kind::System, "not a socket"),
        _ => Error::local(error),
    };
    error
        .with_subject("standard input")
        .hint("--inetd is for inetd, xinetd and systemd, which pass one")
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
        send(path, state)
            .map_err(|e| Error::local(&e).with_subject(format!("NOTIFY_SOCKET {path}")))
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A receiver that does not read must not hold up the service.
    socket.set_write_timeout(Some(NOTIFY_TIMEOUT))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = path.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state.as_bytes(), &address).map(drop);
    }
    socket.send_to(state.as_bytes(), path).map(drop)
}

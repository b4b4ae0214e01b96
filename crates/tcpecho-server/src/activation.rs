//! Sockets passed by systemd (sd_listen_fds(3)) or inetd, and notifications for
//! systemd (sd_notify(3)).

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use common::{Error, Io, Kind, Result};
use rustix::net::{AddressFamily, SocketType, sockopt};
use socket2::Socket;

use crate::listen::Listener;
use crate::sys::{InheritError, InheritedFds};
use crate::udp::UdpSocket;

/// The number of the first descriptor that systemd passes.
const FIRST: i32 = 3;

/// How long to wait while the queue of the notification socket is full.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// An inherited socket, by its kind.
#[derive(Debug)]
pub(crate) enum InheritedSocket {
    /// A stream socket to accept connections from.
    Listener(Listener),
    /// A socket to receive datagrams from.
    Udp(UdpSocket),
    /// A connection that another process accepted.
    Connection(OwnedFd),
}

impl InheritedSocket {
    /// Finds out the kind of a socket and prepares the socket.
    fn classify(fd: OwnedFd) -> io::Result<Self> {
        match sockopt::socket_type(&fd)? {
            SocketType::STREAM => {}
            SocketType::DGRAM if is_ip(&fd)? => {
                return UdpSocket::new(Socket::from(fd)).map(Self::Udp);
            }
            _ => return Err(io::Error::other("unsupported type of socket")),
        }
        let listens = is_listening(&fd)?;
        if !listens && rustix::net::getpeername(&fd).is_ok() {
            rustix::io::ioctl_fionbio(&fd, true)?;
            return Ok(Self::Connection(fd));
        }
        Listener::inherited(Socket::from(fd), listens).map(Self::Listener)
    }
}

/// Whether a stream socket listens for connections.
#[cfg(not(target_vendor = "apple"))]
fn is_listening(fd: &OwnedFd) -> io::Result<bool> {
    Ok(sockopt::socket_acceptconn(fd)?)
}

/// Whether a stream socket listens for connections, which this system does not say: a
/// socket without a peer is taken for a listener.
#[cfg(target_vendor = "apple")]
fn is_listening(fd: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::net::getpeername(fd).is_err())
}

fn is_ip(fd: &OwnedFd) -> io::Result<bool> {
    let family = rustix::net::getsockname(fd)?.address_family();
    Ok(family == AddressFamily::INET || family == AddressFamily::INET6)
}

/// Takes ownership of the inherited descriptors: the one of `--ready-fd`, and
/// the sockets of `LISTEN_FDS`, if they are for this process, or standard input
/// for `--inetd`. Must be called before this process opens any descriptor.
pub(crate) fn take_inherited(ready: Option<i32>, inetd: bool, io: &Io) -> Result<InheritedFds> {
    let numbers = if inetd {
        0..1
    } else {
        let (pid, count) = (io.env("LISTEN_PID"), io.env("LISTEN_FDS"));
        listen_fds(pid.as_deref(), count.as_deref(), std::process::id())
    };
    InheritedFds::take(ready, numbers).map_err(|InheritError { number, error }| {
        if ready == Some(number) {
            Error::local(&error)
                .with_subject(format!("--ready-fd {number}"))
                .hint(format!(
                    "open it when starting the server, for example with {number}>FILE"
                ))
        } else {
            socket_error(number, &error)
        }
    })
}

/// Returns the descriptors that `LISTEN_PID` and `LISTEN_FDS` announce for the
/// process `own_pid`: none if the values are invalid or for another process.
pub(crate) fn listen_fds(pid: Option<&str>, count: Option<&str>, own_pid: u32) -> Range<i32> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    if number(pid) != Some(own_pid) {
        return FIRST..FIRST;
    }
    let count = number(count).and_then(|count| i32::try_from(count).ok());
    FIRST..FIRST.saturating_add(count.unwrap_or(0))
}

/// Finds out the kinds of inherited sockets.
pub(crate) fn classify(sockets: Vec<(i32, OwnedFd)>) -> Result<Vec<InheritedSocket>> {
    sockets
        .into_iter()
        .map(|(number, fd)| InheritedSocket::classify(fd).map_err(|e| socket_error(number, &e)))
        .collect()
}

/// Returns the error about a descriptor, where number 0 means `--inetd`.
fn socket_error(number: i32, error: &io::Error) -> Error {
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
        .hint("--inetd requires a socket from inetd, xinetd or systemd")
}

/// Sends notifications to systemd, if `NOTIFY_SOCKET` asks for them.
#[derive(Clone, Debug)]
pub(crate) struct Notify(Option<String>);

impl Notify {
    /// Reads the socket's path from the environment.
    pub(crate) fn new(io: &Io) -> Self {
        Self(io.env("NOTIFY_SOCKET").filter(|path| !path.is_empty()))
    }

    /// Sends a state such as `READY=1`. After an error, nothing more is sent, so
    /// that the error is reported only once.
    pub(crate) fn send(&mut self, state: &str) -> Result<()> {
        let Some(path) = self.0.take() else {
            return Ok(());
        };
        send(&path, state)
            .map_err(|e| Error::local(&e).with_subject(format!("NOTIFY_SOCKET {path}")))?;
        self.0 = Some(path);
        Ok(())
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A receiver that does not read must not block the service.
    socket.set_write_timeout(Some(NOTIFY_TIMEOUT))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = path.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state.as_bytes(), &address).map(drop);
    }
    socket.send_to(state.as_bytes(), path).map(drop)
}

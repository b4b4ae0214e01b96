//! From the operand to an open [`Link`]: the one way all modes take.
//!
//! Name lookup in a thread of its own, the race of the addresses by
//! [`common::net`], the source address and interface of `--source` and
//! `--interface`, and the tries of `--retry`. A signal ends each of these
//! waits; then there is no connection and no error, but `None`.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::address::Family;
use common::app::Reporter;
use common::endpoint::{Endpoint, Host};
use common::{Error, Kind, Result, net, zone};
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::failure;
use crate::link::Link;
use crate::sys;
use crate::target::Target;
use crate::tls;
use crate::wait::{Stop, Woken};

/// How often a local socket with a full backlog is tried again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// How to connect.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// To whom.
    pub(crate) target: Target,
    /// The addresses to take.
    pub(crate) family: Family,
    /// Datagrams instead of a stream.
    pub(crate) udp: bool,
    /// The address of this machine to connect from.
    pub(crate) source: Option<SocketAddr>,
    /// The network interface to connect through.
    pub(crate) interface: Option<String>,
    /// TLS over the stream.
    pub(crate) tls: Option<tls::Plan>,
    /// Bounds one try, the lookup included.
    pub(crate) timeout: Duration,
    /// Further tries.
    pub(crate) retry: u32,
    /// The time between two of them.
    pub(crate) retry_delay: Duration,
    /// Whether somebody being there is all that is asked.
    pub(crate) asks_presence: bool,
}

/// An open connection and how it came about.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The connection.
    pub(crate) link: Link,
    /// The address that answered, as text.
    pub(crate) address: String,
    /// The time the handshake took; that of the lookup does not count.
    pub(crate) connect: Duration,
    /// The time of TLS's handshake after that.
    pub(crate) tls: Option<Duration>,
}

/// Connects as planned, as often as asked.
#[derive(Debug)]
pub(crate) struct Dialer {
    /// The plan.
    pub(crate) plan: Plan,
    /// What the lookup gave; kept until a connect fails.
    addresses: RefCell<Vec<SocketAddr>>,
    /// The address that answered last.
    answered: Cell<Option<SocketAddr>>,
    /// Whether a socket of the local domain has answered.
    connected_once: Cell<bool>,
    /// Whether the latest try found no socket at its path; it may come yet.
    absent: Cell<bool>,
    tls: Option<tls::Settings>,
}

impl Dialer {
    /// A dialer that has not looked anything up yet. Fails if the source
    /// address or the interface cannot be used at all.
    pub(crate) fn new(plan: Plan) -> Result<Self> {
        if let Some(source) = plan.source {
            Socket::new(Domain::for_address(source), Type::DGRAM, None)
                .and_then(|socket| {
                    if let Some(interface) = &plan.interface {
                        bind_device(&socket, interface)?;
                    }
                    socket.bind(&source.into())
                })
                .map_err(|e| Error::local(&e).with_subject(source.ip().to_string()))?;
        }
        if let Some(interface) = &plan.interface {
            let domain = match plan.family {
                Family::V6 => Domain::IPV6,
                Family::V4 | Family::Any => Domain::IPV4,
            };
            Socket::new(domain, Type::DGRAM, None)
                .and_then(|socket| bind_device(&socket, interface))
                .map_err(|e| Error::local(&e).with_subject(interface))?;
        }
        Ok(Self {
            tls: plan.tls.as_ref().map(tls::Settings::new).transpose()?,
            plan,
            addresses: RefCell::default(),
            answered: Cell::default(),
            connected_once: Cell::default(),
            absent: Cell::default(),
        })
    }

    /// The target as it is called in errors and records.
    pub(crate) fn name(&self) -> String {
        self.plan.target.to_string()
    }

    /// Connects; on failure tries again as often as the plan says.
    pub(crate) fn dial_patiently(
        &self,
        stop: &Stop,
        verbose: Option<&Reporter>,
    ) -> Result<Option<Connection>> {
        self.dial_within(&mut self.plan.retry.clone(), stop, verbose)
    }

    /// Connects; on failure tries again while tries are `left`.
    pub(crate) fn dial_within(
        &self,
        left: &mut u32,
        stop: &Stop,
        verbose: Option<&Reporter>,
    ) -> Result<Option<Connection>> {
        loop {
            match self.dial(stop) {
                Err(error) if *left > 0 && (may_change(error.kind()) || self.absent.get()) => {
                    if !self.try_again(left, &error, stop, verbose)? {
                        return Ok(None);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes one of the tries that are left, after the time between two; false
    /// if a signal came.
    pub(crate) fn try_again(
        &self,
        left: &mut u32,
        error: &Error,
        stop: &Stop,
        verbose: Option<&Reporter>,
    ) -> Result<bool> {
        if let Some(report) = verbose {
            let tries = if *left == 1 { "try" } else { "tries" };
            report.line(format_args!("{error}; {left} {tries} left"));
        }
        *left = left.saturating_sub(1);
        Ok(stop.pause(self.plan.retry_delay)? != Woken::Stopped)
    }

    /// Connects once.
    pub(crate) fn dial(&self, stop: &Stop) -> Result<Option<Connection>> {
        self.absent.set(false);
        let outcome = match &self.plan.target {
            Target::Inet(endpoint, _) => self.inet(endpoint, stop),
            Target::Unix(_) | Target::Abstract(_) => self.unix(stop),
        };
        outcome.map_err(|error| {
            self.addresses.borrow_mut().clear();
            match error.operand() {
                Some(_) => error,
                None => error.with_subject(self.name()),
            }
        })
    }

    /// Starts one more connection to where the last one went, and does not
    /// wait for it: it is there when it becomes writable without an error.
    pub(crate) fn begin(&self) -> io::Result<Link> {
        let address: SockAddr = match (self.plan.target.unix(), self.answered.get()) {
            (Some(address), _) => address?,
            (None, Some(address)) => address.into(),
            (None, None) => return Err(io::ErrorKind::NotConnected.into()),
        };
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if let Some(to) = address.as_socket() {
            socket.set_tcp_nodelay(true)?;
            self.prepare(&socket, &to)?;
        }
        match socket.connect(&address) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                Err(e)
            }
            _ if address.is_unix() => Ok(Link::Unix(socket.into())),
            _ => self.over(socket.into()),
        }
    }

    /// What is spoken over a TCP stream.
    fn over(&self, stream: TcpStream) -> io::Result<Link> {
        if let Some(settings) = &self.tls {
            let session = tls::Session::new(settings, stream)?;
            return Ok(Link::Tls(Box::new(session)));
        }
        Ok(Link::Tcp(stream))
    }

    /// Completes TLS's handshake; `false` at a signal.
    fn complete(link: &mut Link, deadline: Option<Instant>, stop: &Stop) -> Result<bool> {
        loop {
            match link.advance() {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Error::new(
                        Kind::Tls,
                        "the peer closed in the TLS handshake",
                    ));
                }
                Err(e) => return Err(failure::of(&e)),
            }
            let mut fds: Vec<PollFd<'_>> = link.poll_fd(true, false).into_iter().collect();
            match stop.wait(&mut fds, deadline)? {
                Woken::Stopped => return Ok(false),
                // Also if the peer sends on without coming to an end.
                _ if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return Err(Error::new(Kind::Timeout, "TLS handshake timed out"));
                }
                Woken::Due | Woken::Ready => {}
            }
        }
    }

    fn inet(&self, endpoint: &Endpoint, stop: &Stop) -> Result<Option<Connection>> {
        let deadline = Instant::now().checked_add(self.plan.timeout);
        if self.addresses.borrow().is_empty() {
            match self.look_up(endpoint, deadline, stop)? {
                Some(found) => *self.addresses.borrow_mut() = found,
                None => return Ok(None),
            }
        }
        let addresses = self.addresses.borrow().clone();
        let started = Instant::now();
        let (mut link, address) = if self.plan.udp {
            self.udp(&addresses)?
        } else {
            let left = deadline.map_or(self.plan.timeout, |d| d.saturating_duration_since(started));
            let prepare = |socket: &Socket, address: &SocketAddr| self.prepare(socket, address);
            let race = net::connect_interruptible(&addresses, left, Some(stop.fd()), prepare)?;
            let Some((stream, address)) = race else {
                stop.requests();
                return Ok(None);
            };
            stream
                .set_nodelay(true)
                .and_then(|()| stream.set_nonblocking(true))
                .map_err(|e| Error::network(&e))?;
            (self.over(stream).map_err(|e| failure::of(&e))?, address)
        };
        let connect = started.elapsed();
        let mut tls = None;
        if self.tls.is_some() {
            if !Self::complete(&mut link, deadline, stop)? {
                return Ok(None);
            }
            tls = Some(started.elapsed().saturating_sub(connect));
        }
        self.answered.set(Some(address));
        Ok(Some(Connection {
            link,
            address: address.to_string(),
            connect,
            tls,
        }))
    }

    /// Binds a fresh socket as the plan says.
    fn prepare(&self, socket: &Socket, address: &SocketAddr) -> io::Result<()> {
        if let Some(interface) = &self.plan.interface {
            bind_device(socket, interface)?;
        }
        if let Some(source) = self.plan.source {
            if address.is_ipv4() {
                sys::bind_address_no_port(socket)?;
            }
            socket.bind(&source.into())?;
        }
        Ok(())
    }

    fn udp(&self, addresses: &[SocketAddr]) -> Result<(Link, SocketAddr)> {
        let mut failure = None;
        // Nothing tells whether somebody is there: the first that can be sent
        // to it is.
        for &address in addresses {
            match self.datagrams(address) {
                Ok(link) => return Ok((link, address)),
                Err(e) => failure = failure.or(Some(Error::network(&e))),
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(Kind::Name, "no address to send to")))
    }

    /// A UDP socket for this address.
    fn datagrams(&self, address: SocketAddr) -> io::Result<Link> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        self.prepare(&socket, &address)?;
        socket.set_nonblocking(true)?;
        let group = address.ip().is_multicast()
            || match socket.connect(&address.into()) {
                // What connect(2) says of a broadcast address without the
                // option; it knows those of all networks here.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    socket.set_broadcast(true)?;
                    true
                }
                outcome => outcome.map(|()| false)?,
            };
        Ok(if group {
            Link::Group(socket.into(), address)
        } else {
            Link::Udp(socket.into())
        })
    }

    fn unix(&self, stop: &Stop) -> Result<Option<Connection>> {
        let started = Instant::now();
        let address = self.plan.target.unix();
        let address = address.unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()));
        let address = address.map_err(|e| Error::local(&e))?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| Error::local(&e))?;
        socket.set_nonblocking(true).map_err(|e| Error::local(&e))?;
        loop {
            match socket.connect(&address) {
                Ok(()) => break,
                // The backlog is full, and no event will say when it is not.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if started.elapsed() >= self.plan.timeout {
                        return Err(Error::new(Kind::Timeout, "connect timed out"));
                    }
                    if stop.pause(BACKLOG_PAUSE)? == Woken::Stopped {
                        return Ok(None);
                    }
                }
                // A file that is not there is a fault of this side, unless it
                // was there before, or that is the very question.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.absent.set(true);
                    let gone = self.plan.asks_presence || self.connected_once.get();
                    let kind = if gone { Kind::Refused } else { Kind::System };
                    return Err(Error::new(kind, "no such socket"));
                }
                Err(e) => return Err(Error::network(&e)),
            }
        }
        self.connected_once.set(true);
        Ok(Some(Connection {
            link: Link::Unix(UnixStream::from(socket)),
            address: self.name(),
            connect: started.elapsed(),
            tls: None,
        }))
    }

    /// The addresses of the target, or `None` when a signal came first. libc
    /// cannot be interrupted, so it runs in a thread that may be left behind.
    fn look_up(
        &self,
        endpoint: &Endpoint,
        deadline: Option<Instant>,
        stop: &Stop,
    ) -> Result<Option<Vec<SocketAddr>>> {
        let family = match self.plan.source {
            Some(SocketAddr::V4(_)) => Family::V4,
            Some(SocketAddr::V6(_)) => Family::V6,
            None => self.plan.family,
        };
        if let Host::Address(_) = endpoint.host {
            let mut found = net::lookup(&endpoint.host, endpoint.port, family, None)?;
            if let Target::Inet(_, Some(zone)) = &self.plan.target {
                let index = zone::index(zone).map_err(|why| Error::new(Kind::System, why))?;
                for address in &mut found {
                    *address = zone::within(*address, index);
                }
            }
            return Ok(Some(found));
        }
        let local = |e: io::Error| Error::local(&e).with_subject(self.name());
        let (sender, receiver) = mpsc::channel();
        let (done, wake) = UnixStream::pair().map_err(local)?;
        let Endpoint { mut host, port } = endpoint.clone();
        if let Host::Name(name) = &host {
            let ascii = zone::to_ascii(name).map_err(|why| Error::new(Kind::Input, why))?;
            host = Host::Name(ascii);
        }
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || {
                // The receiver may have given up; then nobody wants this.
                let _ = sender.send(net::lookup(&host, port, family, None));
                drop(wake);
            })
            .map_err(local)?;
        let mut fds = vec![PollFd::from_borrowed_fd(done.as_fd(), PollFlags::IN)];
        match stop.wait(&mut fds, deadline)? {
            Woken::Stopped => Ok(None),
            Woken::Due => {
                Err(Error::new(Kind::Name, "name lookup timed out").with_subject(self.name()))
            }
            Woken::Ready => receiver
                .recv()
                .map_err(|_| {
                    Error::new(Kind::Name, "name lookup failed").with_subject(self.name())
                })?
                .map(Some),
        }
    }
}

/// Whether a later try may end otherwise.
fn may_change(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Reset | Kind::Name
    )
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

//! Connects to the fastest of several addresses (RFC 8305, "Happy Eyeballs").
//!
//! The attempts race on one thread with non-blocking sockets. An attempt starts when the
//! previous one has failed or has had no result for a quarter of a second. The
//! first socket that connects wins; the others are closed.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use common::{Error, Kind, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::poll::{self, PollFd, PollFlags};

/// The time between the starts of two attempts, unless one fails earlier (RFC
/// 8305, section 5, "Connection Attempt Delay").
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Alternates the families, starting with that of the first address, and keeps
/// the order within each (RFC 8305, section 4).
pub fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut a, mut b) = (
        addresses.iter().filter(|x| x.is_ipv4() == first_is_v4),
        addresses.iter().filter(|x| x.is_ipv4() != first_is_v4),
    );
    let mut mixed = Vec::with_capacity(addresses.len());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return mixed,
            (x, y) => mixed.extend(x.into_iter().chain(y)),
        }
    }
}

/// Connects to the first of `addresses` that answers within `timeout`. `prepare`
/// is called with each socket before it connects, to bind it or to set options.
/// The returned stream is blocking.
///
/// If all attempts fail, the error is that of the first failure.
pub fn connect(
    addresses: &[SocketAddr],
    timeout: Duration,
    prepare: impl Fn(&Socket, &SocketAddr) -> io::Result<()>,
) -> Result<(TcpStream, SocketAddr)> {
    match connect_interruptible(addresses, timeout, None, prepare)? {
        Some(connected) => Ok(connected),
        // Not reached: without a descriptor nothing can interrupt the attempt.
        None => Err(Error::new(
            Kind::System,
            "the connection attempt was interrupted",
        )),
    }
}

/// Like [`connect`], but returns `None` as soon as `interrupt` is readable. It is
/// the descriptor of [`crate::signal::Signals`] in tools that handle signals.
pub fn connect_interruptible(
    addresses: &[SocketAddr],
    timeout: Duration,
    interrupt: Option<BorrowedFd<'_>>,
    prepare: impl Fn(&Socket, &SocketAddr) -> io::Result<()>,
) -> Result<Option<(TcpStream, SocketAddr)>> {
    let now = Instant::now();
    // A year is as good as no limit, and the addition cannot overflow.
    let deadline = now + timeout.min(Duration::from_secs(86_400 * 365));
    let mut pending = interleave(addresses).into_iter().peekable();
    let mut running: Vec<(Socket, SocketAddr)> = Vec::new();
    let mut failure: Option<Error> = None;
    let mut next_start = now;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Err(failure.unwrap_or_else(|| Error::new(Kind::Timeout, "connect timed out")));
        }
        if (now >= next_start || running.is_empty())
            && let Some(address) = pending.next()
        {
            match start(&address, &prepare) {
                Ok(socket) => {
                    running.push((socket, address));
                    next_start = now + CONNECTION_ATTEMPT_DELAY;
                }
                Err(e) => {
                    failure.get_or_insert_with(|| Error::network(&e));
                }
            }
            continue;
        }
        if running.is_empty() {
            return Err(
                failure.unwrap_or_else(|| Error::new(Kind::Name, "no address to connect to"))
            );
        }
        let until = match pending.peek() {
            Some(_) => next_start.min(deadline),
            None => deadline,
        };
        // Handles one socket per iteration; others that are ready follow in the next one.
        let left = until.saturating_duration_since(now);
        let ready = match wait_writable(&running, interrupt, left)? {
            WaitOutcome::Interrupted => return Ok(None),
            WaitOutcome::Ready(index) => Some(index),
            WaitOutcome::TimedOut => None,
        };
        if let Some(index) = ready {
            let (socket, address) = running.swap_remove(index);
            match outcome(&socket) {
                Ok(()) => {
                    socket
                        .set_nonblocking(false)
                        .map_err(|e| Error::local(&e))?;
                    return Ok(Some((socket.into(), address)));
                }
                Err(e) => {
                    failure.get_or_insert_with(|| Error::network(&e));
                    // Start the next attempt without a delay.
                    next_start = now;
                }
            }
        }
    }
}

fn start(
    address: &SocketAddr,
    prepare: &impl Fn(&Socket, &SocketAddr) -> io::Result<()>,
) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(*address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    prepare(&socket, address)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&(*address).into()) {
        Err(e) if e.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Err(e),
        _ => Ok(socket),
    }
}

/// Returns the result of a connect after its socket has become writable.
///
/// If the port is in the ephemeral range and has no listener, the system may
/// assign the same port to the socket and connect it to itself (RFC 9293, section
/// 3.5, simultaneous open). This counts as refused.
fn outcome(socket: &Socket) -> io::Result<()> {
    if let Some(e) = socket.take_error()? {
        return Err(e);
    }
    let peer = socket.peer_addr()?.as_socket();
    if peer.is_some() && peer == socket.local_addr()?.as_socket() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

/// The result of waiting for sockets.
enum WaitOutcome {
    /// The socket with this index is ready.
    Ready(usize),
    Interrupted,
    TimedOut,
}

/// Waits until a socket is ready, for at most `timeout`.
fn wait_writable(
    running: &[(Socket, SocketAddr)],
    interrupt: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> Result<WaitOutcome> {
    let mut fds: Vec<PollFd<'_>> = running
        .iter()
        .map(|(socket, _)| PollFd::new(socket, PollFlags::OUT))
        .collect();
    fds.extend(interrupt.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    poll::wait_once(&mut fds, Some(timeout)).map_err(|e| Error::local(&e))?;
    let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    if fds.iter().skip(running.len()).any(ready) {
        return Ok(WaitOutcome::Interrupted);
    }
    Ok(fds
        .iter()
        .position(ready)
        .map_or(WaitOutcome::TimedOut, WaitOutcome::Ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::thread;

    /// An address that neither accepts nor refuses connections.
    struct Silent {
        address: SocketAddr,
        _listener: Socket,
        _pending: TcpStream,
    }

    impl Silent {
        fn new() -> Self {
            // A full backlog leaves further attempts without an answer.
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            listener.bind(&any.into()).unwrap();
            listener.listen(0).unwrap();
            let address = listener.local_addr().unwrap().as_socket().unwrap();
            Self {
                address,
                _pending: TcpStream::connect(address).unwrap(),
                _listener: listener,
            }
        }
    }

    #[test]
    fn the_next_attempt_starts_after_the_delay() {
        let silent = Silent::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let starts = Mutex::new(Vec::new());
        let (_, address) = connect(
            &[silent.address, good],
            Duration::from_secs(60),
            |_, address| {
                starts.lock().unwrap().push((*address, Instant::now()));
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(address, good);
        let starts = starts.into_inner().unwrap();
        let order: Vec<SocketAddr> = starts.iter().map(|(address, _)| *address).collect();
        assert_eq!(order, [silent.address, good]);
        assert!(starts[1].1 - starts[0].1 >= CONNECTION_ATTEMPT_DELAY);
    }

    /// A failure after the attempt has started: the shutdown of a connecting
    /// socket resets it.
    #[test]
    fn a_failed_attempt_is_replaced_before_the_delay() {
        let (first, second) = (Silent::new(), Silent::new());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        // A busy machine may need longer than the delay, but not every time.
        let is_replaced = || {
            let starts = Mutex::new(Vec::new());
            let addresses = [first.address, second.address, good];
            let outcome = connect(&addresses, Duration::from_secs(60), |socket, address| {
                starts.lock().unwrap().push(Instant::now());
                if *address == second.address {
                    let socket = socket.try_clone()?;
                    thread::spawn(move || {
                        thread::sleep(Duration::from_millis(20));
                        let _ = socket.shutdown(std::net::Shutdown::Both);
                    });
                }
                Ok(())
            });
            assert_eq!(outcome.unwrap().1, good);
            let starts = starts.into_inner().unwrap();
            starts[2] - starts[1] < CONNECTION_ATTEMPT_DELAY
        };
        assert!((0..20).any(|_| is_replaced()));
    }

    #[test]
    fn families_alternate() {
        let all: Vec<SocketAddr> = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]
            .map(|a| a.parse().unwrap())
            .to_vec();
        let order: Vec<String> = interleave(&all).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
    }

    #[test]
    fn the_listening_address_wins() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = {
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            other.local_addr().unwrap()
        };
        let (stream, address) =
            connect(&[closed, good], Duration::from_secs(5), |_, _| Ok(())).unwrap();
        assert_eq!(address, good);
        assert_eq!(stream.peer_addr().unwrap(), good);
        let flags = rustix::fs::fcntl_getfl(&stream).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        let error = connect(&[closed], Duration::from_secs(5), |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
    }

    #[test]
    fn a_self_connection_is_refused() {
        // A socket bound to the destination always connects to itself.
        let any = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = any.local_addr().unwrap();
        drop(any);
        let bind = |socket: &Socket, to: &SocketAddr| socket.bind(&(*to).into());
        let error = connect(&[address], Duration::from_secs(5), bind).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
    }

    #[test]
    fn an_interrupted_race_ends_immediately() {
        use std::os::fd::AsFd;
        let silent = Silent::new();
        let address = silent.address;
        let waker = crate::Waker::new().unwrap();
        waker.wake();
        let year = Duration::from_secs(86_400 * 365);
        let outcome = connect_interruptible(&[address], year, Some(waker.as_fd()), |_, _| Ok(()));
        assert!(outcome.unwrap().is_none());
    }
}

//! TCP peers: a plain echo, and every way a peer can disappoint.
//!
//! A [`TcpPeer`] listens on a free port of 127.0.0.1 and runs a closure on a
//! thread per connection; the constructors below are such closures ready made.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

use crate::acceptor::{self, Acceptor};
use crate::conn::Conn;
use crate::tls::Tls;

/// A listening peer. Dropping it closes the listening socket.
#[derive(Debug)]
pub struct TcpPeer {
    acceptor: Acceptor,
}

impl TcpPeer {
    /// Runs `serve` for each connection; returning from it closes the
    /// connection. An I/O error in it just ends it.
    pub fn start<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
    {
        Self::start_on((Ipv4Addr::LOCALHOST, 0), serve)
    }

    /// [`TcpPeer::start`] on another address, such as `"[::1]:0"`.
    pub fn start_on<F, R>(addr: impl ToSocketAddrs, serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(addr).expect("bind a peer");
        Self {
            acceptor: Acceptor::start(listener, move |stream, _| {
                let _ = serve(stream);
            }),
        }
    }

    /// Gives every byte back, and the end of file after the last.
    pub fn echo() -> Self {
        Self::start(|stream| relay(&stream, |_, chunk| chunk.to_vec()))
    }

    /// An echo that inverts the byte at offset `at`.
    pub fn corrupt_at(at: u64) -> Self {
        Self::start(move |stream| {
            relay(&stream, |offset, chunk| {
                let mut chunk = chunk.to_vec();
                let byte = at
                    .checked_sub(offset)
                    .and_then(|index| usize::try_from(index).ok())
                    .and_then(|index| chunk.get_mut(index));
                if let Some(byte) = byte {
                    *byte = !*byte;
                }
                chunk
            })
        })
    }

    /// Echoes `n` bytes, then closes in order, whatever else comes.
    pub fn truncate_at(n: u64) -> Self {
        Self::start(move |stream| {
            io::copy(&mut (&stream).take(n), &mut &stream)?;
            // Unread bytes would turn the close into a reset.
            stream.shutdown(Shutdown::Write)?;
            drain(&stream)
        })
    }

    /// Echoes `n` bytes, then resets the connection.
    pub fn reset_after(n: u64) -> Self {
        Self::start(move |stream| {
            io::copy(&mut (&stream).take(n), &mut &stream)?;
            acceptor::reset(&stream)
        })
    }

    /// Reads everything, answers nothing, closes when the other side does.
    pub fn silent() -> Self {
        Self::start(|stream| drain(&stream))
    }

    /// Neither reads nor answers nor closes while this value lives.
    pub fn deaf() -> Self {
        let kept = Mutex::new(Vec::new());
        Self::start(move |stream| kept.lock().map(|mut kept| kept.push(stream)).is_ok())
    }

    /// Accepts and closes in order.
    pub fn close_at_once() -> Self {
        Self::start(|stream| {
            stream.shutdown(Shutdown::Write)?;
            drain(&stream)
        })
    }

    /// Reads to the end of file first, then gives everything back.
    pub fn answer_after_eof() -> Self {
        Self::start(|stream| {
            let mut all = Vec::new();
            (&stream).read_to_end(&mut all)?;
            (&stream).write_all(&all)
        })
    }

    /// Sends `reply` once the first bytes came, then closes in order.
    pub fn fixed_reply(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::start(move |stream| {
            if (&stream).read(&mut [0; 16 * 1024])? > 0 {
                (&stream).write_all(&reply)?;
            }
            stream.shutdown(Shutdown::Write)?;
            drain(&stream)
        })
    }

    /// Sends `greeting` at once, then echoes.
    pub fn greeting(greeting: impl Into<Vec<u8>>) -> Self {
        let greeting = greeting.into();
        Self::start(move |stream| {
            (&stream).write_all(&greeting)?;
            relay(&stream, |_, chunk| chunk.to_vec())
        })
    }

    /// [`TcpPeer::echo`] over TLS.
    pub fn echo_tls(tls: &Tls) -> Self {
        let config = tls.config();
        Self::start(move |stream| {
            let mut conn = Conn::new(stream, Some(&config));
            let mut chunk = [0; 16 * 1024];
            loop {
                match conn.read(&mut chunk)? {
                    0 => return conn.close(),
                    n => conn.write_all(&chunk[..n])?,
                }
                conn.flush()?;
            }
        })
    }

    /// Where the peer listens.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> usize {
        self.acceptor.accepted()
    }
}

/// Echoes chunk by chunk through `change`, which is told the chunk's offset.
fn relay(mut stream: &TcpStream, change: impl Fn(u64, &[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    let mut offset = 0;
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&change(offset, &chunk[..n]))?;
        offset += n as u64;
    }
}

/// Reads to the end of file and forgets it.
fn drain(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// An address of 127.0.0.1 that refuses TCP connections while this value
/// lives: the port is held by a socket that does not listen.
#[derive(Debug)]
pub struct Refused {
    addr: SocketAddr,
    _socket: Socket,
}

impl Refused {
    /// The refusing address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Reserves an address that refuses connections; see [`Refused`].
pub fn refused_addr() -> Refused {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("make a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("bind a socket");
    let addr = socket.local_addr().expect("address of a socket");
    Refused {
        addr: addr.as_socket().expect("an IP address"),
        _socket: socket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `request`, half-closes, and reads to the end.
    fn exchange(peer: &TcpPeer, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(peer.addr())?;
        stream.write_all(request)?;
        stream.shutdown(Shutdown::Write)?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn orderly_peers() {
        let ask = |peer: TcpPeer| exchange(&peer, b"abcdef").unwrap();
        assert_eq!(ask(TcpPeer::echo()), b"abcdef");
        assert_eq!(ask(TcpPeer::corrupt_at(2)), b"ab\x9cdef");
        assert_eq!(ask(TcpPeer::truncate_at(2)), b"ab");
        assert_eq!(ask(TcpPeer::silent()), b"");
        assert_eq!(ask(TcpPeer::close_at_once()), b"");
        assert_eq!(ask(TcpPeer::answer_after_eof()), b"abcdef");
        assert_eq!(ask(TcpPeer::fixed_reply("no")), b"no");
        assert_eq!(ask(TcpPeer::greeting("hi ")), b"hi abcdef");
    }

    #[test]
    fn reset_is_a_reset() {
        let peer = TcpPeer::reset_after(2);
        let mut stream = TcpStream::connect(peer.addr()).unwrap();
        stream.write_all(b"abcd").unwrap();
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(peer.accepted(), 1);
    }

    #[test]
    fn refusal_and_end() {
        let refused = refused_addr();
        let error = TcpStream::connect(refused.addr()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let peer = TcpPeer::echo();
        let addr = peer.addr();
        drop(peer);
        assert!(TcpStream::connect(addr).is_err());
    }
}

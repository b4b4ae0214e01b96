//! TCP peers: a plain echo, and peers with all kinds of misbehaviour.
//!
//! A [`TcpPeer`] listens on a free port of 127.0.0.1 and runs a closure for each
//! connection in its own thread. The constructors provide common closures.

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
    /// Starts a peer that runs `serve` for each connection. When `serve` returns,
    /// also with an error, the connection is closed.
    pub fn start<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
    {
        Self::start_on((Ipv4Addr::LOCALHOST, 0), serve)
    }

    /// Like [`TcpPeer::start`], on another address such as `"[::1]:0"`.
    pub fn start_on<F, R>(addr: impl ToSocketAddrs, serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(addr).expect("bind the address of a peer");
        Self {
            acceptor: Acceptor::start(listener, move |stream, _| {
                let _ = serve(stream);
            }),
        }
    }

    /// Echoes every byte, then the end of file.
    pub fn echo() -> Self {
        Self::start(|stream| echo_changed(&stream, |_, chunk| chunk.to_vec()))
    }

    /// Echoes, but inverts the byte at offset `at`.
    pub fn corrupt_at(at: u64) -> Self {
        Self::start(move |stream| {
            echo_changed(&stream, |offset, chunk| {
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

    /// Echoes `n` bytes, then closes the connection in order and ignores further
    /// bytes.
    pub fn truncate_at(n: u64) -> Self {
        Self::start(move |stream| {
            io::copy(&mut (&stream).take(n), &mut &stream)?;
            // With unread bytes the close would be a reset.
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

    /// Reads everything, sends nothing, and closes when the client does.
    pub fn silent() -> Self {
        Self::start(|stream| drain(&stream))
    }

    /// Neither reads nor sends nor closes while this value exists.
    pub fn unresponsive() -> Self {
        let streams = Mutex::new(Vec::new());
        Self::start(move |stream| streams.lock().map(|mut all| all.push(stream)).is_ok())
    }

    /// Accepts a connection and closes it in order.
    pub fn close_immediately() -> Self {
        Self::start(|stream| {
            stream.shutdown(Shutdown::Write)?;
            drain(&stream)
        })
    }

    /// Reads to the end of file, then sends everything back.
    pub fn reply_after_eof() -> Self {
        Self::start(|stream| {
            let mut all = Vec::new();
            (&stream).read_to_end(&mut all)?;
            (&stream).write_all(&all)
        })
    }

    /// Sends `reply` after the first bytes, then closes in order.
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

    /// Sends `greeting` on connect, then echoes.
    pub fn greeting(greeting: impl Into<Vec<u8>>) -> Self {
        let greeting = greeting.into();
        Self::start(move |stream| {
            (&stream).write_all(&greeting)?;
            echo_changed(&stream, |_, chunk| chunk.to_vec())
        })
    }

    /// Echoes every byte over TLS.
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

    /// Returns the address on which the peer listens.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// Returns the number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.acceptor.accepted()
    }
}

/// Echoes each chunk as changed by `change`, which gets the chunk and its offset.
fn echo_changed(mut stream: &TcpStream, change: impl Fn(u64, &[u8]) -> Vec<u8>) -> io::Result<()> {
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

/// Reads and discards everything up to the end of file.
fn drain(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// An address of 127.0.0.1 that refuses TCP connections while this value exists:
/// a socket that does not listen is bound to its port.
#[derive(Debug)]
pub struct Refused {
    addr: SocketAddr,
    _socket: Socket,
}

impl Refused {
    /// Returns the address that refuses connections.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Reserves an address that refuses connections; see [`Refused`].
pub fn refused_addr() -> Refused {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("create a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("bind a socket");
    let addr = socket.local_addr().expect("get the address of a socket");
    Refused {
        addr: addr.as_socket().expect("get an IP address"),
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
    fn peers_that_close_in_order() {
        let reply = |peer: TcpPeer| exchange(&peer, b"abcdef").unwrap();
        assert_eq!(reply(TcpPeer::echo()), b"abcdef");
        assert_eq!(reply(TcpPeer::corrupt_at(2)), b"ab\x9cdef");
        assert_eq!(reply(TcpPeer::truncate_at(2)), b"ab");
        assert_eq!(reply(TcpPeer::silent()), b"");
        assert_eq!(reply(TcpPeer::close_immediately()), b"");
        assert_eq!(reply(TcpPeer::reply_after_eof()), b"abcdef");
        assert_eq!(reply(TcpPeer::fixed_reply("no")), b"no");
        assert_eq!(reply(TcpPeer::greeting("hi ")), b"hi abcdef");
    }

    #[test]
    fn a_reset_is_seen_by_the_client() {
        let peer = TcpPeer::reset_after(2);
        let mut stream = TcpStream::connect(peer.addr()).unwrap();
        stream.write_all(b"abcd").unwrap();
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(peer.accepted(), 1);
    }

    #[test]
    fn a_connection_is_refused() {
        let refused = refused_addr();
        let error = TcpStream::connect(refused.addr()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let peer = TcpPeer::echo();
        let addr = peer.addr();
        drop(peer);
        assert!(TcpStream::connect(addr).is_err());
    }
}

//! The server side of one connection, plain or TLS, and the ways to end it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::acceptor;

/// An accepted connection, plain or TLS.
#[derive(Debug)]
pub(crate) enum Conn {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Conn {
    /// Wraps an accepted stream. The first read does the TLS handshake.
    pub(crate) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        // Each write of a test should become its own segment.
        let _ = stream.set_nodelay(true);
        match tls {
            None => Self::Plain(stream),
            Some(config) => {
                let session =
                    ServerConnection::new(Arc::clone(config)).expect("create a TLS session");
                Self::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Ends the connection in order: over TLS with `close_notify`, then FIN.
    pub(crate) fn close(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.finish_tcp()
    }

    /// Sends `close_notify` over TLS, and no FIN before the peer sends one.
    pub(crate) fn close_notify(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        io::copy(&mut self.tcp(), &mut io::sink()).map(drop)
    }

    /// Sends FIN without `close_notify`, which truncates a TLS stream.
    pub(crate) fn finish_tcp(self) -> io::Result<()> {
        let stream = self.tcp();
        stream.shutdown(Shutdown::Write)?;
        // With unread bytes the close would be a reset.
        io::copy(&mut &*stream, &mut io::sink()).map(drop)
    }

    /// Resets the connection (RST).
    pub(crate) fn reset(self) -> io::Result<()> {
        acceptor::reset(self.tcp())
    }

    /// Reads and discards until the peer ends the connection.
    pub(crate) fn wait_for_peer(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop)
    }

    /// Forwards to a connection to `to`, as a proxy does after CONNECT.
    pub(crate) fn tunnel(self, to: SocketAddr) -> io::Result<()> {
        let Self::Plain(near) = self else {
            panic!("a tunnel starts from a plain connection");
        };
        let far = TcpStream::connect(to)?;
        let forward = |mut from: &TcpStream, mut into: &TcpStream| {
            let _ = io::copy(&mut from, &mut into);
            let _ = into.shutdown(Shutdown::Write);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| forward(&near, &far));
            forward(&far, &near);
        });
        Ok(())
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

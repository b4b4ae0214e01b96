//! A server's side of one connection, plain or TLS, and the ways to end it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::acceptor;

/// One connection.
#[derive(Debug)]
pub(crate) enum Conn {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Conn {
    /// Wraps an accepted stream. The TLS handshake happens with the first read.
    pub(crate) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        // Each write of a test should be a segment of its own.
        let _ = stream.set_nodelay(true);
        match tls {
            None => Self::Plain(stream),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).expect("a TLS session");
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

    /// An orderly end: `close_notify` where there is TLS, then FIN.
    pub(crate) fn close(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.cut()
    }

    /// `close_notify` where there is TLS, and no FIN before the peer's own.
    pub(crate) fn notify(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        io::copy(&mut self.tcp(), &mut io::sink()).map(drop)
    }

    /// FIN without `close_notify`: over TLS a truncation.
    pub(crate) fn cut(self) -> io::Result<()> {
        let stream = self.tcp();
        stream.shutdown(Shutdown::Write)?;
        // Unread bytes would turn the close into a reset.
        io::copy(&mut &*stream, &mut io::sink()).map(drop)
    }

    /// RST.
    pub(crate) fn reset(self) -> io::Result<()> {
        acceptor::reset(self.tcp())
    }

    /// Waits until the peer ends the connection.
    pub(crate) fn hang(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop)
    }

    /// Joins the connection to another one, as a proxy does after CONNECT.
    pub(crate) fn tunnel(self, to: SocketAddr) -> io::Result<()> {
        let Self::Plain(near) = self else {
            panic!("a tunnel starts from a plain connection");
        };
        let far = TcpStream::connect(to)?;
        let pump = |mut from: &TcpStream, mut into: &TcpStream| {
            let _ = io::copy(&mut from, &mut into);
            let _ = into.shutdown(Shutdown::Write);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| pump(&near, &far));
            pump(&far, &near);
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

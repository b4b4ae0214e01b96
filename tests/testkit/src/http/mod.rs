//! An HTTP/1.1 server on 127.0.0.1, plain or over TLS, that answers each request
//! with the return value of a closure and logs the requests.
//!
//! The closure returns a [`Reply`]: a well-formed response, or raw bytes, pauses,
//! closes and resets in any order. A connection stays open until the client or
//! the reply ends it.
//!
//! ```no_run
//! use testkit::http::{HttpServer, Reply};
//! let server = HttpServer::start(|request| match request.path() {
//!     "/short" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").close(),
//!     _ => Reply::text("hello\n"),
//! });
//! let url = server.url("/short");
//! ```

mod reply;
mod request;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub use reply::{Gate, Reply};
pub use request::Request;

use crate::acceptor::Acceptor;
use crate::conn::Conn;
use crate::tls::{Authority, Leaf, Tls};
use reply::Step;

type Log = Arc<Mutex<Vec<Request>>>;

/// A running server. Dropping it closes the listening socket.
#[derive(Debug)]
pub struct HttpServer {
    acceptor: Acceptor,
    log: Log,
    tls: Option<Tls>,
}

impl HttpServer {
    /// Starts a plain server on 127.0.0.1.
    pub fn start<F>(handler: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        Self::start_on("127.0.0.1:0", None, handler)
    }

    /// Starts a server with a valid certificate of its own authority.
    pub fn start_tls<F>(handler: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        Self::start_tls_with(Authority::new().server(), handler)
    }

    /// Starts a server with a certificate for another name.
    pub fn start_tls_wrong_name<F>(handler: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        Self::start_tls_with(Authority::new().server().leaf(Leaf::WrongName), handler)
    }

    /// Starts a server with an expired certificate.
    pub fn start_tls_expired<F>(handler: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        Self::start_tls_with(Authority::new().server().leaf(Leaf::Expired), handler)
    }

    /// Starts a server with these TLS settings, for example of a shared authority.
    pub fn start_tls_with<F>(tls: Tls, handler: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        Self::start_on("127.0.0.1:0", Some(tls), handler)
    }

    /// Starts a server on any address, such as `"[::1]:0"`.
    pub fn start_on<F>(addr: impl ToSocketAddrs, tls: Option<Tls>, handler: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(addr).expect("bind the address of an HTTP server");
        let log = Log::default();
        let config = tls.as_ref().map(Tls::config);
        let acceptor = Acceptor::start(listener, {
            let log = Arc::clone(&log);
            move |stream, number| {
                let Ok(peer) = stream.peer_addr() else { return };
                let conn = Conn::new(stream, config.as_ref());
                // An error of the client ends only its own connection.
                let _ = serve(conn, number, peer, &log, &handler);
            }
        });
        Self { acceptor, log, tls }
    }

    /// Returns the address on which the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// Returns a URL with the address of this server; `path` begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.addr())
    }

    /// Returns a URL of this server with the name `localhost`.
    pub fn url_by_name(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme(), self.addr().port())
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Returns the PEM file of the authority. Panics if the server is plain.
    pub fn ca_file(&self) -> PathBuf {
        let tls = self.tls.as_ref().expect("call this for a server with TLS");
        tls.authority().ca_file()
    }

    /// Returns all requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.acceptor.accepted()
    }
}

/// Answers the requests of one connection.
fn serve(
    mut conn: Conn,
    number: usize,
    peer: SocketAddr,
    log: &Log,
    handler: &(impl Fn(&Request) -> Reply + ?Sized),
) -> io::Result<()> {
    let mut pending = Vec::new();
    while let Some(request) = Request::read(&mut conn, &mut pending, number, peer)? {
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        let reply = handler(&request);
        let last = request.closes() || reply.closes();
        for step in reply.into_steps(&request) {
            match step {
                Step::Bytes(bytes) => {
                    conn.write_all(&bytes)?;
                    conn.flush()?;
                }
                Step::Pause(time) => std::thread::sleep(time),
                Step::Wait(gate) => gate.wait(),
                Step::Close => return conn.close(),
                Step::Cut => return conn.finish_tcp(),
                Step::Reset => return conn.reset(),
                Step::Hang => return conn.wait_for_peer(),
                Step::Tunnel(to) => return conn.tunnel(to),
            }
        }
        if last {
            break;
        }
    }
    conn.close()
}

#[cfg(test)]
mod tests;

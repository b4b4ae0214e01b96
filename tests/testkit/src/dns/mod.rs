//! A DNS server for tests: UDP and TCP on one port of 127.0.0.1 and optionally
//! TLS on another, answers from a [`Zone`], and configurable misbehaviour.
//!
//! A closure gets each query with its transport and chooses a [`Behaviour`];
//! [`Behaviour::Answer`] is the correct one. Over UDP an answer that is larger
//! than the size advertised by the query (512 bytes without EDNS) is truncated
//! with TC set.
//!
//! ```no_run
//! use testkit::dns::{Behaviour, DnsServer, Transport, Zone};
//! let zone = Zone::new().soa("test").a("host.test", "192.0.2.1");
//! let correct = DnsServer::start(zone.clone());
//! let lossy = DnsServer::with_behaviour(zone, |_, transport| match transport {
//!     Transport::Udp => Behaviour::Drop,
//!     Transport::Tcp | Transport::Tls => Behaviour::Answer,
//! });
//! ```

mod behaviour;
mod misbehaviour;
mod wire;
mod zone;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use behaviour::Behaviour;
use behaviour::{Action, actions};
pub use misbehaviour::Misbehaviour;
pub use wire::{Edns, Query, Record, Response, labels, present, rtype};
pub use zone::Zone;

use crate::acceptor::Acceptor;
use crate::conn::Conn;
use crate::tls::Tls;

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A single UDP datagram.
    Udp,
    /// A TCP stream with length prefixes.
    Tcp,
    /// A TCP stream with TLS (RFC 7858).
    Tls,
}

/// A query in the log of the server.
#[derive(Debug, Clone)]
pub struct LoggedQuery {
    /// The transport of the query.
    pub transport: Transport,
    /// The address of the client.
    pub peer: SocketAddr,
    /// The time of its receipt.
    pub at: Instant,
    /// The content of the message.
    pub query: Query,
}

type ChooseBehaviour = dyn Fn(&Query, Transport) -> Behaviour + Send + Sync;

/// The state that the threads share.
struct Shared {
    zone: Zone,
    choose: Box<ChooseBehaviour>,
    log: Mutex<Vec<LoggedQuery>>,
    stop: AtomicBool,
}

impl Shared {
    /// Logs a message and returns the actions of the chosen behaviour.
    fn actions(&self, bytes: &[u8], transport: Transport, peer: SocketAddr) -> Vec<Action> {
        let Some(query) = Query::parse(bytes) else {
            return vec![Action::Close];
        };
        let behaviour = (self.choose)(&query, transport);
        let actions = actions(behaviour, &query, transport, &self.zone);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(LoggedQuery {
            transport,
            peer,
            at: Instant::now(),
            query,
        });
        actions
    }
}

/// A running server. Dropping it closes the sockets.
pub struct DnsServer {
    shared: Arc<Shared>,
    tcp: Acceptor,
    tls: Option<(Acceptor, Tls)>,
    udp: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DnsServer").field(&self.addr()).finish()
    }
}

impl DnsServer {
    /// Starts a server that answers from the table.
    pub fn start(zone: Zone) -> Self {
        Self::with_behaviour(zone, |_, _| Behaviour::Answer)
    }

    /// Starts a server that behaves as `choose` returns for each query.
    pub fn with_behaviour<F>(zone: Zone, choose: F) -> Self
    where
        F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
    {
        Self::launch(bind_both(), zone, Box::new(choose), None)
    }

    /// Starts a server on the given address, for a test in its own namespace.
    pub fn at<F>(addr: SocketAddr, zone: Zone, choose: F) -> Self
    where
        F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(addr).expect("bind the TCP address");
        let socket = UdpSocket::bind(addr).expect("bind the UDP address");
        Self::launch((listener, socket), zone, Box::new(choose), None)
    }

    /// Starts a server that also listens for TLS, on [`DnsServer::tls_addr`].
    pub fn with_tls<F>(zone: Zone, tls: Tls, choose: F) -> Self
    where
        F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
    {
        Self::launch(bind_both(), zone, Box::new(choose), Some(tls))
    }

    fn launch(
        (listener, socket): (TcpListener, UdpSocket),
        zone: Zone,
        choose: Box<ChooseBehaviour>,
        tls: Option<Tls>,
    ) -> Self {
        let shared = Arc::new(Shared {
            zone,
            choose,
            log: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let streams = |listener: TcpListener, tls: Option<&Tls>| {
            let shared = Arc::clone(&shared);
            let transport = tls.map_or(Transport::Tcp, |_| Transport::Tls);
            let config = tls.map(Tls::config);
            Acceptor::start(listener, move |stream, _| {
                let Ok(peer) = stream.peer_addr() else { return };
                let conn = Conn::new(stream, config.as_ref());
                let _ = serve_stream(conn, transport, peer, &shared);
            })
        };
        let tcp = streams(listener, None);
        let tls = tls.map(|tls| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind a TLS port");
            (streams(listener, Some(&tls)), tls)
        });
        let udp = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_udp(&Arc::new(socket), &shared)
        });
        Self {
            shared,
            tcp,
            tls,
            udp: Some(udp),
        }
    }

    /// Returns the address for UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.tcp.addr()
    }

    /// Returns the address for TLS. Panics if the server has none.
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls
            .as_ref()
            .expect("call this for a server with TLS")
            .0
            .addr()
    }

    /// Returns the PEM file of the authority that issued the TLS certificate.
    pub fn ca_file(&self) -> std::path::PathBuf {
        let (_, tls) = self.tls.as_ref().expect("call this for a server with TLS");
        tls.authority().ca_file()
    }

    /// Returns all queries so far, in order of arrival.
    pub fn queries(&self) -> Vec<LoggedQuery> {
        let log = self.shared.log.lock();
        log.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // An empty datagram wakes the receiving thread.
        let near = SocketAddr::new(self.addr().ip(), 0);
        let woken = UdpSocket::bind(near).and_then(|s| s.send_to(&[], self.addr()));
        if let (Ok(_), Some(thread)) = (woken, self.udp.take()) {
            let _ = thread.join();
        }
    }
}

/// Binds a TCP and a UDP socket to the same port.
fn bind_both() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a DNS port");
        let addr = listener
            .local_addr()
            .expect("get the address of a listener");
        // The port is free for TCP, but may be in use for UDP.
        if let Ok(socket) = UdpSocket::bind(addr) {
            return (listener, socket);
        }
    }
    panic!("no port that is free for both TCP and UDP");
}

fn serve_udp(socket: &Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut buffer = vec![0; 65_535];
    loop {
        let received = socket.recv_from(&mut buffer);
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // An error is the result of an ICMP error about an earlier answer.
        let Ok((n, peer)) = received else { continue };
        let actions = shared.actions(&buffer[..n], Transport::Udp, peer);
        let socket = Arc::clone(socket);
        let run = move || {
            for action in actions {
                match action {
                    Action::Send(bytes) => drop(socket.send_to(&bytes, peer)),
                    Action::SendFromElsewhere(bytes) => {
                        let other = UdpSocket::bind("127.0.0.1:0");
                        let _ = other.and_then(|other| other.send_to(&bytes, peer));
                    }
                    Action::Pause(time) => std::thread::sleep(time),
                    Action::Close
                    | Action::Reset
                    | Action::CloseNotify
                    | Action::Hold(_)
                    | Action::Trickle(_)
                    | Action::CutShort(_) => break,
                }
            }
        };
        // In a thread of its own, so that a delay affects no other answer.
        std::thread::spawn(run);
    }
}

fn serve_stream(
    mut conn: Conn,
    transport: Transport,
    peer: SocketAddr,
    shared: &Shared,
) -> io::Result<()> {
    // Answers to be sent together with the next one.
    let mut held = Vec::new();
    loop {
        let mut length = [0; 2];
        if conn.read_exact(&mut length).is_err() {
            return conn.close();
        }
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        conn.read_exact(&mut bytes)?;
        for action in shared.actions(&bytes, transport, peer) {
            match action {
                Action::Send(bytes) | Action::SendFromElsewhere(bytes) => {
                    let length =
                        u16::try_from(bytes.len()).expect("send a message of less than 64 KiB");
                    // One write, so that only a test of partial reads causes them.
                    held.extend(length.to_be_bytes());
                    held.extend(bytes);
                    conn.write_all(&std::mem::take(&mut held))?;
                    conn.flush()?;
                }
                Action::Hold(bytes) => {
                    held.extend((bytes.len() as u16).to_be_bytes());
                    held.extend(bytes);
                }
                Action::Trickle(bytes) => {
                    let framed = [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
                    for byte in framed {
                        conn.write_all(&[byte])?;
                        conn.flush()?;
                    }
                }
                Action::CutShort(bytes) => {
                    let framed = [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
                    conn.write_all(&framed[..framed.len() - 1])?;
                    conn.flush()?;
                }
                Action::Pause(time) => std::thread::sleep(time),
                Action::Close => return conn.close(),
                Action::Reset => return conn.reset(),
                Action::CloseNotify => return conn.close_notify(),
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A DNS server for tests: UDP and TCP on one port of 127.0.0.1 (and TLS on
//! another, if asked), answers from a [`Zone`], and misbehaves as told.
//!
//! A closure sees each query with its transport and chooses a [`Behaviour`];
//! [`Behaviour::Answer`] is the honest one. Over UDP an answer larger than the
//! query's advertised size (512 bytes without EDNS) is truncated with TC set.
//!
//! ```no_run
//! use testkit::dns::{Behaviour, DnsServer, Transport, Zone};
//! let zone = Zone::new().soa("test").a("host.test", "192.0.2.1");
//! let honest = DnsServer::start(zone.clone());
//! let lossy = DnsServer::with_behaviour(zone, |_, transport| match transport {
//!     Transport::Udp => Behaviour::Drop,
//!     Transport::Tcp | Transport::Tls => Behaviour::Answer,
//! });
//! ```

mod behaviour;
mod lies;
mod wire;
mod zone;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use behaviour::Behaviour;
use behaviour::{Action, plan};
pub use lies::Lie;
pub use wire::{Edns, Query, Record, Response, labels, present, rtype};
pub use zone::Zone;

use crate::acceptor::Acceptor;
use crate::conn::Conn;
use crate::tls::Tls;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A stream with length prefixes.
    Tcp,
    /// The same inside TLS (RFC 7858).
    Tls,
}

/// A query that arrived.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The way it came.
    pub transport: Transport,
    /// Who sent it.
    pub peer: SocketAddr,
    /// When it was read.
    pub at: Instant,
    /// What it asked.
    pub query: Query,
}

type Choose = dyn Fn(&Query, Transport) -> Behaviour + Send + Sync;

/// What the threads share.
struct Shared {
    zone: Zone,
    choose: Box<Choose>,
    log: Mutex<Vec<Logged>>,
    stop: AtomicBool,
}

impl Shared {
    /// Logs a message and decides what to do about it.
    fn actions(&self, bytes: &[u8], transport: Transport, peer: SocketAddr) -> Vec<Action> {
        let Some(query) = Query::parse(bytes) else {
            return vec![Action::Close];
        };
        let behaviour = (self.choose)(&query, transport);
        let actions = plan(behaviour, &query, transport, &self.zone);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(Logged {
            transport,
            peer,
            at: Instant::now(),
            query,
        });
        actions
    }
}

/// A running server. Dropping it closes its sockets.
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
    /// A server that answers from the table.
    pub fn start(zone: Zone) -> Self {
        Self::with_behaviour(zone, |_, _| Behaviour::Answer)
    }

    /// A server that asks `choose` what to do with each query.
    pub fn with_behaviour<F>(zone: Zone, choose: F) -> Self
    where
        F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
    {
        Self::launch(bind_both(), zone, Box::new(choose), None)
    }

    /// A server at an address of its own, for a namespace whose addresses are
    /// the test's.
    pub fn at<F>(addr: SocketAddr, zone: Zone, choose: F) -> Self
    where
        F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(addr).expect("bind the TCP address");
        let socket = UdpSocket::bind(addr).expect("bind the UDP address");
        Self::launch((listener, socket), zone, Box::new(choose), None)
    }

    /// A server that also speaks TLS, at [`DnsServer::tls_addr`].
    pub fn with_tls<F>(zone: Zone, tls: Tls, choose: F) -> Self
    where
        F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
    {
        Self::launch(bind_both(), zone, Box::new(choose), Some(tls))
    }

    fn launch(
        (listener, socket): (TcpListener, UdpSocket),
        zone: Zone,
        choose: Box<Choose>,
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

    /// Where it listens, over UDP and TCP alike.
    pub fn addr(&self) -> SocketAddr {
        self.tcp.addr()
    }

    /// Where it listens for TLS. Panics for a server without.
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls.as_ref().expect("a server with TLS").0.addr()
    }

    /// The PEM file of the authority behind the TLS certificate.
    pub fn ca_file(&self) -> std::path::PathBuf {
        let (_, tls) = self.tls.as_ref().expect("a server with TLS");
        tls.authority().ca_file()
    }

    /// Every query so far, in order of arrival.
    pub fn queries(&self) -> Vec<Logged> {
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

/// A TCP and a UDP socket on the same port.
fn bind_both() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a DNS port");
        let addr = listener.local_addr().expect("address of a listener");
        // The port is free for TCP; for UDP somebody may hold it.
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
        // An error here is an ICMP one about an earlier answer.
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
                    | Action::Notify
                    | Action::Hold(_)
                    | Action::Trickle(_)
                    | Action::CutShort(_) => break,
                }
            }
        };
        // On a thread of its own, so that one delay does not delay the rest.
        std::thread::spawn(run);
    }
}

fn serve_stream(
    mut conn: Conn,
    transport: Transport,
    peer: SocketAddr,
    shared: &Shared,
) -> io::Result<()> {
    // What waits to be sent together with the next answer.
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
                    let length = u16::try_from(bytes.len()).expect("a message under 64 KiB");
                    // One write, so that a test of partial reads is deliberate.
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
                Action::Notify => return conn.notify(),
            }
        }
    }
}

#[cfg(test)]
mod tests;

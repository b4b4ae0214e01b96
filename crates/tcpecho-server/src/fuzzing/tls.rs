//! The entry point for the fuzz target of TLS sessions: the server's session
//! against a client, with a network between them that may change bytes. The
//! input bytes decide on each step.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::tls::{self, Session};

/// The TLS configurations of both ends.
#[derive(Debug)]
pub struct Settings {
    server: tls::TlsConfig,
    client: Arc<ClientConfig>,
}

impl Settings {
    /// Configures a server with this certificate for `localhost`, and a client
    /// that trusts it. Both files are PEM.
    pub fn new(cert: &Path, key: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in net::tls::certificates(cert).expect("read the certificate") {
            roots.add(certificate).expect("add the certificate");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("set TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            server: tls::TlsConfig::load(cert, key).expect("load certificate and key"),
            client: Arc::new(client),
        }
    }
}

/// The client at the other end of the network.
struct Peer {
    tls: ClientConnection,
    socket: UnixStream,
    /// Encrypted bytes in flight to the server.
    in_flight: Vec<u8>,
    /// The plain bytes that the client has sent.
    sent: Vec<u8>,
    /// The plain bytes that the client has received.
    received: Vec<u8>,
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        if !self.tls.is_handshaking() {
            let n = self.tls.writer().write(bytes).unwrap_or(0);
            self.sent.extend_from_slice(&bytes[..n]);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while self.tls.wants_write() {
            self.tls
                .write_tls(&mut self.in_flight)
                .expect("write to memory");
        }
    }

    fn deliver(&mut self, n: usize) {
        let n = n.min(self.in_flight.len());
        let n = self.socket.write(&self.in_flight[..n]).unwrap_or(0);
        self.in_flight.drain(..n);
    }

    fn receive(&mut self) {
        if self.tls.read_tls(&mut self.socket).is_ok() && self.tls.process_new_packets().is_ok() {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = self.tls.reader().read(&mut buffer) {
                self.received.extend_from_slice(&buffer[..n]);
            }
        }
        self.flush();
    }
}

/// Lets the server echo the bytes of one read, at most `max`, and adds them to
/// `received`. Returns false after an error.
fn echo_once(
    session: &mut Session,
    socket: &UnixStream,
    max: usize,
    received: &mut Vec<u8>,
) -> bool {
    match session.drive(socket) {
        Ok(()) => {}
        Err(Errno::CONNRESET | Errno::PROTO | Errno::PIPE) => return false,
        Err(e) => panic!("an unexpected error: {e}"),
    }
    if !session.is_established() || session.wants_write() {
        return true;
    }
    let mut buffer = vec![0; max];
    match session.recv(socket, &mut buffer) {
        Ok(n) => {
            received.extend_from_slice(&buffer[..n]);
            // All earlier records have been sent, so everything is accepted.
            n > 0
                && session
                    .send(socket, &buffer[..n])
                    .is_ok_and(|sent| sent == n)
        }
        Err(Errno::AGAIN) => true,
        Err(Errno::CONNRESET | Errno::PROTO | Errno::PIPE) => false,
        Err(e) => panic!("an unexpected error: {e}"),
    }
}

/// Runs a session and checks that the server receives exactly what the client
/// sent, however the network divides it, and nothing that the network changed.
pub fn session(settings: &Settings, bytes: &[u8]) {
    let (socket, other) = UnixStream::pair().expect("create a pair of sockets");
    socket.set_nonblocking(true).expect("set non-blocking mode");
    other.set_nonblocking(true).expect("set non-blocking mode");
    let name = ServerName::try_from("localhost").expect("parse the server name");
    let mut peer = Peer {
        tls: ClientConnection::new(Arc::clone(&settings.client), name).expect("create the client"),
        socket: other,
        in_flight: Vec::new(),
        sent: Vec::new(),
        received: Vec::new(),
    };
    peer.flush();
    let mut session = Session::new(&settings.server).expect("create the session");
    let (mut received, mut alive, mut unchanged) = (Vec::new(), true, true);
    let mut steps = bytes.chunks_exact(3);
    for step in &mut steps {
        let n = usize::from(step[1]) * 16 + usize::from(step[2] & 15);
        match step[0] % 7 {
            0 => peer.send(&vec![step[1]; n]),
            1 => {
                if let Some(byte) = peer.in_flight.get_mut(n) {
                    *byte ^= step[2] | 1;
                    unchanged = false;
                }
            }
            2 => {
                peer.in_flight.extend_from_slice(step);
                unchanged = false;
            }
            3 => {
                peer.in_flight.truncate(n);
                unchanged = false;
            }
            4 => peer.deliver(n),
            5 => alive = alive && echo_once(&mut session, &socket, n.max(1), &mut received),
            _ => peer.receive(),
        }
        assert!(
            peer.sent.starts_with(&received),
            "the server received bytes that were not sent"
        );
        assert!(
            session.is_established() || received.is_empty(),
            "bytes were received before the handshake"
        );
    }
    if !unchanged {
        return;
    }
    peer.send(b"the last of it");
    for _ in 0..100_000 {
        if received.len() == peer.sent.len() && peer.received.len() == peer.sent.len() {
            break;
        }
        peer.deliver(usize::MAX);
        assert!(
            echo_once(&mut session, &socket, 4096, &mut received),
            "an unchanged session failed"
        );
        peer.receive();
    }
    assert!(
        received == peer.sent,
        "bytes were lost on the way to the server"
    );
    assert!(
        peer.received == peer.sent,
        "bytes were lost on the way back"
    );
}

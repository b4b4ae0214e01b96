//! The way in for the fuzz target of TLS sessions: a session against a client
//! that does as the bytes say, with a line between them that may change bytes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::tls::{self, Session};

/// Both ends' settings.
#[derive(Debug)]
pub struct Settings {
    server: tls::Settings,
    client: Arc<ClientConfig>,
}

impl Settings {
    /// A server with this certificate for `localhost`, and a client that trusts
    /// it; both files PEM.
    pub fn new(cert: &Path, key: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in common::tls::certificates(cert).expect("a certificate") {
            roots.add(certificate).expect("a certificate to trust");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            server: tls::settings(cert, key).expect("a certificate and its key"),
            client: Arc::new(client),
        }
    }
}

/// The peer at the other end of the line.
struct Peer {
    tls: ClientConnection,
    socket: UnixStream,
    /// On its way to the server.
    line: Vec<u8>,
    sent: Vec<u8>,
    back: Vec<u8>,
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
            self.tls.write_tls(&mut self.line).expect("write to memory");
        }
    }

    fn deliver(&mut self, n: usize) {
        let n = n.min(self.line.len());
        let n = self.socket.write(&self.line[..n]).unwrap_or(0);
        self.line.drain(..n);
    }

    fn receive(&mut self) {
        if self.tls.read_tls(&mut self.socket).is_ok() && self.tls.process_new_packets().is_ok() {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = self.tls.reader().read(&mut buffer) {
                self.back.extend_from_slice(&buffer[..n]);
            }
        }
        self.flush();
    }
}

/// One turn of the server: what it takes it sends back. False after an error.
fn turn(session: &mut Session, socket: &UnixStream, room: usize, got: &mut Vec<u8>) -> bool {
    match session.proceed(socket) {
        Ok(()) => {}
        Err(Errno::CONNRESET | Errno::PROTO | Errno::PIPE) => return false,
        Err(e) => panic!("an unexpected error: {e}"),
    }
    if !session.is_open() || session.wants_room() {
        return true;
    }
    let mut buffer = vec![0; room];
    match session.recv(socket, &mut buffer) {
        Ok(n) => {
            got.extend_from_slice(&buffer[..n]);
            // There was no unsent record, so it is taken whole.
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

/// Plays a session: what is taken is what was sent, however the line cuts it,
/// and never anything that the line changed.
pub fn session(settings: &Settings, bytes: &[u8]) {
    let (socket, other) = UnixStream::pair().expect("a pair of sockets");
    socket.set_nonblocking(true).expect("an option");
    other.set_nonblocking(true).expect("an option");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut peer = Peer {
        tls: ClientConnection::new(Arc::clone(&settings.client), name).expect("a client"),
        socket: other,
        line: Vec::new(),
        sent: Vec::new(),
        back: Vec::new(),
    };
    peer.flush();
    let mut session = Session::new(&settings.server).expect("a session");
    let (mut got, mut alive, mut honest) = (Vec::new(), true, true);
    let mut steps = bytes.chunks_exact(3);
    for step in &mut steps {
        let n = usize::from(step[1]) * 16 + usize::from(step[2] & 15);
        match step[0] % 7 {
            0 => peer.send(&vec![step[1]; n]),
            1 => {
                if let Some(byte) = peer.line.get_mut(n) {
                    *byte ^= step[2] | 1;
                    honest = false;
                }
            }
            2 => {
                peer.line.extend_from_slice(step);
                honest = false;
            }
            3 => {
                peer.line.truncate(n);
                honest = false;
            }
            4 => peer.deliver(n),
            5 => alive = alive && turn(&mut session, &socket, n.max(1), &mut got),
            _ => peer.receive(),
        }
        assert!(peer.sent.starts_with(&got), "bytes made up");
        assert!(
            session.is_open() || got.is_empty(),
            "bytes before the handshake"
        );
    }
    if !honest {
        return;
    }
    peer.send(b"the last of it");
    for _ in 0..100_000 {
        if got.len() == peer.sent.len() && peer.back.len() == peer.sent.len() {
            break;
        }
        peer.deliver(usize::MAX);
        assert!(
            turn(&mut session, &socket, 4096, &mut got),
            "an honest session failed"
        );
        peer.receive();
    }
    assert!(got == peer.sent, "bytes lost on their way to the server");
    assert!(peer.back == peer.sent, "bytes lost on their way back");
}

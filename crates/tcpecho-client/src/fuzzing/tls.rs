//! The way in for the fuzz target of TLS sessions: a session against a server
//! that does as the bytes say, with a line between them that may change bytes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection};

use crate::failure;
use crate::tls::{Plan, Session, Settings as Client};

/// Both ends' settings.
#[derive(Debug)]
pub struct Settings {
    server: Arc<ServerConfig>,
    client: Client,
}

impl Settings {
    /// A server with this certificate for `localhost`, and a client that trusts
    /// it; both files PEM.
    pub fn new(cert: &Path, key: &Path) -> Self {
        let plan = Plan {
            cacert: Some(cert.to_owned()),
            insecure: false,
            server_name: "localhost".to_owned(),
        };
        let chain = common::tls::certificates(cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        Self {
            server: Arc::new(server),
            client: Client::new(&plan).expect("settings"),
        }
    }
}

/// The server at the other end of the line: it sends and never reads more than
/// the handshake needs.
struct Peer {
    tls: ServerConnection,
    socket: UnixStream,
    /// On its way to the client.
    line: Vec<u8>,
    sent: Vec<u8>,
    got: Vec<u8>,
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
                self.got.extend_from_slice(&buffer[..n]);
            }
        }
        self.flush();
    }
}

/// The error of a broken session is a sentence for users.
fn explained(error: &io::Error) {
    let text = failure::of(error).to_string();
    assert!(!text.is_empty() && text.len() < 2000, "{text}");
    let identifier =
        |word: &str| word.contains("::") || word.contains(['{', '}', '(']) && word.contains('"');
    assert!(!text.split(' ').any(identifier), "an identifier in {text}");
}

/// One turn of the client. False after an error or the end.
fn turn(session: &mut Session, room: usize, got: &mut Vec<u8>) -> bool {
    match session.advance() {
        Ok(true) => {}
        Ok(false) => return true,
        Err(e) => {
            explained(&e);
            return false;
        }
    }
    let mut buffer = vec![0; room];
    match session.read(&mut buffer) {
        Ok(n) => {
            got.extend_from_slice(&buffer[..n]);
            n > 0
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => true,
        Err(e) => {
            explained(&e);
            false
        }
    }
}

/// Plays a session: what is read is what was sent, however the line cuts it,
/// and never anything that the line changed.
pub fn session(settings: &Settings, bytes: &[u8]) {
    let (socket, other) = UnixStream::pair().expect("a pair of sockets");
    socket.set_nonblocking(true).expect("an option");
    other.set_nonblocking(true).expect("an option");
    let mut peer = Peer {
        tls: ServerConnection::new(Arc::clone(&settings.server)).expect("a server"),
        socket: other,
        line: Vec::new(),
        sent: Vec::new(),
        got: Vec::new(),
    };
    // The session calls nothing that a stream of another family has not.
    let socket = TcpStream::from(OwnedFd::from(socket));
    let mut session = Session::new(&settings.client, socket).expect("a session");
    let (mut got, mut alive, mut honest) = (Vec::new(), true, true);
    for step in bytes.chunks_exact(3) {
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
            5 => alive = alive && turn(&mut session, n.max(1), &mut got),
            _ => peer.receive(),
        }
        assert!(peer.sent.starts_with(&got), "bytes made up");
    }
    if !honest {
        return;
    }
    let mut written = 0;
    for _ in 0..100_000 {
        peer.receive();
        peer.deliver(usize::MAX);
        assert!(
            turn(&mut session, 4096, &mut got),
            "an honest session failed"
        );
        if written == 0 && session.advance().is_ok_and(|open| open) {
            written = session.write(b"a question").unwrap_or(0);
        }
        if got.len() == peer.sent.len() && written > 0 && peer.got.len() == written {
            break;
        }
    }
    assert!(got == peer.sent, "bytes lost on their way to the client");
    assert_eq!(peer.got, b"a question"[..written]);
}

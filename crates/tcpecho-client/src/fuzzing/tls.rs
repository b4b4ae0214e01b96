//! The entry point for the fuzz target of TLS sessions: a client and a server,
//! and between them a simulated network that may change bytes. The input decides
//! what the server and the network do.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection};

use crate::connection;
use crate::tls::{TlsConnector, TlsOptions, TlsStream};

/// The settings of the client and of the server.
#[derive(Debug)]
pub struct Settings {
    server: Arc<ServerConfig>,
    client: TlsConnector,
}

impl Settings {
    /// Creates the settings of a server with this certificate for `localhost`,
    /// and of a client that trusts it. Both files are in PEM.
    pub fn new(cert: &Path, key: &Path) -> Self {
        let options = TlsOptions {
            cacert: Some(cert.to_owned()),
            insecure: false,
            server_name: "localhost".to_owned(),
        };
        let chain = net::tls::certificates(cert).expect("read the certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("read the key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key belongs to the certificate");
        Self {
            server: Arc::new(server),
            client: TlsConnector::new(&options).expect("valid settings"),
        }
    }
}

/// The server, and the bytes that are on their way to the client.
struct Peer {
    tls: ServerConnection,
    socket: UnixStream,
    /// Encrypted bytes that are sent and not delivered yet.
    wire: Vec<u8>,
    /// Plaintext bytes sent to the client.
    sent: Vec<u8>,
    /// Plaintext bytes received from the client.
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
            self.tls.write_tls(&mut self.wire).expect("write to memory");
        }
    }

    fn deliver(&mut self, n: usize) {
        let n = n.min(self.wire.len());
        let n = self.socket.write(&self.wire[..n]).unwrap_or(0);
        self.wire.drain(..n);
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

/// Checks that the error of a session is a sentence for users.
fn check_text(error: &io::Error) {
    let text = connection::explain(error).to_string();
    assert!(!text.is_empty() && text.len() < 2000, "{text}");
    let identifier =
        |word: &str| word.contains("::") || word.contains(['{', '}', '(']) && word.contains('"');
    assert!(
        !text.split(' ').any(identifier),
        "an identifier is in {text}"
    );
}

/// Continues the handshake of the client and reads once. Returns false after an
/// error or the end of file.
fn read_once(session: &mut TlsStream, size: usize, received: &mut Vec<u8>) -> bool {
    match session.handshake() {
        Ok(true) => {}
        Ok(false) => return true,
        Err(e) => {
            check_text(&e);
            return false;
        }
    }
    let mut buffer = vec![0; size];
    match session.read(&mut buffer) {
        Ok(n) => {
            received.extend_from_slice(&buffer[..n]);
            n > 0
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => true,
        Err(e) => {
            check_text(&e);
            false
        }
    }
}

/// Runs a session and checks that the client reads the bytes that the server
/// sent, however they are split, and no bytes that the network changed.
pub fn session(settings: &Settings, bytes: &[u8]) {
    let (socket, other) = UnixStream::pair().expect("create a pair of sockets");
    socket.set_nonblocking(true).expect("set an option");
    other.set_nonblocking(true).expect("set an option");
    let mut peer = Peer {
        tls: ServerConnection::new(Arc::clone(&settings.server)).expect("create a server"),
        socket: other,
        wire: Vec::new(),
        sent: Vec::new(),
        received: Vec::new(),
    };
    // The session uses only calls that work on a Unix socket, too.
    let socket = TcpStream::from(OwnedFd::from(socket));
    let mut session = TlsStream::new(&settings.client, socket).expect("create a session");
    let (mut received, mut is_open, mut is_honest) = (Vec::new(), true, true);
    for step in bytes.chunks_exact(3) {
        let n = usize::from(step[1]) * 16 + usize::from(step[2] & 15);
        match step[0] % 7 {
            0 => peer.send(&vec![step[1]; n]),
            1 => {
                if let Some(byte) = peer.wire.get_mut(n) {
                    *byte ^= step[2] | 1;
                    is_honest = false;
                }
            }
            2 => {
                peer.wire.extend_from_slice(step);
                is_honest = false;
            }
            3 => {
                peer.wire.truncate(n);
                is_honest = false;
            }
            4 => peer.deliver(n),
            5 => is_open = is_open && read_once(&mut session, n.max(1), &mut received),
            _ => peer.receive(),
        }
        assert!(peer.sent.starts_with(&received), "bytes are made up");
    }
    if !is_honest {
        return;
    }
    let mut written = 0;
    for _ in 0..100_000 {
        peer.receive();
        peer.deliver(usize::MAX);
        assert!(
            read_once(&mut session, 4096, &mut received),
            "an unchanged session fails"
        );
        if written == 0 && session.handshake().is_ok_and(|open| open) {
            written = session.write(b"a question").unwrap_or(0);
        }
        if received.len() == peer.sent.len() && written > 0 && peer.received.len() == written {
            break;
        }
    }
    assert!(
        received == peer.sent,
        "bytes are lost on their way to the client"
    );
    assert_eq!(peer.received, b"a question"[..written]);
}

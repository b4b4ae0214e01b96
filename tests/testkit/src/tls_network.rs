//! One end of a TLS session, and a simulated network that may change bytes, for
//! tests of the other end: fuzz targets and property tests.
//!
//! The other end is the code under test. It echoes the received bytes over a
//! socket. The input bytes decide what the peer and the network do.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use crate::tls::Authority;

/// The last message of a session that the network has not changed.
const LAST_MESSAGE: &[u8] = b"the last message";

/// The number of exchanges after which a session must have ended.
const EXCHANGES_MAX: usize = 100_000;

/// The role and the settings of the peer.
#[derive(Debug, Clone)]
pub enum Peer {
    /// A client, which expects a server at `localhost`.
    Client(Arc<ClientConfig>),
    /// A server at `localhost`.
    Server(Arc<ServerConfig>),
}

impl Peer {
    /// Returns a client that trusts this authority.
    pub fn client(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root()).expect("add a valid root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("use known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::Client(Arc::new(config))
    }

    /// Returns a server with a certificate of this authority.
    pub fn server(authority: &Arc<Authority>) -> Self {
        Self::Server(authority.server().config())
    }

    /// Runs a session and checks that the other end receives exactly the bytes
    /// that the peer sent, however the network divides them, and no byte that the
    /// network changed.
    ///
    /// `open` starts the other end on a non-blocking socket. It returns a function
    /// that echoes the bytes of one read, at most the given number, and adds them
    /// to the vector. The function returns `false` after an error or the end of
    /// file.
    pub fn check<F>(&self, input: &[u8], open: impl FnOnce(UnixStream) -> F)
    where
        F: FnMut(usize, &mut Vec<u8>) -> bool,
    {
        let (socket, other) = UnixStream::pair().expect("create a pair of sockets");
        socket.set_nonblocking(true).expect("set an option");
        other.set_nonblocking(true).expect("set an option");
        let mut end = PeerEnd::new(self.connection(), socket);
        let mut echo_once = open(other);
        let (mut received, mut is_open, mut is_unchanged) = (Vec::new(), true, true);
        for step in input.chunks_exact(3) {
            let n = usize::from(step[1]) * 16 + usize::from(step[2] & 15);
            match step[0] % 7 {
                0 => end.send(&vec![step[1]; n]),
                1 => {
                    if let Some(byte) = end.in_flight.get_mut(n) {
                        *byte ^= step[2] | 1;
                        is_unchanged = false;
                    }
                }
                2 => {
                    end.in_flight.extend_from_slice(step);
                    is_unchanged = false;
                }
                3 => {
                    is_unchanged &= n >= end.in_flight.len();
                    end.in_flight.truncate(n);
                }
                4 => end.deliver(n),
                5 => is_open = is_open && echo_once(n.max(1), &mut received),
                _ => end.receive(),
            }
            assert!(
                end.sent.starts_with(&received),
                "bytes were received that were not sent"
            );
        }
        if !is_unchanged {
            return;
        }
        for _ in 0..EXCHANGES_MAX {
            if end.has_sent(LAST_MESSAGE) && end.received.len() == end.sent.len() {
                break;
            }
            if end.received.len() == end.sent.len() {
                end.send(LAST_MESSAGE);
            }
            end.deliver(usize::MAX);
            assert!(
                echo_once(4096, &mut received),
                "an unchanged session failed"
            );
            end.receive();
        }
        assert!(
            received == end.sent,
            "bytes were lost on the way to the other end"
        );
        assert!(
            end.received == end.sent && end.has_sent(LAST_MESSAGE),
            "bytes were lost on the way back"
        );
    }

    fn connection(&self) -> Connection {
        match self {
            Self::Client(config) => {
                let name = ServerName::try_from("localhost").expect("parse the name");
                let client = ClientConnection::new(Arc::clone(config), name);
                client.expect("create a client").into()
            }
            Self::Server(config) => {
                let server = ServerConnection::new(Arc::clone(config));
                server.expect("create a server").into()
            }
        }
    }
}

/// The peer's end of the session, and the bytes on their way from it.
struct PeerEnd {
    tls: Connection,
    socket: UnixStream,
    /// Encrypted bytes that are sent and not delivered yet.
    in_flight: Vec<u8>,
    /// The plain bytes that the peer has sent.
    sent: Vec<u8>,
    /// The plain bytes that the peer has received.
    received: Vec<u8>,
}

impl PeerEnd {
    fn new(tls: Connection, socket: UnixStream) -> Self {
        let mut end = Self {
            tls,
            socket,
            in_flight: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
        };
        end.flush();
        end
    }

    fn send(&mut self, bytes: &[u8]) {
        if !self.tls.is_handshaking() {
            let n = self.tls.writer().write(bytes).unwrap_or(0);
            self.sent.extend_from_slice(&bytes[..n]);
        }
        self.flush();
    }

    fn has_sent(&self, message: &[u8]) -> bool {
        self.sent.ends_with(message)
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

/// Defines the property tests of a TLS session in the crate under test, which
/// needs `proptest`. The argument is a `LazyLock` of two values: settings with a
/// method `echo` that starts a session on a socket, and the [`Peer`].
#[macro_export]
macro_rules! tls_session_properties {
    ($settings:expr) => {
        proptest::proptest! {
            #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

            #[test]
            fn a_session_receives_no_bytes_that_the_network_changed(
                input in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            ) {
                let (settings, peer) = &*$settings;
                peer.check(&input, |socket| settings.echo(socket));
            }

            #[test]
            fn a_session_receives_all_bytes_of_an_unchanged_network(
                steps in proptest::collection::vec(
                    (
                        proptest::sample::select(vec![0, 4, 5, 6]),
                        proptest::prelude::any::<[u8; 2]>(),
                    ),
                    0..100,
                ),
            ) {
                let (settings, peer) = &*$settings;
                let input: Vec<u8> = steps
                    .iter()
                    .flat_map(|(step, n)| [*step, n[0], n[1]])
                    .collect();
                peer.check(&input, |socket| settings.echo(socket));
            }
        }
    };
}

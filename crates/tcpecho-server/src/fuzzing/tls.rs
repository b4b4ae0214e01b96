//! The entry point for the fuzz target of TLS sessions: the server's session as
//! an echo, for a peer and a network that the target simulates.

use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;

use crate::tls::{Session, TlsConfig};

/// The TLS configuration of a server.
#[derive(Debug)]
pub struct Settings(TlsConfig);

impl Settings {
    /// Loads a certificate and its key from PEM files.
    pub fn new(cert: &Path, key: &Path) -> Self {
        Self(TlsConfig::load(cert, key).expect("load certificate and key"))
    }

    /// Starts a session on a non-blocking socket. The function that this returns
    /// echoes the bytes of one read, at most the given number, adds them to the
    /// vector, and returns `false` after an error or the end of file.
    pub fn echo(&self, socket: UnixStream) -> impl FnMut(usize, &mut Vec<u8>) -> bool + use<> {
        let mut session = Session::new(&self.0).expect("create the session");
        move |max, received| match echo_once(&mut session, &socket, max, received) {
            Ok(is_open) => is_open,
            Err(Errno::AGAIN) => true,
            Err(Errno::CONNRESET | Errno::PROTO | Errno::PIPE) => false,
            Err(e) => panic!("an unexpected error: {e}"),
        }
    }
}

fn echo_once(
    session: &mut Session,
    socket: &UnixStream,
    max: usize,
    received: &mut Vec<u8>,
) -> Result<bool, Errno> {
    session.drive(socket)?;
    if !session.is_established() || session.wants_write() {
        return Ok(true);
    }
    let mut buffer = vec![0; max];
    let n = session.recv(socket, &mut buffer)?;
    received.extend_from_slice(&buffer[..n]);
    // All earlier records have been sent, so everything is accepted.
    Ok(n > 0 && session.send(socket, &buffer[..n]) == Ok(n))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use testkit::tls::{Authority, Leaf};
    use testkit::tls_network::Peer;

    static SETTINGS: LazyLock<(Settings, Peer)> = LazyLock::new(|| {
        let authority = Authority::new();
        let (cert, key) = authority.files(Leaf::Good);
        (Settings::new(&cert, &key), Peer::client(&authority))
    });

    testkit::tls_session_properties!(SETTINGS);
}

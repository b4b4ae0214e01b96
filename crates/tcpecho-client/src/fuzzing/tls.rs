//! The entry point for the fuzz target of TLS sessions: the client's session as
//! an echo, for a server and a network that the target simulates.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::connection;
use crate::tls::{TlsConnector, TlsOptions, TlsStream};

/// The TLS settings of a client.
#[derive(Debug)]
pub struct Settings(TlsConnector);

impl Settings {
    /// Configures a client that expects `localhost` and trusts the certificates
    /// of a PEM file.
    pub fn new(cacert: &Path) -> Self {
        let options = TlsOptions {
            cacert: Some(cacert.to_owned()),
            insecure: false,
            server_name: "localhost".to_owned(),
        };
        Self(TlsConnector::new(&options).expect("valid settings"))
    }

    /// Starts a session on a non-blocking socket. The function that this returns
    /// echoes the bytes of one read, at most the given number, adds them to the
    /// vector, and returns `false` after an error or the end of file.
    pub fn echo(&self, socket: UnixStream) -> impl FnMut(usize, &mut Vec<u8>) -> bool + use<> {
        // The session uses only calls that work on a Unix socket, too.
        let socket = TcpStream::from(OwnedFd::from(socket));
        let mut session = TlsStream::new(&self.0, socket).expect("create a session");
        let mut unsent = Vec::new();
        move |max, received| match echo_once(&mut session, max, received, &mut unsent) {
            Ok(is_open) => is_open,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => true,
            Err(e) => {
                check_text(&e);
                false
            }
        }
    }
}

fn echo_once(
    session: &mut TlsStream,
    max: usize,
    received: &mut Vec<u8>,
    unsent: &mut Vec<u8>,
) -> io::Result<bool> {
    if !session.handshake()? {
        return Ok(true);
    }
    while !unsent.is_empty() {
        let n = session.write(unsent)?;
        unsent.drain(..n);
    }
    let mut buffer = vec![0; max];
    let n = session.read(&mut buffer)?;
    received.extend_from_slice(&buffer[..n]);
    let written = match session.write(&buffer[..n]) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    unsent.extend_from_slice(&buffer[written..n]);
    Ok(n > 0)
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use testkit::tls::Authority;
    use testkit::tls_network::Peer;

    static SETTINGS: LazyLock<(Settings, Peer)> = LazyLock::new(|| {
        let authority = Authority::new();
        (
            Settings::new(&authority.ca_file()),
            Peer::server(&authority),
        )
    });

    testkit::tls_session_properties!(SETTINGS);
}

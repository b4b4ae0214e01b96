//! A substitute for `tls.rs` in builds without the feature `tls`: types that have
//! no value, so that their methods can never be called, and the error message.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use common::{Error, Result};

/// The reason why this build cannot use TLS.
pub(crate) const MISSING: Option<&str> = Some(WHY);

const WHY: &str = "this build has no TLS; install resolve with its default features";

/// Certificate authorities, which cannot exist.
#[derive(Clone, Debug)]
pub(crate) enum Trust {}

/// A TLS configuration, which cannot exist.
#[derive(Debug)]
pub(crate) enum Config {}

/// The TLS state of a connection, which cannot exist.
#[derive(Debug)]
pub(crate) enum Session {}

/// Always fails: only TLS needs certificate authorities.
pub(crate) fn trust(_file: Option<&Path>) -> Result<Trust> {
    Err(Error::usage(WHY))
}

pub(crate) fn for_tls(trust: &Trust) -> Result<Arc<Config>> {
    match *trust {}
}

pub(crate) fn session(config: &Arc<Config>, _name: &str) -> io::Result<Session> {
    match **config {}
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "with TLS, the function takes both by value"
)]
pub(crate) fn blocking<S: Read + Write>(session: Session, _socket: S) -> io::Empty {
    match session {}
}

/// Always true: servers that need a name are refused before, see [`MISSING`].
pub(crate) fn is_server_name(_name: &str) -> bool {
    true
}

/// The I/O state of a session.
#[derive(Debug)]
pub(crate) enum State {}

impl State {
    pub(crate) fn peer_has_closed(&self) -> bool {
        match *self {}
    }
}

/// Always `None`: no error comes from TLS.
pub(crate) fn cause(_error: &io::Error) -> Option<String> {
    None
}

/// The methods of rustls that the connections use.
impl Session {
    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(crate) fn write_tls(&mut self, _socket: &mut dyn Write) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn read_tls(&mut self, _socket: &mut dyn Read) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn process_new_packets(&mut self) -> io::Result<State> {
        match *self {}
    }

    pub(crate) fn writer(&mut self) -> io::Sink {
        match *self {}
    }

    pub(crate) fn reader(&mut self) -> io::Empty {
        match *self {}
    }
}

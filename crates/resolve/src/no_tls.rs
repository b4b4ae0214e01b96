//! What stands for TLS in a build without it (no feature `tls`): types that
//! have no value, and the error that says why.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use common::{Error, Result};

/// Why servers that want TLS are refused.
pub(crate) const MISSING: Option<&str> = Some(WHY);

const WHY: &str = "this build has no TLS; install resolve with its default features";

/// There are none to believe.
#[derive(Clone, Debug)]
pub(crate) enum Trust {}

/// What connections would share.
#[derive(Debug)]
pub(crate) enum Config {}

/// A connection's side of TLS.
#[derive(Debug)]
pub(crate) enum Session {}

/// Refuses: whoever needs authorities needs TLS.
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
    reason = "a session with its socket is one thing, and TLS takes both"
)]
pub(crate) fn blocking<S: Read + Write>(session: Session, _socket: S) -> io::Empty {
    match session {}
}

/// Not looked at: what needs a name is refused before, see [`MISSING`].
pub(crate) fn is_server_name(_name: &str) -> bool {
    true
}

/// What is known of a session.
#[derive(Debug)]
pub(crate) enum State {}

impl State {
    pub(crate) fn peer_has_closed(&self) -> bool {
        match *self {}
    }
}

/// No error is one of TLS.
pub(crate) fn cause(_error: &io::Error) -> Option<String> {
    None
}

/// What is asked of a session elsewhere, as rustls names it.
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

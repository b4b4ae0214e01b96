//! What a failed read or write of a connection means.

use std::io;

use common::{Error, Kind};

use crate::tls;

/// The error of a failed call; one of TLS is told from one of the network.
pub(crate) fn of(error: &io::Error) -> Error {
    match tls::error(error) {
        Some(text) => Error::new(Kind::Tls, text),
        None => Error::network(error),
    }
}

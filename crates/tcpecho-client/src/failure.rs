//! What a failed read or write of a connection means.

use std::io;

use common::Error;

use crate::tls;

/// The error of a failed call; one of TLS is told from one of the network.
pub(crate) fn of(error: &io::Error) -> Error {
    tls::error(error).unwrap_or_else(|| Error::network(error))
}

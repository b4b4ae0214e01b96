//! Errors on their way through ureq.

use std::io::{self, ErrorKind};
use std::time::Instant;

use common::{Error, Kind};
use ureq::unversioned::transport::NextTimeout;

use crate::net::exchange::{self, NetworkError};
use crate::net::tls;

/// Wraps an error so that it passes through ureq unchanged.
pub(crate) fn wrap_error(error: impl Into<NetworkError>) -> ureq::Error {
    ureq::Error::Other(Box::new(error.into()))
}

pub(super) fn cut_short(message: impl Into<String>) -> ureq::Error {
    wrap_error(NetworkError::cut_short(Error::new(Kind::Protocol, message)))
}

/// Converts the error of a read or write on an established connection.
pub(super) fn io_error(error: &io::Error, timeout: NextTimeout) -> ureq::Error {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        let over = exchange::deadline().is_some_and(|deadline| deadline <= Instant::now());
        return ureq::Error::Timeout(if over {
            ureq::Timeout::Global
        } else {
            timeout.reason
        });
    }
    if let Some(tls) = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
    {
        return wrap_error(tls::tls_error(tls));
    }
    if error.kind() == ErrorKind::UnexpectedEof {
        return cut_short("cut short: the TLS connection ended without close_notify");
    }
    wrap_error(NetworkError::cut_short(Error::network(error)))
}

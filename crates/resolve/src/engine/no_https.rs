//! A substitute for `https.rs` in builds without TLS: a client type that has no
//! value, so that its methods can never be called.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::failure::ServerFailure;
use crate::tls::Trust;

/// The window of an HTTPS server, as in builds with TLS.
pub(crate) const THREADS: usize = 8;

/// The token of a query, and its answer or failure.
pub(crate) type HttpsResult = (u64, Result<Vec<u8>, ServerFailure>);

/// A client that cannot exist.
#[derive(Debug)]
pub(crate) enum HttpsClient {}

impl HttpsClient {
    pub(crate) fn new(_url: &str, _get: bool, trust: &Trust) -> io::Result<Self> {
        match *trust {}
    }

    pub(crate) fn send(
        &mut self,
        _token: u64,
        _message: Vec<u8>,
        _deadline: Instant,
        _pending: usize,
    ) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn receive(&mut self) -> Option<HttpsResult> {
        match *self {}
    }
}

impl AsFd for HttpsClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

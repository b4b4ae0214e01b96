//! What stands for DNS over HTTPS in a build without TLS: a type that has no
//! value.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::answer::Status;
use crate::lookup::Failure;
use crate::tls::Trust;

/// As many as with TLS, though none will run.
pub(crate) const THREADS: usize = 8;

/// An answer, or why there is none.
pub(crate) type Answer = (u64, Result<Vec<u8>, (Status, Failure)>);

/// A server's threads.
#[derive(Debug)]
pub(crate) enum Https {}

impl Https {
    pub(crate) fn new(_url: &str, _get: bool, trust: &Trust) -> io::Result<Self> {
        match *trust {}
    }

    pub(crate) fn send(
        &mut self,
        _token: u64,
        _message: Vec<u8>,
        _deadline: Instant,
        _busy: usize,
    ) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn receive(&mut self) -> Option<Answer> {
        match *self {}
    }
}

impl AsFd for Https {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

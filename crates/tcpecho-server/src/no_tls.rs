//! Stand-ins for the types of [`crate::tls`] in a build without the feature
//! `tls`. They have no values, so the other modules need no conditional
//! compilation, and the compiler removes the code for TLS.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use common::{Error, Result};
use rustix::io::Errno;

/// Has no value, since [`TlsConfig::load`] always fails.
#[derive(Clone, Debug)]
pub(crate) struct TlsConfig(Infallible);

impl TlsConfig {
    /// Returns an error: this build does not support TLS.
    pub(crate) fn load(_: &Path, _: &Path) -> Result<Self> {
        Err(Error::usage(
            "this build has no TLS; it was made with '--no-default-features'",
        ))
    }
}

/// Has no value, since it is created from a configuration.
#[derive(Debug)]
pub(crate) struct Session(Infallible);

impl Session {
    pub(crate) fn new(config: &TlsConfig) -> io::Result<Self> {
        match config.0 {}
    }

    pub(crate) fn is_established(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn has_buffered_input(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn drive(&mut self, _: &impl AsFd) -> Result<(), Errno> {
        match self.0 {}
    }

    pub(crate) fn recv(&mut self, _: &impl AsFd, _: &mut [u8]) -> Result<usize, Errno> {
        match self.0 {}
    }

    pub(crate) fn send(&mut self, _: &impl AsFd, _: &[u8]) -> Result<usize, Errno> {
        match self.0 {}
    }

    pub(crate) fn shutdown(&mut self, _: &impl AsFd) -> Result<(), Errno> {
        match self.0 {}
    }
}

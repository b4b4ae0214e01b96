//! Stand-ins for the types of [`crate::tls`] in a build without the feature
//! `tls`. They have no values, so the other modules need no conditional
//! compilation, and the compiler removes the code for TLS.

use std::convert::Infallible;
use std::io;
use std::net::TcpStream;

use common::{Error, Result};

/// Has no value, since the command line refuses `--tls`.
#[derive(Clone, Debug)]
pub(crate) struct TlsOptions(Infallible);

/// Has no value, since it is created from options.
#[derive(Clone, Debug)]
pub(crate) struct TlsConnector(Infallible);

impl TlsConnector {
    pub(crate) fn new(options: &TlsOptions) -> Result<Self> {
        match options.0 {}
    }
}

/// Has no value, since it is created by a connector.
#[derive(Debug)]
pub(crate) struct TlsStream(Infallible);

impl TlsStream {
    pub(crate) fn new(connector: &TlsConnector, _: TcpStream) -> io::Result<Self> {
        match connector.0 {}
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self.0 {}
    }

    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn has_buffered_input(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(crate) fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(crate) fn close_write(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

/// Returns `None`: no error comes from TLS.
pub(crate) fn error(_: &io::Error) -> Option<Error> {
    None
}

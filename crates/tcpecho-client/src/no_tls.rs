//! The shape of [`crate::tls`] in a build without it, so that nothing else
//! has to ask. Nothing of it can ever exist, and the compiler knows.

use std::convert::Infallible;
use std::io;
use std::net::TcpStream;

use common::{Error, Result};

/// Never planned: the command line refuses.
#[derive(Clone, Debug)]
pub(crate) struct Plan(Infallible);

/// Never made, for want of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Settings(Infallible);

impl Settings {
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        match plan.0 {}
    }
}

/// Never opened, for want of settings.
#[derive(Debug)]
pub(crate) struct Session(Infallible);

impl Session {
    pub(crate) fn new(settings: &Settings, _: TcpStream) -> io::Result<Self> {
        match settings.0 {}
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        match self.0 {}
    }

    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn has_buffered(&self) -> bool {
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

/// No error is one of TLS.
pub(crate) fn error(_: &io::Error) -> Option<Error> {
    None
}

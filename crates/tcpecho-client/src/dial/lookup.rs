//! The lookup of the target's name.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use common::address::Family;
use common::endpoint::{Endpoint, Host};
use common::{Error, Kind, Result, zone};
use net::Waker;
use rustix::event::{PollFd, PollFlags};

use super::Dialer;
use crate::target::Target;
use crate::wait::{ShutdownSignal, Wake};

impl Dialer {
    /// Looks up the addresses of the target; returns `None` after a signal.
    /// getaddrinfo(3) cannot be interrupted, so it runs in a thread that may
    /// outlive this call.
    pub(super) fn lookup(
        &self,
        endpoint: &Endpoint,
        deadline: Option<Instant>,
        shutdown: &ShutdownSignal,
    ) -> Result<Option<Vec<SocketAddr>>> {
        let family = match self.options.source {
            Some(SocketAddr::V4(_)) => Family::V4,
            Some(SocketAddr::V6(_)) => Family::V6,
            None => self.options.family,
        };
        if let Host::Address(_) = endpoint.host {
            let mut found = net::lookup(&endpoint.host, endpoint.port, family, None)?;
            if let Target::Inet(_, Some(zone)) = &self.options.target {
                let index = zone::index(zone).map_err(|why| Error::new(Kind::System, why))?;
                for address in &mut found {
                    *address = zone::within(*address, index);
                }
            }
            return Ok(Some(found));
        }
        let local = |e: io::Error| Error::local(&e).with_subject(self.target_name());
        let (sender, receiver) = mpsc::channel();
        let waker = Waker::new().map_err(local)?;
        let done = waker.clone();
        let Endpoint { mut host, port } = endpoint.clone();
        if let Host::Name(name) = &host {
            let ascii = zone::to_ascii(name).map_err(|why| Error::new(Kind::Input, why))?;
            host = Host::Name(ascii);
        }
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || {
                // Sending fails if the receiver has given up waiting.
                let _ = sender.send(net::lookup(&host, port, family, None));
                done.wake();
            })
            .map_err(local)?;
        let mut fds = vec![PollFd::new(&waker, PollFlags::IN)];
        match shutdown.wait(&mut fds, deadline)? {
            Wake::Shutdown => Ok(None),
            Wake::TimedOut => {
                Err(Error::new(Kind::Name, "name lookup timed out")
                    .with_subject(self.target_name()))
            }
            Wake::Ready => receiver
                .recv()
                .map_err(|_| {
                    Error::new(Kind::Name, "name lookup failed").with_subject(self.target_name())
                })?
                .map(Some),
        }
    }
}

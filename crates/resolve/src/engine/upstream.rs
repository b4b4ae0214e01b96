//! A server as the engine sees it: its sockets, what it has been asked and
//! not answered yet, and what has been learned about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::flow::{Pace, RoundTrips, Window};
use super::https::{self, Https};
use super::stream::Stream;
use super::udp::{Ids, Port};
use crate::server::{Server, Way};
use crate::tls;
use crate::wire::edns::Cookie;

/// Sockets to one server at most.
const PORTS: usize = 4;

/// Queries in flight at the beginning.
const WINDOW: usize = 128;

/// Queries in flight on one connection at most: servers have limits.
const WINDOW_STREAM: usize = 256;

/// A server.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) server: Server,
    pub(crate) window: Window,
    pub(crate) trips: RoundTrips,
    pub(crate) pace: Option<Pace>,
    /// Queries in flight that are not presumed lost.
    pub(crate) counted: usize,
    pub(crate) ports: Vec<Port>,
    /// The port of the next query.
    port: usize,
    pub(crate) stream: Option<Stream>,
    /// Queries that a connection may have out at once.
    pub(crate) at_once: usize,
    pub(crate) https: Option<Https>,
    tls: Option<Arc<tls::Config>>,
    pub(crate) cookie: Option<Cookie>,
    /// The OPT record of queries over UDP and TCP.
    pub(crate) opt: Vec<u8>,
    /// Whether it refused EDNS and answered without.
    pub(crate) plain: bool,
}

impl Upstream {
    /// Nothing is opened yet.
    pub(crate) fn new(server: Server, settings: &Settings, ids: &mut Ids) -> io::Result<Self> {
        let datagrams = matches!(server.way, Way::Udp(_)) && !settings.tcp;
        let mut cookie = None;
        if matches!(server.way, Way::Udp(_) | Way::Tcp(_)) {
            let mut client = [0; 8];
            for pair in client.chunks_mut(2) {
                pair.copy_from_slice(&ids.draw()?.to_be_bytes());
            }
            cookie = Some(Cookie {
                client,
                server: Vec::new(),
            });
        }
        Ok(Self {
            window: match server.way {
                Way::Https { .. } => Window::new(https::THREADS, https::THREADS),
                _ if datagrams => Window::new(WINDOW, WINDOW),
                _ => Window::new(WINDOW, WINDOW_STREAM),
            },
            trips: RoundTrips::default(),
            pace: settings.rate.map(Pace::new),
            counted: 0,
            ports: Vec::new(),
            port: 0,
            stream: None,
            at_once: usize::MAX,
            https: None,
            tls: settings.tls.clone(),
            opt: settings.edns.record(cookie.as_ref(), None),
            cookie,
            plain: false,
            server,
        })
    }

    /// Queries that fit in its window.
    pub(crate) fn room(&self) -> usize {
        self.window.size().saturating_sub(self.counted)
    }

    /// How long to wait for an answer after so many rounds without one.
    pub(crate) fn patience(&self, settings: &Settings, rounds: u32) -> Duration {
        // Attempts that are counted have the same time each.
        let counted = settings.attempts.is_some() && !self.trips.any();
        let rounds = if counted { 0 } else { rounds };
        self.trips
            .timeout(settings.patience, settings.timeout, rounds)
    }

    /// How long to wait on a connection before the query is asked again. TCP
    /// loses nothing on the way, so that the server must have dropped it.
    pub(crate) fn patience_stream(&self, settings: &Settings) -> Duration {
        let third = settings.timeout / 3;
        self.trips.timeout(third, settings.timeout, 0).max(third)
    }

    /// The number of a port for the next query. One port is filled after the
    /// other, so that a batch goes out by one call; all are used, for what
    /// their buffers hold and for their numbers.
    pub(crate) fn pick(&mut self, large: bool) -> io::Result<usize> {
        let Way::Udp(address) = self.server.way else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let more = self.ports.len() < PORTS
            && self
                .ports
                .iter()
                .all(|port| port.in_use >= super::sys::BATCH);
        if more {
            self.ports.push(Port::open(address, large)?);
            self.port = self.ports.len() - 1;
            if large {
                let room: usize = self.ports.iter().map(|port| port.room).sum();
                self.window.set_max(room.clamp(64, 8000));
            }
        } else if self.ports[self.port].full() {
            self.port = (self.port + 1) % self.ports.len();
        }
        Ok(self.port)
    }

    /// After a batch the next port is filled.
    pub(crate) fn turn_port(&mut self) {
        if !self.ports.is_empty() {
            self.port = (self.port + 1) % self.ports.len();
        }
    }

    /// The connection, begun if there is none.
    pub(crate) fn stream(&mut self) -> io::Result<&mut Stream> {
        if self.stream.is_none() {
            let (address, tls) = match (&self.server.way, &self.tls) {
                (Way::Udp(address) | Way::Tcp(address), _) => (*address, None),
                (Way::Tls { address, name }, Some(config)) => {
                    (*address, Some(Box::new(tls::session(config, name)?)))
                }
                _ => return Err(io::ErrorKind::Unsupported.into()),
            };
            self.stream = Some(Stream::open(address, tls, self.at_once)?);
        }
        self.stream
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected.into())
    }

    /// The threads for HTTPS, made ready if there are none.
    pub(crate) fn https(&mut self, settings: &Settings) -> io::Result<&mut Https> {
        let none = &mut self.https;
        match (none, &self.server.way, &settings.trust) {
            (Some(https), _, _) => Ok(https),
            (none, Way::Https { url, get }, Some(trust)) => {
                Ok(none.insert(Https::new(url, *get, trust)?))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Remembers the cookie the server sent.
    pub(crate) fn learn(&mut self, theirs: &[u8], settings: &Settings) {
        if let Some(cookie) = &mut self.cookie
            && !theirs.is_empty()
            && cookie.server != theirs
        {
            cookie.server = theirs.to_vec();
            self.opt = settings.edns.record(Some(cookie), None);
        }
    }
}

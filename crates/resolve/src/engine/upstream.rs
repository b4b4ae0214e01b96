//! A server as the engine sees it: its sockets, what it has been asked and
//! not answered yet, and what has been learned about it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Settings;
use super::flow::{Pace, RoundTrips, Window};
use super::https::{self, Https};
use super::ports::Ports;
use super::stream::Stream;
use super::udp::Ids;
use crate::server::{Server, Way};
use crate::tls;
use crate::wire::edns::{Cookie, CookieOption};

/// Queries in flight at the beginning.
const WINDOW: usize = 128;

/// Queries in flight on one connection at most: servers have limits.
const WINDOW_STREAM: usize = 256;

/// Connections to a server that ends them after few answers, at most: one
/// after the other would take longer than the names behind them have.
const STREAMS: usize = 8;

/// Queries that may wait for their turn on connections before no further ones
/// are sent over UDP, whose answers may send them there too.
const WAITING: usize = 64;

/// Answers over UDP after which the share of truncated ones is judged.
const JUDGED: u32 = 64;

/// A server.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) server: Server,
    pub(crate) window: Window,
    pub(crate) trips: RoundTrips,
    pub(crate) pace: Option<Pace>,
    /// Queries in flight that are not presumed lost.
    pub(crate) counted: usize,
    pub(crate) ports: Ports,
    /// Connections; more than one only where they end early.
    pub(crate) streams: Vec<Option<Stream>>,
    /// How many of them there may be now, and how many it serves at a time.
    pub(crate) parallel: usize,
    pub(crate) parallel_max: usize,
    /// When an answer last came over any of them.
    pub(crate) heard: Option<Instant>,
    /// Whether it is asked over connections only.
    connected: bool,
    /// Queries that a connection may have out at once.
    pub(crate) at_once: usize,
    pub(crate) https: Option<Https>,
    tls: Option<Arc<tls::Config>>,
    pub(crate) cookie: Option<Cookie>,
    /// The OPT record of queries over UDP and TCP.
    pub(crate) opt: Vec<u8>,
    /// Whether it refused EDNS and answered without, and whether it has ever
    /// answered with it.
    pub(crate) plain: bool,
    pub(crate) speaks_edns: bool,
    /// Answers over UDP of late, and how many of them were truncated.
    answers: u32,
    truncated: u32,
    /// Whether it is asked over connections although UDP would do, and whether
    /// that has failed.
    prefers_stream: bool,
    refuses_stream: bool,
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
            ports: Ports::new(settings.servers.len()),
            streams: Vec::new(),
            parallel: 1,
            heard: None,
            parallel_max: STREAMS,
            connected: !datagrams && !matches!(server.way, Way::Https { .. }),
            at_once: usize::MAX,
            https: None,
            tls: settings.tls.clone(),
            opt: settings.edns.record(cookie.as_ref(), None),
            cookie,
            plain: false,
            speaks_edns: false,
            answers: 0,
            truncated: 0,
            prefers_stream: false,
            refuses_stream: false,
            server,
        })
    }

    /// Queries that fit in its window, and that its connections let out now:
    /// a name's time begins when it is sent, not while it waits there.
    pub(crate) fn room(&self) -> usize {
        let room = self.window.size().saturating_sub(self.counted);
        if !self.is_brief() {
            return room;
        }
        let open = self.streams.iter().flatten();
        if !self.is_connected() {
            let waiting: usize = open.map(|stream| stream.load().0).sum();
            return if waiting < WAITING { room } else { 0 };
        }
        let (count, spare) = open.fold((0, 0_usize), |(count, spare), stream| {
            (count + 1, spare.saturating_add(stream.spare()))
        });
        let further = self.parallel.saturating_sub(count);
        room.min(spare.saturating_add(further.saturating_mul(self.at_once)))
    }

    /// Whether it is asked over connections only.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected || self.prefers_stream
    }

    /// An answer over UDP. A server that truncates a quarter of them wants to be
    /// asked over TCP, be it that its answers are large, or that it slows us
    /// down and drops as many.
    pub(crate) fn answered_over_udp(&mut self, truncated: bool) {
        self.answers += 1;
        self.truncated += u32::from(truncated);
        if self.answers < JUDGED {
            return;
        }
        if self.truncated * 4 >= self.answers && !self.refuses_stream {
            self.prefers_stream = true;
            self.window.set_max(WINDOW_STREAM);
        }
        (self.answers, self.truncated) = (0, 0);
    }

    /// A connection ended without an answer. Whether it was one that UDP would
    /// do for; there will be no further such.
    pub(crate) fn refused_stream(&mut self) -> bool {
        let preferred = std::mem::take(&mut self.prefers_stream);
        if preferred {
            self.refuses_stream = true;
            self.window.set_max(self.ports.room().clamp(64, 8000));
        }
        preferred
    }

    /// Whether it is known to end connections early.
    pub(crate) fn is_brief(&self) -> bool {
        self.at_once != usize::MAX
    }

    /// Whether it has answered on any connection since this moment.
    pub(crate) fn has_answered(&self, since: Instant) -> bool {
        self.heard.is_some_and(|heard| heard > since)
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.streams.iter().flatten().count()
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

    /// The number of a port for the next query; `ids` decides by chance
    /// how many a new one serves.
    pub(crate) fn pick(&mut self, large: bool, ids: &mut Ids, now: Instant) -> io::Result<usize> {
        let Way::Udp(address) = self.server.way else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (number, new) = self.ports.pick(address, large, ids, now)?;
        if new && large {
            self.window.set_max(self.ports.room().clamp(64, 8000));
        }
        Ok(number)
    }

    /// The number of the connection for the next query, begun if there is
    /// none, or none that would let it out and another may be had.
    pub(crate) fn pick_stream(&mut self) -> io::Result<usize> {
        let open = self.streams.iter().enumerate();
        let open = open.filter_map(|(number, stream)| Some((number, stream.as_ref()?)));
        let count = open.clone().count();
        let least = open.min_by_key(|(_, stream)| (stream.spare() == 0, stream.load()));
        match least {
            Some((number, stream)) if count >= self.parallel || stream.spare() > 0 => Ok(number),
            _ => {
                let stream = self.connect()?;
                let number = self.streams.iter().position(Option::is_none);
                let number = number.unwrap_or_else(|| {
                    self.streams.push(None);
                    self.streams.len() - 1
                });
                self.streams[number] = Some(stream);
                Ok(number)
            }
        }
    }

    fn connect(&self) -> io::Result<Stream> {
        let (address, tls) = match (&self.server.way, &self.tls) {
            (Way::Udp(address) | Way::Tcp(address), _) => (*address, None),
            (Way::Tls { address, name }, Some(config)) => {
                (*address, Some(Box::new(tls::session(config, name)?)))
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Stream::open(address, tls, self.at_once)
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

    /// Whether it has sent a server cookie: it speaks EDNS, and its answers
    /// over UDP prove themselves from then on.
    pub(crate) fn has_cookie(&self) -> bool {
        self.cookie.as_ref().is_some_and(|c| !c.server.is_empty())
    }

    /// Whether queries to it must carry an OPT record.
    pub(crate) fn needs_edns(&self, settings: &Settings) -> bool {
        settings.edns.is_required() || self.has_cookie()
    }

    /// Remembers the server cookie of an answer to our client cookie.
    pub(crate) fn learn(&mut self, option: CookieOption<'_>, settings: &Settings) {
        if let (Some(cookie), CookieOption::Parts(ours, theirs)) = (&mut self.cookie, option)
            && *ours == cookie.client
            && !theirs.is_empty()
            && cookie.server != theirs
        {
            cookie.server = theirs.to_vec();
            self.opt = settings.edns.record(Some(cookie), None);
        }
    }
}

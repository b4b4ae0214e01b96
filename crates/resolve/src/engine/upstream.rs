//! A DNS server as the engine sees it: its sockets and connections, its limits,
//! and what its answers have shown about it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Settings;
use super::https::{self, HttpsClient};
use super::limiter::RateLimiter;
use super::rtt::RttEstimator;
use super::socket_pool::SocketPool;
use super::stream::Stream;
use super::udp::QueryIds;
use super::window::CongestionWindow;
use crate::server::{Server, Transport};
use crate::tls;
use crate::wire::edns::{Cookie, CookieOption};

/// The initial number of queries in flight.
const INITIAL_WINDOW: usize = 128;

/// The maximum number of queries in flight on connections, since servers limit them.
const MAX_STREAM_WINDOW: usize = 256;

/// The maximum number of connections to a server that closes them after a few answers.
/// A single one at a time would use up the time of the names that wait.
const MAX_CONNECTIONS: usize = 8;

/// Queries that may be queued on connections before no more are sent over UDP, since
/// a truncated answer adds another one to the queue.
const MAX_QUEUED: usize = 64;

/// Answers over UDP after which the share of truncated ones is evaluated.
const TRUNCATION_SAMPLE: u32 = 64;

/// The maximum and the minimum of the window for UDP.
const UDP_WINDOW_LIMITS: (usize, usize) = (64, 8000);

/// The state that is kept per server.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) server: Server,
    pub(crate) window: CongestionWindow,
    pub(crate) rtt: RttEstimator,
    pub(crate) limiter: Option<RateLimiter>,
    /// Queries that occupy the window: in flight and not timed out.
    pub(crate) in_window: usize,
    pub(crate) sockets: SocketPool,
    /// The connections; there are several only if the server closes them early.
    pub(crate) streams: Vec<Option<Stream>>,
    /// How many connections may be open now.
    pub(crate) max_connections: usize,
    /// How many connections the server is known to serve at a time.
    pub(crate) connection_limit: usize,
    /// The time of the last answer over any connection.
    pub(crate) last_answer: Option<Instant>,
    /// Whether it can be asked over connections only.
    stream_only: bool,
    /// Queries that a connection may have outstanding at a time.
    pub(crate) queries_per_connection: usize,
    pub(crate) https: Option<HttpsClient>,
    tls: Option<Arc<tls::Config>>,
    pub(crate) cookie: Option<Cookie>,
    /// The OPT record of queries over UDP and TCP.
    pub(crate) opt: Vec<u8>,
    /// Whether it refused EDNS and answered without it.
    pub(crate) no_edns: bool,
    /// Whether it has ever answered with EDNS.
    pub(crate) supports_edns: bool,
    /// Answers over UDP since the last evaluation.
    udp_answers: u32,
    /// How many of `udp_answers` were truncated.
    udp_truncated: u32,
    /// Whether it is asked over TCP although it serves UDP.
    prefers_tcp: bool,
    /// Whether an attempt to prefer TCP has failed.
    tcp_failed: bool,
}

impl Upstream {
    /// Creates the state without opening a socket.
    pub(crate) fn new(server: Server, settings: &Settings, ids: &mut QueryIds) -> io::Result<Self> {
        let uses_udp = matches!(server.transport, Transport::Udp(_)) && !settings.tcp;
        let mut cookie = None;
        if matches!(server.transport, Transport::Udp(_) | Transport::Tcp(_)) {
            let mut client = [0; 8];
            for pair in client.chunks_mut(2) {
                pair.copy_from_slice(&ids.draw()?.to_be_bytes());
            }
            cookie = Some(Cookie {
                client,
                server: Vec::new(),
            });
        }
        let is_https = matches!(server.transport, Transport::Https { .. });
        let window = if is_https {
            CongestionWindow::new(https::THREADS, https::THREADS)
        } else if uses_udp {
            CongestionWindow::new(INITIAL_WINDOW, INITIAL_WINDOW)
        } else {
            CongestionWindow::new(INITIAL_WINDOW, MAX_STREAM_WINDOW)
        };
        Ok(Self {
            window,
            rtt: RttEstimator::default(),
            limiter: settings.rate.map(RateLimiter::new),
            in_window: 0,
            sockets: SocketPool::new(settings.servers.len()),
            streams: Vec::new(),
            max_connections: 1,
            connection_limit: MAX_CONNECTIONS,
            last_answer: None,
            stream_only: !uses_udp && !is_https,
            queries_per_connection: usize::MAX,
            https: None,
            tls: settings.tls.clone(),
            opt: settings.edns.record(cookie.as_ref(), None),
            cookie,
            no_edns: false,
            supports_edns: false,
            udp_answers: 0,
            udp_truncated: 0,
            prefers_tcp: false,
            tcp_failed: false,
            server,
        })
    }

    /// Returns how many queries may be sent now: those that fit into the window
    /// and that the connections would send at once. The time of a lookup starts
    /// when its query is submitted to a connection, so none is queued there.
    pub(crate) fn room(&self) -> usize {
        let room = self.window.size().saturating_sub(self.in_window);
        if !self.closes_early() {
            return room;
        }
        let open = self.streams.iter().flatten();
        if !self.uses_streams() {
            let queued: usize = open.map(Stream::queued).sum();
            return if queued < MAX_QUEUED { room } else { 0 };
        }
        let (count, spare) = open.fold((0, 0_usize), |(count, spare), stream| {
            (count + 1, spare.saturating_add(stream.spare_capacity()))
        });
        let further = self.max_connections.saturating_sub(count);
        room.min(spare.saturating_add(further.saturating_mul(self.queries_per_connection)))
    }

    /// Returns whether all queries go over connections.
    pub(crate) fn uses_streams(&self) -> bool {
        self.stream_only || self.prefers_tcp
    }

    /// Records an answer over UDP. A server that truncates a quarter of them is
    /// asked over TCP from then on: its answers are large, or it is rate-limiting
    /// us and drops as many queries as it truncates.
    pub(crate) fn record_udp_answer(&mut self, is_truncated: bool) {
        self.udp_answers += 1;
        self.udp_truncated += u32::from(is_truncated);
        if self.udp_answers < TRUNCATION_SAMPLE {
            return;
        }
        if self.udp_truncated * 4 >= self.udp_answers && !self.tcp_failed {
            self.prefers_tcp = true;
            self.window.set_max(MAX_STREAM_WINDOW);
        }
        (self.udp_answers, self.udp_truncated) = (0, 0);
    }

    /// Returns to UDP permanently after a connection was closed without an answer.
    /// Returns false if the connection was not one that UDP could replace.
    pub(crate) fn stop_preferring_tcp(&mut self) -> bool {
        let preferred = std::mem::take(&mut self.prefers_tcp);
        if preferred {
            self.tcp_failed = true;
            self.set_udp_window();
        }
        preferred
    }

    /// Limits the window to the answers that the receive buffers can hold.
    fn set_udp_window(&mut self) {
        let (min, max) = UDP_WINDOW_LIMITS;
        self.window
            .set_max(self.sockets.recv_capacity().clamp(min, max));
    }

    /// Returns whether it is known to close connections early.
    pub(crate) fn closes_early(&self) -> bool {
        self.queries_per_connection != usize::MAX
    }

    /// Returns whether an answer has arrived over any connection since `time`.
    pub(crate) fn has_answered_since(&self, time: Instant) -> bool {
        self.last_answer.is_some_and(|answer| answer > time)
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.streams.iter().flatten().count()
    }

    /// Returns how long to wait for an answer over UDP after `rounds` queries to
    /// every server without one.
    pub(crate) fn rto(&self, settings: &Settings, rounds: u32) -> Duration {
        // A limited number of attempts have the same time each.
        let is_fixed = settings.attempts.is_some() && !self.rtt.is_measured();
        let rounds = if is_fixed { 0 } else { rounds };
        self.rtt
            .rto(settings.initial_timeout, settings.timeout, rounds)
    }

    /// Returns how long to wait on a connection before the query is sent again.
    /// TCP loses nothing, so the server must have dropped the query by then.
    pub(crate) fn stream_rto(&self, settings: &Settings) -> Duration {
        let third = settings.timeout / 3;
        self.rtt.rto(third, settings.timeout, 0).max(third)
    }

    /// Returns the number of a socket for the next query, opening one if needed.
    pub(crate) fn select_socket(
        &mut self,
        is_bulk: bool,
        ids: &mut QueryIds,
        now: Instant,
    ) -> io::Result<usize> {
        let Transport::Udp(address) = self.server.transport else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (number, is_new) = self.sockets.select(address, is_bulk, ids, now)?;
        if is_new && is_bulk {
            self.set_udp_window();
        }
        Ok(number)
    }

    /// Returns the number of a connection for the next query. Opens one if all lack
    /// spare capacity and another is allowed.
    pub(crate) fn select_stream(&mut self) -> io::Result<usize> {
        let open = self.streams.iter().enumerate();
        let open = open.filter_map(|(number, stream)| Some((number, stream.as_ref()?)));
        let count = open.clone().count();
        let least = open.min_by_key(|(_, stream)| {
            let is_full = stream.spare_capacity() == 0;
            (is_full, stream.queued(), stream.outstanding())
        });
        match least {
            Some((number, stream))
                if count >= self.max_connections || stream.spare_capacity() > 0 =>
            {
                Ok(number)
            }
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
        let (address, tls) = match (&self.server.transport, &self.tls) {
            (Transport::Udp(address) | Transport::Tcp(address), _) => (*address, None),
            (Transport::Tls { address, name }, Some(config)) => {
                (*address, Some(Box::new(tls::session(config, name)?)))
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Stream::open(address, tls, self.queries_per_connection)
    }

    /// Returns the HTTPS client, creating it if needed.
    pub(crate) fn https_client(&mut self, settings: &Settings) -> io::Result<&mut HttpsClient> {
        match (&mut self.https, &self.server.transport, &settings.trust) {
            (Some(client), _, _) => Ok(client),
            (none, Transport::Https { url, get }, Some(trust)) => {
                Ok(none.insert(HttpsClient::new(url, *get, trust)?))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns whether it has sent a server cookie: it supports EDNS, and from
    /// then on its answers over UDP must carry the cookie.
    pub(crate) fn has_cookie(&self) -> bool {
        self.cookie.as_ref().is_some_and(|c| !c.server.is_empty())
    }

    /// Returns whether queries to it must carry an OPT record.
    pub(crate) fn requires_edns(&self, settings: &Settings) -> bool {
        settings.edns.is_required() || self.has_cookie()
    }

    /// Stores the server cookie of an answer to our client cookie.
    pub(crate) fn learn_cookie(&mut self, option: CookieOption<'_>, settings: &Settings) {
        if let (Some(cookie), CookieOption::Parts(client, server)) = (&mut self.cookie, option)
            && *client == cookie.client
            && !server.is_empty()
            && cookie.server != server
        {
            cookie.server = server.to_vec();
            self.opt = settings.edns.record(Some(cookie), None);
        }
    }
}

//! A DNS server as the engine sees it: its sockets and connections, its limits,
//! and what its answers have shown about it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connections::{ClosedConnection, Connections};
use super::failure::{self, ServerFailure};
use super::https::{self, HttpsClient};
use super::limiter::RateLimiter;
use super::query::{InFlightQuery, QueryId, SentVia};
use super::rtt::RttEstimator;
use super::server_edns::ServerEdns;
use super::settings::Settings;
use super::socket_pool::SocketPool;
use super::stream::Stream;
use super::tcp_preference::TcpPreference;
use super::udp::QueryIds;
use super::window::CongestionWindow;
use crate::server::{Protocol, Server, Transport};
use crate::tls;
use crate::wire::Question;
use crate::wire::query::{HEADER, compose};

/// The initial number of queries in flight.
const INITIAL_WINDOW: usize = 128;

/// The maximum number of queries in flight on connections, since servers limit them.
const MAX_STREAM_WINDOW: usize = 256;

/// Queries that may be queued on connections before no more are sent over UDP, since
/// a truncated answer adds another one to the queue.
const MAX_QUEUED: usize = 64;

/// The maximum and the minimum of the window for UDP.
const UDP_WINDOW_LIMITS: (usize, usize) = (64, 8000);

/// The way that a query takes to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Udp,
    /// A connection over TCP or TLS.
    Connection,
    Https,
}

/// A query to be sent.
#[derive(Debug)]
pub(crate) struct OutgoingQuery<'a> {
    pub(crate) id: QueryId,
    pub(crate) question: &'a Question,
    pub(crate) route: Route,
    pub(crate) has_edns: bool,
    /// The time until which HTTPS waits for the answer.
    pub(crate) deadline: Instant,
}

/// The state that is kept per server.
#[derive(Debug)]
pub(crate) struct Upstream {
    server: Server,
    pub(crate) window: CongestionWindow,
    pub(crate) rtt: RttEstimator,
    limiter: Option<RateLimiter>,
    /// Queries that occupy the window: in flight and not timed out.
    in_window: usize,
    pub(crate) sockets: SocketPool,
    pub(crate) connections: Connections,
    https: Option<HttpsClient>,
    tls: Option<Arc<tls::Config>>,
    pub(crate) edns: ServerEdns,
    /// Whether it can be asked over connections only.
    connections_only: bool,
    tcp_preference: TcpPreference,
}

impl Upstream {
    /// Creates the state without opening a socket.
    pub(crate) fn new(server: Server, settings: &Settings, ids: &mut QueryIds) -> io::Result<Self> {
        let uses_udp = matches!(server.transport, Transport::Udp(_)) && !settings.tcp;
        let is_https = matches!(server.transport, Transport::Https { .. });
        let mut client_cookie = None;
        if matches!(server.transport, Transport::Udp(_) | Transport::Tcp(_)) {
            let mut cookie = [0; 8];
            for pair in cookie.chunks_mut(2) {
                pair.copy_from_slice(&ids.draw()?.to_be_bytes());
            }
            client_cookie = Some(cookie);
        }
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
            connections: Connections::new(),
            https: None,
            tls: settings.tls.clone(),
            edns: ServerEdns::new(client_cookie, settings),
            connections_only: !uses_udp && !is_https,
            tcp_preference: TcpPreference::default(),
            server,
        })
    }

    /// Returns the name of the server in records and messages.
    pub(crate) fn label(&self) -> &Arc<str> {
        &self.server.label
    }

    /// Returns whether the server can be asked over UDP.
    pub(crate) fn serves_udp(&self) -> bool {
        matches!(self.server.transport, Transport::Udp(_))
    }

    /// Returns the protocol of queries to it; `over_tcp` if they must not use UDP.
    pub(crate) fn protocol(&self, over_tcp: bool) -> Protocol {
        match self.server.protocol() {
            Protocol::Udp if over_tcp || self.uses_connections() => Protocol::Tcp,
            protocol => protocol,
        }
    }

    /// Returns the way for a query; `over_tcp` if it must not use UDP.
    pub(crate) fn route(&self, over_tcp: bool) -> Route {
        match self.protocol(over_tcp) {
            Protocol::Udp => Route::Udp,
            Protocol::Tcp | Protocol::Tls => Route::Connection,
            Protocol::Https => Route::Https,
        }
    }

    /// Returns whether queries are in flight.
    pub(crate) fn is_awaited(&self) -> bool {
        self.in_window > 0
    }

    /// Returns how many queries may be sent now: those that fit into the window
    /// and that the connections would send at once. The time of a lookup starts
    /// when its query is submitted to a connection, so none is queued there.
    pub(crate) fn room(&self) -> usize {
        let room = self.window.size().saturating_sub(self.in_window);
        if !self.connections.close_early() {
            room
        } else if self.uses_connections() {
            room.min(self.connections.spare_capacity())
        } else if self.connections.queued() < MAX_QUEUED {
            room
        } else {
            0
        }
    }

    /// Returns when the rate limit admits another query, or `None` if it does now.
    pub(crate) fn next_send(&self, now: Instant) -> Option<Instant> {
        self.limiter.as_ref()?.next_send(now)
    }

    /// Returns whether all queries go over connections.
    pub(crate) fn uses_connections(&self) -> bool {
        self.connections_only || self.tcp_preference.is_active()
    }

    /// Sends a query, and returns the socket and the ID in its header.
    pub(crate) fn send(
        &mut self,
        query: &OutgoingQuery<'_>,
        settings: &Settings,
        ids: &mut QueryIds,
        now: Instant,
    ) -> Result<(SentVia, u16), ServerFailure> {
        if let Some(limiter) = &mut self.limiter {
            limiter.record_send(now);
        }
        let sent = match query.route {
            Route::Udp => self.send_over_udp(query, settings, ids, now),
            Route::Connection => self.send_over_connection(query, settings, ids),
            Route::Https => self.send_over_https(query, settings),
        }?;
        self.in_window += 1;
        Ok(sent)
    }

    fn send_over_udp(
        &mut self,
        query: &OutgoingQuery<'_>,
        settings: &Settings,
        ids: &mut QueryIds,
        now: Instant,
    ) -> Result<(SentVia, u16), ServerFailure> {
        let label = &self.server.label;
        let Transport::Udp(address) = self.server.transport else {
            return Err(failure::from_io(&io::ErrorKind::Unsupported.into(), label));
        };
        let is_bulk = settings.is_bulk;
        let selected = self.sockets.select(address, is_bulk, ids, now);
        let (number, is_new) = selected.map_err(|e| failure::from_io(&e, label))?;
        let socket = self.sockets.get_mut(number);
        let socket =
            socket.ok_or_else(|| failure::from_io(&io::ErrorKind::NotConnected.into(), label))?;
        let id = socket
            .allocate_id(ids, query.id)
            .map_err(|e| failure::local(&e))?;
        let opt = query.has_edns.then_some(self.edns.opt());
        socket.push(|message| compose(message, id, settings.recurse, query.question, opt));
        if is_new && is_bulk {
            self.set_udp_window();
        }
        Ok((SentVia::Udp(number), id))
    }

    fn send_over_connection(
        &mut self,
        query: &OutgoingQuery<'_>,
        settings: &Settings,
        ids: &mut QueryIds,
    ) -> Result<(SentVia, u16), ServerFailure> {
        let (server, tls) = (&self.server, self.tls.as_ref());
        let selected = self.connections.select(|limit| connect(server, tls, limit));
        let number = selected.map_err(|e| failure::from_io(&e, &self.server.label))?;
        let padded;
        let opt = if self.server.uses_tls() {
            padded = padded_opt(query.question, settings);
            &padded
        } else {
            self.edns.opt()
        };
        let opt = query.has_edns.then_some(opt);
        let compose = |id: u16, message: &mut Vec<u8>| {
            compose(message, id, settings.recurse, query.question, opt);
        };
        let sent = self.connections.send(number, ids, query.id, compose);
        let id = sent.map_err(|e| failure::local(&e))?;
        Ok((SentVia::Connection(number), id))
    }

    fn send_over_https(
        &mut self,
        query: &OutgoingQuery<'_>,
        settings: &Settings,
    ) -> Result<(SentVia, u16), ServerFailure> {
        let opt = query.has_edns.then(|| padded_opt(query.question, settings));
        // The ID is always 0, so that answers can be cached (RFC 8484).
        let id = 0;
        let mut message = Vec::with_capacity(128);
        let recurse = settings.recurse;
        compose(&mut message, id, recurse, query.question, opt.as_deref());
        let in_window = self.in_window;
        let client = self.https_client(settings);
        client
            .and_then(|client| client.send(query.id.token(), message, query.deadline, in_window))
            .map_err(|e| failure::from_io(&e, &self.server.label))?;
        Ok((SentVia::Https, id))
    }

    /// Returns the HTTPS client, creating it if needed.
    fn https_client(&mut self, settings: &Settings) -> io::Result<&mut HttpsClient> {
        match (&mut self.https, &self.server.transport, &settings.trust) {
            (Some(client), _, _) => Ok(client),
            (none, Transport::Https { url, uses_get }, Some(trust)) => {
                Ok(none.insert(HttpsClient::new(url, *uses_get, trust)?))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns the HTTPS client if one was needed.
    pub(crate) fn https(&self) -> Option<&HttpsClient> {
        self.https.as_ref()
    }

    /// Returns the next result of the HTTPS client, if one is available.
    pub(crate) fn next_https_result(&mut self) -> Option<https::HttpsResult> {
        self.https.as_mut()?.receive()
    }

    /// Forgets a query, so that its ID may be used again.
    pub(crate) fn release(&mut self, query: &InFlightQuery) {
        if query.in_window {
            self.in_window = self.in_window.saturating_sub(1);
        }
        match query.via {
            SentVia::Udp(number) => self.sockets.release(number, query.message_id),
            SentVia::Connection(number) => self.connections.release(number, query.message_id),
            SentVia::Https => {}
        }
    }

    /// Records an answer to a query: its round-trip time, and its place in the window.
    pub(crate) fn record_answer(&mut self, query: &mut InFlightQuery, now: Instant) {
        let rtt = now.saturating_duration_since(query.sent);
        self.rtt.sample(rtt, self.in_window);
        if std::mem::take(&mut query.in_window) {
            self.in_window = self.in_window.saturating_sub(1);
            self.window.record_answer(self.rtt.is_queuing(), now);
        } else {
            self.window.record_late_answer();
        }
    }

    /// Records that a query that left its queue at `sent` has timed out. Its answer is
    /// still accepted.
    pub(crate) fn record_timeout(
        &mut self,
        query: &mut InFlightQuery,
        sent: Instant,
        now: Instant,
    ) {
        if std::mem::take(&mut query.in_window) {
            self.in_window = self.in_window.saturating_sub(1);
            let waited = now.saturating_duration_since(sent);
            self.window.record_loss(waited, now);
        }
    }

    /// Records an answer over UDP, which may show that TCP is better.
    pub(crate) fn record_udp_answer(&mut self, is_truncated: bool) {
        if self.tcp_preference.record_answer(is_truncated) {
            self.window.set_max(MAX_STREAM_WINDOW);
        }
    }

    /// Closes a connection after `error`. If no connection has ever carried an answer
    /// and UDP could replace them, all further queries use UDP.
    pub(crate) fn close_connection(
        &mut self,
        number: usize,
        error: &io::Error,
    ) -> Option<ClosedConnection> {
        let mut closed = self.connections.close(number, error)?;
        let is_useless = !closed.has_answered && !closed.server_has_answered;
        if is_useless && self.tcp_preference.give_up() {
            self.set_udp_window();
            closed.returns_to_udp = true;
        }
        Some(closed)
    }

    /// Limits the window to the answers that the receive buffers can hold.
    fn set_udp_window(&mut self) {
        let (min, max) = UDP_WINDOW_LIMITS;
        self.window
            .set_max(self.sockets.recv_capacity().clamp(min, max));
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
    pub(crate) fn connection_rto(&self, settings: &Settings) -> Duration {
        let third = settings.timeout / 3;
        self.rtt.rto(third, settings.timeout, 0).max(third)
    }
}

/// Opens a connection on which at most `limit` queries are unanswered at a time.
fn connect(server: &Server, tls: Option<&Arc<tls::Config>>, limit: usize) -> io::Result<Stream> {
    let (address, tls) = match (&server.transport, tls) {
        (Transport::Udp(address) | Transport::Tcp(address), _) => (*address, None),
        (Transport::Tls { address, name }, Some(config)) => {
            (*address, Some(Box::new(tls::session(config, name)?)))
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Stream::open(address, tls, limit)
}

/// Composes the OPT record of a query over TLS or HTTPS. It is padded, so that the
/// length of the message does not show that of the name.
fn padded_opt(question: &Question, settings: &Settings) -> Vec<u8> {
    let before = HEADER + question.bytes().len();
    settings.edns.record(None, Some(before))
}

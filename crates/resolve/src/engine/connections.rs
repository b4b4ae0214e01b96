//! The connections to one server: which of them sends the next query, and what the
//! end of one shows about the server.
//!
//! One connection is enough for most servers. Some close it after a few queries; such
//! a server is asked over several connections, each with that many queries.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::time::Instant;

use super::query::{QueryId, message_id};
use super::stream::Stream;
use super::udp::QueryIds;

/// The maximum number of connections to a server that closes them after a few answers.
/// A single one at a time would use up the time of the names that wait.
const MAX_CONNECTIONS: usize = 8;

/// Connections by number. Each keeps its number until it is closed.
#[derive(Debug)]
pub(crate) struct Connections {
    streams: Vec<Option<Stream>>,
    /// How many may be open now.
    max_open: usize,
    /// How many the server is known to serve at a time.
    max_served: usize,
    /// The time of the last answer over any of them.
    last_answer: Option<Instant>,
    /// Queries that a connection may have outstanding at a time.
    queries_per_connection: usize,
}

/// A message that arrived over a connection.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// The query with the same ID and the time at which it was sent, if there is one.
    pub(crate) query: Option<(QueryId, Instant)>,
}

/// A connection that was closed, and the reasons for which its lookups may be resumed.
#[derive(Debug, Default)]
pub(crate) struct ClosedConnection {
    /// All queries without an answer, the oldest first.
    pub(crate) queries: Vec<QueryId>,
    /// The slab keys of their lookups, each once and the oldest query first, and whether
    /// that query was sent and not only queued.
    pub(crate) lookups: Vec<(u32, bool)>,
    /// Whether the server closed it after it had been established.
    pub(crate) was_established: bool,
    /// Whether it has carried an answer.
    pub(crate) has_answered: bool,
    /// Whether any connection to the server has carried an answer.
    pub(crate) server_has_answered: bool,
    /// Whether the server answers over others and does not serve more at a time.
    pub(crate) is_surplus: bool,
    /// Whether the server is asked over UDP from now on.
    pub(crate) returns_to_udp: bool,
}

impl ClosedConnection {
    /// Returns whether a query of any lookup was sent.
    pub(crate) fn has_sent(&self) -> bool {
        self.lookups.iter().any(|(_, was_sent)| *was_sent)
    }
}

impl Connections {
    /// Creates the state without a connection.
    pub(crate) fn new() -> Self {
        Self {
            streams: Vec::new(),
            max_open: 1,
            max_served: MAX_CONNECTIONS,
            last_answer: None,
            queries_per_connection: usize::MAX,
        }
    }

    /// Iterates over the open connections with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Stream)> + Clone {
        let all = self.streams.iter().enumerate();
        all.filter_map(|(number, stream)| Some((number, stream.as_ref()?)))
    }

    /// Returns the range of numbers; some of them may be unused.
    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.streams.len()
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Stream> {
        self.streams.get(number)?.as_ref()
    }

    fn get_mut(&mut self, number: usize) -> Option<&mut Stream> {
        self.streams.get_mut(number)?.as_mut()
    }

    /// Returns whether the server is known to close connections early.
    pub(crate) fn close_early(&self) -> bool {
        self.queries_per_connection != usize::MAX
    }

    /// Returns whether an answer has arrived over any connection since `time`.
    pub(crate) fn have_answered_since(&self, time: Instant) -> bool {
        self.last_answer.is_some_and(|answer| answer > time)
    }

    /// Returns the number of queries that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.iter().map(|(_, stream)| stream.queued()).sum()
    }

    /// Returns how many more queries would be sent now, over the open connections
    /// and those that may be opened.
    pub(crate) fn spare_capacity(&self) -> usize {
        let spare =
            |sum: usize, (_, stream): (usize, &Stream)| sum.saturating_add(stream.spare_capacity());
        let further = self.max_open.saturating_sub(self.iter().count());
        let further = further.saturating_mul(self.queries_per_connection);
        self.iter().fold(0, spare).saturating_add(further)
    }

    /// Returns the number of the connection for the next query. If all lack spare capacity
    /// and another is allowed, `open` opens one with a limit of unanswered queries.
    pub(crate) fn select(
        &mut self,
        open: impl FnOnce(usize) -> io::Result<Stream>,
    ) -> io::Result<usize> {
        let least_busy = self.iter().min_by_key(|(_, stream)| {
            let is_full = stream.spare_capacity() == 0;
            (is_full, stream.queued(), stream.outstanding())
        });
        if let Some((number, stream)) = least_busy
            && (stream.spare_capacity() > 0 || self.iter().count() >= self.max_open)
        {
            return Ok(number);
        }
        let stream = open(self.queries_per_connection)?;
        let number = self.streams.iter().position(Option::is_none);
        let number = number.unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() - 1
        });
        self.streams[number] = Some(stream);
        Ok(number)
    }

    /// Queues the message that `compose` writes, and returns its ID.
    pub(crate) fn send(
        &mut self,
        number: usize,
        ids: &mut QueryIds,
        query: QueryId,
        compose: impl FnOnce(u16, &mut Vec<u8>),
    ) -> io::Result<u16> {
        match self.get_mut(number) {
            Some(stream) => stream.send(ids, query, compose),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Makes the ID of a query available again.
    pub(crate) fn release(&mut self, number: usize, message_id: u16) {
        if let Some(stream) = self.get_mut(number) {
            stream.release(message_id);
        }
    }

    /// Reads and writes a connection. The messages that arrived are then available from
    /// [`Connections::next_message`], even if the connection has failed.
    pub(crate) fn drive(&mut self, number: usize) -> io::Result<()> {
        match self.get_mut(number) {
            // Answers arrive now, after the queries that this turn has sent.
            Some(stream) => stream.drive(Instant::now()),
            None => Ok(()),
        }
    }

    /// Takes the next message that arrived over a connection.
    pub(crate) fn next_message(&mut self, number: usize) -> Option<Received> {
        let stream = self.get_mut(number)?;
        let bytes = stream.next_message()?;
        let query = message_id(&bytes).and_then(|id| stream.sent_query(id));
        if query.is_some() {
            self.last_answer = Some(Instant::now());
        }
        Some(Received { bytes, query })
    }

    /// Closes a connection after `error`, and limits the next ones to what the server
    /// has served.
    pub(crate) fn close(&mut self, number: usize, error: &io::Error) -> Option<ClosedConnection> {
        let stream = self.streams.get_mut(number)?.take()?;
        let was_established = stream.is_established()
            && matches!(
                error.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
            );
        let has_answered = stream.answered > 0;
        let open = self.iter().count();
        let is_surplus = !has_answered && self.max_open > 1 && open > 0;
        if is_surplus {
            self.max_served = open;
            self.max_open = open;
        } else {
            self.queries_per_connection = stream.limit_for_next();
            if was_established && has_answered && self.close_early() {
                self.max_open = self.max_served;
            }
        }
        let mut queries = stream.queries();
        queries.sort_unstable_by_key(|query| query.id.serial);
        let mut seen = HashSet::new();
        Some(ClosedConnection {
            lookups: queries
                .iter()
                .filter(|query| seen.insert(query.id.lookup))
                .map(|query| (query.id.lookup, query.sent.is_some()))
                .collect(),
            queries: queries.iter().map(|query| query.id).collect(),
            was_established,
            has_answered,
            server_has_answered: self.last_answer.is_some(),
            is_surplus,
            returns_to_udp: false,
        })
    }
}

//! One connection of the load engine.

use super::talk::Talk;
use crate::link::Link;
use crate::pattern::Pattern;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No connection, or no more.
    Closed,
    /// The connect is under way.
    Opening,
    /// Messages go both ways.
    Open,
    /// All has come back, and the peer's end of file is waited for.
    Closing,
}

/// A place for a connection.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The connection.
    pub(crate) link: Option<Link>,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// Whether it is watched for reading and for writing.
    pub(crate) watched: (bool, bool),
    /// Its stream.
    pub(crate) talk: Talk,
    /// From when the latency of its one message counts, with `--reconnect`.
    pub(crate) since: Option<u64>,
    number: u32,
    /// Messages of the connections before this one.
    sequence: u64,
}

impl Slot {
    /// Slot `number`, closed. `timed` remembers when each message was sent.
    pub(crate) fn new(pattern: &Pattern, number: u32, timed: bool) -> Self {
        Self {
            link: None,
            stage: Stage::Closed,
            watched: (false, false),
            talk: Talk::new(pattern, number, 0, timed),
            since: None,
            number,
            sequence: 0,
        }
    }

    /// A new stream of one message for a new connection; the numbers go on,
    /// so that an echo meant for the connection before does not pass.
    pub(crate) fn restart(&mut self, pattern: &Pattern, since: u64) {
        self.talk = Talk::new(pattern, self.number, self.sequence, false);
        self.talk.allow(1);
        self.sequence += 1;
        self.since = Some(since);
    }

    /// Whether there is a connection.
    pub(crate) fn is_open(&self) -> bool {
        self.stage != Stage::Closed
    }
}

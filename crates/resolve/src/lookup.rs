//! The outcome of one lookup, whichever way it was made.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use common::{Exit, Kind};
use domain::base::iana::Rtype;
use domain::base::wire::ParseError;

use crate::answer::{self, Status};
use crate::present;
use crate::server::Protocol;
use crate::wire::reply::{Record, read};
use crate::wire::{OwnedName, Question};

/// A record as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The owner; empty where nobody is going to look at it.
    pub(crate) name: String,
    pub(crate) rtype: Rtype,
    /// Unknown on the system path.
    pub(crate) ttl: Option<u32>,
    pub(crate) data: String,
    /// Whether it is of the type asked, not a link of the chain to it.
    pub(crate) wanted: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A and AAAA at once, on the system path.
    Addresses,
    Type(Rtype),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addresses => f.write_str("A,AAAA"),
            Self::Type(rtype) => f.write_str(&present::mnemonic(*rtype)),
        }
    }
}

/// Who was asked, as `source` in JSON says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// libc.
    System,
    /// DNS servers, directly.
    Dns,
}

/// One operand and type looked up.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) asked: Asked,
    pub(crate) origin: Origin,
    /// The name asked in the end, if it is to be shown.
    pub(crate) query_name: Option<String>,
    /// The server that answered, or failed last; none on the system path.
    pub(crate) server: Option<Arc<str>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) status: Status,
    records: Vec<Shown>,
    /// Whether the message stands for its records; see [`Lookup::pack`].
    packed: bool,
    /// The name at the end of the chain of aliases, if there is a chain.
    pub(crate) alias: Option<OwnedName>,
    /// Extended errors (RFC 8914) as text.
    pub(crate) notes: Vec<String>,
    /// What is odd about the records, as sentences.
    pub(crate) odd: Vec<String>,
    /// What the servers asked before said or did, as sentences.
    pub(crate) others: Vec<(Arc<str>, Failure, Status)>,
    pub(crate) authenticated: bool,
    pub(crate) elapsed: Duration,
    /// Queries sent.
    pub(crate) tries: u32,
    pub(crate) failure: Option<Failure>,
    /// The answer itself, where it was to be kept.
    pub(crate) message: Option<Box<[u8]>>,
    /// Whether the records were written while they came (AXFR).
    pub(crate) streamed: bool,
}

/// Text up to this length is kept, however short its message.
const PACKED_FROM: usize = 2048;

/// Records as they are shown; an error if a name in one does not parse.
pub(crate) fn shown(
    records: &[&Record<'_>],
    question: &Question,
    owners: bool,
) -> Result<Vec<Shown>, ParseError> {
    let rtype = question.rtype();
    records
        .iter()
        .map(|record| {
            Ok(Shown {
                name: if owners {
                    present::name(&record.owner)
                } else {
                    String::new()
                },
                rtype: record.rtype,
                ttl: Some(record.ttl),
                data: record.text()?,
                wanted: rtype == Rtype::ANY
                    || record.rtype == rtype
                    || record.rtype == Rtype::RRSIG,
            })
        })
        .collect()
}

/// The records of a message that were found good before.
pub(crate) fn unpack(message: &[u8]) -> Vec<Shown> {
    let found = read(message).ok().zip(Question::of(message));
    let records = found.and_then(|(reply, question)| {
        let outcome = answer::follow(&reply, &question);
        shown(&outcome.records, &question, true).ok()
    });
    records.unwrap_or_default()
}

impl Lookup {
    /// An answer with these records, as all of these are from DNS servers
    /// unless changed.
    pub(crate) fn found(asked: Asked, records: Vec<Shown>) -> Self {
        Self {
            records,
            ..Self::failed(asked, Status::Found, None)
        }
    }

    /// A lookup without an answer.
    pub(crate) fn failed(asked: Asked, status: Status, failure: Option<Failure>) -> Self {
        Self {
            asked,
            origin: Origin::Dns,
            query_name: None,
            server: None,
            protocol: None,
            status,
            records: Vec::new(),
            packed: false,
            alias: None,
            notes: Vec::new(),
            odd: Vec::new(),
            others: Vec::new(),
            authenticated: false,
            elapsed: Duration::ZERO,
            tries: 0,
            failure,
            message: None,
            streamed: false,
        }
    }

    /// `system` or `dns`.
    pub(crate) fn source(&self) -> &'static str {
        match self.origin {
            Origin::Dns => "dns",
            Origin::System => "system",
        }
    }

    /// All records, the links of the chain to the answer among them.
    pub(crate) fn records(&self) -> Cow<'_, [Shown]> {
        match &self.message {
            Some(message) if self.packed => Cow::Owned(unpack(message)),
            _ => Cow::Borrowed(&self.records),
        }
    }

    /// Takes the records out, in exchange for these.
    pub(crate) fn replace_records(&mut self, records: Vec<Shown>) -> Vec<Shown> {
        let old = self.records().into_owned();
        self.packed = false;
        self.records = records;
        old
    }

    /// Drops the records and the message once they have been shown.
    pub(crate) fn forget(&mut self) {
        self.records = Vec::new();
        self.packed = false;
        self.message = None;
    }

    /// Keeps `message` in place of the records that were read from it if their
    /// text is much longer, as compression and escapes can make it two hundred
    /// times as long: answers that wait to be printed need memory in proportion
    /// to what was received.
    pub(crate) fn pack(&mut self, message: &[u8]) {
        if self.size() > PACKED_FROM + 2 * message.len() {
            self.records = Vec::new();
            self.packed = true;
            self.message.get_or_insert_with(|| message.into());
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        let text = |r: &Shown| size_of::<Shown>() + r.name.len() + r.data.len();
        self.records.iter().map(text).sum::<usize>()
            + self.message.as_ref().map_or(0, |message| message.len())
            + self.notes.iter().map(String::len).sum::<usize>()
            + self.failure.as_ref().map_or(0, |f| f.message.len())
    }

    /// Its share of the exit status.
    pub(crate) fn exit(&self) -> Exit {
        match self.status {
            Status::Found if self.failure.is_some() => Exit::Network,
            Status::Found => Exit::Yes,
            Status::NoSuchName | Status::NoData | Status::Wildcard => Exit::No,
            Status::System => Exit::Fault,
            _ => Exit::Network,
        }
    }
}

/// The status of an operand: found with any of its types, else the highest.
pub(crate) fn exit(lookups: &[Lookup]) -> Exit {
    let found = |lookup: &&Lookup| lookup.status == Status::Found;
    let any = lookups.iter().any(|lookup| found(&lookup));
    let count = |lookup: &&Lookup| !any || found(lookup);
    let exits = lookups.iter().filter(count).map(Lookup::exit);
    exits.fold(Exit::Yes, Exit::and)
}

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
use crate::wire::Question;
use crate::wire::reply::{Record, read};

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

/// One operand and type looked up.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) asked: Asked,
    /// The server that answered, or failed last; none on the system path.
    pub(crate) server: Option<Arc<str>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) status: Status,
    records: Vec<Shown>,
    /// The message in place of its records; see [`Lookup::pack`].
    packed: Option<Box<[u8]>>,
    pub(crate) authenticated: bool,
    pub(crate) elapsed: Duration,
    /// Queries sent.
    pub(crate) tries: u32,
    pub(crate) failure: Option<Failure>,
    /// The answer itself, where it was to be kept.
    pub(crate) message: Option<Vec<u8>>,
    /// The name of the search list that was asked in the end.
    pub(crate) searched: Option<String>,
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
fn unpack(message: &[u8]) -> Vec<Shown> {
    let found = read(message).ok().zip(Question::of(message));
    let records = found.and_then(|(reply, question)| {
        let (_, records) = answer::follow(&reply, &question);
        shown(&records, &question, true).ok()
    });
    records.unwrap_or_default()
}

impl Lookup {
    /// An answer with these records.
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
            server: None,
            protocol: None,
            status,
            records: Vec::new(),
            packed: None,
            authenticated: false,
            elapsed: Duration::ZERO,
            tries: 0,
            failure,
            message: None,
            searched: None,
            streamed: false,
        }
    }

    /// `system` or `dns`.
    pub(crate) fn source(&self) -> &'static str {
        if self.protocol.is_some() {
            "dns"
        } else {
            "system"
        }
    }

    /// All records, the links of the chain to the answer among them.
    pub(crate) fn records(&self) -> Cow<'_, [Shown]> {
        match &self.packed {
            None => Cow::Borrowed(&self.records),
            Some(message) => Cow::Owned(unpack(message)),
        }
    }

    /// Takes the records out, in exchange for these.
    pub(crate) fn replace_records(&mut self, records: Vec<Shown>) -> Vec<Shown> {
        let old = match self.packed.take() {
            None => std::mem::take(&mut self.records),
            Some(message) => unpack(&message),
        };
        self.records = records;
        old
    }

    /// Keeps `message` in place of the records that were read from it if their
    /// text is much longer, as compression and escapes can make it two hundred
    /// times as long: answers that wait to be printed need memory in proportion
    /// to what was received.
    pub(crate) fn pack(&mut self, message: &[u8]) {
        if self.size() > PACKED_FROM + 2 * message.len() {
            self.records = Vec::new();
            self.packed = Some(message.into());
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        let text = |r: &Shown| size_of::<Shown>() + r.name.len() + r.data.len();
        self.records.iter().map(text).sum::<usize>()
            + self.packed.as_ref().map_or(0, |message| message.len())
            + self.message.as_ref().map_or(0, Vec::len)
    }

    /// Its share of the exit status.
    pub(crate) fn exit(&self) -> Exit {
        match self.status {
            Status::Found => Exit::Yes,
            Status::NoSuchName | Status::NoData | Status::Wildcard => Exit::No,
            Status::System => Exit::Fault,
            _ => Exit::Network,
        }
    }
}

/// The status of an operand: found with any of its types, else the highest.
pub(crate) fn exit(lookups: &[Lookup]) -> Exit {
    if lookups.iter().any(|l| l.status == Status::Found) {
        return Exit::Yes;
    }
    lookups.iter().map(Lookup::exit).fold(Exit::Yes, Exit::and)
}

//! The result of one lookup, by the system or by DNS servers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use common::{Exit, Kind};
use domain::base::iana::Rtype;
use domain::base::wire::ParseError;

use crate::answer::{self, Status};
use crate::presentation;
use crate::server::Protocol;
use crate::wire::reply::{Record, read};
use crate::wire::{OwnedName, Question};

/// A record in presentation format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DisplayRecord {
    /// The owner; empty if it is not needed for the output.
    pub(crate) name: String,
    pub(crate) rtype: Rtype,
    /// The TTL in seconds, which the system's resolver does not return.
    pub(crate) ttl: Option<u32>,
    pub(crate) data: String,
    /// Whether it is of the requested type and not a link of an alias chain.
    pub(crate) is_value: bool,
}

/// The reason why a lookup has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// The record type that a lookup requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryType {
    /// A and AAAA in one lookup, by the system's resolver.
    Addresses,
    Type(Rtype),
}

impl std::fmt::Display for QueryType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addresses => f.write_str("A,AAAA"),
            Self::Type(rtype) => f.write_str(&presentation::mnemonic(*rtype)),
        }
    }
}

/// The resolver that gave a result, `source` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The system's resolver (libc).
    System,
    /// DNS servers, asked directly.
    Dns,
}

/// The result for one operand and type.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) query_type: QueryType,
    pub(crate) source: Source,
    /// The name that was asked last, if it is needed for the output.
    pub(crate) query_name: Option<String>,
    /// The server that answered or failed last; `None` from the system's resolver.
    pub(crate) server: Option<Arc<str>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) status: Status,
    records: Vec<DisplayRecord>,
    /// Whether `message` replaces `records`; see [`Lookup::pack`].
    is_packed: bool,
    /// The name at the end of the alias chain, if there is one.
    pub(crate) alias_target: Option<OwnedName>,
    /// The extended errors (RFC 8914) as text.
    pub(crate) extended_errors: Vec<String>,
    /// Warnings about inconsistent records.
    pub(crate) warnings: Vec<String>,
    /// The failures of the servers, if they are to be reported.
    pub(crate) server_failures: Vec<(Arc<str>, Failure, Status)>,
    pub(crate) authenticated: bool,
    pub(crate) elapsed: Duration,
    /// The total number of queries sent.
    pub(crate) tries: u32,
    pub(crate) failure: Option<Failure>,
    /// The DNS message, if it is needed for the output.
    pub(crate) message: Option<Box<[u8]>>,
    /// Whether the records were written while they arrived (AXFR).
    pub(crate) is_streamed: bool,
}

/// Text up to this many bytes is never packed.
const MIN_PACKED: usize = 2048;

/// Converts records to presentation format. Fails if the data of one contains a
/// name that does not parse.
pub(crate) fn display_records(
    records: &[&Record<'_>],
    question: &Question,
    with_owners: bool,
) -> Result<Vec<DisplayRecord>, ParseError> {
    let rtype = question.rtype();
    records
        .iter()
        .map(|record| {
            Ok(DisplayRecord {
                name: if with_owners {
                    presentation::name(&record.owner)
                } else {
                    String::new()
                },
                rtype: record.rtype,
                ttl: Some(record.ttl),
                data: record.text()?,
                is_value: rtype == Rtype::ANY
                    || record.rtype == rtype
                    || record.rtype == Rtype::RRSIG,
            })
        })
        .collect()
}

/// Returns the records of a message that [`display_records`] has accepted before.
pub(crate) fn unpack(message: &[u8]) -> Vec<DisplayRecord> {
    let parsed = read(message).ok().zip(Question::of(message));
    let records = parsed.and_then(|(reply, question)| {
        let outcome = answer::follow(&reply, &question);
        display_records(&outcome.records, &question, true).ok()
    });
    records.unwrap_or_default()
}

impl Lookup {
    /// Creates the result of a DNS server that found these records.
    pub(crate) fn found(query_type: QueryType, records: Vec<DisplayRecord>) -> Self {
        Self {
            records,
            ..Self::failed(query_type, Status::Found, None)
        }
    }

    /// Creates a result without records.
    pub(crate) fn failed(query_type: QueryType, status: Status, failure: Option<Failure>) -> Self {
        Self {
            query_type,
            source: Source::Dns,
            query_name: None,
            server: None,
            protocol: None,
            status,
            records: Vec::new(),
            is_packed: false,
            alias_target: None,
            extended_errors: Vec::new(),
            warnings: Vec::new(),
            server_failures: Vec::new(),
            authenticated: false,
            elapsed: Duration::ZERO,
            tries: 0,
            failure,
            message: None,
            is_streamed: false,
        }
    }

    /// Returns `system` or `dns`.
    pub(crate) fn source(&self) -> &'static str {
        match self.source {
            Source::Dns => "dns",
            Source::System => "system",
        }
    }

    /// Returns all records, including the alias chain.
    pub(crate) fn records(&self) -> Cow<'_, [DisplayRecord]> {
        match &self.message {
            Some(message) if self.is_packed => Cow::Owned(unpack(message)),
            _ => Cow::Borrowed(&self.records),
        }
    }

    /// Replaces the records and returns the old ones.
    pub(crate) fn replace_records(&mut self, records: Vec<DisplayRecord>) -> Vec<DisplayRecord> {
        let old = self.records().into_owned();
        self.is_packed = false;
        self.records = records;
        old
    }

    /// Drops the records and the message after they have been shown.
    pub(crate) fn clear_records(&mut self) {
        self.records = Vec::new();
        self.is_packed = false;
        self.message = None;
    }

    /// Replaces the records with their `message` if their text is much longer.
    ///
    /// Compression and escapes can make it two hundred times as long, but results
    /// that wait to be shown must take memory in proportion to the bytes received.
    pub(crate) fn pack(&mut self, message: &[u8]) {
        if self.memory_size() > MIN_PACKED + 2 * message.len() {
            self.records = Vec::new();
            self.is_packed = true;
            self.message.get_or_insert_with(|| message.into());
        }
    }

    /// Returns the approximate memory use in bytes.
    pub(crate) fn memory_size(&self) -> usize {
        let text = |r: &DisplayRecord| size_of::<DisplayRecord>() + r.name.len() + r.data.len();
        self.records.iter().map(text).sum::<usize>()
            + self.message.as_ref().map_or(0, |message| message.len())
            + self.extended_errors.iter().map(String::len).sum::<usize>()
            + self.failure.as_ref().map_or(0, |f| f.message.len())
    }

    /// Returns the exit status of this lookup alone.
    pub(crate) fn exit(&self) -> Exit {
        match self.status {
            Status::Found if self.failure.is_some() => Exit::Network,
            Status::Found => Exit::Success,
            Status::NoSuchName | Status::NoData | Status::Wildcard => Exit::Negative,
            Status::System => Exit::LocalError,
            _ => Exit::Network,
        }
    }
}

/// Returns the exit status of an operand: found if any of its types was found,
/// else the highest status.
pub(crate) fn exit(lookups: &[Lookup]) -> Exit {
    let is_found = |lookup: &&Lookup| lookup.status == Status::Found;
    let any = lookups.iter().any(|lookup| is_found(&lookup));
    let counts = |lookup: &&Lookup| !any || is_found(lookup);
    let exits = lookups.iter().filter(counts).map(Lookup::exit);
    exits.fold(Exit::Success, Exit::and)
}

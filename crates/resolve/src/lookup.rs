//! The outcome of one lookup, whichever way it was made.

use std::sync::Arc;
use std::time::Duration;

use common::{Exit, Kind};
use domain::base::iana::Rtype;

use crate::answer::Status;
use crate::present;
use crate::server::Protocol;

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
    pub(crate) records: Vec<Shown>,
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

impl Lookup {
    /// A lookup without an answer.
    pub(crate) fn failed(asked: Asked, status: Status, failure: Option<Failure>) -> Self {
        Self {
            asked,
            server: None,
            protocol: None,
            status,
            records: Vec::new(),
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

    /// The values of the type asked.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Shown> {
        self.records.iter().filter(|r| r.wanted)
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

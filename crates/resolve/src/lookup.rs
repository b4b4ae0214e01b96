//! The outcome of one lookup, whichever way it was made.

use std::time::Duration;

use common::{Exit, Kind};

use crate::answer::Status;
use crate::server::{Protocol, Server};

/// A record as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) rtype: String,
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

/// One operand and type looked up.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    /// The operand as typed.
    pub(crate) name: String,
    /// `A,AAAA` for both at once on the system path.
    pub(crate) query_type: String,
    /// `system` or `dns`.
    pub(crate) source: &'static str,
    /// The server that answered, or failed last.
    pub(crate) server: Option<Server>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) status: Status,
    pub(crate) records: Vec<Shown>,
    pub(crate) authenticated: bool,
    pub(crate) elapsed: Duration,
    /// Queries sent.
    pub(crate) tries: u32,
    /// Packets that were no answer to them.
    pub(crate) ignored: u32,
    pub(crate) failure: Option<Failure>,
    /// The dig-like text, where it was asked for.
    pub(crate) full: Option<String>,
    /// Whether the records were written while they came (AXFR).
    pub(crate) streamed: bool,
}

impl Lookup {
    /// Its share of the exit status.
    pub(crate) fn exit(&self) -> Exit {
        match self.status {
            Status::Found => Exit::Yes,
            Status::NoSuchName | Status::NoData => Exit::No,
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

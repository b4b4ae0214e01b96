//! The input of the engine: its settings, the lookups that are submitted to it, and
//! the counters that it returns.

use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Rtype;

use crate::server::Server;
use crate::tls::{self, Trust};
use crate::wire::OwnedName;
use crate::wire::edns::EdnsOptions;

/// The maximum number of servers.
pub(crate) const MAX_SERVERS: usize = 64;

/// The options of all lookups of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<Server>,
    /// The time for one lookup, across retries and servers.
    pub(crate) timeout: Duration,
    /// The retransmission timeout until round-trip times are known.
    pub(crate) initial_timeout: Duration,
    /// The number of queries to each server; `None` to ask until `timeout`.
    pub(crate) attempts: Option<u32>,
    /// Whether each lookup starts with the next server.
    pub(crate) rotate: bool,
    pub(crate) edns: EdnsOptions,
    pub(crate) recurse: bool,
    pub(crate) tcp: bool,
    /// Queries per second to each server.
    pub(crate) rate: Option<u32>,
    /// Whether many lookups are expected.
    pub(crate) is_bulk: bool,
    /// Whether to keep the owners of records.
    pub(crate) keep_owners: bool,
    /// Whether to keep whole messages.
    pub(crate) keep_messages: bool,
    /// Whether to keep the failures of all servers.
    pub(crate) keep_failures: bool,
    /// Whether a referral is an answer and not a reason to ask the next server.
    pub(crate) accept_referrals: bool,
    /// The TLS configuration, if a server needs one.
    pub(crate) tls: Option<Arc<tls::Config>>,
    /// The trusted certificate authorities, if a server needs them.
    pub(crate) trust: Option<Trust>,
}

/// A lookup to be submitted.
#[derive(Debug)]
pub(crate) struct LookupRequest {
    /// Identifies the result of the lookup.
    pub(crate) token: u64,
    pub(crate) name: OwnedName,
    pub(crate) rtype: Rtype,
    /// The names to try if this one has no answer, in reverse order.
    pub(crate) candidates: Vec<OwnedName>,
    /// The index of the only server to ask, or `None` to ask all.
    pub(crate) only_server: Option<usize>,
}

/// Counters for the summary that `-v` prints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) queries: u64,
    /// Queries that followed another one for the same name and type.
    pub(crate) repeated: u64,
    /// Packets that did not answer a query.
    pub(crate) ignored: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::server::{self, ServerArg};

    /// Returns the settings of a run with these servers and no options.
    pub(crate) fn settings(servers: &[&str]) -> Settings {
        let parse = |text: &&str| match server::parse(text) {
            Ok(ServerArg::Server(server)) => server,
            other => panic!("{text}: {other:?}"),
        };
        Settings {
            servers: servers.iter().map(parse).collect(),
            timeout: Duration::from_secs(5),
            initial_timeout: Duration::from_secs(1),
            attempts: None,
            rotate: false,
            edns: EdnsOptions {
                size: 1232,
                dnssec: false,
                nsid: false,
                subnet: None,
            },
            recurse: true,
            tcp: false,
            rate: None,
            is_bulk: false,
            keep_owners: false,
            keep_messages: false,
            keep_failures: false,
            accept_referrals: false,
            tls: None,
            trust: None,
        }
    }
}

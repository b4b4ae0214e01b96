//! The state that all connections of a server share, whichever worker serves
//! them.

use crate::counters::Counters;
use crate::log::Log;
use crate::machine::Rules;
use crate::tls::TlsConfig;

/// The rules, log and counters of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The rules that every connection follows.
    pub(crate) rules: Rules,
    /// The log that receives all events.
    pub(crate) log: Log,
    /// The number of open connections and the totals.
    pub(crate) counters: Counters,
    /// The TLS configuration, if connections use TLS.
    pub(crate) tls: Option<TlsConfig>,
}

#[cfg(test)]
impl Shared {
    /// Creates the state of a server without a log, TLS and limits.
    pub(crate) fn silent(rules: Rules) -> Self {
        Self {
            rules,
            log: Log::silent(),
            counters: Counters::new(None),
            tls: None,
        }
    }
}

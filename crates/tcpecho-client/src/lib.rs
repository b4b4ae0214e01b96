//! The `tcpecho-client` tool: sends bytes to a peer, prints what comes back,
//! and holds the one against the other.
//!
//! Every mode starts with the same connection ([`dial`]) and works on the
//! same non-blocking [`link`]. What a mode decides is computed in modules
//! that know no sockets: [`exchange`] for a message and for stdin,
//! [`ledger`] for echoes that are counted one by one, [`bench`]'s `talk` and
//! `schedule` for load.

mod bench;
mod cli;
mod config;
mod dial;
mod exchange;
mod failure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(all(feature = "fuzzing", feature = "tls"))]
#[path = "fuzzing/tls.rs"]
pub mod fuzzing_tls;
mod handshake;
mod ledger;
mod link;
mod message;
mod output;
mod pattern;
mod probe;
mod pump;
mod run;
mod sink;
mod stats;
mod sys;
mod tag;
mod target;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod wait;

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("tcpecho-client", |cli, io| run::run(&cli, io))
}

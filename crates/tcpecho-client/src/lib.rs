//! The `tcpecho-client` tool: sends bytes to a peer, prints the reply, and
//! compares it with the bytes that were sent.
//!
//! Every mode opens its connection with [`dial`] and works on the same
//! non-blocking [`connection`]. The decisions of a mode are made in modules
//! that do no I/O: [`exchange`] for one message and for standard input,
//! [`tracker`] for echoes that are counted one by one, [`mod@bench`]'s `stream`
//! and `schedule` for a load test.

mod bench;
mod cli;
mod config;
mod connect_only;
mod connection;
mod dial;
mod exchange;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(all(feature = "tls", any(test, feature = "fuzzing")))]
#[path = "fuzzing/tls.rs"]
pub mod fuzzing_tls;
mod message;
mod output;
mod pattern;
mod probe;
mod relay;
mod run;
mod stats;
mod stdout;
mod sys;
mod tag;
mod target;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tracker;
mod wait;

use std::process::ExitCode;

/// Runs the tool with the arguments of this process.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("tcpecho-client", |cli, io| run::run(&cli, io))
}

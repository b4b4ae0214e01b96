//! The `resolve` tool: names and addresses through the system's resolver, or
//! straight from DNS servers.

mod answer;
mod cli;
mod config;
mod diff;
mod drive;
mod engine;
mod full;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod lookup;
mod name;
mod operand;
mod output;
mod present;
mod records;
mod resolvconf;
mod run;
mod server;
mod source;
mod sys;
mod system;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod trace;
mod transfer;
mod watch;
mod wildcard;
mod wire;

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("resolve", |cli, io| run::run(&cli, io))
}

//! The `resolve` tool: looks up names and addresses through the system's resolver
//! or by asking DNS servers directly.

mod answer;
mod backend;
mod cli;
mod config;
mod diff;
mod dig_format;
mod driver;
mod engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod lookup;
mod name;
mod operand;
mod operand_reader;
mod output;
mod presentation;
mod records;
mod resolvconf;
mod run;
mod server;
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

/// Runs the tool with the arguments of the process.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("resolve", |cli, io| run::run(&cli, io))
}

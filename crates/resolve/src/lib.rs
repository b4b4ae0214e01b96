//! The `resolve` tool: names and addresses through the system's resolver, or
//! straight from DNS servers.

mod answer;
mod cli;
mod codec;
mod dns;
mod lookup;
mod name;
mod output;
mod present;
mod run;
mod server;
mod system;
mod tcp;

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("resolve", |cli, io| run::run(&cli, io))
}

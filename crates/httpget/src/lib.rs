//! The `httpget` tool: GET over HTTP and HTTPS, to a pipe or safely to a file.
//!
//! [`http`], [`policy`] and [`json`] are pure functions, public for the fuzz
//! targets. `net` makes connections and reads responses from them, `fetch`
//! performs a transfer from its first request to its last byte, `output` renders
//! the results, and `run` processes the operands, in parallel through `pool`.

mod alloc;
mod cli;
mod config;
mod fetch;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hex;
pub mod http;
mod input;
mod jobs;
pub mod json;
mod messages;
mod net;
mod output;
pub mod policy;
mod pool;
mod prompt;
mod report;
mod run;
mod secrets;

use std::process::ExitCode;

/// Runs the tool with the arguments of the process.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("httpget", |cli, io| run::run(&cli, io))
}

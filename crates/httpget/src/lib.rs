//! The `httpget` tool: GET over HTTP and HTTPS, into a pipe or safely into a
//! file.
//!
//! [`http`], [`policy`] and [`json`] compute and do nothing else; they are
//! public for the fuzz targets. The rest does: `net` connects and frames,
//! `fetch` carries a URL from its request to its last byte, `output` shows,
//! `run` tours the operands, in `pool` several at once.

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
pub mod json;
mod net;
mod output;
pub mod policy;
mod pool;
mod prompt;
mod report;
mod run;
mod secrets;

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("httpget", |cli, io| run::run(&cli, io))
}

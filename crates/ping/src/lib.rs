//! The `ping` tool: ICMP echo requests to one host or many.
//!
//! [`packet`] and [`control`] are public for the fuzz targets, because they parse
//! data from the network and the kernel. The feature `fuzzing` adds an entry
//! point for the matching of replies.

mod cli;
mod clock;
mod config;
pub mod control;
mod cookie;
mod engine;
mod event;
mod exit_status;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod icmp;
mod operand;
mod output;
pub mod packet;
mod platform;
mod privilege;
mod probes;
mod reverse_dns;
mod run;
mod schedule;
mod send_batch;
mod shuffle;
mod socket;
mod source;
mod stats;
mod sys;
mod target;
mod tracker;

use std::process::ExitCode;

/// Runs the tool with the arguments of the process.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("ping", |mut cli, io| {
        cli.take_watch_interval();
        run::run(&cli, io)
    })
}

//! The `ping` tool: ICMP echo requests to one host or many.
//!
//! [`packet`] and [`control`] are public for the fuzz targets: they read what
//! comes from outside. The feature `fuzzing` adds a way to the judgement of
//! replies.

mod bell;
mod books;
mod cli;
mod clock;
mod config;
pub mod control;
mod cookie;
mod engine;
mod event;
mod face;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod histogram;
mod icmp;
mod lookup;
mod names;
mod operand;
pub mod packet;
mod plan;
mod privilege;
mod probes;
mod run;
mod shuffle;
mod socket;
mod stats;
mod sys;
mod tally;
mod target;

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("ping", |mut cli, io| {
        cli.settle();
        run::run(&cli, io)
    })
}

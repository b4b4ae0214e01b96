//! The `tcpecho-server` tool: an echo service (RFC 862) that never loses a
//! byte, with events on standard output.
//!
//! The way of the data: [`accept`] takes connections from the listeners of
//! [`listen`] and hands them to a [`worker`], whose [`conn`]ections read into
//! the worker's scratch buffer, ask the [`machine`] what to answer, and write
//! it. Nothing in [`machine`], [`tail`], [`rate`], [`fault`] and [`timers`]
//! touches a socket or a clock. [`server`] is the life of the whole.

mod accept;
mod activation;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod arrival;
mod census;
mod channel;
mod cli;
mod clock;
mod config;
mod conn;
mod crew;
mod damping;
mod datagram;
mod event;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(all(feature = "fuzzing", feature = "tls"))]
#[path = "fuzzing/tls.rs"]
pub mod fuzzing_tls;
mod limits;
mod listen;
mod log;
mod lull;
mod machine;
mod output;
mod peer;
mod rate;
mod readiness;
mod ready;
mod server;
mod start;
mod sys;
mod tail;
mod timers;
#[cfg(feature = "tls")]
mod tls;
mod udp;
mod unix;
mod worker;

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use common::{Error, Exit, Io, Result};

use crate::cli::Cli;
use crate::config::Config;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run("tcpecho-server", run)
}

fn run(cli: Cli, io: &mut Io) -> Result<Exit> {
    // First of all: a number means what the parent meant only as long as
    // nothing has been opened here.
    let handed = activation::take(cli.ready_fd, cli.inetd, io)?;
    let config = Config::resolve(cli, io)?;
    // The log's thread needs the stream for itself: `io.out` ends the tool
    // when its reader goes, and here the service goes on.
    let stdout = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|e| Error::local(&e).with_subject("standard output"))?;
    start::run(&config, handed, stdout, io)
}

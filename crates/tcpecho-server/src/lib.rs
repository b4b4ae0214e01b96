//! The `tcpecho-server` tool: an echo service (RFC 862) that never loses a
//! byte, with an event log on standard output.
//!
//! The path of the data: [`accept`] accepts connections from the listeners of
//! [`listen`] and passes them to a [`worker`]. A connection ([`conn`]) reads
//! into the worker's scratch buffer, asks its state [`machine`] for the reply,
//! and sends it. [`server`] is the event loop that ties everything together.
//! The modules [`machine`], [`send_buffer`], [`rate`], [`fault`] and [`timers`]
//! touch neither sockets nor the clock.

mod accept;
mod activation;
mod address;
mod announce;
mod channel;
mod cli;
mod clock;
mod config;
mod conn;
mod counters;
mod datagram;
mod event;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(all(feature = "tls", any(test, feature = "fuzzing")))]
#[path = "fuzzing/tls.rs"]
pub mod fuzzing_tls;
mod limits;
mod listen;
mod log;
mod machine;
mod output;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod pktinfo;
mod poller;
mod pool;
mod rate;
mod send_buffer;
mod server;
mod shared;
mod socket_io;
mod source_limiter;
mod start;
mod sys;
mod timers;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod trim;
mod udp;
mod udp_batch;
mod unix;
mod worker;

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use common::{Error, Exit, Io, Result};

use crate::cli::Cli;
use crate::config::Config;

/// Runs the tool with the arguments of the process.
pub fn main() -> ExitCode {
    common::app::run("tcpecho-server", run)
}

fn run(cli: Cli, io: &mut Io) -> Result<Exit> {
    // Before anything else: once this process opens descriptors, a number may
    // refer to a different one than the parent process passed.
    let inherited = activation::take_inherited(cli.ready_fd, cli.sockets.inetd, io)?;
    let config = Config::resolve(cli, io)?;
    // The log's thread writes to the stream directly: `io.out` would end the
    // tool when its reader closes the pipe, but the service must continue.
    let stdout = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|e| Error::local(&e).with_subject("standard output"))?;
    start::run(&config, inherited, stdout, io)
}

//! `--bench`: a load test in which every byte of the echoes is verified.
//!
//! In the closed loop each connection keeps `--pipeline` messages in flight, and
//! the rate is the result. In the open loop (`--rate`) messages are sent on
//! schedule. The [`engine`] decides when to connect and to send; [`connections`]
//! is the table of the connections, and a [`slot`] of it moves the bytes of one.
//! [`stream`], [`schedule`], [`reconnect`] and [`load_stats`] do no I/O: they
//! generate and verify messages, compute due times, queue closed slots, and count.

mod connections;
mod engine;
mod load_stats;
mod poller;
mod reconnect;
mod report;
mod schedule;
mod slot;
mod spin;
pub(crate) mod stream;

use std::time::{Duration, Instant};

use common::app::Io;
use common::{Exit, Result};

use crate::config::{LoadOptions, Verbosity};
use crate::dial::Dialer;
use crate::output;
use crate::wait::ShutdownSignal;
use engine::Engine;
use report::{IntervalReporter, Summary};

/// Runs the load test and reports its results.
pub(crate) fn run(
    dialer: &Dialer,
    options: &LoadOptions,
    shutdown: &ShutdownSignal,
    verbosity: Verbosity,
    io: &mut Io,
) -> Result<Exit> {
    let mut engine = Engine::new(dialer, options, shutdown)?;
    let reporter = verbosity.verbose.then(|| io.report.clone());
    let first = dialer.dial_with_retries(shutdown, reporter.as_ref())?;
    let mut address = None;
    // A signal during the first connect ends the run.
    let mut is_connected = false;
    if let Some(first) = first {
        if verbosity.verbose {
            output::connected(io, &dialer.target_name(), &first);
        }
        address = Some(first.address);
        let deadline = Instant::now() + options.timeout;
        is_connected = engine.connect(first.connection, deadline)?;
    }
    let shows_line = !verbosity.quiet && io.terminal.stderr;
    let mut intervals = IntervalReporter::new(options, shows_line);
    let elapsed = if is_connected {
        engine.run(|stats, elapsed| intervals.tick(io, stats, elapsed))?
    } else {
        Duration::ZERO
    };
    engine.drain(Instant::now() + options.timeout)?;
    let stats = engine.stats();
    let duration = stats.duration(elapsed);
    intervals.finish(io, stats, duration)?;
    let summary = Summary {
        target: &dialer.target_name(),
        address: address.as_deref(),
        options,
        duration,
        stats,
    };
    summary.show(io)?;
    Ok(if engine.stats().is_success() {
        Exit::Success
    } else {
        Exit::Negative
    })
}

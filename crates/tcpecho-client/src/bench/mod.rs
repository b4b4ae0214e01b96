//! `--bench`: load, with every byte verified.
//!
//! Closed loop: each connection keeps `--pipeline` messages on their way, and
//! the rate is what comes of it. Open loop (`--rate`): messages are sent when
//! they are due. The [`engine`] says when, the [`crowd`] moves bytes; what is
//! said and how it is counted is in [`talk`], [`schedule`] and [`tally`], which
//! know no sockets.

mod crowd;
mod engine;
mod pause;
mod ready;
mod report;
mod schedule;
mod slot;
pub(crate) mod talk;
mod tally;

use std::time::Instant;

use common::app::Io;
use common::{Exit, Result};

use crate::config::Load;
use crate::dial::Dialer;
use crate::output;
use crate::wait::Stop;
use engine::Engine;
use report::{Live, Summary};

/// Runs the load and reports it.
pub(crate) fn run(
    dialer: &Dialer,
    plan: &Load,
    stop: &Stop,
    (quiet, verbose): (bool, bool),
    io: &mut Io,
) -> Result<Exit> {
    let mut engine = Engine::new(dialer, plan, stop)?;
    let reporter = verbose.then(|| io.report.clone());
    let first = dialer.dial_patiently(stop, reporter.as_ref())?;
    if let (Some(first), true) = (&first, verbose) {
        output::connected(io, &dialer.name(), first);
    }
    let mut address = None;
    // Without a connection, and without an error, a signal came first.
    let go_on = match first {
        Some(first) => {
            address = Some(first.address);
            engine.connect(first.link, Instant::now() + plan.timeout)?
        }
        None => false,
    };
    let mut live = Live::new(plan, !quiet && io.terminal.stderr);
    let elapsed = if go_on {
        engine.run(|tally, elapsed| live.tick(io, tally, elapsed))?
    } else {
        std::time::Duration::ZERO
    };
    engine.drain(Instant::now() + plan.timeout)?;
    let tally = engine.tally();
    let duration = tally.duration(elapsed);
    live.end(io, tally, duration)?;
    let summary = Summary {
        target: &dialer.name(),
        address: address.as_deref(),
        plan,
        duration,
        tally,
    };
    summary.show(io)?;
    Ok(if engine.tally().all_right() {
        Exit::Yes
    } else {
        Exit::No
    })
}

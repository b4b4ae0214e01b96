//! `--connect-only`: is anybody there, and how long does the handshake take?
//!
//! Here nobody listening, no route and silence are the answer asked for, so
//! they are status 1; a name that does not resolve is still no answer.

use std::time::Instant;

use common::app::Io;
use common::{Error, Exit, Kind, Result};

use crate::config::Pace;
use crate::dial::Dialer;
use crate::ledger::Ledger;
use crate::output::{self, Summary};
use crate::stats::Latencies;
use crate::wait::{Stop, Woken};

/// Connects as often as asked.
pub(crate) fn run(
    dialer: &Dialer,
    pace: Pace,
    stop: &Stop,
    (quiet, verbose): (bool, bool),
    io: &mut Io,
) -> Result<Exit> {
    let started = Instant::now();
    let target = dialer.name();
    let mut address = None;
    let mut ledger = Ledger::default();
    let mut latencies = Latencies::new()?;
    let mut exit = Exit::Yes;
    let mut next = started;
    while stop.requests() == 0 && pace.count.is_none_or(|count| ledger.sent < count) {
        let pause = next.saturating_duration_since(Instant::now());
        if !pause.is_zero() && stop.pause(pause)? == Woken::Stopped {
            break;
        }
        next = next.max(Instant::now()) + pace.interval;
        let verbose = verbose.then(|| io.report.clone());
        match dialer.dial_patiently(stop, verbose.as_ref()) {
            Ok(None) => break,
            Ok(Some(connection)) => {
                ledger.sent += 1;
                ledger.received += 1;
                latencies.record(connection.connect);
                if !quiet {
                    output::handshake(io, &target, &connection)?;
                }
                address = Some(connection.address);
            }
            Err(error) => {
                ledger.unsent();
                exit = exit.and(failed(io, &error)?);
            }
        }
    }
    if ledger.received == 0 {
        exit = exit.and(Exit::No);
    }
    if pace.several {
        let summary = Summary {
            target: &target,
            address: address.as_deref(),
            what: "connect",
            ledger: &ledger,
            latencies: &latencies,
            duration: started.elapsed(),
        };
        summary.show(io)?;
    }
    Ok(exit)
}

/// Reports a handshake that did not come about.
fn failed(io: &mut Io, error: &Error) -> Result<Exit> {
    output::answer(io, error)?;
    Ok(match error.kind() {
        Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Reset => Exit::No,
        kind => kind.exit(),
    })
}

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
use crate::output;
use crate::output::echoes::{Summary, What};
use crate::stats::{Jitter, Latencies};
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
    let mut jitter = Jitter::default();
    let mut exit = Exit::Yes;
    let mut next = started;
    while stop.requests() == 0 && pace.count.is_none_or(|count| ledger.sent < count) {
        let pause = next.saturating_duration_since(Instant::now());
        if !pause.is_zero() && stop.pause(pause)? == Woken::Stopped {
            break;
        }
        next = next.max(Instant::now()) + pace.interval;
        let began = started.elapsed();
        let verbose = verbose.then(|| io.report.clone());
        match dialer.dial_patiently(stop, verbose.as_ref()) {
            Ok(None) => break,
            Ok(Some(connection)) => {
                ledger.done(began);
                latencies.record(connection.connect);
                jitter.record(connection.connect);
                if !quiet {
                    output::handshake(io, &target, &connection, ledger.sent)?;
                }
                address = Some(connection.address);
            }
            Err(error) => {
                let seq = ledger.sent + 1;
                ledger.unsent(seq, began);
                let seq = pace.several.then_some(seq);
                exit = exit.and(failed(io, &error, seq)?);
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
            what: What::Connect,
            ledger: &ledger,
            latencies: &latencies,
            jitter,
            duration: started.elapsed(),
        };
        summary.show(io)?;
    }
    Ok(exit)
}

/// Reports a handshake that did not come about.
fn failed(io: &mut Io, error: &Error, seq: Option<u64>) -> Result<Exit> {
    output::answer(io, error, seq)?;
    Ok(match error.kind() {
        Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Reset => Exit::No,
        kind => kind.exit(),
    })
}

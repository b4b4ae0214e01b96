//! `--connect-only`: connects, times the handshake, and sends nothing.
//!
//! The run tests whether something listens at the target. A refused or timed-out
//! connect and an unreachable host answer this question, with status 1. An
//! unknown name does not; its status is 3, as in other modes.

use std::time::Instant;

use common::app::Io;
use common::{Error, Exit, Kind, Result};

use crate::config::{Repeat, Verbosity};
use crate::dial::Dialer;
use crate::output;
use crate::output::echoes::{Subject, Summary};
use crate::stats::{Jitter, Latencies};
use crate::tracker::EchoTracker;
use crate::wait::{ShutdownSignal, Wake};

/// Connects as often as `repeat` specifies.
pub(crate) fn run(
    dialer: &Dialer,
    repeat: Repeat,
    shutdown: &ShutdownSignal,
    verbosity: Verbosity,
    io: &mut Io,
) -> Result<Exit> {
    let started = Instant::now();
    let target = dialer.target_name();
    let mut address = None;
    let mut tracker = EchoTracker::default();
    let mut latencies = Latencies::default();
    let mut jitter = Jitter::default();
    let mut exit = Exit::Success;
    let mut next = started;
    while shutdown.requests() == 0 && repeat.count.is_none_or(|count| tracker.sent < count) {
        let pause = next.saturating_duration_since(Instant::now());
        if !pause.is_zero() && shutdown.sleep(pause)? == Wake::Shutdown {
            break;
        }
        next = next.max(Instant::now()) + repeat.interval;
        let sent_at = started.elapsed();
        let reporter = verbosity.verbose.then(|| io.report.clone());
        match dialer.dial_with_retries(shutdown, reporter.as_ref()) {
            Ok(None) => break,
            Ok(Some(dialed)) => {
                tracker.record_success(sent_at);
                latencies.record(dialed.connect);
                jitter.record(dialed.connect);
                if !verbosity.quiet {
                    output::connect(io, &target, &dialed, tracker.sent)?;
                }
                address = Some(dialed.address);
            }
            Err(error) => {
                let seq = tracker.sent + 1;
                tracker.record_send_failure(seq, sent_at);
                let seq = repeat.is_repeated.then_some(seq);
                exit = exit.and(report_failure(io, &error, seq)?);
            }
        }
    }
    if tracker.received == 0 {
        exit = exit.and(Exit::Negative);
    }
    if repeat.is_repeated {
        let summary = Summary {
            target: &target,
            address: address.as_deref(),
            subject: Subject::Connect,
            tracker: &tracker,
            latencies: &latencies,
            jitter,
            duration: started.elapsed(),
        };
        summary.show(io)?;
    }
    Ok(exit)
}

/// Reports a failed connection and returns its status.
fn report_failure(io: &mut Io, error: &Error, seq: Option<u64>) -> Result<Exit> {
    output::report_as_answer(io, error, seq)?;
    Ok(match error.kind() {
        Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Reset => Exit::Negative,
        kind => kind.exit(),
    })
}

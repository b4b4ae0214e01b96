//! The output of a run of messages: events, failures and the summary.

use std::time::Duration;

use common::app::Io;
use common::{Error, Result};

use super::ProbeRun;
use crate::output::echoes::{self, Subject, Summary};
use crate::tracker::Event;

impl ProbeRun<'_> {
    /// Prints events and records the round-trip times in them.
    pub(super) fn report(&mut self, io: &mut Io, events: &[Event]) -> Result<()> {
        let address = self.address.as_deref().unwrap_or(&self.target);
        for &event in events {
            if let Event::Reply { rtt, .. } = event {
                self.latencies.record(rtt);
                self.jitter.record(rtt);
            }
            if !self.quiet {
                echoes::event(io, address, event)?;
            }
        }
        Ok(())
    }

    /// Prints that message `seq` is lost because of `error`.
    pub(super) fn report_failure(&self, io: &mut Io, seq: u64, error: &Error) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let address = self.address.as_deref().unwrap_or(&self.target);
        echoes::failure(io, address, seq, &error.clone().with_subject(&self.target))
    }

    /// Prints the summary of the run.
    pub(super) fn show_summary(&self, io: &mut Io) -> Result<()> {
        let duration: Duration = self.started.elapsed();
        let summary = Summary {
            target: &self.target,
            address: self.address.as_deref(),
            subject: Subject::Echo,
            tracker: &self.tracker,
            latencies: &self.latencies,
            jitter: self.jitter,
            duration,
        };
        summary.show(io)
    }
}

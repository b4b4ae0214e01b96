//! The JSON format: one object per line for each record.

use common::Result;
use common::app::Io;

use super::records::{Record, Selection, report_unsent};
use crate::clock::Clock;
use crate::event::{Event, Observer, RejectedOperand};
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// Writes records as JSON Lines.
#[derive(Debug)]
pub(crate) struct Json {
    selection: Selection,
    /// The number of data bytes in the first probe.
    size: u16,
}

impl Json {
    /// Creates the format for probes with `size` data bytes.
    pub(crate) fn new(selection: Selection, size: u16) -> Self {
        Self { selection, size }
    }

    fn write_summary(&self, io: &mut Io, clock: Clock, target: &Target, drops: u64) -> Result<()> {
        if self.selection.includes_summary(target) {
            io.out.json(&Record::summary(clock, target, drops))?;
        }
        Ok(())
    }
}

impl Observer for Json {
    fn target_started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.selection.includes_start() {
            io.out.json(&Record::start(clock, target, self.size))?;
        }
        Ok(())
    }

    fn operand_rejected(
        &mut self,
        io: &mut Io,
        clock: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        io.report.error(&rejected.error);
        io.out.json(&Record::rejected(clock, rejected))?;
        match rejected.target() {
            Some(target) if self.selection.includes_unprobed() => {
                let record = Record::unprobed(clock, target, rejected.address);
                io.out.json(&record)
            }
            _ => Ok(()),
        }
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        report_unsent(io, target, event);
        match Record::of_event(clock, target, event) {
            Some(record) if self.selection.includes_event(event) => io.out.json(&record),
            _ => Ok(()),
        }
    }

    fn interval_ended(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        stats: &Stats,
    ) -> Result<()> {
        io.out.json(&Record::interval(clock, target, stats))
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.write_summary(io, clock, target, 0)
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        for (_, target) in targets.undecided() {
            self.write_summary(io, clock, target, drops)?;
        }
        Ok(())
    }
}

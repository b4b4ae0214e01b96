//! The formats that write a record for each event, JSON and CSV: one observer
//! that decides which records are written, over an encoding.

use common::Result;
use common::app::Io;
use common::text::escape;

use super::explain_unsent;
use super::records::Record;
use crate::clock::Clock;
use crate::event::{Event, Observer, RejectedOperand};
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// Writes records to stdout.
pub(super) trait Encoding {
    /// Writes one record to stdout.
    fn write(&mut self, io: &mut Io, record: &Record) -> Result<()>;

    /// Writes what the output must have even without a record.
    fn finish(&mut self, _: &mut Io) -> Result<()> {
        Ok(())
    }
}

/// The targets whose summaries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Summaries {
    All,
    /// `--alive`: only those that have replied, and no other records.
    Alive,
    /// `--unreachable`: only those that have not, and no other records.
    Unreachable,
}

/// The selection of records to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// `-q`: only `start`, `error` and `summary`.
    pub(crate) is_quiet: bool,
    /// The selection of summaries.
    pub(crate) summaries: Summaries,
}

impl Selection {
    /// Whether `start` records are written.
    fn includes_start(self) -> bool {
        self.summaries == Summaries::All
    }

    /// Whether the record of an event is written.
    fn includes_event(self, event: &Event<'_>) -> bool {
        let is_error = matches!(event, Event::Icmp { .. } | Event::Unsent { .. });
        self.summaries == Summaries::All && (!self.is_quiet || is_error)
    }

    /// Whether the summary of a target is written.
    fn includes_summary(self, target: &Target) -> bool {
        match self.summaries {
            Summaries::All => true,
            Summaries::Alive => target.has_replied,
            Summaries::Unreachable => !target.has_replied,
        }
    }

    /// Whether the summary of a target that was not probed is written.
    fn includes_unprobed(self) -> bool {
        self.summaries != Summaries::Alive
    }
}

/// Writes the records of a run in an encoding.
#[derive(Debug)]
pub(super) struct RecordStream<E> {
    encoding: E,
    selection: Selection,
    /// The number of data bytes in the first probe.
    size: u16,
}

impl<E: Encoding> RecordStream<E> {
    /// Creates the format for probes with `size` data bytes.
    pub(super) fn new(encoding: E, selection: Selection, size: u16) -> Self {
        Self {
            encoding,
            selection,
            size,
        }
    }

    fn write_summary(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        drops: u64,
    ) -> Result<()> {
        if self.selection.includes_summary(target) {
            let record = Record::summary(clock, target, drops);
            self.encoding.write(io, &record)?;
        }
        Ok(())
    }
}

impl<E: Encoding> Observer for RecordStream<E> {
    fn target_started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.selection.includes_start() {
            let record = Record::start(clock, target, self.size);
            self.encoding.write(io, &record)?;
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
        self.encoding
            .write(io, &Record::rejected(clock, rejected))?;
        match rejected.target() {
            Some(target) if self.selection.includes_unprobed() => {
                let record = Record::unprobed_summary(clock, target, rejected.address);
                self.encoding.write(io, &record)
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
            Some(record) if self.selection.includes_event(event) => {
                self.encoding.write(io, &record)
            }
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
        self.encoding
            .write(io, &Record::interval(clock, target, stats))
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.write_summary(io, clock, target, 0)
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        for (_, target) in targets.undecided() {
            self.write_summary(io, clock, target, drops)?;
        }
        self.encoding.finish(io)
    }
}

/// Also reports the first failed send to a target on stderr. ICMP errors are only
/// in the records.
fn report_unsent(io: &Io, target: &Target, event: &Event<'_>) {
    if let Event::Unsent { errno, mtu, .. } = event
        && target.stats.unsent == 1
    {
        let operand = target.operand();
        let (operand, reason) = (escape(operand.as_bytes()), explain_unsent(*errno, *mtu));
        io.report.line(format_args!("{operand}: {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alive_and_unreachable_select_summaries() {
        let mut target = Target::new(None, [192, 0, 2, 1].into(), 0);
        target.has_replied = true;
        for (summaries, alive, unprobed) in [
            (Summaries::All, true, true),
            (Summaries::Alive, true, false),
            (Summaries::Unreachable, false, true),
        ] {
            let selection = Selection {
                is_quiet: false,
                summaries,
            };
            assert_eq!(selection.includes_summary(&target), alive);
            assert_eq!(selection.includes_unprobed(), unprobed);
            assert_eq!(selection.includes_start(), summaries == Summaries::All);
        }
    }
}

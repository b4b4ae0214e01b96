//! The list format: a line for each target when it is decided, as fping prints
//! them.

use common::Result;
use common::app::Io;
use common::text::escape;

use super::explain_unsent;
use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer};
use crate::schedule::WaitFor;
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// Which lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListLines {
    /// `ADDR is alive (0.05 ms)` or `ADDR is unreachable` for each target.
    Both,
    /// The operands that have answered.
    Alive,
    /// The operands that have not answered.
    Unreachable,
    /// `ADDR : xmt/rcv/%loss = …` for each target.
    Counts,
    /// The counts of each interval, and of the run at the end.
    Totals,
    /// No lines at all.
    None,
}

/// Prints a line for each target of a list.
#[derive(Debug)]
pub(crate) struct List {
    lines: ListLines,
    wait_for: Option<WaitFor>,
    is_verbose: bool,
    /// Whether `--alive` and `--unreachable` print the address of a name, because
    /// every address of it is probed.
    prints_addresses: bool,
}

impl List {
    /// Creates the format. With `wait_for`, a target is alive or unreachable
    /// according to the state that was waited for.
    pub(crate) fn new(
        lines: ListLines,
        wait_for: Option<WaitFor>,
        is_verbose: bool,
        prints_addresses: bool,
    ) -> Self {
        Self {
            lines,
            wait_for,
            is_verbose,
            prints_addresses,
        }
    }

    fn print_target(&self, io: &mut Io, target: &Target) -> Result<()> {
        let is_alive = match self.wait_for {
            Some(WaitFor::Down) => !WaitFor::Down.is_reached(target),
            Some(WaitFor::Up) => WaitFor::Up.is_reached(target),
            None => target.has_replied,
        };
        match self.lines {
            ListLines::Alive if is_alive => self.print_operand(io, target),
            ListLines::Unreachable if !is_alive => self.print_operand(io, target),
            ListLines::Alive | ListLines::Unreachable | ListLines::None => Ok(()),
            ListLines::Counts => print_counts(io, target, &target.stats, ""),
            ListLines::Totals => print_counts(io, target, &target.stats, "total "),
            ListLines::Both if is_alive => {
                let name = display_name(target);
                match target.stats.rtt_summary() {
                    Some(rtts) => {
                        let min = format_millis(rtts.min as Nanos);
                        io.out.line(format_args!("{name} is alive ({min} ms)"))
                    }
                    None => io.out.line(format_args!("{name} is alive")),
                }
            }
            ListLines::Both => {
                let name = display_name(target);
                io.out.line(format_args!("{name} is unreachable"))
            }
        }
    }

    /// Prints the operand alone. An address is written without a string of its
    /// own, because a sweep may print a million of them.
    fn print_operand(&self, io: &mut Io, target: &Target) -> Result<()> {
        match &target.typed {
            Some(typed) if !self.prints_addresses => io.out.line(escape(typed.as_bytes())),
            _ => io.out.line(target.address),
        }
    }
}

impl Observer for List {
    fn event(&mut self, io: &mut Io, _: Clock, target: &Target, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Icmp { error, .. } if self.is_verbose => {
                let from = match error.from {
                    Some(from) => format!(" from {from}"),
                    None => String::new(),
                };
                let (name, text) = (display_name(target), error.text());
                io.report.line(format_args!("{name}: {text}{from}"));
            }
            // Only the first failure to send to a target is reported.
            Event::Unsent { errno, .. } if target.stats.unsent == 1 => {
                let (name, reason) = (display_name(target), explain_unsent(*errno, None));
                io.report.line(format_args!("{name}: {reason}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn interval_ended(
        &mut self,
        io: &mut Io,
        _: Clock,
        target: &Target,
        stats: &Stats,
    ) -> Result<()> {
        print_counts(io, target, stats, "")
    }

    fn target_decided(&mut self, io: &mut Io, _: Clock, target: &Target) -> Result<()> {
        self.print_target(io, target)
    }

    fn finish(&mut self, io: &mut Io, _: Clock, targets: &Targets, drops: u64) -> Result<()> {
        let undecided = targets.undecided();
        let mut undecided: Vec<&Target> = undecided.map(|(_, target)| target).collect();
        undecided.sort_by_key(|target| target.stats.first_sent);
        let has_counts = matches!(self.lines, ListLines::Counts | ListLines::Totals);
        for target in undecided {
            if has_counts || self.wait_for.is_some() || target.has_replied {
                self.print_target(io, target)?;
            }
        }
        if drops > 0 {
            // The results come first if both streams are one terminal.
            io.out.flush()?;
            io.report.line(format_args!(
                "{drops} replies were dropped by this host; raise net.core.rmem_max or use a \
                 lower --rate"
            ));
        }
        Ok(())
    }
}

/// Prints the counts of a target, which are preceded by `prefix`.
fn print_counts(io: &mut Io, target: &Target, stats: &Stats, prefix: &str) -> Result<()> {
    let loss = stats.loss_percent().unwrap_or(0.0) as u64;
    let (sent, received) = (stats.sent, stats.received);
    let name = display_name(target);
    match stats.rtt_summary() {
        Some(rtts) => io.out.line(format_args!(
            "{name} : {prefix}xmt/rcv/%loss = {sent}/{received}/{loss}%, min/avg/max = {}/{}/{}",
            format_precise_millis(rtts.min),
            format_precise_millis(rtts.avg),
            format_precise_millis(rtts.max)
        )),
        None => io.out.line(format_args!(
            "{name} : {prefix}xmt/rcv/%loss = {sent}/{received}/{loss}%"
        )),
    }
}

/// Returns `NAME (ADDR)`, or the address alone if the operand is not a name.
pub(crate) fn display_name(target: &Target) -> String {
    let address = target.address.to_string();
    match &target.typed {
        // Another spelling of the address is not a name, and neither is its zone.
        Some(typed) => match typed.split_once('%') {
            _ if typed.parse() == Ok(target.address) => address,
            Some((head, zone)) if head.parse() == Ok(target.address) => {
                format!("{address}%{}", escape(zone.as_bytes()))
            }
            _ => format!("{} ({address})", escape(typed.as_bytes())),
        },
        None => address,
    }
}

/// Formats milliseconds as fping does: 0.05, 1.23, 12.3, 123.
pub(crate) fn format_millis(time: Nanos) -> String {
    let ms = time as f64 / 1e6;
    match ms {
        _ if ms < 10.0 => format!("{ms:.2}"),
        _ if ms < 100.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// Formats milliseconds with three significant digits: 0.022, 1.23, 12.3, 123.
fn format_precise_millis(nanos: f64) -> String {
    let ms = nanos / 1e6;
    match ms {
        _ if ms < 1.0 => format!("{ms:.3}"),
        _ => format_millis(nanos as Nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::test_io::TestIo;

    #[test]
    fn times_are_formatted_as_in_fping() {
        assert_eq!(format_millis(51_999), "0.05");
        assert_eq!(format_millis(12_340_000), "12.3");
        assert_eq!(format_millis(123_456_000), "123");
        assert_eq!(format_precise_millis(22_400.0), "0.022");
        assert_eq!(format_precise_millis(1_234_000.0), "1.23");
    }

    #[test]
    fn undecided_targets_are_printed_in_the_order_of_their_first_probes() {
        let mut targets = Targets::default();
        for (n, first_sent) in [(1, 30), (2, 10), (3, 20)] {
            let id = targets.add(Target::new(None, [10, 0, 0, n].into(), 0));
            let target = targets.get_mut(id).unwrap();
            target.allocated = 1;
            target.stats.record_sent(first_sent);
        }
        let mut io = TestIo::new();
        let mut list = List::new(ListLines::Counts, None, false, false);
        list.finish(&mut io.io, Clock::start(), &targets, 7)
            .unwrap();
        assert_eq!(
            io.text(),
            "10.0.0.2 : xmt/rcv/%loss = 1/0/0%\n\
             10.0.0.3 : xmt/rcv/%loss = 1/0/0%\n\
             10.0.0.1 : xmt/rcv/%loss = 1/0/0%\n\
             ping: 7 replies were dropped by this host; raise net.core.rmem_max or use a lower \
             --rate\n"
        );
    }
}

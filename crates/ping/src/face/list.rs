//! The list face: a line for each host when it is decided, as fping has them.

use common::Result;
use common::app::Io;
use common::text::escape;

use super::{undecided, unsent};
use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, Overdue};
use crate::plan::Until;
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// `ADDR is alive (0.05 ms)` or `ADDR is unreachable`.
    Both,
    /// The operands that answered.
    Alive,
    /// The operands that did not.
    Unreachable,
    /// `ADDR : xmt/rcv/%loss = …`.
    Counts,
    /// The same for each interval, and in the end for all.
    Totals,
    /// Nothing.
    None,
}

/// The face.
#[derive(Debug)]
pub(crate) struct List {
    lines: Lines,
    until: Option<Until>,
    verbose: bool,
    /// Whether `--alive` and `--unreachable` print the address of a name, since
    /// each is probed.
    addresses: bool,
}

impl List {
    /// A face that prints these lines; with `until`, `is alive` and `is
    /// unreachable` say what came about.
    pub(crate) fn new(lines: Lines, until: Option<Until>, verbose: bool, addresses: bool) -> Self {
        Self {
            lines,
            until,
            verbose,
            addresses,
        }
    }

    fn line(&self, io: &mut Io, target: &Target) -> Result<()> {
        let alive = match self.until {
            Some(Until::Down) => !Until::Down.reached(target),
            Some(Until::Up) => Until::Up.reached(target),
            None => target.answered,
        };
        match self.lines {
            Lines::Alive if alive => self.operand(io, target),
            Lines::Unreachable if !alive => self.operand(io, target),
            Lines::Alive | Lines::Unreachable | Lines::None => Ok(()),
            Lines::Counts => counts(io, target, &target.stats, ""),
            Lines::Totals => counts(io, target, &target.stats, "total "),
            Lines::Both if alive => {
                let name = named(target);
                match target.stats.times() {
                    Some(times) => io.out.line(format_args!(
                        "{name} is alive ({} ms)",
                        milli(times.min as Nanos)
                    )),
                    None => io.out.line(format_args!("{name} is alive")),
                }
            }
            Lines::Both => io
                .out
                .line(format_args!("{} is unreachable", named(target))),
        }
    }
}

impl List {
    /// The bare operand; an address takes no detour by a text of its own.
    fn operand(&self, io: &mut Io, target: &Target) -> Result<()> {
        match &target.label {
            Some(label) if !self.addresses => io.out.line(escape(label.as_bytes())),
            _ => io.out.line(target.address),
        }
    }
}

impl Observer for List {
    fn started(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn event(&mut self, io: &mut Io, _: Clock, target: &Target, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Icmp { error, .. } if self.verbose => {
                let from = match error.from {
                    Some(from) => format!(" from {from}"),
                    None => String::new(),
                };
                io.report
                    .line(format_args!("{}: {}{from}", named(target), error.text()));
            }
            // Once for each host.
            Event::Unsent { errno, .. } if target.stats.unsent == 1 => {
                let text = unsent(*errno, None);
                io.report.line(format_args!("{}: {text}", named(target)));
            }
            _ => {}
        }
        Ok(())
    }

    fn interval(&mut self, io: &mut Io, _: Clock, target: &Target, stats: &Stats) -> Result<()> {
        counts(io, target, stats, "")
    }

    fn ended(&mut self, io: &mut Io, _: Clock, target: &Target) -> Result<()> {
        self.line(io, target)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &Overdue) -> Result<()> {
        undecided(io, targets);
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, _: Clock, targets: &Targets, drops: u64) -> Result<()> {
        let rest = targets.undecided();
        let mut rest: Vec<&Target> = rest.map(|(_, target)| target).collect();
        rest.sort_by_key(|target| target.stats.first_sent);
        for target in rest {
            let counts = matches!(self.lines, Lines::Counts | Lines::Totals);
            let known = counts || self.until.is_some();
            if known || target.answered {
                self.line(io, target)?;
            }
        }
        if drops > 0 {
            io.report.line(format_args!(
                "{drops} replies dropped by this host; a larger net.core.rmem_max or a lower \
                 --rate avoids that"
            ));
        }
        Ok(())
    }
}

fn counts(io: &mut Io, target: &Target, stats: &Stats, what: &str) -> Result<()> {
    let loss = stats.loss_percent().unwrap_or(0.0) as u64;
    let (sent, received) = (stats.sent, stats.received);
    let name = named(target);
    match stats.times() {
        Some(times) => io.out.line(format_args!(
            "{name} : {what}xmt/rcv/%loss = {sent}/{received}/{loss}%, min/avg/max = {}/{}/{}",
            three(times.min),
            three(times.avg),
            three(times.max)
        )),
        None => io.out.line(format_args!(
            "{name} : {what}xmt/rcv/%loss = {sent}/{received}/{loss}%"
        )),
    }
}

/// `NAME (ADDR)`, or the address alone.
pub(crate) fn named(target: &Target) -> String {
    let address = target.address.to_string();
    match &target.label {
        // Another spelling of the same address is no name, nor is its zone.
        Some(label) => match label.split_once('%') {
            _ if label.parse() == Ok(target.address) => address,
            Some((head, zone)) if head.parse() == Ok(target.address) => {
                format!("{address}%{}", escape(zone.as_bytes()))
            }
            _ => format!("{} ({address})", escape(label.as_bytes())),
        },
        None => address,
    }
}

/// Milliseconds as fping prints them: 0.05, 1.23, 12.3, 123.
pub(crate) fn milli(time: Nanos) -> String {
    let ms = time as f64 / 1e6;
    match ms {
        _ if ms < 10.0 => format!("{ms:.2}"),
        _ if ms < 100.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// Milliseconds with the three digits that matter: 0.022, 1.23, 12.3, 123.
fn three(nanos: f64) -> String {
    let ms = nanos / 1e6;
    match ms {
        _ if ms < 1.0 => format!("{ms:.3}"),
        _ => milli(nanos as Nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(milli(51_999), "0.05");
        assert_eq!(milli(12_340_000), "12.3");
        assert_eq!(milli(123_456_000), "123");
        assert_eq!(three(22_400.0), "0.022");
        assert_eq!(three(1_234_000.0), "1.23");
    }
}

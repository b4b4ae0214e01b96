//! The records as comma-separated values (RFC 4180): one header, and every
//! record with the same columns, those that do not apply left empty.

use common::app::Io;
use common::text::escape;
use common::{Result, json};
use serde_json::Value;

use super::json::{Record, Selection, tell_unsent};
use super::undecided;
use crate::clock::Clock;
use crate::event::{Event, Observer, Overdue, Refusal};
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// The columns; the names are those of the JSON keys.
const COLUMNS: [&str; 41] = [
    "type",
    "target",
    "address",
    "seq",
    "time",
    "bytes",
    "ttl",
    "rtt_ms",
    "duplicate",
    "reordered",
    "corrupt",
    "from",
    "kind",
    "message",
    "icmp_type",
    "icmp_code",
    "icmp_name",
    "icmp_from",
    "icmp_mtu",
    "size",
    "sent",
    "received",
    "lost",
    "in_flight",
    "loss_percent",
    "foreign",
    "late",
    "duplicates",
    "errors",
    "min_ms",
    "avg_ms",
    "max_ms",
    "mdev_ms",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "jitter_ms",
    "duration_ms",
    "outages",
    "longest_outage_ms",
    "dropped",
];

/// The face.
#[derive(Debug)]
pub(crate) struct Csv {
    selection: Selection,
    size: u16,
    begun: bool,
}

impl Csv {
    /// A face for probes with `size` bytes of data.
    pub(crate) fn new(selection: Selection, size: u16) -> Self {
        Self {
            selection,
            size,
            begun: false,
        }
    }

    fn head(&mut self, io: &mut Io) -> Result<()> {
        if !self.begun {
            self.begun = true;
            io.out.line(COLUMNS.join(","))?;
        }
        Ok(())
    }

    fn row(&mut self, io: &mut Io, record: &Record) -> Result<()> {
        self.head(io)?;
        let fields = fields(record);
        let cells = COLUMNS.map(|column| {
            let field = fields.iter().find(|(name, _)| *name == column);
            field.map(|(_, value)| cell(value)).unwrap_or_default()
        });
        io.out.line(cells.join(","))
    }
}

/// Names and values of a record; those of the object `icmp` with its name
/// before theirs.
fn fields(record: &Record) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if let Ok(Value::Object(record)) = serde_json::to_value(record) {
        for (name, value) in record {
            match value {
                Value::Object(inner) => fields.extend(
                    inner
                        .into_iter()
                        .map(|(key, value)| (format!("{name}_{key}"), plain(value))),
                ),
                value => fields.push((name, plain(value))),
            }
        }
    }
    fields
}

fn plain(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        // As in JSON: six decimals at most and no exponent.
        other => {
            let mut text = Vec::new();
            // Writing to a Vec cannot fail.
            let _ = json::write_line(&mut text, &other);
            String::from_utf8_lossy(&text).trim_end().to_owned()
        }
    }
}

/// A cell, quoted where it has to be, never more than one line.
fn cell(value: &str) -> String {
    let safe = escape(value.as_bytes());
    if safe.contains([',', '"']) {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe.into_owned()
    }
}

impl Observer for Csv {
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.selection.has_start() {
            self.row(io, &Record::start(clock, target, self.size))?;
        }
        Ok(())
    }

    fn refused(&mut self, io: &mut Io, clock: Clock, refusal: &Refusal) -> Result<()> {
        io.report.error(&refusal.error);
        self.row(io, &Record::refused(clock, refusal))?;
        match refusal.target() {
            Some(target) if self.selection.has_unresolved() => {
                self.row(io, &Record::unresolved(clock, target, refusal.address))
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
        tell_unsent(io, target, event);
        match Record::of(clock, target, event) {
            Some(record) if self.selection.has_event(event) => self.row(io, &record),
            _ => Ok(()),
        }
    }

    fn interval(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        stats: &Stats,
    ) -> Result<()> {
        self.row(io, &Record::interval(clock, target, stats))
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.selection.has_summary(target) {
            self.row(io, &Record::summary(clock, target, 0))?;
        }
        Ok(())
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &Overdue) -> Result<()> {
        undecided(io, targets);
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        // A table without rows has its header.
        self.head(io)?;
        for (_, target) in targets.undecided() {
            if self.selection.has_summary(target) {
                self.row(io, &Record::summary(clock, target, drops))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_exponent() {
        for (value, text) in [
            (Value::from(8e-6), "0.000008"),
            (Value::from(1e20), "100000000000000000000.0"),
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::from(true), "true"),
            (Value::Null, ""),
        ] {
            assert_eq!(plain(value), text);
        }
    }

    #[test]
    fn cells_stay_on_their_line() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"x\"\n"), "\"say \"\"x\"\"\\x0a\"");
    }
}

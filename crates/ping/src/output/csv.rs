//! The CSV format (RFC 4180): a header, and a row with the same columns for each
//! record. Cells that do not apply are empty.

use common::app::Io;
use common::text::escape;
use common::{Result, json};
use serde_json::Value;

use super::record_stream::Encoding;
use super::records::Record;

/// The columns, named after the keys of the JSON records. A key of the object
/// `icmp` has that name as its prefix.
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

/// Writes records as rows.
#[derive(Debug, Default)]
pub(super) struct Csv {
    has_header: bool,
}

impl Csv {
    fn write_header(&mut self, io: &mut Io) -> Result<()> {
        if !self.has_header {
            self.has_header = true;
            io.out.line(COLUMNS.join(","))?;
        }
        Ok(())
    }
}

/// Returns the columns and values of a record.
fn flatten(record: &Record) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if let Ok(Value::Object(record)) = serde_json::to_value(record) {
        for (name, value) in record {
            match value {
                Value::Object(inner) => fields.extend(
                    inner
                        .into_iter()
                        .map(|(key, value)| (format!("{name}_{key}"), format_value(value))),
                ),
                value => fields.push((name, format_value(value))),
            }
        }
    }
    fields
}

fn format_value(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        // As in JSON, numbers have at most six decimals and no exponent.
        other => {
            let mut text = Vec::new();
            // Writing to a Vec cannot fail.
            let _ = json::write_line(&mut text, &other);
            String::from_utf8_lossy(&text).trim_end().to_owned()
        }
    }
}

/// Formats a cell, which is quoted if necessary and never has several lines.
fn format_cell(value: &str) -> String {
    let escaped = escape(value.as_bytes());
    if escaped.contains([',', '"']) {
        format!("\"{}\"", escaped.replace('"', "\"\""))
    } else {
        escaped.into_owned()
    }
}

impl Encoding for Csv {
    fn write(&mut self, io: &mut Io, record: &Record) -> Result<()> {
        self.write_header(io)?;
        let fields = flatten(record);
        let cells = COLUMNS.map(|column| {
            let field = fields.iter().find(|(name, _)| *name == column);
            field
                .map(|(_, value)| format_cell(value))
                .unwrap_or_default()
        });
        io.out.line(cells.join(","))
    }

    /// A table without rows also has a header.
    fn finish(&mut self, io: &mut Io) -> Result<()> {
        self.write_header(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::{Event, Observer, Reply};
    use crate::icmp::IcmpError;
    use crate::output::record_stream::{RecordStream, Selection, Summaries};
    use crate::output::records::tests::distinct_stats;
    use crate::output::test_io::TestIo;
    use crate::packet::IpVersion;
    use crate::target::Target;

    #[test]
    fn numbers_have_no_exponent() {
        for (value, text) in [
            (Value::from(8e-6), "0.000008"),
            (Value::from(1e20), "100000000000000000000.0"),
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::from(true), "true"),
            (Value::Null, ""),
        ] {
            assert_eq!(format_value(value), text);
        }
    }

    #[test]
    fn a_cell_is_quoted_and_has_one_line() {
        assert_eq!(format_cell("plain"), "plain");
        assert_eq!(format_cell("a,b"), "\"a,b\"");
        assert_eq!(format_cell("say \"x\"\n"), "\"say \"\"x\"\"\\x0a\"");
    }

    /// Returns the cells of a row that are not empty, by the names in the header.
    fn cells(header: &str, row: &str) -> Vec<(String, String)> {
        let pairs = header.split(',').zip(row.split(','));
        let filled = pairs.filter(|(_, value)| !value.is_empty());
        filled
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn every_value_of_a_record_has_a_column() {
        let clock = Clock::start();
        let selection = Selection {
            is_quiet: false,
            summaries: Summaries::All,
        };
        let mut csv = RecordStream::new(Csv::default(), selection, 57);
        let mut io = TestIo::new();
        let mut target = Target::new(Some("host.test".into()), [192, 0, 2, 1].into(), 0);
        *target.stats = distinct_stats();
        let error = IcmpError {
            version: IpVersion::V4,
            icmp_type: 3,
            code: 4,
            info: 1280,
            from: Some([192, 0, 2, 254].into()),
        };
        let reply = Reply {
            seq: 3,
            from: [192, 0, 2, 9].into(),
            is_foreign: true,
            identifier: 7,
            bytes: 65,
            ttl: Some(63),
            rtt: Some(1_500_000),
            is_duplicate: true,
            is_reordered: false,
            corruption: None,
        };
        csv.target_started(&mut io.io, clock, &target).unwrap();
        for event in [
            Event::Icmp {
                seq: 2,
                rtt: Some(2_500_000),
                error,
            },
            Event::Reply(reply),
        ] {
            csv.event(&mut io.io, clock, &target, &event).unwrap();
        }
        csv.target_decided(&mut io.io, clock, &target).unwrap();
        let text = io.text();
        let lines: Vec<&str> = text.lines().collect();
        let mut rows = lines[1..].iter().map(|row| {
            let mut cells = cells(lines[0], row);
            cells.retain(|(name, _)| name != "time" && name != "duration_ms");
            let cells = cells.iter().map(|(name, value)| format!("{name}={value}"));
            cells.collect::<Vec<_>>().join(" ")
        });
        let mut next = || rows.next().unwrap();
        let start = "target=host.test address=192.0.2.1";
        assert_eq!(next(), format!("type=start {start} size=57"));
        assert_eq!(
            next(),
            format!(
                "type=error {start} seq=2 rtt_ms=2.5 kind=unreachable \
                 message=Frag needed and DF set (mtu = 1280) icmp_type=3 icmp_code=4 \
                 icmp_name=fragmentation_needed icmp_from=192.0.2.254 icmp_mtu=1280"
            )
        );
        assert_eq!(
            next(),
            format!(
                "type=reply {start} seq=3 bytes=65 ttl=63 rtt_ms=1.5 duplicate=true \
                 reordered=false corrupt=false from=192.0.2.9"
            )
        );
        // `reordered` and `corrupt` are a flag of a reply and a count here.
        assert_eq!(
            next(),
            format!(
                "type=summary {start} reordered=24 corrupt=25 sent=255 received=200 \
                 lost=50 in_flight=5 loss_percent=20.0 foreign=21 late=22 duplicates=23 \
                 errors=26 min_ms=0.11 avg_ms=1.105 max_ms=2.1 mdev_ms=0.577343 p50_ms=1.1 \
                 p90_ms=1.9 p99_ms=2.08 jitter_ms=0.01 outages=27 longest_outage_ms=28.0 dropped=0"
            )
        );
        assert!(rows.next().is_none());
        // Every row has a time.
        for row in &lines[1..] {
            let cells = cells(lines[0], row);
            assert!(
                cells
                    .iter()
                    .any(|(name, value)| name == "time" && value.ends_with('Z'))
            );
        }
    }
}

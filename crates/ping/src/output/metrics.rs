//! The OpenMetrics format: the summaries as text for a scraper's textfile. The
//! samples of a metric must be consecutive, so the summaries are kept until the
//! run ends.

use std::collections::HashMap;
use std::fmt::Write as _;

use common::Result;
use common::app::Io;

use crate::clock::Clock;
use crate::event::{Observer, RejectedOperand};
use crate::stats::{RttSummary, Stats};
use crate::target::{Target, Targets};

/// The statistics of a target.
#[derive(Debug)]
struct Sample {
    labels: String,
    sent: u64,
    received: u64,
    lost: u64,
    late: u64,
    duplicates: u64,
    reordered: u64,
    corrupt: u64,
    errors: u64,
    foreign: u64,
    in_flight: u64,
    loss_percent: Option<f64>,
    rtts: Option<RttSummary>,
}

/// A metric and how its value is taken from a [`Sample`].
struct Metric {
    name: &'static str,
    help: &'static str,
    value: Value,
}

/// The type and the value of a metric.
enum Value {
    Counter(fn(&Sample) -> u64),
    Gauge(fn(&Sample) -> Option<f64>),
    /// A time in nanoseconds, which is printed in seconds.
    Seconds(fn(&RttSummary) -> f64),
}

const METRICS: [Metric; 20] = [
    counter("ping_sent", "Echo requests sent.", |s| s.sent),
    counter("ping_received", "Requests answered in time.", |s| {
        s.received
    }),
    counter("ping_lost", "Requests not answered in time.", |s| s.lost),
    counter("ping_late", "Replies after the timeout.", |s| s.late),
    counter("ping_duplicates", "Further replies to a request.", |s| {
        s.duplicates
    }),
    counter("ping_reordered", "Replies out of order.", |s| s.reordered),
    counter("ping_corrupt", "Replies with wrong content.", |s| s.corrupt),
    counter("ping_errors", "ICMP errors and requests not sent.", |s| {
        s.errors
    }),
    counter("ping_foreign", "Replies from another address.", |s| {
        s.foreign
    }),
    gauge(
        "ping_in_flight",
        "Requests without a reply at the end.",
        |s| Some(s.in_flight as f64),
    ),
    gauge(
        "ping_loss_ratio",
        "Lost requests divided by settled ones.",
        |s| s.loss_percent.map(|percent| percent / 100.0),
    ),
    gauge("ping_up", "Whether the target has answered.", |s| {
        Some(if s.received > 0 { 1.0 } else { 0.0 })
    }),
    seconds("ping_rtt_min_seconds", "Shortest round trip.", |r| r.min),
    seconds("ping_rtt_avg_seconds", "Mean round trip.", |r| r.avg),
    seconds("ping_rtt_max_seconds", "Longest round trip.", |r| r.max),
    seconds("ping_rtt_mdev_seconds", "Standard deviation.", |r| r.mdev),
    seconds("ping_rtt_p50_seconds", "Median round trip.", |r| r.p50),
    seconds("ping_rtt_p90_seconds", "90th percentile.", |r| r.p90),
    seconds("ping_rtt_p99_seconds", "99th percentile.", |r| r.p99),
    seconds("ping_jitter_seconds", "Jitter as in RFC 3550.", |r| {
        r.jitter
    }),
];

const fn counter(name: &'static str, help: &'static str, value: fn(&Sample) -> u64) -> Metric {
    Metric {
        name,
        help,
        value: Value::Counter(value),
    }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&Sample) -> Option<f64>,
) -> Metric {
    Metric {
        name,
        help,
        value: Value::Gauge(value),
    }
}

const fn seconds(name: &'static str, help: &'static str, value: fn(&RttSummary) -> f64) -> Metric {
    Metric {
        name,
        help,
        value: Value::Seconds(value),
    }
}

impl Metric {
    /// Writes the metric with the samples of all targets.
    fn write(&self, io: &mut Io, samples: &[Sample]) -> Result<()> {
        let (name, help) = (self.name, self.help);
        let (kind, suffix) = match self.value {
            Value::Counter(_) => ("counter", "_total"),
            Value::Gauge(_) | Value::Seconds(_) => ("gauge", ""),
        };
        io.out.line(format_args!("# TYPE {name} {kind}"))?;
        if matches!(self.value, Value::Seconds(_)) {
            io.out.line(format_args!("# UNIT {name} seconds"))?;
        }
        io.out.line(format_args!("# HELP {name} {help}"))?;
        for sample in samples {
            let value = match self.value {
                Value::Counter(value) => Some(value(sample) as f64),
                Value::Gauge(value) => value(sample),
                Value::Seconds(value) => {
                    let nanos = sample.rtts.as_ref().map(value);
                    nanos.map(|nanos| nanos.round() / 1e9)
                }
            };
            if let Some(value) = value {
                let labels = &sample.labels;
                io.out
                    .line(format_args!("{name}{suffix}{{{labels}}} {value}"))?;
            }
        }
        Ok(())
    }
}

impl Sample {
    fn of_target(target: &Target) -> Self {
        let address = target.address.to_string();
        Self::new(&target.operand(), &address, &target.stats)
    }

    fn new(target: &str, address: &str, stats: &Stats) -> Self {
        let target = escape_label(target);
        Self {
            labels: format!("target=\"{target}\",address=\"{address}\""),
            sent: stats.sent,
            received: stats.received,
            lost: stats.lost,
            late: stats.late,
            duplicates: stats.duplicates,
            reordered: stats.reordered,
            corrupt: stats.corrupt,
            errors: stats.errors,
            foreign: stats.foreign,
            in_flight: stats.sent.saturating_sub(stats.received + stats.lost),
            loss_percent: stats.loss_percent(),
            rtts: stats.rtt_summary(),
        }
    }
}

/// Escapes the value of a label: first control characters, then backslashes and
/// quotes.
fn escape_label(text: &str) -> String {
    let escaped = common::text::escape(text.as_bytes());
    escaped.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Writes the summaries as metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// Adds a label to the repeated samples of a target that was given several
    /// times, because every sample must have different labels.
    fn number_repeats(&mut self) {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for sample in &mut self.samples {
            let count = counts.entry(sample.labels.clone()).or_default();
            *count += 1;
            if *count > 1 {
                write!(sample.labels, ",repeat=\"{count}\"").ok();
            }
        }
    }
}

impl Observer for Metrics {
    fn operand_rejected(
        &mut self,
        io: &mut Io,
        _: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        io.report.error(&rejected.error);
        if let Some(target) = rejected.target() {
            let address = rejected.address.map(|address| address.to_string());
            let address = address.unwrap_or_default();
            let sample = Sample::new(target, &address, &Stats::default());
            self.samples.push(sample);
        }
        Ok(())
    }

    fn target_decided(&mut self, _: &mut Io, _: Clock, target: &Target) -> Result<()> {
        self.samples.push(Sample::of_target(target));
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, _: Clock, targets: &Targets, _: u64) -> Result<()> {
        let undecided = targets.undecided();
        self.samples
            .extend(undecided.map(|(_, target)| Sample::of_target(target)));
        self.number_repeats();
        for metric in METRICS {
            metric.write(io, &self.samples)?;
        }
        io.out.line("# EOF")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::records::tests::distinct_stats;
    use crate::output::test_io::TestIo;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escape_label("a\"b\\c\n"), "a\\\"b\\\\c\\\\x0a");
    }

    #[test]
    fn every_field_has_its_metric() {
        let mut target = Target::new(None, [192, 0, 2, 1].into(), 0);
        *target.stats = distinct_stats();
        let mut metrics = Metrics::default();
        let mut io = TestIo::new();
        let clock = Clock::start();
        metrics.target_decided(&mut io.io, clock, &target).unwrap();
        metrics
            .finish(&mut io.io, clock, &Targets::default(), 0)
            .unwrap();
        let text = io.text();
        let labels = "{target=\"192.0.2.1\",address=\"192.0.2.1\"}";
        let samples: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replace(labels, ""))
            .collect();
        assert_eq!(
            samples,
            [
                "ping_sent_total 255",
                "ping_received_total 200",
                "ping_lost_total 50",
                "ping_late_total 22",
                "ping_duplicates_total 23",
                "ping_reordered_total 24",
                "ping_corrupt_total 25",
                "ping_errors_total 26",
                "ping_foreign_total 21",
                "ping_in_flight 5",
                "ping_loss_ratio 0.2",
                "ping_up 1",
                "ping_rtt_min_seconds 0.00011",
                "ping_rtt_avg_seconds 0.001105",
                "ping_rtt_max_seconds 0.0021",
                "ping_rtt_mdev_seconds 0.000577343",
                "ping_rtt_p50_seconds 0.0011",
                "ping_rtt_p90_seconds 0.0019",
                "ping_rtt_p99_seconds 0.00208",
                "ping_jitter_seconds 0.00001",
            ]
        );
        assert!(
            text.starts_with("# TYPE ping_sent counter\n# HELP ping_sent Echo requests sent.\n")
        );
        assert!(text.ends_with("# EOF\n"));
    }
}

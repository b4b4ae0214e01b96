//! The summaries in OpenMetrics text, for a scraper's textfile. A family's
//! samples must stand together, so all summaries are kept to the end.

use std::collections::HashMap;
use std::fmt::Write as _;

use common::Result;
use common::app::Io;

use super::undecided;
use crate::clock::Clock;
use crate::event::{Event, Observer, Overdue, Refusal};
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// One family: its name, type, unit, help, and the value in a summary.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Sample) -> Option<f64>,
}

/// What is kept of a target.
#[derive(Debug)]
struct Sample {
    labels: String,
    /// sent, received, lost, late, duplicates, reordered, corrupt, errors,
    /// foreign, in flight.
    counts: [u64; 10],
    /// min, avg, max, mdev, p50, p90, p99, jitter, in seconds.
    times: Option<[f64; 8]>,
    loss: Option<f64>,
}

const FAMILIES: [Family; 20] = [
    count("ping_sent", "Echo requests sent.", |s| Some(s.count(0))),
    count("ping_received", "Requests answered in time.", |s| {
        Some(s.count(1))
    }),
    count("ping_lost", "Requests not answered in time.", |s| {
        Some(s.count(2))
    }),
    count("ping_late", "Answers after their time.", |s| {
        Some(s.count(3))
    }),
    count("ping_duplicates", "Further answers to a request.", |s| {
        Some(s.count(4))
    }),
    count("ping_reordered", "Answers out of order.", |s| {
        Some(s.count(5))
    }),
    count("ping_corrupt", "Answers that were damaged.", |s| {
        Some(s.count(6))
    }),
    count("ping_errors", "ICMP errors and requests not sent.", |s| {
        Some(s.count(7))
    }),
    count("ping_foreign", "Answers from another address.", |s| {
        Some(s.count(8))
    }),
    gauge("ping_in_flight", "Requests that were not decided.", |s| {
        Some(s.count(9))
    }),
    gauge(
        "ping_loss_ratio",
        "Lost requests among those decided.",
        |s| s.loss.map(|percent| percent / 100.0),
    ),
    gauge("ping_up", "Whether the target answered.", |s| {
        Some(f64::from(u8::from(s.counts[1] > 0)))
    }),
    gauge("ping_rtt_min_seconds", "Shortest round trip.", |s| {
        s.time(0)
    }),
    gauge("ping_rtt_avg_seconds", "Mean round trip.", |s| s.time(1)),
    gauge("ping_rtt_max_seconds", "Longest round trip.", |s| s.time(2)),
    gauge("ping_rtt_mdev_seconds", "Standard deviation.", |s| {
        s.time(3)
    }),
    gauge("ping_rtt_p50_seconds", "Median round trip.", |s| s.time(4)),
    gauge("ping_rtt_p90_seconds", "90th percentile.", |s| s.time(5)),
    gauge("ping_rtt_p99_seconds", "99th percentile.", |s| s.time(6)),
    gauge("ping_jitter_seconds", "Jitter as in RFC 3550.", |s| {
        s.time(7)
    }),
];

const fn count(
    name: &'static str,
    help: &'static str,
    value: fn(&Sample) -> Option<f64>,
) -> Family {
    Family {
        name,
        kind: "counter",
        help,
        value,
    }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&Sample) -> Option<f64>,
) -> Family {
    Family {
        name,
        kind: "gauge",
        help,
        value,
    }
}

impl Sample {
    fn of(target: &Target) -> Self {
        let address = target.address.to_string();
        Self::new(&target.operand(), &address, &target.stats)
    }

    fn new(target: &str, address: &str, stats: &Stats) -> Self {
        Self {
            labels: format!("target=\"{}\",address=\"{address}\"", escape(target)),
            counts: [
                stats.sent,
                stats.received,
                stats.lost,
                stats.late,
                stats.duplicates,
                stats.reordered,
                stats.corrupt,
                stats.errors,
                stats.foreign,
                stats.sent.saturating_sub(stats.received + stats.lost),
            ],
            times: stats.times().map(|t| {
                [t.min, t.avg, t.max, t.mdev, t.p50, t.p90, t.p99, t.jitter]
                    .map(|nanos| nanos.round() / 1e9)
            }),
            loss: stats.loss_percent(),
        }
    }

    fn count(&self, index: usize) -> f64 {
        self.counts[index] as f64
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.times.map(|times| times[index])
    }
}

/// A label's value: backslash, quote and newline escaped, and whatever is
/// dangerous on a terminal before that.
fn escape(text: &str) -> String {
    let safe = common::text::escape(text.as_bytes());
    safe.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The face.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// A target given twice has two series, which must differ in a label.
    fn number_repeats(&mut self) {
        let mut seen: HashMap<String, u32> = HashMap::new();
        for sample in &mut self.samples {
            let count = seen.entry(sample.labels.clone()).or_default();
            *count += 1;
            if *count > 1 {
                write!(sample.labels, ",repeat=\"{count}\"").ok();
            }
        }
    }
}

impl Observer for Metrics {
    fn started(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn refused(&mut self, io: &mut Io, _: Clock, refusal: &Refusal) -> Result<()> {
        io.report.error(&refusal.error);
        if let Some(target) = refusal.target() {
            let address = refusal.address.map(|address| address.to_string());
            let address = address.unwrap_or_default();
            let sample = Sample::new(target, &address, &Stats::default());
            self.samples.push(sample);
        }
        Ok(())
    }

    fn event(&mut self, _: &mut Io, _: Clock, _: &Target, _: &Event<'_>) -> Result<()> {
        Ok(())
    }

    fn ended(&mut self, _: &mut Io, _: Clock, target: &Target) -> Result<()> {
        self.samples.push(Sample::of(target));
        Ok(())
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &Overdue) -> Result<()> {
        undecided(io, targets);
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, _: Clock, targets: &Targets, _: u64) -> Result<()> {
        let rest = targets.undecided();
        self.samples
            .extend(rest.map(|(_, target)| Sample::of(target)));
        self.number_repeats();
        for family in FAMILIES {
            let (name, kind, help) = (family.name, family.kind, family.help);
            io.out.line(format_args!("# TYPE {name} {kind}"))?;
            if name.ends_with("_seconds") {
                io.out.line(format_args!("# UNIT {name} seconds"))?;
            }
            io.out.line(format_args!("# HELP {name} {help}"))?;
            let suffix = if kind == "counter" { "_total" } else { "" };
            for sample in &self.samples {
                if let Some(value) = (family.value)(sample) {
                    let labels = &sample.labels;
                    io.out
                        .line(format_args!("{name}{suffix}{{{labels}}} {value}"))?;
                }
            }
        }
        io.out.line("# EOF")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted() {
        assert_eq!(escape("a\"b\\c\n"), "a\\\"b\\\\c\\\\x0a");
    }
}

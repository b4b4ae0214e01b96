//! The output of a load test: a live line on a terminal, a record per second
//! with `--json`, and the summary.

use std::time::Duration;

use common::app::Io;
use common::{Result, json, text, time};
use serde::Serialize;

use super::load_stats::{Counts, Interval, LoadStats};
use crate::config::LoadOptions;
use crate::output::counted;
use crate::stats::Latencies;

/// Moves the cursor to the start of the line and clears the line.
const CLEAR_LINE: &str = "\r\x1b[K";

/// The assumed width of a terminal that does not report one, in columns.
const COLUMNS: usize = 80;

/// Prints the statistics of each interval during the run.
#[derive(Debug)]
pub(crate) struct IntervalReporter {
    /// Whether to keep a line on stderr up to date.
    shows_line: bool,
    reconnect: bool,
    /// The end of the last interval.
    last_end: Duration,
}

#[derive(Serialize)]
struct JsonInterval {
    #[serde(rename = "type")]
    tag: &'static str,
    elapsed_ms: f64,
    duration_ms: f64,
    connections: u64,
    messages: u64,
    bytes: u64,
    corrupt: u64,
    errors: u64,
    messages_per_second: f64,
    bytes_per_second: f64,
    connections_per_second: Option<f64>,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    time: String,
}

impl JsonInterval {
    /// Creates the record of an interval of `length` that ends at `elapsed`.
    /// `reconnect` adds the rate of connections.
    fn new(interval: &Interval, elapsed: Duration, length: Duration, reconnect: bool) -> Self {
        let seconds = length.as_secs_f64();
        let (counts, times) = (interval.counts, &interval.latencies);
        let latency = |quantile| times.quantile(quantile).map(json::ms);
        Self {
            tag: "interval",
            elapsed_ms: json::ms(elapsed),
            duration_ms: json::ms(length),
            connections: counts.connections,
            messages: counts.messages,
            bytes: counts.bytes,
            corrupt: counts.corrupt,
            errors: counts.errors,
            messages_per_second: rate(counts.messages, seconds),
            bytes_per_second: rate(counts.bytes, seconds),
            connections_per_second: reconnect.then(|| rate(counts.connections, seconds)),
            p50_ms: latency(0.5),
            p90_ms: latency(0.9),
            p99_ms: latency(0.99),
            max_ms: times.max().map(json::ms),
            time: time::now(),
        }
    }

    /// Returns the live line with the same statistics.
    fn line(&self) -> String {
        let opened = self
            .connections_per_second
            .map_or(String::new(), |rate| format!(", {rate:.0} connections/s"));
        format!(
            "{:.0} s: {:.0} messages/s{opened}, p50 {:.3} ms, p99 {:.3} ms, {} corrupt, {}",
            self.elapsed_ms / 1000.0,
            self.messages_per_second,
            self.p50_ms.unwrap_or(0.0),
            self.p99_ms.unwrap_or(0.0),
            self.corrupt,
            counted(self.errors, "error"),
        )
    }
}

impl IntervalReporter {
    /// Creates a reporter. `shows_line` keeps a line on stderr up to date.
    pub(crate) fn new(options: &LoadOptions, shows_line: bool) -> Self {
        Self {
            shows_line,
            reconnect: options.reconnect,
            last_end: Duration::ZERO,
        }
    }

    /// Prints the statistics of the interval that ends at `elapsed`.
    pub(crate) fn tick(
        &mut self,
        io: &mut Io,
        stats: &mut LoadStats,
        elapsed: Duration,
    ) -> Result<()> {
        let interval = stats.next_interval();
        self.show(io, &interval, elapsed)
    }

    fn show(&mut self, io: &mut Io, interval: &Interval, elapsed: Duration) -> Result<()> {
        let length = elapsed.saturating_sub(self.last_end);
        self.last_end = elapsed;
        let record = JsonInterval::new(interval, elapsed, length, self.reconnect);
        if io.json {
            io.out.json(&record)?;
            io.out.flush()?;
        }
        if self.shows_line {
            let line = record.line();
            // Some terminals wrap after a character in the last column.
            let columns = match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
                Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
                _ => COLUMNS,
            };
            let shown: String = line.chars().take(columns - 1).collect();
            io.report.raw(format!("{CLEAR_LINE}{shown}").as_bytes());
        }
        Ok(())
    }

    /// Clears the live line. Prints a last interval if there are counts after
    /// the last tick.
    pub(crate) fn finish(
        &mut self,
        io: &mut Io,
        stats: &mut LoadStats,
        elapsed: Duration,
    ) -> Result<()> {
        if self.shows_line {
            io.report.raw(CLEAR_LINE.as_bytes());
            self.shows_line = false;
        }
        let interval = stats.next_interval();
        if interval.counts != Counts::default() {
            self.show(io, &interval, elapsed)?;
        }
        Ok(())
    }
}

/// The results of a load test.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// The target as given.
    pub(crate) target: &'a str,
    /// The address of the first connection.
    pub(crate) address: Option<&'a str>,
    pub(crate) options: &'a LoadOptions,
    /// The statistics, including the last echoes.
    pub(crate) stats: &'a LoadStats,
    /// The duration that the counts are of.
    pub(crate) duration: Duration,
}

#[derive(Serialize)]
struct JsonSummary<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    target: &'a str,
    address: Option<&'a str>,
    connections: u64,
    messages: u64,
    bytes: u64,
    corrupt: u64,
    errors: u64,
    duration_ms: f64,
    messages_per_second: f64,
    bytes_per_second: f64,
    connections_per_second: Option<f64>,
    min_ms: Option<f64>,
    avg_ms: Option<f64>,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    p9999_ms: Option<f64>,
    max_ms: Option<f64>,
    send_late_p99_ms: Option<f64>,
    send_late_max_ms: Option<f64>,
    tcp_rtt_ms: Option<f64>,
    tcp_retransmits: Option<u64>,
    time: String,
}

/// The percentiles of a summary, as shares.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

impl Summary<'_> {
    /// Prints the summary, and a line on stderr for each kind of error.
    pub(crate) fn show(&self, io: &mut Io) -> Result<()> {
        let target = text::escape(self.target.as_bytes());
        for (reason, count) in &self.stats.errors {
            io.report.line(format_args!(
                "{target}: {} failed: {reason}",
                counted(*count, "connection")
            ));
        }
        if self.stats.missing > 0 {
            io.report.line(format_args!(
                "{target}: {} did not arrive before the end of the run",
                counted(self.stats.missing, "echo")
            ));
        }
        if self.stats.unsent > 0 {
            let were = if self.stats.unsent == 1 {
                "was"
            } else {
                "were"
            };
            io.report.line(format_args!(
                "{target}: {} {were} due but not sent at the end of the run",
                counted(self.stats.unsent, "message")
            ));
        }
        if io.json {
            io.out.json(&self.record())?;
        } else {
            for line in self.lines(&target) {
                io.out.line(line)?;
            }
        }
        io.out.flush()
    }

    fn per_second(&self, count: u64) -> f64 {
        rate(count, self.duration.as_secs_f64())
    }

    fn record(&self) -> JsonSummary<'_> {
        let (stats, times) = (self.stats, &self.stats.latencies);
        let counts = stats.counts();
        let [p50, p90, p99, p999, p9999] = QUANTILES.map(|q| times.quantile(q).map(json::ms));
        JsonSummary {
            tag: "summary",
            target: self.target,
            address: self.address,
            connections: counts.connections,
            messages: counts.messages,
            bytes: counts.bytes,
            corrupt: counts.corrupt,
            errors: counts.errors,
            duration_ms: json::ms(self.duration),
            messages_per_second: self.per_second(counts.messages),
            bytes_per_second: self.per_second(counts.bytes),
            connections_per_second: self
                .options
                .reconnect
                .then(|| self.per_second(counts.connections)),
            min_ms: times.min().map(json::ms),
            avg_ms: times.mean().map(json::ms),
            p50_ms: p50,
            p90_ms: p90,
            p99_ms: p99,
            p999_ms: p999,
            p9999_ms: p9999,
            max_ms: times.max().map(json::ms),
            send_late_p99_ms: stats.lateness.quantile(0.99).map(json::ms),
            send_late_max_ms: stats.lateness.max().map(json::ms),
            tcp_rtt_ms: stats.tcp_rtt().map(json::ms),
            tcp_retransmits: stats.tcp_retransmits(),
            time: time::now(),
        }
    }

    fn lines(&self, target: &str) -> Vec<String> {
        let (stats, counts) = (self.stats, self.stats.counts());
        let opened = if self.options.reconnect {
            format!(", {:.0} connections/s", self.per_second(counts.connections))
        } else {
            String::new()
        };
        let mut lines = vec![
            format!("--- {target} bench statistics ---"),
            format!(
                "{}, {}, {} verified in {:.3} s",
                counted(counts.connections, "connection"),
                counted(counts.messages, "message"),
                counted(counts.bytes, "byte"),
                self.duration.as_secs_f64()
            ),
            format!(
                "{:.0} messages/s, {:.3} MB/s each way{opened}",
                self.per_second(counts.messages),
                self.per_second(counts.bytes) / 1e6
            ),
            format!(
                "{} corrupt, {}",
                counts.corrupt,
                counted(counts.errors, "error")
            ),
        ];
        lines.extend(latency_line(&stats.latencies));
        if let (Some(p99), Some(max)) = (stats.lateness.quantile(0.99), stats.lateness.max()) {
            lines.push(format!(
                "send lateness p99/max = {:.3}/{:.3} ms",
                json::ms(p99),
                json::ms(max)
            ));
        }
        if let (Some(rtt), Some(retransmits)) = (stats.tcp_rtt(), stats.tcp_retransmits()) {
            lines.push(format!(
                "tcp rtt = {:.3} ms, {}",
                json::ms(rtt),
                counted(retransmits, "retransmit")
            ));
        }
        lines
    }
}

fn latency_line(times: &Latencies) -> Option<String> {
    let mut all = vec![times.min()?, times.mean()?];
    for quantile in QUANTILES {
        all.push(times.quantile(quantile)?);
    }
    all.push(times.max()?);
    let all: Vec<String> = all
        .into_iter()
        .map(|t| format!("{:.3}", json::ms(t)))
        .collect();
    Some(format!(
        "latency min/avg/p50/p90/p99/p99.9/p99.99/max = {} ms",
        all.join("/")
    ))
}

/// Returns `count` per second.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;

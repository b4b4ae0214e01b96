//! How a load run is shown: a live line on a terminal, a record a second with
//! `--json`, and the summary.

use std::time::Duration;

use common::app::Io;
use common::{Result, json, text, time};
use serde::Serialize;

use super::tally::{Counts, Interval, Tally};
use crate::config::Load;
use crate::output::counted;
use crate::stats::Latencies;

/// Back to the begin of the line, and empty it.
const FRESH_LINE: &str = "\r\x1b[K";

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// What is shown while the run goes on.
#[derive(Debug)]
pub(crate) struct Live {
    terminal: bool,
    reconnect: bool,
    /// The time at the last tick.
    last: Duration,
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

impl Live {
    /// `terminal`: whether to keep a line on stderr up to date.
    pub(crate) fn new(plan: &Load, terminal: bool) -> Self {
        Self {
            terminal,
            reconnect: plan.reconnect,
            last: Duration::ZERO,
        }
    }

    /// Shows the figures of the interval that ends now, all of them its own.
    pub(crate) fn tick(&mut self, io: &mut Io, tally: &mut Tally, elapsed: Duration) -> Result<()> {
        let interval = tally.next_interval()?;
        self.show(io, &interval, elapsed)
    }

    fn show(&mut self, io: &mut Io, interval: &Interval, elapsed: Duration) -> Result<()> {
        let length = elapsed.saturating_sub(self.last);
        self.last = elapsed;
        let seconds = length.as_secs_f64();
        let (counts, times) = (interval.counts, &interval.latencies);
        let latency = |q| times.quantile(q).map(json::ms);
        let opened = self.reconnect.then(|| rate(counts.connections, seconds));
        if io.json {
            io.out.json(&JsonInterval {
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
                connections_per_second: opened,
                p50_ms: latency(0.5),
                p90_ms: latency(0.9),
                p99_ms: latency(0.99),
                max_ms: times.max().map(json::ms),
                time: time::now(),
            })?;
            io.out.flush()?;
        }
        if self.terminal {
            let opened = opened.map_or(String::new(), |rate| format!(", {rate:.0} connections/s"));
            let line = format!(
                "{:.0} s: {:.0} messages/s{opened}, p50 {:.3} ms, p99 {:.3} ms, \
                 {} corrupt, {}",
                elapsed.as_secs_f64(),
                rate(counts.messages, seconds),
                latency(0.5).unwrap_or(0.0),
                latency(0.99).unwrap_or(0.0),
                counts.corrupt,
                counted(counts.errors, "error"),
            );
            // In the last column some terminals begin the next line.
            let columns = match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
                Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
                _ => COLUMNS,
            };
            let shown: String = line.chars().take(columns - 1).collect();
            io.report.raw(format!("{FRESH_LINE}{shown}").as_bytes());
        }
        Ok(())
    }

    /// Takes the live line away. What came after the last tick is an interval
    /// of its own.
    pub(crate) fn end(&mut self, io: &mut Io, tally: &mut Tally, elapsed: Duration) -> Result<()> {
        if self.terminal {
            io.report.raw(FRESH_LINE.as_bytes());
            self.terminal = false;
        }
        let interval = tally.next_interval()?;
        if interval.counts != Counts::default() {
            self.show(io, &interval, elapsed)?;
        }
        Ok(())
    }
}

/// The end of a run.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// As typed.
    pub(crate) target: &'a str,
    /// Who answered.
    pub(crate) address: Option<&'a str>,
    /// What was planned.
    pub(crate) plan: &'a Load,
    /// The counts, the last echoes included.
    pub(crate) tally: &'a Tally,
    /// The time the counts are of.
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

/// The quantiles of a summary.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

impl Summary<'_> {
    /// Writes it, and a line on stderr for each way in which connections
    /// failed.
    pub(crate) fn show(&self, io: &mut Io) -> Result<()> {
        let target = text::escape(self.target.as_bytes());
        for (why, count) in &self.tally.errors {
            io.report.line(format_args!(
                "{target}: {} failed: {why}",
                counted(*count, "connection")
            ));
        }
        if self.tally.missing > 0 {
            io.report.line(format_args!(
                "{target}: {} had not come back at the end",
                counted(self.tally.missing, "echo")
            ));
        }
        if self.tally.unsent > 0 {
            let were = if self.tally.unsent == 1 {
                "was"
            } else {
                "were"
            };
            io.report.line(format_args!(
                "{target}: {} {were} due but still unsent when the run ended",
                counted(self.tally.unsent, "message")
            ));
        }
        if io.json {
            self.record(io)?;
        } else {
            self.lines(io, &target)?;
        }
        io.out.flush()
    }

    fn per_second(&self, count: u64) -> f64 {
        rate(count, self.duration.as_secs_f64())
    }

    fn record(&self, io: &mut Io) -> Result<()> {
        let (tally, times) = (self.tally, &self.tally.latencies);
        let counts = tally.counts();
        let [p50, p90, p99, p999, p9999] = QUANTILES.map(|q| times.quantile(q).map(json::ms));
        io.out.json(&JsonSummary {
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
                .plan
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
            send_late_p99_ms: tally.lateness.quantile(0.99).map(json::ms),
            send_late_max_ms: tally.lateness.max().map(json::ms),
            tcp_rtt_ms: tally.tcp_rtt().map(json::ms),
            tcp_retransmits: tally.tcp_retransmits(),
            time: time::now(),
        })
    }

    fn lines(&self, io: &mut Io, target: &str) -> Result<()> {
        let (tally, counts) = (self.tally, self.tally.counts());
        io.out
            .line(format_args!("--- {target} bench statistics ---"))?;
        io.out.line(format_args!(
            "{}, {}, {} verified in {:.3} s",
            counted(counts.connections, "connection"),
            counted(counts.messages, "message"),
            counted(counts.bytes, "byte"),
            self.duration.as_secs_f64()
        ))?;
        let opened = if self.plan.reconnect {
            format!(", {:.0} connections/s", self.per_second(counts.connections))
        } else {
            String::new()
        };
        io.out.line(format_args!(
            "{:.0} messages/s, {:.3} MB/s each way{opened}",
            self.per_second(counts.messages),
            self.per_second(counts.bytes) / 1e6
        ))?;
        io.out.line(format_args!(
            "{} corrupt, {}",
            counts.corrupt,
            counted(counts.errors, "error")
        ))?;
        if let Some(line) = latency_line(&tally.latencies) {
            io.out.line(line)?;
        }
        if let (Some(p99), Some(max)) = (tally.lateness.quantile(0.99), tally.lateness.max()) {
            io.out.line(format_args!(
                "sent late p99/max = {:.3}/{:.3} ms",
                json::ms(p99),
                json::ms(max)
            ))?;
        }
        if let (Some(rtt), Some(retransmits)) = (tally.tcp_rtt(), tally.tcp_retransmits()) {
            io.out.line(format_args!(
                "tcp rtt = {:.3} ms, {}",
                json::ms(rtt),
                counted(retransmits, "retransmit")
            ))?;
        }
        Ok(())
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

/// So many in so many seconds.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

//! How a load run is shown: a live line on a terminal, a record a second with
//! `--json`, and the summary.

use std::time::Duration;

use common::app::Io;
use common::{Result, json, text};
use serde::Serialize;

use super::tally::Tally;
use crate::config::Load;
use crate::stats::Latencies;

/// Back to the begin of the line, and empty it.
const FRESH_LINE: &str = "\r\x1b[K";

/// What is shown while the run goes on.
#[derive(Debug)]
pub(crate) struct Live {
    terminal: bool,
    reconnect: bool,
    /// Time, echoes and connections at the last tick.
    last: (Duration, u64, u64),
}

#[derive(Serialize)]
struct JsonInterval {
    #[serde(rename = "type")]
    tag: &'static str,
    elapsed_ms: f64,
    connections: u64,
    messages: u64,
    bytes: u64,
    mismatches: u64,
    errors: u64,
    messages_per_second: f64,
    connections_per_second: f64,
    p50_ms: Option<f64>,
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
            last: (Duration::ZERO, 0, 0),
        }
    }

    /// Shows how it stands; the rates are those since the last time, the
    /// latencies those of the whole run.
    pub(crate) fn tick(&mut self, io: &mut Io, tally: &Tally, elapsed: Duration) -> Result<()> {
        let (then, messages, connections) = self.last;
        self.last = (elapsed, tally.messages, tally.connected);
        let seconds = elapsed.saturating_sub(then).as_secs_f64();
        let messages = rate(tally.messages - messages, seconds);
        let connections = if self.reconnect {
            rate(tally.connected - connections, seconds)
        } else {
            0.0
        };
        let latency = |q| tally.latencies.quantile(q).map(json::ms);
        if io.json {
            io.out.json(&JsonInterval {
                tag: "interval",
                elapsed_ms: json::ms(elapsed),
                connections: tally.connected,
                messages: tally.messages,
                bytes: tally.bytes,
                mismatches: tally.mismatches,
                errors: tally.error_count(),
                messages_per_second: messages,
                connections_per_second: connections,
                p50_ms: latency(0.5),
                p99_ms: latency(0.99),
                max_ms: tally.latencies.max().map(json::ms),
                time: common::time::now(),
            })?;
            io.out.flush()?;
        }
        if self.terminal {
            let opened = if self.reconnect {
                format!(", {connections:.0} connections/s")
            } else {
                String::new()
            };
            let line = format!(
                "{FRESH_LINE}{:.0} s: {messages:.0} messages/s{opened}, p50 {:.3} ms, p99 {:.3} ms, \
                 {} differing, {} errors",
                elapsed.as_secs_f64(),
                latency(0.5).unwrap_or(0.0),
                latency(0.99).unwrap_or(0.0),
                tally.mismatches,
                tally.error_count()
            );
            io.report.raw(line.as_bytes());
        }
        Ok(())
    }

    /// Takes the live line away.
    pub(crate) fn end(&self, io: &Io) {
        if self.terminal {
            io.report.raw(FRESH_LINE.as_bytes());
        }
    }
}

/// Counts at the end of the time in which messages were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InTime {
    /// Echoes that had come back.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Connections.
    pub(crate) connections: u64,
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
    /// How long messages were sent.
    pub(crate) elapsed: Duration,
    /// The counts at that time.
    pub(crate) in_time: InTime,
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
    mismatches: u64,
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
    tcp_rtt_ms: Option<f64>,
    tcp_retransmits: Option<u64>,
}

/// The quantiles of a summary.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

impl Summary<'_> {
    /// Writes it, and a line on stderr for each way in which connections
    /// failed.
    pub(crate) fn show(&self, io: &mut Io) -> Result<()> {
        let target = text::escape(self.target.as_bytes());
        for (why, count) in &self.tally.errors {
            let plural = if *count == 1 { "" } else { "s" };
            io.report.line(format_args!(
                "{target}: {count} connection{plural} failed: {why}"
            ));
        }
        if self.tally.missing > 0 {
            io.report.line(format_args!(
                "{target}: {} echoes had not come back at the end",
                self.tally.missing
            ));
        }
        if self.tally.unsent > 0 {
            io.report.line(format_args!(
                "{target}: {} messages were due and had not been sent at the end",
                self.tally.unsent
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
        rate(count, self.elapsed.as_secs_f64())
    }

    fn record(&self, io: &mut Io) -> Result<()> {
        let (tally, times) = (self.tally, &self.tally.latencies);
        let [p50, p90, p99, p999, p9999] = QUANTILES.map(|q| times.quantile(q).map(json::ms));
        io.out.json(&JsonSummary {
            tag: "summary",
            target: self.target,
            address: self.address,
            connections: tally.connected,
            messages: tally.messages,
            bytes: tally.bytes,
            mismatches: tally.mismatches,
            errors: tally.error_count(),
            duration_ms: json::ms(self.elapsed),
            messages_per_second: self.per_second(self.in_time.messages),
            bytes_per_second: self.per_second(self.in_time.bytes),
            connections_per_second: self
                .plan
                .reconnect
                .then(|| self.per_second(self.in_time.connections)),
            min_ms: times.min().map(json::ms),
            avg_ms: times.mean().map(json::ms),
            p50_ms: p50,
            p90_ms: p90,
            p99_ms: p99,
            p999_ms: p999,
            p9999_ms: p9999,
            max_ms: times.max().map(json::ms),
            tcp_rtt_ms: tally.tcp_rtt().map(json::ms),
            tcp_retransmits: tally.tcp_retransmits(),
        })
    }

    fn lines(&self, io: &mut Io, target: &str) -> Result<()> {
        let (tally, in_time) = (self.tally, self.in_time);
        io.out
            .line(format_args!("--- {target} bench statistics ---"))?;
        io.out.line(format_args!(
            "{} connections, {} messages, {} bytes verified in {:.3} s",
            tally.connected,
            tally.messages,
            tally.bytes,
            self.elapsed.as_secs_f64()
        ))?;
        let opened = if self.plan.reconnect {
            format!(
                ", {:.0} connections/s",
                self.per_second(in_time.connections)
            )
        } else {
            String::new()
        };
        io.out.line(format_args!(
            "{:.0} messages/s, {:.3} MB/s each way{opened}",
            self.per_second(in_time.messages),
            self.per_second(in_time.bytes) / 1e6
        ))?;
        io.out.line(format_args!(
            "{} differing, {} errors",
            tally.mismatches,
            tally.error_count()
        ))?;
        if let Some(line) = latency_line(&tally.latencies) {
            io.out.line(line)?;
        }
        if let (Some(rtt), Some(retransmits)) = (tally.tcp_rtt(), tally.tcp_retransmits()) {
            io.out.line(format_args!(
                "tcp rtt = {:.3} ms, {retransmits} retransmits",
                json::ms(rtt)
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

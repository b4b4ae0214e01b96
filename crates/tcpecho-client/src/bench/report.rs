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

impl JsonInterval {
    /// The figures of an interval of `length` that ends at `elapsed`.
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

    /// The live line.
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
        let record = JsonInterval::new(interval, elapsed, length, self.reconnect);
        if io.json {
            io.out.json(&record)?;
            io.out.flush()?;
        }
        if self.terminal {
            let line = record.line();
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
        let (tally, times) = (self.tally, &self.tally.latencies);
        let counts = tally.counts();
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
        }
    }

    fn lines(&self, target: &str) -> Vec<String> {
        let (tally, counts) = (self.tally, self.tally.counts());
        let opened = if self.plan.reconnect {
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
        lines.extend(latency_line(&tally.latencies));
        if let (Some(p99), Some(max)) = (tally.lateness.quantile(0.99), tally.lateness.max()) {
            lines.push(format!(
                "sent late p99/max = {:.3}/{:.3} ms",
                json::ms(p99),
                json::ms(max)
            ));
        }
        if let (Some(rtt), Some(retransmits)) = (tally.tcp_rtt(), tally.tcp_retransmits()) {
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

/// So many in so many seconds.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Sizes;

    /// 100,000 latencies, whose quantiles are whole milliseconds from 1 to 5,
    /// and one of 6 ms; 100 sends that were late; two connections.
    fn tally() -> Tally {
        let mut tally = Tally::new().unwrap();
        for (ms, count) in [
            (1, 50_000),
            (2, 40_000),
            (3, 9000),
            (4, 900),
            (5, 99),
            (6, 1),
        ] {
            for _ in 0..count {
                tally.echo(10, ms * 1_000_000);
            }
        }
        for n in 1..=100 {
            tally.sent_late(n * 1_000_000);
        }
        for _ in 0..3 {
            tally.connected(1);
        }
        tally.corrupt = 7;
        tally.error("reset");
        tally.settle(4_000_000_000);
        tally.tcp_info(Duration::from_micros(100), 2);
        tally.tcp_info(Duration::from_micros(300), 3);
        tally
    }

    fn load(reconnect: bool) -> Load {
        Load {
            connections: 3,
            duration: Duration::from_secs(3),
            sizes: Sizes::default(),
            pipeline: 1,
            rate: Some(5.0),
            reconnect,
            seed: 0,
            timeout: Duration::from_secs(5),
        }
    }

    fn summary<'a>(plan: &'a Load, tally: &'a Tally) -> Summary<'a> {
        Summary {
            target: "host:7",
            address: Some("192.0.2.1:7"),
            plan,
            tally,
            duration: Duration::from_secs(4),
        }
    }

    /// The fields of a record, without `time`; numbers to three digits, since
    /// those of a histogram have a thousandth more at most.
    fn fields(record: &impl Serialize) -> String {
        let serde_json::Value::Object(fields) = serde_json::to_value(record).unwrap() else {
            panic!("not an object");
        };
        let mut fields: Vec<String> = fields
            .into_iter()
            .filter(|(key, _)| key != "time")
            .map(|(key, value)| match value.as_f64() {
                Some(number) if value.is_f64() => format!("{key} {number:.1}"),
                _ => format!("{key} {value}"),
            })
            .collect();
        fields.sort();
        fields.join("\n")
    }

    #[test]
    fn every_figure_of_the_summary() {
        let (tally, plan) = (tally(), load(true));
        assert_eq!(
            fields(&summary(&plan, &tally).record()),
            "address \"192.0.2.1:7\"\navg_ms 1.6\nbytes 1000000\nbytes_per_second 250000.0\n\
             connections 3\nconnections_per_second 0.8\ncorrupt 7\nduration_ms 4000.0\n\
             errors 1\nmax_ms 6.0\nmessages 100000\nmessages_per_second 25000.0\nmin_ms 1.0\n\
             p50_ms 1.0\np90_ms 2.0\np9999_ms 5.0\np999_ms 4.0\np99_ms 3.0\n\
             send_late_max_ms 100.0\nsend_late_p99_ms 99.0\ntarget \"host:7\"\n\
             tcp_retransmits 5\ntcp_rtt_ms 0.2\ntype \"summary\""
        );
    }

    #[test]
    fn every_line_of_the_summary() {
        let (tally, plan) = (tally(), load(true));
        let lines = summary(&plan, &tally).lines("host:7");
        assert_eq!(
            lines.join("\n"),
            "--- host:7 bench statistics ---\n\
             3 connections, 100000 messages, 1000000 bytes verified in 4.000 s\n\
             25000 messages/s, 0.250 MB/s each way, 1 connections/s\n\
             7 corrupt, 1 error\n\
             latency min/avg/p50/p90/p99/p99.9/p99.99/max = \
             1.000/1.611/1.000/2.001/3.000/4.002/5.001/6.000 ms\n\
             sent late p99/max = 99.000/100.000 ms\n\
             tcp rtt = 0.200 ms, 5 retransmits"
        );
        // Without --reconnect the rate of connections says nothing.
        let plan = load(false);
        let summary = summary(&plan, &tally);
        assert!(summary.lines("host:7")[2].ends_with(" MB/s each way"));
        assert_eq!(summary.record().connections_per_second, None);
    }

    #[test]
    fn every_figure_of_an_interval() {
        let interval = tally().next_interval().unwrap();
        let (elapsed, length) = (Duration::from_secs(9), Duration::from_secs(2));
        let record = JsonInterval::new(&interval, elapsed, length, true);
        assert_eq!(
            fields(&record),
            "bytes 1000000\nbytes_per_second 500000.0\nconnections 3\n\
             connections_per_second 1.5\ncorrupt 7\nduration_ms 2000.0\nelapsed_ms 9000.0\n\
             errors 1\nmax_ms 6.0\nmessages 100000\nmessages_per_second 50000.0\np50_ms 1.0\n\
             p90_ms 2.0\np99_ms 3.0\ntype \"interval\""
        );
        assert_eq!(
            record.line(),
            "9 s: 50000 messages/s, 2 connections/s, p50 1.000 ms, p99 3.000 ms, 7 corrupt, 1 error"
        );
    }

    #[test]
    fn the_rest_after_the_last_tick_is_an_interval_if_it_has_counts() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let report = common::app::Reporter::new("test", Box::new(std::io::sink()));
        let mut io = Io::over(common::Out::new(Box::new(writer)), report);
        io.json = true;
        let mut live = Live::new(&load(false), false);
        let mut tally = tally();
        live.tick(&mut io, &mut tally, Duration::from_secs(1))
            .unwrap();
        live.end(&mut io, &mut tally, Duration::from_secs(2))
            .unwrap();
        tally.echo(10, 1);
        live.end(&mut io, &mut tally, Duration::from_secs(3))
            .unwrap();
        drop(io);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        let lengths: Vec<f64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|record| record["duration_ms"].as_f64().unwrap())
            .collect();
        assert_eq!(lengths, [1000.0, 2000.0]);
    }
}

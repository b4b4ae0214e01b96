//! Echoes one by one, what became of them, and the summary of a run.

use std::time::Duration;

use common::app::Io;
use common::{Error, Result, json, text, time};
use serde::Serialize;

use super::{error, ms};
use crate::ledger::{Event, Ledger};
use crate::stats::{Jitter, Latencies};

#[derive(Serialize)]
struct JsonReply {
    #[serde(rename = "type")]
    tag: &'static str,
    seq: u64,
    bytes: usize,
    rtt_ms: f64,
    reordered: bool,
    duplicate: bool,
    corrupt: bool,
    offset: Option<usize>,
    time: String,
}

#[derive(Serialize)]
struct JsonTimeout {
    #[serde(rename = "type")]
    tag: &'static str,
    seq: u64,
    time: String,
}

#[derive(Serialize)]
struct JsonStray {
    #[serde(rename = "type")]
    tag: &'static str,
    bytes: usize,
    time: String,
}

/// Writes an event of a run, as a line or as a record.
pub(crate) fn event(io: &mut Io, address: &str, event: Event) -> Result<()> {
    if io.json {
        return json_event(io, event);
    }
    io.out.line(event_line(address, event))
}

fn event_line(address: &str, event: Event) -> String {
    let address = text::escape(address.as_bytes());
    let mark = |reordered| if reordered { " reordered" } else { "" };
    match event {
        Event::Reply {
            seq,
            bytes,
            rtt,
            reordered,
        } => format!(
            "{bytes} bytes from {address}: seq={seq} time={}{}",
            ms(rtt),
            mark(reordered)
        ),
        Event::Corrupt {
            seq,
            bytes,
            offset,
            rtt,
            reordered,
        } => format!(
            "{bytes} bytes from {address}: seq={seq} time={} differs at offset {offset}{}",
            ms(rtt),
            mark(reordered)
        ),
        Event::Timeout { seq } => format!("no echo from {address}: seq={seq} timed out"),
        Event::Late {
            seq, rtt, offset, ..
        } => {
            let differs = offset.map_or(String::new(), |at| format!(" differs at offset {at}"));
            format!(
                "late echo from {address}: seq={seq} time={}{differs}",
                ms(rtt)
            )
        }
        Event::Duplicate { seq, bytes, rtt } => format!(
            "{bytes} bytes from {address}: seq={seq} time={} duplicate",
            ms(rtt)
        ),
        Event::Stray { bytes } => {
            format!("{bytes} bytes from {address} that belong to no message")
        }
    }
}

fn json_event(io: &mut Io, event: Event) -> Result<()> {
    let time = time::now();
    let (tag, seq, bytes, rtt, offset) = match event {
        Event::Reply {
            seq, bytes, rtt, ..
        }
        | Event::Duplicate { seq, bytes, rtt } => ("reply", seq, bytes, rtt, None),
        Event::Corrupt {
            seq,
            bytes,
            rtt,
            offset,
            ..
        } => ("reply", seq, bytes, rtt, Some(offset)),
        Event::Late {
            seq,
            bytes,
            rtt,
            offset,
        } => ("late", seq, bytes, rtt, offset),
        Event::Timeout { seq } => {
            let tag = "timeout";
            return io.out.json(&JsonTimeout { tag, seq, time });
        }
        Event::Stray { bytes } => {
            let tag = "stray";
            return io.out.json(&JsonStray { tag, bytes, time });
        }
    };
    io.out.json(&JsonReply {
        tag,
        seq,
        bytes,
        rtt_ms: json::ms(rtt),
        reordered: matches!(
            event,
            Event::Reply { reordered, .. } | Event::Corrupt { reordered, .. } if reordered
        ),
        duplicate: matches!(event, Event::Duplicate { .. }),
        corrupt: offset.is_some(),
        offset,
        time,
    })
}

/// A message that was lost because its connection failed.
pub(crate) fn failure(io: &mut Io, address: &str, seq: u64, failure: &Error) -> Result<()> {
    if io.json {
        return error(io, failure, Some(address), Some(seq));
    }
    io.out.line(format_args!(
        "no echo from {}: seq={seq} {}",
        text::escape(address.as_bytes()),
        text::escape(failure.explanation().as_bytes())
    ))
}

#[derive(Serialize)]
struct JsonSummary<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    target: &'a str,
    address: Option<&'a str>,
    sent: u64,
    received: u64,
    lost: u64,
    in_flight: u64,
    loss_percent: f64,
    corrupt: Option<u64>,
    duplicates: Option<u64>,
    reordered: Option<u64>,
    strays: Option<u64>,
    jitter_ms: Option<f64>,
    min_ms: Option<f64>,
    avg_ms: Option<f64>,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    interval_ms: Option<f64>,
    duration_ms: f64,
    time: String,
}

/// What a summary is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Messages and their echoes.
    Echo,
    /// Connections that were made and closed.
    Connect,
}

/// The end of a run of echoes or handshakes.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// As typed.
    pub(crate) target: &'a str,
    /// The address that answered last, if any did.
    pub(crate) address: Option<&'a str>,
    /// What was counted.
    pub(crate) what: What,
    /// The counts.
    pub(crate) ledger: &'a Ledger,
    /// The times of those that came back.
    pub(crate) latencies: &'a Latencies,
    /// Their variation.
    pub(crate) jitter: Jitter,
    /// The length of the run.
    pub(crate) duration: Duration,
}

impl Summary<'_> {
    /// Writes it.
    pub(crate) fn show(&self, io: &mut Io) -> Result<()> {
        if io.json {
            io.out.json(&self.record())?;
        } else {
            for line in self.lines() {
                io.out.line(line)?;
            }
        }
        io.out.flush()
    }

    fn record(&self) -> JsonSummary<'_> {
        let (ledger, times) = (self.ledger, self.latencies);
        let time = |t: Option<Duration>| t.map(json::ms);
        // A handshake has no content.
        let echo = self.what == What::Echo;
        JsonSummary {
            tag: "summary",
            target: self.target,
            address: self.address,
            sent: ledger.sent,
            received: ledger.received,
            lost: ledger.lost,
            in_flight: ledger.in_flight,
            loss_percent: rounded(ledger.loss_percent()),
            corrupt: echo.then_some(ledger.corrupt),
            duplicates: ledger.duplicates().filter(|_| echo),
            reordered: echo.then_some(ledger.reordered),
            strays: ledger.strays().filter(|_| echo),
            jitter_ms: time(self.jitter.get()),
            min_ms: time(times.min()),
            avg_ms: time(times.mean()),
            p50_ms: time(times.quantile(0.5)),
            p90_ms: time(times.quantile(0.9)),
            p99_ms: time(times.quantile(0.99)),
            max_ms: time(times.max()),
            interval_ms: time(ledger.interval()),
            duration_ms: json::ms(self.duration),
            time: time::now(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let (ledger, times) = (self.ledger, self.latencies);
        let target = text::escape(self.target.as_bytes());
        let (heading, sent, received, lost, rtt) = match self.what {
            What::Echo => ("echo", "sent", "received", "loss", "rtt"),
            What::Connect => ("connect", "tried", "connected", "failed", "connect"),
        };
        let others = [
            (ledger.corrupt, "corrupt"),
            (ledger.duplicates().unwrap_or(0), "duplicate"),
            (ledger.reordered, "reordered"),
            (ledger.strays().unwrap_or(0), "stray"),
            (ledger.in_flight, "in flight"),
        ];
        let others: Vec<String> = others
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!(", {count} {what}"))
            .collect();
        let others = others.concat();
        let mut lines = vec![
            String::new(),
            format!("--- {target} {heading} statistics ---"),
            format!(
                "{} {sent}, {} {received}, {}% {lost}{others}, time {:.0} ms",
                ledger.sent,
                ledger.received,
                rounded(ledger.loss_percent()),
                json::ms(self.duration)
            ),
        ];
        let all = [
            times.min(),
            times.mean(),
            times.quantile(0.5),
            times.quantile(0.9),
            times.quantile(0.99),
            times.max(),
        ];
        if all[0].is_some() {
            let all: Vec<String> = all
                .into_iter()
                .flatten()
                .map(|t| format!("{:.3}", json::ms(t)))
                .collect();
            lines.push(format!(
                "{rtt} min/avg/p50/p90/p99/max = {} ms",
                all.join("/")
            ));
        }
        let mut last = Vec::new();
        if let Some(jitter) = self.jitter.get() {
            last.push(format!("jitter = {}", ms(jitter)));
        }
        if let Some(interval) = ledger.interval() {
            last.push(format!("interval = {}", ms(interval)));
        }
        if !last.is_empty() {
            lines.push(last.join(", "));
        }
        lines
    }
}

/// At most four decimals.
fn rounded(percent: f64) -> f64 {
    (percent * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Matching;
    use crate::tag::Tags;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn every_event_has_a_line() {
        let (seq, bytes, rtt, offset) = (3, 64, MS(2), 9);
        for (event, line) in [
            (
                Event::Reply {
                    seq,
                    bytes,
                    rtt,
                    reordered: false,
                },
                "64 bytes from a:7: seq=3 time=2.000 ms",
            ),
            (
                Event::Reply {
                    seq,
                    bytes,
                    rtt,
                    reordered: true,
                },
                "64 bytes from a:7: seq=3 time=2.000 ms reordered",
            ),
            (
                Event::Corrupt {
                    seq,
                    bytes,
                    offset,
                    rtt,
                    reordered: true,
                },
                "64 bytes from a:7: seq=3 time=2.000 ms differs at offset 9 reordered",
            ),
            (Event::Timeout { seq }, "no echo from a:7: seq=3 timed out"),
            (
                Event::Late {
                    seq,
                    bytes,
                    rtt,
                    offset: None,
                },
                "late echo from a:7: seq=3 time=2.000 ms",
            ),
            (
                Event::Late {
                    seq,
                    bytes,
                    rtt,
                    offset: Some(offset),
                },
                "late echo from a:7: seq=3 time=2.000 ms differs at offset 9",
            ),
            (
                Event::Duplicate { seq, bytes, rtt },
                "64 bytes from a:7: seq=3 time=2.000 ms duplicate",
            ),
            (
                Event::Stray { bytes },
                "64 bytes from a:7 that belong to no message",
            ),
        ] {
            assert_eq!(event_line("a:7", event), line);
        }
    }

    /// Of nine probes: three right, one of them reordered, one corrupt, four
    /// lost, one in flight; one duplicate and two strays.
    fn summary(what: What, check: impl FnOnce(&Summary<'_>)) {
        let tags = Tags::new(1);
        let mut ledger = Ledger::new(Matching::Tagged(tags));
        let datagram = |seq| {
            let mut datagram = vec![0; 20];
            tags.write(seq, &mut datagram);
            datagram
        };
        let mut latencies = Latencies::new().unwrap();
        let mut jitter = Jitter::default();
        let mut events = Vec::new();
        for seq in 1..=9 {
            ledger.sent(seq, datagram(seq).into(), MS(seq * 10), MS(1000));
        }
        for seq in [2, 1, 1, 3, 0, 0] {
            ledger.datagram(&datagram(seq), MS(90 + seq), &mut events);
        }
        ledger.datagram(&datagram(4)[..18], MS(99), &mut events);
        for ms in [1, 3, 8] {
            latencies.record(MS(ms));
            jitter.record(MS(ms));
        }
        ledger.end(MS(140), Some(MS(60)));
        check(&Summary {
            target: "host:7",
            address: Some("a:7"),
            what,
            ledger: &ledger,
            latencies: &latencies,
            jitter,
            duration: MS(140),
        });
    }

    #[test]
    fn every_line_of_the_summary() {
        summary(What::Echo, |summary| {
            assert_eq!(
                summary.lines().join("\n"),
                "\n--- host:7 echo statistics ---\n\
                 9 sent, 3 received, 50% loss, 1 corrupt, 1 duplicate, 1 reordered, 2 stray, \
                 1 in flight, time 140 ms\n\
                 rtt min/avg/p50/p90/p99/max = 1.000/4.000/3.000/8.000/8.000/8.000 ms\n\
                 jitter = 0.430 ms, interval = 10.000 ms"
            );
        });
        summary(What::Connect, |summary| {
            let lines = summary.lines();
            assert_eq!(lines[1], "--- host:7 connect statistics ---");
            assert!(lines[2].starts_with("9 tried, 3 connected, 50% failed, "));
            assert!(lines[3].starts_with("connect min/avg/"), "{lines:?}");
        });
    }

    #[test]
    fn a_record_of_handshakes_has_no_figures_of_content() {
        let keys = ["corrupt", "duplicates", "reordered", "strays"];
        for (what, figures) in [
            (What::Echo, [Some(1), Some(1), Some(1), Some(2)]),
            (What::Connect, [None; 4]),
        ] {
            summary(what, |summary| {
                let record = serde_json::to_value(summary.record()).unwrap();
                assert_eq!(keys.map(|key| record[key].as_u64()), figures, "{record}");
            });
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(rounded(100.0 / 3.0).to_string(), "33.3333");
        assert_eq!(rounded(20.0).to_string(), "20");
    }
}

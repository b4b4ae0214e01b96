//! The lines and records of messages that are sent one by one, and the summary
//! of such a run.

use std::time::Duration;

use common::app::Io;
use common::{Error, Result, json, text, time};
use serde::Serialize;

use super::{error, ms};
use crate::stats::{Jitter, Latencies};
use crate::tracker::{EchoTracker, Event};

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

/// The record of an event.
#[derive(Serialize)]
#[serde(untagged)]
enum JsonEvent {
    Reply(JsonReply),
    Timeout(JsonTimeout),
    Stray(JsonStray),
}

/// Prints an event of a run.
pub(crate) fn event(io: &mut Io, address: &str, event: Event) -> Result<()> {
    if io.json {
        io.out.json(&JsonEvent::new(event))
    } else {
        io.out.line(event_line(address, event))
    }
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
        Event::Timeout { seq } => format!("no echo from {address}: seq={seq}: timed out"),
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

impl JsonEvent {
    fn new(event: Event) -> Self {
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
                return Self::Timeout(JsonTimeout { tag, seq, time });
            }
            Event::Stray { bytes } => {
                let tag = "stray";
                return Self::Stray(JsonStray { tag, bytes, time });
            }
        };
        Self::Reply(JsonReply {
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
}

/// Prints the loss of a message because of a failed connection.
pub(crate) fn failure(io: &mut Io, address: &str, seq: u64, failure: &Error) -> Result<()> {
    if io.json {
        return error(io, failure, Some(address), Some(seq));
    }
    io.out.line(format_args!(
        "no echo from {}: seq={seq}: {}",
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

/// The subject of a summary, which decides its wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Messages and their echoes.
    Echo,
    /// Connects without a message.
    Connect,
}

/// The summary of a run of messages or connects.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// The target as given.
    pub(crate) target: &'a str,
    /// The address of the last connection, if there was one.
    pub(crate) address: Option<&'a str>,
    pub(crate) subject: Subject,
    pub(crate) tracker: &'a EchoTracker,
    /// The round-trip times, or the durations of the connects.
    pub(crate) latencies: &'a Latencies,
    pub(crate) jitter: Jitter,
    /// The duration of the run.
    pub(crate) duration: Duration,
}

impl Summary<'_> {
    /// Prints the summary as lines or as a record.
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
        let (tracker, times) = (self.tracker, self.latencies);
        let time = |t: Option<Duration>| t.map(json::ms);
        // A connect has no echo that could be corrupt or reordered.
        let echo = self.subject == Subject::Echo;
        JsonSummary {
            tag: "summary",
            target: self.target,
            address: self.address,
            sent: tracker.sent,
            received: tracker.received,
            lost: tracker.lost,
            in_flight: tracker.in_flight_at_end,
            loss_percent: rounded(tracker.loss_percent()),
            corrupt: echo.then_some(tracker.corrupt),
            duplicates: tracker.duplicates().filter(|_| echo),
            reordered: echo.then_some(tracker.reordered),
            strays: tracker.strays().filter(|_| echo),
            jitter_ms: time(self.jitter.get()),
            min_ms: time(times.min()),
            avg_ms: time(times.mean()),
            p50_ms: time(times.quantile(0.5)),
            p90_ms: time(times.quantile(0.9)),
            p99_ms: time(times.quantile(0.99)),
            max_ms: time(times.max()),
            interval_ms: time(tracker.interval()),
            duration_ms: json::ms(self.duration),
            time: time::now(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let (tracker, times) = (self.tracker, self.latencies);
        let target = text::escape(self.target.as_bytes());
        let (heading, sent, received, lost, rtt) = match self.subject {
            Subject::Echo => ("echo", "sent", "received", "loss", "rtt"),
            Subject::Connect => ("connect", "tried", "connected", "failed", "connect"),
        };
        let others = [
            (tracker.corrupt, "corrupt"),
            (tracker.duplicates().unwrap_or(0), "duplicate"),
            (tracker.reordered, "reordered"),
            (tracker.strays().unwrap_or(0), "stray"),
            (tracker.in_flight_at_end, "in flight"),
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
                tracker.sent,
                tracker.received,
                rounded(tracker.loss_percent()),
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
        if let Some(interval) = tracker.interval() {
            last.push(format!("interval = {}", ms(interval)));
        }
        if !last.is_empty() {
            lines.push(last.join(", "));
        }
        lines
    }
}

/// Rounds to four decimals.
fn rounded(percent: f64) -> f64 {
    (percent * 1e4).round() / 1e4
}

#[cfg(test)]
#[path = "echoes/tests.rs"]
mod tests;

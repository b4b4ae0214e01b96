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

/// One echo, or what became of it.
pub(crate) fn event(io: &mut Io, address: &str, event: Event) -> Result<()> {
    if io.json {
        return json_event(io, event);
    }
    let address = text::escape(address.as_bytes());
    let turned = |reordered| if reordered { " reordered" } else { "" };
    match event {
        Event::Reply {
            seq,
            bytes,
            rtt,
            reordered,
        } => io.out.line(format_args!(
            "{bytes} bytes from {address}: seq={seq} time={}{}",
            ms(rtt),
            turned(reordered)
        )),
        Event::Corrupt {
            seq,
            bytes,
            offset,
            rtt,
            reordered,
        } => io.out.line(format_args!(
            "{bytes} bytes from {address}: seq={seq} time={} differs at offset {offset}{}",
            ms(rtt),
            turned(reordered)
        )),
        Event::Timeout { seq } => io
            .out
            .line(format_args!("no echo from {address}: seq={seq} timed out")),
        Event::Late {
            seq, rtt, offset, ..
        } => {
            let differs = offset.map_or(String::new(), |at| format!(" differs at offset {at}"));
            io.out.line(format_args!(
                "late echo from {address}: seq={seq} time={}{differs}",
                ms(rtt)
            ))
        }
        Event::Duplicate { seq, bytes, rtt } => io.out.line(format_args!(
            "{bytes} bytes from {address}: seq={seq} time={} duplicate",
            ms(rtt)
        )),
        Event::Stray { bytes } => io.out.line(format_args!(
            "{bytes} bytes from {address} that belong to no message"
        )),
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
            self.record(io)?;
        } else {
            self.lines(io)?;
        }
        io.out.flush()
    }

    fn record(&self, io: &mut Io) -> Result<()> {
        let (ledger, times) = (self.ledger, self.latencies);
        let time = |t: Option<Duration>| t.map(json::ms);
        // A handshake has no content.
        let echo = self.what == What::Echo;
        io.out.json(&JsonSummary {
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
        })
    }

    fn lines(&self, io: &mut Io) -> Result<()> {
        let (ledger, times) = (self.ledger, self.latencies);
        let target = text::escape(self.target.as_bytes());
        let (heading, sent, received, lost, rtt) = match self.what {
            What::Echo => ("echo", "sent", "received", "loss", "rtt"),
            What::Connect => ("connect", "tried", "connected", "failed", "connect"),
        };
        io.out
            .line(format_args!("\n--- {target} {heading} statistics ---"))?;
        let others = [
            (ledger.corrupt, "corrupt"),
            (ledger.duplicates().unwrap_or(0), "duplicate"),
            (ledger.reordered, "reordered"),
            (ledger.strays().unwrap_or(0), "stray"),
            (ledger.in_flight, "in flight"),
        ];
        let others: String = others
            .iter()
            .filter(|(count, _)| *count > 0)
            .flat_map(|(count, what)| [", ".to_owned(), count.to_string(), format!(" {what}")])
            .collect();
        io.out.line(format_args!(
            "{} {sent}, {} {received}, {}% {lost}{others}, time {:.0} ms",
            ledger.sent,
            ledger.received,
            rounded(ledger.loss_percent()),
            json::ms(self.duration)
        ))?;
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
            io.out.line(format_args!(
                "{rtt} min/avg/p50/p90/p99/max = {} ms",
                all.join("/")
            ))?;
        }
        let mut last = Vec::new();
        if let Some(jitter) = self.jitter.get() {
            last.push(format!("jitter = {}", ms(jitter)));
        }
        if let Some(interval) = ledger.interval() {
            last.push(format!("interval = {}", ms(interval)));
        }
        if !last.is_empty() {
            io.out.line(last.join(", "))?;
        }
        Ok(())
    }
}

/// At most four decimals.
fn rounded(percent: f64) -> f64 {
    (percent * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!(rounded(100.0 / 3.0).to_string(), "33.3333");
        assert_eq!(rounded(20.0).to_string(), "20");
    }
}

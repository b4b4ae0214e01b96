//! Records as text and as JSON, side by side.

use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use common::app::Io;
use common::{Error, Kind, Result, json, text, time};
use serde::Serialize;

use crate::dial::Connection;
use crate::exchange::{Exchange, Verdict};
use crate::ledger::{Event, Ledger};
use crate::stats::{Jitter, Latencies};

/// A duration as people read it here: milliseconds, three decimals.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.3} ms", json::ms(duration))
}

/// Bytes of a reply that its record holds, at most.
const REPLY_MAX: usize = 16 << 20;

/// What came back, for its record: the first [`REPLY_MAX`] bytes of it.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Reply {
    /// Takes more of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(REPLY_MAX - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.truncated |= kept < bytes.len();
    }

    /// What is kept; of text no part of a character at the cut.
    fn kept(&self) -> &[u8] {
        match std::str::from_utf8(&self.bytes) {
            Err(e) if self.truncated && e.error_len().is_none() => &self.bytes[..e.valid_up_to()],
            _ => &self.bytes,
        }
    }
}

/// Bytes that came back, in JSON: as text if they are text, else in base64.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Data<'a> {
    data: Option<&'a str>,
    data_base64: Option<Base64<'a>>,
}

/// Encoded while it is written, since the text would be another copy.
#[derive(Debug, PartialEq, Eq)]
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl<'a> Data<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                data: Some(text),
                data_base64: None,
            },
            Err(_) => Self {
                data: None,
                data_base64: Some(Base64(bytes)),
            },
        }
    }
}

/// `received`: a piece of what comes back while stdin is passed through.
#[derive(Serialize)]
pub(crate) struct Received<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    bytes: usize,
    #[serde(flatten)]
    data: Data<'a>,
    time: String,
}

impl<'a> Received<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            tag: "received",
            bytes: bytes.len(),
            data: Data::new(bytes),
            time: time::now(),
        }
    }
}

#[derive(Serialize)]
struct JsonExchange<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    target: &'a str,
    address: &'a str,
    bytes_sent: u64,
    bytes_received: u64,
    ok: bool,
    corrupt: bool,
    offset: Option<u64>,
    #[serde(flatten)]
    data: Data<'a>,
    truncated: bool,
    connect_ms: f64,
    tls_ms: Option<f64>,
    duration_ms: f64,
    time: String,
}

/// What an exchange was, for its record and for `-v`.
#[derive(Debug)]
pub(crate) struct Exchanged<'a> {
    /// As typed.
    pub(crate) target: &'a str,
    /// Who answered.
    pub(crate) connection: &'a Connection,
    /// How it stands.
    pub(crate) exchange: &'a Exchange,
    /// Whether it is as asked.
    pub(crate) ok: bool,
    /// What came back, where it has not been printed.
    pub(crate) reply: Option<&'a Reply>,
    /// From the connect on.
    pub(crate) duration: Duration,
}

impl Exchanged<'_> {
    /// Writes the record, with `--json`; and says on stderr how much went.
    pub(crate) fn show(&self, io: &mut Io, verbose: bool) -> Result<()> {
        if verbose {
            io.report.line(format_args!(
                "{}: {} bytes sent, {} received in {}",
                text::escape(self.target.as_bytes()),
                self.exchange.bytes_sent(),
                self.exchange.bytes_received(),
                ms(self.duration)
            ));
        }
        if !io.json {
            return Ok(());
        }
        let offset = match self.exchange.verdict() {
            Verdict::Differs(difference) => Some(difference.offset),
            Verdict::Right | Verdict::Short => None,
        };
        let record = JsonExchange {
            tag: "exchange",
            target: self.target,
            address: &self.connection.address,
            bytes_sent: self.exchange.bytes_sent(),
            bytes_received: self.exchange.bytes_received(),
            ok: self.ok,
            corrupt: offset.is_some(),
            offset,
            data: self.reply.map(|r| Data::new(r.kept())).unwrap_or_default(),
            truncated: self.reply.is_some_and(|reply| reply.truncated),
            connect_ms: json::ms(self.connection.connect),
            tls_ms: self.connection.tls.map(json::ms),
            duration_ms: json::ms(self.duration),
            time: time::now(),
        };
        // Written while it is made: it is as long as the reply.
        Ok(json::write_line(&mut io.out, &record)?)
    }
}

/// `-v`: where it connected.
pub(crate) fn connected(io: &Io, target: &str, connection: &Connection) {
    io.report.line(format_args!(
        "{}: connected to {} in {}",
        text::escape(target.as_bytes()),
        text::escape(connection.address.as_bytes()),
        ms(connection.connect)
    ));
}

#[derive(Serialize)]
struct JsonConnect<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    target: &'a str,
    address: &'a str,
    seq: u64,
    connect_ms: f64,
    tls_ms: Option<f64>,
    time: String,
}

/// One handshake of `--connect-only`.
pub(crate) fn handshake(
    io: &mut Io,
    target: &str,
    connection: &Connection,
    seq: u64,
) -> Result<()> {
    let address = &connection.address;
    if io.json {
        io.out.json(&JsonConnect {
            tag: "connect",
            target,
            address,
            seq,
            connect_ms: json::ms(connection.connect),
            tls_ms: connection.tls.map(json::ms),
            time: time::now(),
        })?;
    } else {
        let address = text::escape(address.as_bytes());
        let tls = match connection.tls {
            Some(tls) => format!("\ttls {}", ms(tls)),
            None => String::new(),
        };
        io.out.line(format_args!(
            "connected\t{address}\t{}{tls}",
            ms(connection.connect)
        ))?;
    }
    io.out.flush()
}

#[derive(Serialize)]
struct JsonError<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    target: Option<&'a str>,
    kind: Kind,
    message: String,
    address: Option<&'a str>,
    seq: Option<u64>,
    time: String,
}

/// The record of an error, with `--json`.
pub(crate) fn error(
    io: &mut Io,
    error: &Error,
    address: Option<&str>,
    seq: Option<u64>,
) -> Result<()> {
    if io.json {
        io.out.json(&JsonError {
            tag: "error",
            target: error.operand(),
            kind: error.kind(),
            message: error.explanation(),
            address,
            seq,
            time: time::now(),
        })?;
    }
    Ok(())
}

/// An error that is an answer, so that its status is not that of its kind:
/// the line on stderr, and with `--json` the record. One of several has its
/// number and time.
pub(crate) fn answer(io: &mut Io, failure: &Error, seq: Option<u64>) -> Result<()> {
    match seq {
        None => io.report.line(failure),
        Some(seq) => io
            .report
            .line(format_args!("{failure}; seq={seq} at {}", time::now())),
    }
    error(io, failure, None, seq)?;
    io.out.flush()
}

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

/// A number and what it counts: `1 message`, `2 messages`, `0 echoes`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match (count, what.ends_with('o')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{count} {what}es"),
        (_, false) => format!("{count} {what}s"),
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
    fn plurals() {
        assert_eq!(counted(1, "connection"), "1 connection");
        assert_eq!(counted(0, "connection"), "0 connections");
        assert_eq!(
            (counted(1, "echo"), counted(2, "echo")),
            ("1 echo".into(), "2 echoes".into())
        );
    }

    #[test]
    fn percentages() {
        assert_eq!(rounded(100.0 / 3.0).to_string(), "33.3333");
        assert_eq!(rounded(20.0).to_string(), "20");
    }
}

//! Records as text and as JSON, side by side.

use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use common::app::Io;
use common::{Error, Result, json, text, time};
use serde::Serialize;

use crate::dial::Connection;
use crate::exchange::{Exchange, Verdict};
use crate::ledger::{Event, Ledger};
use crate::stats::Latencies;

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
    reply: Option<&'a str>,
    reply_base64: Option<Base64<'a>>,
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
                reply: Some(text),
                reply_base64: None,
            },
            Err(_) => Self {
                reply: None,
                reply_base64: Some(Base64(bytes)),
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
    first_difference: Option<u64>,
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
        let record = JsonExchange {
            tag: "exchange",
            target: self.target,
            address: &self.connection.address,
            bytes_sent: self.exchange.bytes_sent(),
            bytes_received: self.exchange.bytes_received(),
            ok: self.ok,
            first_difference: match self.exchange.verdict() {
                Verdict::Differs(difference) => Some(difference.offset),
                Verdict::Right | Verdict::Short => None,
            },
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
    connect_ms: f64,
    tls_ms: Option<f64>,
    time: String,
}

/// One handshake of `--connect-only`.
pub(crate) fn handshake(io: &mut Io, target: &str, connection: &Connection) -> Result<()> {
    let address = &connection.address;
    if io.json {
        io.out.json(&JsonConnect {
            tag: "connect",
            target,
            address,
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

/// An error that is an answer, so that its status is not that of its kind:
/// the line on stderr, and with `--json` the record.
pub(crate) fn answer(io: &mut Io, error: &Error) -> Result<()> {
    io.report.line(error);
    if io.json {
        io.out.json(error)?;
    }
    io.out.flush()
}

#[derive(Serialize)]
struct JsonEvent {
    #[serde(rename = "type")]
    tag: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
    time: String,
}

/// One echo, or what became of it.
pub(crate) fn event(io: &mut Io, address: &str, event: Event) -> Result<()> {
    let address = text::escape(address.as_bytes());
    if !io.json {
        return match event {
            Event::Reply { seq, bytes, rtt } => io.out.line(format_args!(
                "{bytes} bytes from {address}: seq={seq} time={}",
                ms(rtt)
            )),
            Event::Differs {
                seq,
                bytes,
                offset,
                rtt,
            } => io.out.line(format_args!(
                "{bytes} bytes from {address}: seq={seq} time={} differs at offset {offset}",
                ms(rtt)
            )),
            Event::Timeout { seq } => io
                .out
                .line(format_args!("no echo from {address}: seq={seq} timed out")),
            Event::Late { seq, rtt } => io.out.line(format_args!(
                "late echo from {address}: seq={seq} time={}",
                ms(rtt)
            )),
            Event::Duplicate { seq, bytes, rtt } => io.out.line(format_args!(
                "{bytes} bytes from {address}: seq={seq} time={} duplicate",
                ms(rtt)
            )),
            Event::Stray { bytes } => io.out.line(format_args!(
                "{bytes} bytes from {address} that were not sent"
            )),
        };
    }
    let (tag, seq, bytes, offset, rtt) = match event {
        Event::Reply { seq, bytes, rtt } => ("reply", Some(seq), Some(bytes), None, Some(rtt)),
        Event::Differs {
            seq,
            bytes,
            offset,
            rtt,
        } => ("mismatch", Some(seq), Some(bytes), Some(offset), Some(rtt)),
        Event::Timeout { seq } => ("timeout", Some(seq), None, None, None),
        Event::Late { seq, rtt } => ("late", Some(seq), None, None, Some(rtt)),
        Event::Duplicate { seq, bytes, rtt } => {
            ("duplicate", Some(seq), Some(bytes), None, Some(rtt))
        }
        Event::Stray { bytes } => ("stray", None, Some(bytes), None, None),
    };
    io.out.json(&JsonEvent {
        tag,
        seq,
        bytes,
        offset,
        rtt_ms: rtt.map(json::ms),
        time: time::now(),
    })
}

#[derive(Serialize)]
struct JsonFailure<'a> {
    #[serde(flatten)]
    error: &'a Error,
    seq: u64,
    time: String,
}

/// A message that was lost because its connection failed.
pub(crate) fn failure(io: &mut Io, address: &str, seq: u64, error: &Error) -> Result<()> {
    if io.json {
        let time = time::now();
        return io.out.json(&JsonFailure { error, seq, time });
    }
    io.out.line(format_args!(
        "no echo from {}: seq={seq} {}",
        text::escape(address.as_bytes()),
        text::escape(error.message().as_bytes())
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
    loss_percent: f64,
    mismatches: u64,
    duplicates: u64,
    min_ms: Option<f64>,
    avg_ms: Option<f64>,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    duration_ms: f64,
}

/// The end of a run of echoes or handshakes.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// As typed.
    pub(crate) target: &'a str,
    /// Who answered last, if anybody ever did.
    pub(crate) address: Option<&'a str>,
    /// What they are called in the heading: `echo`, `connect`.
    pub(crate) what: &'static str,
    /// The counts.
    pub(crate) ledger: &'a Ledger,
    /// The times of those that came back.
    pub(crate) latencies: &'a Latencies,
    /// The length of the run.
    pub(crate) duration: Duration,
}

impl Summary<'_> {
    /// Writes it.
    pub(crate) fn show(&self, io: &mut Io) -> Result<()> {
        let (ledger, times) = (self.ledger, self.latencies);
        if io.json {
            let time = |t: Option<Duration>| t.map(json::ms);
            io.out.json(&JsonSummary {
                tag: "summary",
                target: self.target,
                address: self.address,
                sent: ledger.sent,
                received: ledger.received,
                lost: ledger.lost,
                loss_percent: rounded(ledger.loss_percent()),
                mismatches: ledger.mismatches,
                duplicates: ledger.duplicates,
                min_ms: time(times.min()),
                avg_ms: time(times.mean()),
                p50_ms: time(times.quantile(0.5)),
                p90_ms: time(times.quantile(0.9)),
                p99_ms: time(times.quantile(0.99)),
                max_ms: time(times.max()),
                duration_ms: json::ms(self.duration),
            })?;
            return io.out.flush();
        }
        let target = text::escape(self.target.as_bytes());
        io.out
            .line(format_args!("\n--- {target} {} statistics ---", self.what))?;
        let differing = match ledger.mismatches {
            0 => String::new(),
            n => format!(", {n} differing"),
        };
        let duplicate = match ledger.duplicates {
            0 => String::new(),
            n => format!(", {n} duplicate"),
        };
        io.out.line(format_args!(
            "{} sent, {} received, {}% loss{differing}{duplicate}, time {:.0} ms",
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
                "rtt min/avg/p50/p90/p99/max = {} ms",
                all.join("/")
            ))?;
        }
        io.out.flush()
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

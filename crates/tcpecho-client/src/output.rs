//! Records as text and as JSON, side by side: exchanges, handshakes and errors
//! here, echoes and their summary in [`echoes`].

use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use common::app::Io;
use common::{Error, Kind, Result, json, text, time};
use serde::Serialize;

use crate::dial::Connection;
use crate::exchange::{Exchange, Verdict};

pub(crate) mod echoes;

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

/// A number and what it counts: `1 message`, `2 messages`, `0 echoes`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match (count, what.ends_with('o')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{count} {what}es"),
        (_, false) => format!("{count} {what}s"),
    }
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
}

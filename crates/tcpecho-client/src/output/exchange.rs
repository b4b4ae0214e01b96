//! The records of an exchange: one for the exchange, and one for each chunk of
//! a reply that is passed through.

use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use common::app::Io;
use common::{Result, json, text, time};
use serde::Serialize;

use super::ms;
use crate::dial::Dialed;
use crate::exchange::{Exchange, Verdict};

/// The number of bytes of a reply that its record contains at most.
const MAX_REPLY: usize = 16 << 20;

/// The first [`MAX_REPLY`] bytes of a reply, for its record.
#[derive(Debug, Default)]
pub(crate) struct ReplyCapture {
    bytes: Vec<u8>,
    is_truncated: bool,
}

impl ReplyCapture {
    /// Appends bytes of the reply, as far as the limit allows.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let captured = bytes.len().min(MAX_REPLY - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..captured]);
        self.is_truncated |= captured < bytes.len();
    }

    /// Returns the captured bytes. If they are text, they end with a complete
    /// character.
    fn bytes(&self) -> &[u8] {
        match std::str::from_utf8(&self.bytes) {
            Err(e) if self.is_truncated && e.error_len().is_none() => {
                &self.bytes[..e.valid_up_to()]
            }
            _ => &self.bytes,
        }
    }
}

/// Received bytes in JSON: as text if they are UTF-8, otherwise in base64.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Data<'a> {
    data: Option<&'a str>,
    data_base64: Option<Base64<'a>>,
}

/// Bytes that are encoded while they are written, to avoid another copy.
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

/// The record `received`: a chunk of a reply that is passed through.
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

/// An exchange that has ended, for its record and for `-v`.
#[derive(Debug)]
pub(crate) struct ExchangeReport<'a> {
    /// The target as given.
    pub(crate) target: &'a str,
    pub(crate) dialed: &'a Dialed,
    pub(crate) exchange: &'a Exchange,
    /// Whether the exchange was a success.
    pub(crate) is_success: bool,
    /// The reply, if it was not printed.
    pub(crate) capture: Option<&'a ReplyCapture>,
    /// The duration of the exchange, without the connect.
    pub(crate) duration: Duration,
}

impl ExchangeReport<'_> {
    /// Prints the record with `--json`, and the byte counts on stderr if
    /// `verbose`.
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
            Verdict::Correct | Verdict::Incomplete => None,
        };
        let data = self.capture.map(|capture| Data::new(capture.bytes()));
        let record = JsonExchange {
            tag: "exchange",
            target: self.target,
            address: &self.dialed.address,
            bytes_sent: self.exchange.bytes_sent(),
            bytes_received: self.exchange.bytes_received(),
            ok: self.is_success,
            corrupt: offset.is_some(),
            offset,
            data: data.unwrap_or_default(),
            truncated: self.capture.is_some_and(|capture| capture.is_truncated),
            connect_ms: json::ms(self.dialed.connect),
            tls_ms: self.dialed.tls.map(json::ms),
            duration_ms: json::ms(self.duration),
            time: time::now(),
        };
        // Streams the record: it is as long as the reply.
        Ok(json::write_line(&mut io.out, &record)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(chunks: &[&[u8]]) -> ReplyCapture {
        let mut capture = ReplyCapture::default();
        for chunk in chunks {
            capture.push(chunk);
        }
        capture
    }

    #[test]
    fn a_reply_within_the_limit_is_not_truncated() {
        let capture = captured(&[b"a", &vec![b'x'; MAX_REPLY - 1]]);
        assert!(!capture.is_truncated);
        assert_eq!(capture.bytes().len(), MAX_REPLY);
        let capture = captured(&[&vec![b'x'; MAX_REPLY], b"a"]);
        assert!(capture.is_truncated);
        assert_eq!(capture.bytes().len(), MAX_REPLY);
    }

    #[test]
    fn only_a_truncated_reply_loses_an_incomplete_character() {
        let incomplete = &"a\u{e9}".as_bytes()[..2];
        let capture = captured(&[incomplete]);
        assert_eq!(capture.bytes(), incomplete);
        assert_eq!(Data::new(capture.bytes()).data, None);
        let mut capture = captured(&[incomplete]);
        capture.is_truncated = true;
        assert_eq!(Data::new(capture.bytes()).data, Some("a"));
    }
}

//! Text lines and JSON records, both made from the same values: connects and
//! errors here, [`exchange`] and [`echoes`] in their own modules.

use std::time::Duration;

use common::app::Io;
use common::{Error, Kind, Result, json, text, time};
use serde::Serialize;

use crate::dial::Dialed;

pub(crate) mod echoes;
pub(crate) mod exchange;

/// Formats a duration as milliseconds with three decimals.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.3} ms", json::ms(duration))
}

/// Prints the address of a new connection on stderr, for `-v`.
pub(crate) fn connected(io: &Io, target: &str, dialed: &Dialed) {
    io.report.line(format_args!(
        "{}: connected to {} in {}",
        text::escape(target.as_bytes()),
        text::escape(dialed.address.as_bytes()),
        ms(dialed.connect)
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

/// Prints a connect of `--connect-only` and its duration.
pub(crate) fn connect(io: &mut Io, target: &str, dialed: &Dialed, seq: u64) -> Result<()> {
    let address = &dialed.address;
    if io.json {
        io.out.json(&JsonConnect {
            tag: "connect",
            target,
            address,
            seq,
            connect_ms: json::ms(dialed.connect),
            tls_ms: dialed.tls.map(json::ms),
            time: time::now(),
        })?;
    } else {
        let address = text::escape(address.as_bytes());
        let tls = match dialed.tls {
            Some(tls) => format!("\ttls {}", ms(tls)),
            None => String::new(),
        };
        io.out.line(format_args!(
            "connected\t{address}\t{}{tls}",
            ms(dialed.connect)
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

/// Prints the record of an error, with `--json` only.
pub(crate) fn error(
    io: &mut Io,
    error: &Error,
    address: Option<&str>,
    seq: Option<u64>,
) -> Result<()> {
    if io.json {
        io.out.json(&JsonError {
            tag: "error",
            target: error.subject(),
            kind: error.kind(),
            message: error.explanation(),
            address,
            seq,
            time: time::now(),
        })?;
    }
    Ok(())
}

/// Prints an error that answers the question of the run, so that its kind does
/// not decide the exit status. In a run of several, its line has `seq` and the
/// time.
pub(crate) fn report_as_answer(io: &mut Io, failure: &Error, seq: Option<u64>) -> Result<()> {
    match seq {
        None => io.report.line(failure),
        Some(seq) => io
            .report
            .line(format_args!("{failure}; seq={seq} at {}", time::now())),
    }
    error(io, failure, None, seq)?;
    io.out.flush()
}

/// Formats a number and a noun: `1 message`, `2 messages`, `0 echoes`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match (count, noun.ends_with('o')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{count} {noun}es"),
        (_, false) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_is_singular_after_one_only() {
        assert_eq!(counted(1, "connection"), "1 connection");
        assert_eq!(counted(0, "connection"), "0 connections");
        assert_eq!(
            (counted(1, "echo"), counted(2, "echo")),
            ("1 echo".into(), "2 echoes".into())
        );
    }
}

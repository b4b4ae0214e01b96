//! `--time` and `--show-cert`: the durations of a transfer, and the certificates of the
//! server.

use std::fmt::Write;
use std::time::Duration;

use common::text::escape;

use crate::http::date;
use crate::report::Report;

/// Returns a line per phase, and the total.
pub(crate) fn times(report: &Report) -> String {
    let connection = &report.exchange.connection;
    let body = report.exchange.first_byte.map(|first| first.elapsed());
    let phases = [
        (
            "redirects",
            Some(report.redirect_time).filter(|t| !t.is_zero()),
        ),
        ("lookup", connection.dns),
        ("connect", connection.connect),
        ("TLS", connection.tls),
        ("first byte", report.first_byte()),
        ("body", body.map(|body| body.min(report.total))),
        ("total", Some(report.total)),
    ];
    let mut text = String::new();
    for (name, time) in phases {
        if let Some(time) = time {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:>10} {:>10}", format_time(time));
        }
    }
    text
}

fn format_time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10_000.0 {
        format!("{ms:.3} ms")
    } else {
        format!("{:.3} s", ms / 1e3)
    }
}

/// Returns a paragraph per certificate, starting with the server's own.
pub(crate) fn certificates(report: &Report) -> String {
    let mut text = String::new();
    let Some(info) = &report.exchange.connection.tls_info else {
        return text;
    };
    for certificate in &info.chain {
        let days = (certificate.not_after - date::now()).div_euclid(86_400);
        let lines = [
            ("subject", certificate.subject.as_str()),
            ("issuer", certificate.issuer.as_str()),
            ("valid from", &date::rfc3339(certificate.not_before)),
            ("until", &date::rfc3339(certificate.not_after)),
            ("days left", &days.to_string()),
            ("names", &certificate.names.join(", ")),
        ];
        let lines = lines.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in lines {
            let _ = writeln!(text, "{name:>10}: {}", escape(value.as_bytes()));
        }
    }
    text
}

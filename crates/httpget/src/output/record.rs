//! The JSON record of a URL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::json::ms;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::fetch::{Report, Trouble};
use crate::http::date;
use crate::http::head::Head;
use crate::http::media::{self, Class};
use crate::json::text;

#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    /// For error records, as in every tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    url: &'a str,
    final_url: Option<&'a str>,
    method: &'static str,
    status: Option<u16>,
    reason: Option<&'a str>,
    http_version: Option<&'static str>,
    headers: Option<&'a [(String, String)]>,
    body: Option<Body<'a>>,
    body_base64: Option<String>,
    file: Option<String>,
    bytes: Option<u64>,
    wire_bytes: Option<u64>,
    sha256: Option<&'a str>,
    redirects: Vec<Redirect<'a>>,
    remote_address: Option<String>,
    tls: Option<Tls<'a>>,
    dns_ms: Option<f64>,
    connect_ms: Option<f64>,
    tls_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    total_ms: f64,
    error: Option<JsonError<'a>>,
}

/// A body as a value.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(Box<RawValue>),
    Text(&'a str),
}

#[derive(Serialize)]
struct Redirect<'a> {
    url: &'a str,
    status: u16,
    location: &'a str,
}

#[derive(Serialize)]
struct Tls<'a> {
    version: &'a str,
    cipher: &'a str,
    subject: Option<&'a str>,
    issuer: Option<&'a str>,
    not_after: Option<String>,
    days_left: Option<i64>,
}

#[derive(Serialize)]
struct JsonError<'a> {
    kind: &'a str,
    message: &'a str,
}

/// The record of a report.
pub(crate) fn record(report: &Report) -> impl Serialize + '_ {
    let head = report.head.as_deref();
    let trouble = report.trouble.as_ref();
    let failed = trouble.filter(|_| head.is_none());
    let (body, body_base64) = body(report);
    let made = &report.exchange.made;
    Record {
        tag: if head.is_some() { "response" } else { "error" },
        target: failed.map(|_| report.url.as_str()),
        kind: failed.map(Trouble::kind),
        message: failed.map(Trouble::message),
        url: &report.url,
        final_url: report.final_url.as_deref(),
        method: report.method,
        status: head.map(|head| head.status),
        reason: head.map(|head| head.reason.as_str()),
        http_version: head.map(Head::version),
        headers: head.map(|head| head.headers.as_slice()),
        body,
        body_base64,
        file: report.file.as_ref().map(|path| path.display().to_string()),
        bytes: head.map(|_| report.bytes),
        wire_bytes: head.map(|_| report.wire_bytes),
        sha256: report.sha256.as_deref(),
        redirects: report
            .redirects
            .iter()
            .map(|hop| Redirect {
                url: &hop.url,
                status: hop.status,
                location: &hop.location,
            })
            .collect(),
        remote_address: made.peer.as_ref().map(ToString::to_string),
        tls: made.facts.as_deref().map(|facts| {
            let leaf = facts.chain.first();
            Tls {
                version: facts.version,
                cipher: &facts.cipher,
                subject: leaf.map(|leaf| leaf.subject.as_str()),
                issuer: leaf.map(|leaf| leaf.issuer.as_str()),
                not_after: leaf.map(|leaf| date::rfc3339(leaf.not_after)),
                days_left: leaf.map(|leaf| (leaf.not_after - date::now()).div_euclid(86_400)),
            }
        }),
        dns_ms: made.dns.map(ms),
        connect_ms: made.connect.map(ms),
        tls_ms: made.tls.map(ms),
        first_byte_ms: report.first_byte().map(ms),
        total_ms: ms(report.total),
        error: trouble.map(|trouble| JsonError {
            kind: trouble.kind(),
            message: trouble.message(),
        }),
    }
}

/// The body as the value it is, as text, or in base64.
fn body(report: &Report) -> (Option<Body<'_>>, Option<String>) {
    let Some(bytes) = &report.body else {
        return (None, None);
    };
    let media_type = report.head.as_ref().and_then(|h| h.get("content-type"));
    let class = if report.pointed {
        Class::Json
    } else {
        media::class(media_type)
    };
    let Ok(string) = std::str::from_utf8(bytes) else {
        return (None, Some(STANDARD.encode(bytes)));
    };
    let document = string.trim_start_matches('\u{feff}');
    match class {
        Class::Json if text::is_valid(document) => {
            match RawValue::from_string(text::compact(document)) {
                Ok(value) => (Some(Body::Json(value)), None),
                Err(_) => (Some(Body::Text(string)), None),
            }
        }
        Class::Other if media::looks_binary(bytes) => (None, Some(STANDARD.encode(bytes))),
        _ => (Some(Body::Text(string)), None),
    }
}

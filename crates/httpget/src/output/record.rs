//! The JSON record of a URL.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::engine::general_purpose::STANDARD;
use common::json::ms;
use serde::Serialize;

use crate::http::head::Head;
use crate::http::media::{self, Class};
use crate::http::{charset, date};
use crate::json::text;
use crate::report::{FetchError, Report};

/// The keys before the body.
#[derive(Serialize)]
struct KeysBeforeBody<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    /// Keys of error records, as in every tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    url: &'a str,
    final_url: Option<&'a str>,
    method: &'static str,
    status: Option<u16>,
    reason: Option<&'a str>,
    http_version: Option<&'static str>,
    headers: Option<&'a [(String, String)]>,
}

/// The keys after the body.
#[derive(Serialize)]
struct KeysAfterBody<'a> {
    file: Option<String>,
    bytes: Option<u64>,
    wire_bytes: Option<u64>,
    sha256: Option<&'a str>,
    redirects: Vec<Redirect<'a>>,
    address: Option<String>,
    tls: Option<Tls<'a>>,
    dns_ms: Option<f64>,
    connect_ms: Option<f64>,
    tls_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    duration_ms: f64,
    error: Option<JsonError<'a>>,
    /// The time when the record was written.
    time: String,
}

/// The form of a body in the record.
enum Body<'a> {
    Absent,
    /// The JSON value itself.
    Json(Cow<'a, str>),
    Text(Cow<'a, str>),
    Base64(&'a [u8]),
}

#[derive(Serialize)]
struct Redirect<'a> {
    url: &'a str,
    status: u16,
    location: &'a str,
}

#[derive(Serialize)]
struct Tls<'a> {
    version: Option<&'a str>,
    cipher: Option<&'a str>,
    subject: Option<&'a str>,
    issuer: Option<&'a str>,
    not_after: Option<String>,
    days_left: Option<i64>,
    names: Option<&'a [String]>,
    verified: bool,
}

#[derive(Serialize)]
struct JsonError<'a> {
    kind: &'a str,
    message: String,
}

/// Writes the record of a report as one line. The body is written in pieces, so it is
/// not copied.
pub(crate) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut keys = Vec::new();
    common::json::write_line(&mut keys, &before(report))?;
    out.write_all(keys.strip_suffix(b"}\n").unwrap_or(&keys))?;
    let (text, base64) = match body(report) {
        Body::Absent => (None, None),
        Body::Base64(bytes) => (None, Some(bytes)),
        shown => (Some(shown), None),
    };
    out.write_all(b",\"body\":")?;
    match text {
        Some(Body::Json(document)) => text::write_compact(&document, out)?,
        Some(Body::Text(text)) => common::json::write_line(NoLineEnd(&mut *out), &text)?,
        _ => out.write_all(b"null")?,
    }
    out.write_all(b",\"body_base64\":")?;
    match base64 {
        None => out.write_all(b"null")?,
        Some(bytes) => {
            out.write_all(b"\"")?;
            let mut encoder = base64::write::EncoderWriter::new(&mut *out, &STANDARD);
            encoder.write_all(bytes)?;
            encoder.finish()?;
            drop(encoder);
            out.write_all(b"\"")?;
        }
    }
    keys.clear();
    common::json::write_line(&mut keys, &after(report))?;
    out.write_all(b",")?;
    out.write_all(keys.strip_prefix(b"{").unwrap_or(&keys))
}

/// Drops the line end after a value, which contains none itself.
struct NoLineEnd<W>(W);

impl<W: Write> Write for NoLineEnd<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes == b"\n" {
            return Ok(1);
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn before(report: &Report) -> KeysBeforeBody<'_> {
    let head = report.head.as_deref();
    let failed = report.error.as_ref().filter(|_| head.is_none());
    KeysBeforeBody {
        // Without an error and a head, nothing had to be fetched.
        tag: if failed.is_some() {
            "error"
        } else {
            "response"
        },
        target: failed.map(|_| report.url.as_str()),
        kind: failed.map(FetchError::kind),
        message: failed.map(FetchError::message),
        url: &report.url,
        final_url: report.final_url.as_deref(),
        method: report.method,
        status: head.map(|head| head.status),
        reason: head.map(|head| head.reason.as_str()),
        http_version: head.map(Head::version),
        headers: head.map(|head| head.headers.as_slice()),
    }
}

fn after(report: &Report) -> KeysAfterBody<'_> {
    let head = report.head.as_deref();
    let connection = &report.exchange.connection;
    KeysAfterBody {
        file: report.file.as_ref().map(|path| path.display().to_string()),
        bytes: head.map(|_| report.bytes),
        wire_bytes: head.map(|_| report.wire_bytes),
        sha256: report.sha256.as_deref(),
        redirects: report
            .redirects
            .iter()
            .map(|redirect| Redirect {
                url: &redirect.url,
                status: redirect.status,
                location: &redirect.location,
            })
            .collect(),
        address: connection.peer.as_ref().map(ToString::to_string),
        tls: connection.tls_info.as_deref().map(|info| {
            let leaf = info.chain.first();
            Tls {
                version: info.version,
                cipher: info.cipher.as_deref(),
                subject: leaf.map(|leaf| leaf.subject.as_str()),
                issuer: leaf.map(|leaf| leaf.issuer.as_str()),
                not_after: leaf.map(|leaf| date::rfc3339(leaf.not_after)),
                days_left: leaf.map(|leaf| (leaf.not_after - date::now()).div_euclid(86_400)),
                names: leaf.map(|leaf| leaf.names.as_slice()),
                verified: info.verified,
            }
        }),
        dns_ms: connection.dns.map(ms),
        connect_ms: connection.connect.map(ms),
        tls_ms: connection.tls.map(ms),
        first_byte_ms: report.first_byte().map(ms),
        duration_ms: ms(report.total),
        error: report.error.as_ref().map(|error| JsonError {
            kind: error.kind(),
            message: error.message(),
        }),
        time: common::time::now(),
    }
}

/// Returns the body as a JSON value, as text, or for base64.
fn body(report: &Report) -> Body<'_> {
    let Some(bytes) = &report.body else {
        return Body::Absent;
    };
    let media_type = report.head.as_ref().and_then(|h| h.get("content-type"));
    let class = if report.is_pointer_value {
        Class::Json
    } else {
        media::class(media_type)
    };
    let decoded = match report.charset {
        Some(charset) => charset::decode(charset, bytes).map(Cow::Owned),
        None => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    };
    let Some(string) = decoded else {
        return Body::Base64(bytes);
    };
    let is_json = class == Class::Json;
    if is_json && text::is_valid(without_mark(&string)) {
        Body::Json(match string {
            Cow::Borrowed(string) => Cow::Borrowed(without_mark(string)),
            Cow::Owned(string) => Cow::Owned(without_mark(&string).to_owned()),
        })
    } else if class == Class::Other && media::looks_binary(string.as_bytes()) {
        Body::Base64(bytes)
    } else {
        Body::Text(string)
    }
}

/// Removes a byte order mark, which is not JSON.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

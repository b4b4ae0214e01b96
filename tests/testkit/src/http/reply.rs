//! Replies of the server: a well-formed response from a builder, or raw bytes,
//! followed by further steps such as a pause or a reset.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::request::Request;

/// A single action of the server on the connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    Pause(Duration),
    Wait(Gate),
    Close,
    Cut,
    Reset,
    Hang,
    Tunnel(SocketAddr),
}

#[derive(Debug, Clone)]
enum Body {
    None,
    Whole(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

/// A response and the steps after it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reply {
    /// `None` for a raw reply, which consists of steps only.
    status: Option<u16>,
    reason: Option<String>,
    headers: Vec<(String, String)>,
    body: Body,
    steps: Vec<Step>,
}

impl Reply {
    /// Creates a response with this status, its usual reason and an empty body.
    pub fn new(status: u16) -> Self {
        Self {
            status: Some(status),
            reason: None,
            headers: Vec::new(),
            body: Body::None,
            steps: Vec::new(),
        }
    }

    /// Creates a response with status 200 and this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200).body(body)
    }

    /// Creates a response with status 200 and a body of `text/plain;
    /// charset=utf-8`.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::ok(body).header("Content-Type", "text/plain; charset=utf-8")
    }

    /// Creates a response with status 200 and a body of `application/json`.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::ok(body).header("Content-Type", "application/json")
    }

    /// Creates a redirect to `location`.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("Location", location)
    }

    /// Sends exactly these bytes. The connection stays open unless a further step
    /// ends it.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut reply = Self::new(0).then(bytes);
        reply.status = None;
        reply
    }

    /// Accepts CONNECT like a proxy and forwards to `addr`.
    pub fn tunnel(addr: SocketAddr) -> Self {
        let mut reply = Self::raw("HTTP/1.1 200 Connection established\r\n\r\n");
        reply.steps.push(Step::Tunnel(addr));
        reply
    }

    /// Answers a range request for `body`: 206 with the range, 416 for a range
    /// beyond the end, or 200 with the complete body if Range is missing or if
    /// If-Range differs from `etag`.
    pub fn ranged(request: &Request, body: &[u8], etag: &str) -> Self {
        let same = request.header("if-range").is_none_or(|value| value == etag);
        let header = request.header("range").filter(|_| same);
        let range = header.and_then(|value| parse_range(value, body.len()));
        let reply = match range {
            None => Self::ok(body),
            Some((from, to)) if from < to => {
                let content_range = format!("bytes {from}-{}/{}", to - 1, body.len());
                Self::new(206)
                    .header("Content-Range", &content_range)
                    .body(&body[from..to])
            }
            Some(_) => Self::new(416).header("Content-Range", &format!("bytes */{}", body.len())),
        };
        reply.header("ETag", etag).header("Accept-Ranges", "bytes")
    }

    /// Replaces the usual reason phrase.
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// Adds a header. If it is Content-Length or Transfer-Encoding, none is added
    /// for the body, so that a test can send a wrong one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body, which gets a Content-Length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// Sets the body as chunks; the last chunk (of size 0) is added.
    pub fn chunked<I>(mut self, chunks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Vec<u8>>,
    {
        self.body = Body::Chunked(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// Sends these bytes in a segment of their own.
    pub fn then(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// Sends nothing for this time.
    pub fn pause(mut self, time: Duration) -> Self {
        self.steps.push(Step::Pause(time));
        self
    }

    /// Sends nothing until the test opens the gate.
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Closes the connection in order, over TLS with `close_notify`.
    pub fn close(mut self) -> Self {
        self.steps.push(Step::Close);
        self
    }

    /// Closes the TCP connection without `close_notify`.
    pub fn cut(mut self) -> Self {
        self.steps.push(Step::Cut);
        self
    }

    /// Resets the connection (RST).
    pub fn reset(mut self) -> Self {
        self.steps.push(Step::Reset);
        self
    }

    /// Sends nothing until the client closes the connection.
    pub fn hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// Whether the reply has the header `Connection: close`.
    pub(crate) fn closes(&self) -> bool {
        self.headers.iter().any(|(key, value)| {
            key.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
        })
    }

    /// Returns the steps that answer `request`.
    pub(crate) fn into_steps(self, request: &Request) -> Vec<Step> {
        let Some(status) = self.status else {
            return self.steps;
        };
        let reason = self
            .reason
            .as_deref()
            .unwrap_or_else(|| usual_reason(status));
        let mut out = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in &self.headers {
            out.extend([name, ": ", value, "\r\n"]);
        }
        let bodiless = status / 100 == 1 || status == 204 || status == 304;
        let framed = self.has("content-length") || self.has("transfer-encoding");
        if !bodiless && !framed {
            let length = match &self.body {
                Body::None => Some(0),
                Body::Whole(body) => Some(body.len()),
                Body::Chunked(_) => None,
            };
            out += &length.map_or_else(
                || "Transfer-Encoding: chunked\r\n".to_owned(),
                |length| format!("Content-Length: {length}\r\n"),
            );
        }
        out += "\r\n";
        let mut out = out.into_bytes();
        let mut steps = Vec::new();
        if request.method != "HEAD" {
            match self.body {
                Body::None => {}
                Body::Whole(body) => out.extend(body),
                Body::Chunked(chunks) => {
                    steps.push(Step::Bytes(std::mem::take(&mut out)));
                    for chunk in chunks {
                        let mut frame = format!("{:x}\r\n", chunk.len()).into_bytes();
                        frame.extend(chunk);
                        frame.extend(b"\r\n");
                        steps.push(Step::Bytes(frame));
                    }
                    out.extend(b"0\r\n\r\n");
                }
            }
        }
        steps.push(Step::Bytes(out));
        steps.extend(self.steps);
        steps
    }
}

/// Returns the half-open range of a `bytes=` header in a body of `length` bytes. It
/// is empty if it lies beyond the end, and `None` if it is not a single range.
fn parse_range(value: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        let last: usize = to.parse().ok()?;
        return Some((length.saturating_sub(last), length));
    }
    let from: usize = from.parse().ok()?;
    let to = if to.is_empty() {
        length
    } else {
        to.parse::<usize>().ok()?.saturating_add(1).min(length)
    };
    Some((from, to))
}

fn usual_reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Test",
    }
}

/// Blocks a server until a test opens it.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    inner: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// Creates a closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the gate permanently.
    pub fn open(&self) {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.1.notify_all();
    }

    /// Waits until the gate is open.
    pub fn wait(&self) {
        let guard = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.inner.1.wait_while(guard, |open| !*open));
    }
}

//! A request as received, with every header unchanged.

use std::io::{self, Read};
use std::net::SocketAddr;

/// A request in the log of the server.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD`, `CONNECT`, …
    pub method: String,
    /// The target as sent: a path, or a complete URL in a request to a proxy.
    pub target: String,
    /// The protocol version, such as `HTTP/1.1`.
    pub version: String,
    /// The header fields in order, with names as sent and trimmed values.
    pub headers: Vec<(String, String)>,
    /// The bytes of the head, including the empty line at its end.
    pub head: Vec<u8>,
    /// The body, of the length given by Content-Length.
    pub body: Vec<u8>,
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The address of the client.
    pub peer: SocketAddr,
}

impl Request {
    /// Returns the first value of a header; letter case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the target up to `?`.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether the connection ends after the reply.
    pub(crate) fn closes(&self) -> bool {
        self.version != "HTTP/1.1"
            || self
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Reads the next request. `pending` contains bytes that were read after the
    /// previous one. Returns `None` at the end of the connection.
    pub(crate) fn read(
        stream: &mut impl Read,
        pending: &mut Vec<u8>,
        connection: usize,
        peer: SocketAddr,
    ) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(at) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !more(stream, pending)? {
                return Ok(None);
            }
        };
        let head: Vec<u8> = pending.drain(..end).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.split("\r\n");
        let mut words = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let mut request = Self {
            method: word(),
            target: word(),
            version: word(),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            head: head.clone(),
            body: Vec::new(),
            connection,
            peer,
        };
        let length = request.header("content-length");
        let length = length.and_then(|value| value.parse().ok()).unwrap_or(0);
        while pending.len() < length {
            if !more(stream, pending)? {
                return Ok(None);
            }
        }
        request.body = pending.drain(..length).collect();
        Ok(Some(request))
    }
}

/// Reads once. Returns false at the end of the stream.
fn more(stream: &mut impl Read, pending: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 8 * 1024];
    let n = stream.read(&mut chunk)?;
    pending.extend_from_slice(&chunk[..n]);
    Ok(n > 0)
}

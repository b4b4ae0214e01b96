//! What the tests share.

use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Tool;
use testkit::http::{HttpServer, Reply, Request};

/// The tool.
pub(crate) fn httpget() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_httpget"))
}

/// A server that gives every request this answer.
pub(crate) fn always(reply: Reply) -> HttpServer {
    HttpServer::start(move |_| reply.clone())
}

/// The files in a folder, by name.
pub(crate) fn files(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A server of `body` with ranges, under the tag `"1"`, but for the requests to
/// which `other` has an answer; it is told their number, from 0.
pub(crate) fn serving(
    body: &[u8],
    other: impl Fn(usize, &Request) -> Option<Reply> + Send + Sync + 'static,
) -> HttpServer {
    let (body, count) = (body.to_vec(), AtomicUsize::new(0));
    HttpServer::start(move |request| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        other(number, request).unwrap_or_else(|| Reply::ranged(request, &body, "\"1\""))
    })
}

/// Where a request's range begins.
pub(crate) fn start(request: &Request) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?;
    range.split('-').next()?.parse().ok()
}

/// A body of so many bytes. No two bytes' neighbourhoods look alike, so that a
/// piece in a wrong place is seen.
pub(crate) fn body_of(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// The record beside a part file of `url`, with these lines.
pub(crate) fn record(url: &str, lines: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
    let hex = digest
        .as_ref()
        .iter()
        .fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
    format!("url-sha256: {hex}\n{lines}end: record\n")
}

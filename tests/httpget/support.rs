//! Helpers of all tests.

use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Tool;
use testkit::http::{HttpServer, Reply, Request};

/// Returns the tool under test.
pub(crate) fn httpget() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_httpget"))
}

/// A server that answers every request with this reply.
pub(crate) fn always(reply: Reply) -> HttpServer {
    HttpServer::start(move |_| reply.clone())
}

/// Returns the sorted file names of a directory.
pub(crate) fn files(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A server of `body` with ranges and the tag `"1"`. `other` may answer a request; it
/// gets the number of the request, from 0.
pub(crate) fn ranged_server(
    body: &[u8],
    other: impl Fn(usize, &Request) -> Option<Reply> + Send + Sync + 'static,
) -> HttpServer {
    let (body, count) = (body.to_vec(), AtomicUsize::new(0));
    HttpServer::start(move |request| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        other(number, request).unwrap_or_else(|| Reply::ranged(request, &body, "\"1\""))
    })
}

/// Returns the first offset of a request's range.
pub(crate) fn range_start(request: &Request) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?;
    range.split('-').next()?.parse().ok()
}

/// Returns a body in which every place looks different, so that a misplaced segment is
/// detected.
pub(crate) fn body_of(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Returns the state file of a partial file of `url`, with these lines.
pub(crate) fn state_file(url: &str, lines: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
    let hex = digest
        .as_ref()
        .iter()
        .fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
    format!("url-sha256: {hex}\n{lines}end: record\n")
}

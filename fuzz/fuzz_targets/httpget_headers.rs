//! Single headers from servers: names, links, ranges, dates, challenges.
#![no_main]

use httpget::http::{content_range, date, disposition, head::Head, link};
use httpget::policy::{digest, filename, request, retry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(name) = disposition::filename(text)
        && let Some(safe) = filename::sanitize(&name)
    {
        assert!(!safe.contains(['/', '\\', '\0']) && !safe.starts_with(['.', '-']));
        assert!(safe.len() < 255 && !safe.contains(common::text::is_dangerous));
    }
    if let Some(target) = link::find([text], "next") {
        assert!(text.contains(target));
    }
    if let Some(range) = content_range::parse(text)
        && let Some((first, last)) = range.span
    {
        assert!(first <= last && range.total.is_none_or(|total| last < total));
    }
    if let Some(at) = date::parse(text) {
        assert_eq!(date::parse(&date::format_http(at)), Some(at));
    }
    let _ = request::parse(text);
    let _ = request::redact(text);
    let head = format!("HTTP/1.1 401 U\r\nWWW-Authenticate: {text}\r\nRetry-After: {text}\r\n\r\n");
    if let Ok(head) = Head::parse(head.as_bytes()) {
        let _ = retry::retry_after(&head);
        if let Some(challenge) = digest::challenge(&head) {
            let value = challenge.authorization("GET", "/", ("u", "p"), "c");
            assert!(!value.contains(['\r', '\n']));
        }
    }
});

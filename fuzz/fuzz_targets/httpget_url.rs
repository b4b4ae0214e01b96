//! URLs of operands, proxies and routes, and redirects from them.
#![no_main]

use httpget::http::head::Head;
use httpget::policy::{filename, proxy, redirect, request_url, route};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(request) = request_url::parse(text) {
        assert!(matches!(request.url.scheme(), "http" | "https"));
        assert!(request.url.username().is_empty() && request.url.password().is_none());
        assert!(!request_url::host(&request.url).is_empty());
        assert!(!request.raw_path.contains([' ', '\r', '\n']));
        if let Some(name) = filename::from_url(&request.url) {
            // Dots at the start are kept.
            assert!(!name.contains('/') && !matches!(&*name, "" | "." | ".."));
        }
        let head = format!("HTTP/1.1 302 F\r\nLocation: {text}\r\n\r\n");
        let limit = redirect::RedirectLimit {
            max: Some(10),
            followed: 0,
        };
        if let Ok(head) = Head::parse(head.as_bytes())
            && let Ok(Some(target)) = redirect::target(&head, &request.url, limit)
        {
            assert!(!(request.url.scheme() == "https" && target.url.scheme() == "http"));
            assert!(target.url.username().is_empty());
        }
    }
    if let Ok(proxy) = proxy::parse(text) {
        assert!(!proxy.host.is_empty());
    }
    let _ = proxy::NoProxy::parse(text).covers(text, 80);
    let _ = route::parse_resolve(text);
    let _ = route::parse_connect_to(text);
});

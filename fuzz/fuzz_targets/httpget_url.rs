//! URLs of operands, proxies and routes; redirects from them.
#![no_main]

use httpget::http::head::Head;
use httpget::policy::{filename, proxy, redirect, route, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(target) = target::parse(text) {
        assert!(matches!(target.url.scheme(), "http" | "https"));
        assert!(target.url.username().is_empty() && target.url.password().is_none());
        assert!(!target::host(&target.url).is_empty());
        assert!(!target.raw_path.contains([' ', '\r', '\n']));
        if let Some(name) = filename::of_url(&target.url) {
            // Dots at the start stay as typed.
            assert!(!name.contains('/') && !matches!(&*name, "" | "." | ".."));
        }
        let head = format!("HTTP/1.1 302 F\r\nLocation: {text}\r\n\r\n");
        let rules = redirect::Rules {
            max: Some(10),
            followed: 0,
        };
        if let Ok(head) = Head::parse(head.as_bytes())
            && let Ok(Some(next)) = redirect::next(&head, &target.url, rules)
        {
            assert!(!(target.url.scheme() == "https" && next.url.scheme() == "http"));
            assert!(next.url.username().is_empty());
        }
    }
    if let Ok(proxy) = proxy::parse(text) {
        assert!(!proxy.host.is_empty());
    }
    let _ = proxy::NoProxy::parse(text).covers(text, 80);
    let _ = route::parse_resolve(text);
    let _ = route::parse_connect_to(text);
});

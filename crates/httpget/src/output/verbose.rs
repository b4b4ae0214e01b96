//! `-v`: events (`*`), sent bytes (`>`) and received bytes (`<`), marked as in curl.
//! Secrets are left out, and received text is escaped.

use std::fmt::Write;

use common::text::escape;

use crate::net::Exchange;
use crate::policy::request::redact;

/// Formats the heads of one exchange for `--verbose`.
pub(crate) fn exchange(exchange: &Exchange) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(peer) = &exchange.connection.peer {
        let peer = peer.to_string();
        let peer = escape(peer.as_bytes());
        let how = if exchange.reused {
            "reused connection to"
        } else {
            "connected to"
        };
        let _ = match &exchange.proxy {
            Some(proxy) => writeln!(text, "* {how} {peer}, proxy {}:{}", proxy.host, proxy.port),
            None => writeln!(text, "* {how} {peer}"),
        };
    }
    if let Some(tls) = &exchange.connection.tls_info
        && !exchange.reused
    {
        let _ = writeln!(text, "* {tls}");
        if let Some(leaf) = tls.chain.first() {
            let _ = writeln!(text, "* certificate: {}", escape(leaf.subject.as_bytes()));
            let _ = writeln!(text, "* issuer: {}", escape(leaf.issuer.as_bytes()));
            let until = crate::http::date::rfc3339(leaf.not_after);
            let _ = writeln!(text, "* expires: {until}");
        }
    }
    let sent = String::from_utf8_lossy(&exchange.sent);
    push_marked(&mut text, '>', redact(&sent).as_bytes());
    for head in &exchange.informational {
        push_marked(&mut text, '<', head);
    }
    if let Some(head) = &exchange.head {
        let raw = String::from_utf8_lossy(&head.raw);
        push_marked(&mut text, '<', redact(&raw).as_bytes());
    }
    text
}

fn push_marked(text: &mut String, mark: char, head: &[u8]) {
    for line in head.split_inclusive(|&b| b == b'\n') {
        let line = line.trim_ascii_end();
        let _ = writeln!(text, "{mark} {}", escape(line));
    }
}

/// Formats a head for a terminal.
pub(crate) fn format_head(raw: &[u8]) -> String {
    let mut text = String::new();
    for line in raw.split_inclusive(|&b| b == b'\n') {
        let _ = writeln!(text, "{}", escape(line.trim_ascii_end()));
    }
    text
}

//! Servers as given on the command line.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use common::address;
use common::endpoint::{self, Host};

/// How a server is spoken to, as `protocol` in JSON says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
    Tls,
    Https,
}

impl Protocol {
    /// The name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
        }
    }
}

/// Where a server is and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// UDP, TCP on truncation.
    Udp(SocketAddr),
    /// TCP only.
    Tcp(SocketAddr),
    /// DNS over TLS (RFC 7858), the certificate checked for `name`.
    Tls { address: SocketAddr, name: String },
    /// DNS over HTTPS (RFC 8484); `get` for GET instead of POST.
    Https { url: String, get: bool },
}

/// A DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) way: Way,
    /// What it is called in records and messages.
    pub(crate) label: Arc<str>,
}

/// A server as written; `tls://NAME` still wants a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    Server(Server),
    /// The system's resolver, for comparison.
    System,
    /// DNS over TLS to a name.
    Named {
        host: String,
        port: u16,
        text: String,
    },
}

impl Spec {
    /// Whether TLS is spoken there.
    pub(crate) fn wants_tls(&self) -> bool {
        match self {
            Self::Server(server) => server.wants_tls(),
            Self::System => false,
            Self::Named { .. } => true,
        }
    }
}

const FORMS: &str = "use IP[:PORT], udp://, tcp://, tls:// or https://";

impl Server {
    /// A server at an address.
    pub(crate) fn at(way: Way) -> Self {
        let label = match &way {
            Way::Udp(address) | Way::Tcp(address) | Way::Tls { address, .. } => address.to_string(),
            Way::Https { url, .. } => url.clone(),
        };
        Self {
            way,
            label: label.into(),
        }
    }

    /// Whether TLS is spoken there.
    pub(crate) fn wants_tls(&self) -> bool {
        matches!(self.way, Way::Tls { .. } | Way::Https { .. })
    }

    /// The protocol first spoken with it.
    pub(crate) fn protocol(&self) -> Protocol {
        match self.way {
            Way::Udp(_) => Protocol::Udp,
            Way::Tcp(_) => Protocol::Tcp,
            Way::Tls { .. } => Protocol::Tls,
            Way::Https { .. } => Protocol::Https,
        }
    }
}

/// Reads `IP[:PORT]`, `[v6]:PORT` with or without `udp://`, `tcp://` or
/// `tls://` before it, `tls://NAME`, `tls://IP#NAME`, an `https://` URL, or
/// `system`. The error is a sentence.
pub(crate) fn parse(text: &str) -> Result<Spec, String> {
    let server = |way| Ok(Spec::Server(Server::at(way)));
    match text.split_once("://") {
        None if text == "system" => Ok(Spec::System),
        None => server(Way::Udp(place(text, 53)?)),
        Some(("udp", rest)) => server(Way::Udp(place(rest, 53)?)),
        Some(("tcp", rest)) => server(Way::Tcp(place(rest, 53)?)),
        Some(("tls", rest)) => tls(rest, text),
        Some(("https", rest)) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err("not a URL".to_owned());
            }
            let (url, get) = match text.strip_suffix("{?dns}") {
                Some(url) => (url, true),
                None => (text, false),
            };
            // The usual place, where only the host is given.
            let url = if rest.contains('/') {
                url.to_owned()
            } else {
                format!("{url}/dns-query")
            };
            server(Way::Https { url, get })
        }
        Some(_) => Err(format!("not a server; {FORMS}")),
    }
}

fn tls(rest: &str, text: &str) -> Result<Spec, String> {
    let (at, name) = match rest.split_once('#') {
        Some((_, "")) => return Err("no name after #".to_owned()),
        Some((at, name)) => (at, Some(name)),
        None => (rest, None),
    };
    if let Ok(address) = place(at, 853) {
        let name = name.map_or_else(|| address.ip().to_string(), str::to_owned);
        return Ok(Spec::Server(Server::at(Way::Tls { address, name })));
    }
    let (host, port) = match endpoint::parse(at) {
        Ok(endpoint) => (endpoint.host, endpoint.port),
        Err(_) => (endpoint::parse_host(at)?, 853),
    };
    match host {
        Host::Name(host) if port > 0 && name.is_none() => Ok(Spec::Named {
            host,
            port,
            text: text.to_owned(),
        }),
        _ => Err(format!("not a server; {FORMS}")),
    }
}

fn place(text: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    if let Some(ip) = text.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
        return Ok(SocketAddr::new(address::parse(ip)?, port));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        _ => Err(format!("not a server; {FORMS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, shown, protocol) in [
            ("192.0.2.1", "192.0.2.1:53", Protocol::Udp),
            ("192.0.2.1:5353", "192.0.2.1:5353", Protocol::Udp),
            ("2001:db8::1", "[2001:db8::1]:53", Protocol::Udp),
            ("udp://[2001:db8::1]:54", "[2001:db8::1]:54", Protocol::Udp),
            ("tcp://[::1]", "[::1]:53", Protocol::Tcp),
            ("tls://192.0.2.1", "192.0.2.1:853", Protocol::Tls),
            ("tls://[::1]:854#dns.test", "[::1]:854", Protocol::Tls),
            (
                "https://dns.test",
                "https://dns.test/dns-query",
                Protocol::Https,
            ),
            (
                "https://dns.test:1/x",
                "https://dns.test:1/x",
                Protocol::Https,
            ),
            (
                "https://dns.test/q{?dns}",
                "https://dns.test/q",
                Protocol::Https,
            ),
        ] {
            let Ok(Spec::Server(server)) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!((&*server.label, server.protocol()), (shown, protocol));
        }
        assert_eq!(parse("system"), Ok(Spec::System));
        assert!(matches!(
            parse("tls://dns.test"),
            Ok(Spec::Named { port: 853, .. })
        ));
        for text in [
            "",
            "localhost",
            "127.1",
            "1.2.3.4:0",
            "1.2.3.4:x",
            "tls://",
            "tls://127.1",
            "tls://1.1.1.1#",
            "https://",
            "http://dns.test",
            "quic://1.1.1.1",
            "udp://dns.test",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! Servers as given on the command line.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use common::address;
use common::endpoint::{self, Host};
use common::zone;

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
    /// A server that is shown as it was named, with its port.
    fn named(way: Way, label: String) -> Self {
        let label = label.into();
        Self { way, label }
    }

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
    // unbound and dnsmasq write ports so; here a name of a certificate follows.
    if let Some((at, port)) = text.rsplit_once('#')
        && !text.starts_with("https://")
        && !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!("a port follows a colon; use {at}:{port}"));
    }
    let at = |rest, way: fn(SocketAddr) -> Way| match place(rest, 53, text)? {
        Some(place) => Ok(Spec::Server(Server::named(way(place.address), place.shown))),
        None => Err(format!("not a server; {FORMS}")),
    };
    match text.split_once("://") {
        None if text == "system" => Ok(Spec::System),
        None => at(text, Way::Udp),
        Some(("udp", rest)) => at(rest, Way::Udp),
        Some(("tcp", rest)) => at(rest, Way::Tcp),
        Some(("tls", rest)) => tls(rest, text),
        Some(("https", rest)) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err("not a URL".to_owned());
            }
            let (bare, port) = match host.split_once(':') {
                Some((bare, _)) if !bare.is_ascii() => (bare, &host[bare.len()..]),
                _ => (host, ""),
            };
            let ascii = zone::to_ascii(bare)?;
            if !is_authority(&format!("{ascii}{port}")) {
                return Err("not a URL: the host is not a name or address".to_owned());
            }
            let text = format!("https://{ascii}{port}{}", &rest[host.len()..]);
            let (url, get) = match text.strip_suffix("{?dns}") {
                Some(url) => (url, true),
                None => (&*text, false),
            };
            // The usual place, where only the host is given.
            let url = if rest.contains('/') {
                url.to_owned()
            } else {
                format!("{url}/dns-query")
            };
            Ok(Spec::Server(Server::at(Way::Https { url, get })))
        }
        Some(_) => Err(format!("not a server; {FORMS}")),
    }
}

/// Whether a text is `HOST`, `HOST:PORT`, `[v6]` or `[v6]:PORT`.
fn is_authority(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (is_host, port) = if let Some((host, rest)) = bracketed {
        (host.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (!host.is_empty() && host.bytes().all(is_name), port)
    };
    let is_port = |port: &str| port.strip_prefix(':').is_some_and(|p| some_port(p).is_ok());
    is_host && (port.is_empty() || is_port(port))
}

fn tls(rest: &str, text: &str) -> Result<Spec, String> {
    let (at, expected) = match rest.split_once('#') {
        Some((_, "")) => return Err("no name after #".to_owned()),
        Some((at, expected)) => (at, Some(expected)),
        None => (rest, None),
    };
    if let Some(place) = place(at, 853, text)? {
        let address = place.address;
        let name = expected.map_or_else(|| address.ip().to_string(), str::to_owned);
        let way = Way::Tls { address, name };
        return Ok(Spec::Server(Server::named(way, place.shown)));
    }
    let (host, port) = match endpoint::parse(at) {
        Ok(endpoint) => (endpoint.host, endpoint.port),
        Err(_) => (endpoint::parse_host(at)?, 853),
    };
    match host {
        Host::Name(host) if port > 0 && expected.is_none() => Ok(Spec::Named {
            host: zone::to_ascii(&host)?,
            port,
            text: text.to_owned(),
        }),
        _ => Err(format!("not a server; {FORMS}")),
    }
}

/// An address with a port, and how it is shown: a zone by the name typed.
struct Place {
    address: SocketAddr,
    shown: String,
}

/// Reads `IP`, `IP:PORT`, `[IP]` and `[IP]:PORT`, all of them with a zone;
/// `None` for what may be a name. In an operand with a scheme the zone may be
/// written with `%25`, as in URLs (RFC 6874).
fn place(text: &str, port: u16, operand: &str) -> Result<Option<Place>, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, rest)) = rest.split_once(']') else {
                return Err("no ']' after the IPv6 address; use [ADDR]:PORT".to_owned());
            };
            match rest.strip_prefix(':') {
                Some(port) => (host, some_port(port)?),
                None if rest.is_empty() => (host, port),
                None => return Err(format!("not a server; {FORMS}")),
            }
        }
        // One colon is before a port, several are an IPv6 address.
        None => match text.split_once(':') {
            Some((host, rest)) if !rest.contains(':') => match host.parse::<IpAddr>() {
                Ok(_) => (host, some_port(rest)?),
                Err(_) => return Ok(None),
            },
            _ => (text, port),
        },
    };
    let Some((ip, zone)) = host.split_once('%') else {
        return match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) if text.starts_with('[') => {
                Err("brackets are for IPv6 addresses".to_owned())
            }
            Ok(ip) => {
                let address = SocketAddr::new(ip, port);
                let shown = address.to_string();
                Ok(Some(Place { address, shown }))
            }
            Err(_) if text.starts_with('[') || address::looks_numeric(text) => {
                Err(address::parse(host).err().unwrap_or_default())
            }
            Err(_) => Ok(None),
        };
    };
    let zone = match zone.strip_prefix("25") {
        Some(name) if operand.contains("://") && !name.is_empty() => name,
        _ => zone,
    };
    let (ip, scope) = zoned(ip, zone)?;
    let address = SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope));
    let shown = format!("[{ip}%{zone}]:{port}");
    Ok(Some(Place { address, shown }))
}

fn some_port(text: &str) -> Result<u16, String> {
    match endpoint::parse_port(text)? {
        0 => Err("port out of range; use 1 to 65535".to_owned()),
        port => Ok(port),
    }
}

/// The address and scope of `IP%ZONE`, where the zone is the name or number of
/// an interface.
pub(crate) fn zoned(ip: &str, zone: &str) -> Result<(Ipv6Addr, u32), String> {
    let IpAddr::V6(ip) = address::parse(ip)? else {
        return Err("only IPv6 addresses have a zone".to_owned());
    };
    Ok((ip, zone::index(zone)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls() {
        for text in [
            "dns.test",
            "192.0.2.1:8443",
            "[2001:db8::1]",
            "[::1]:443",
            "a_b.test:1",
        ] {
            assert!(is_authority(text), "{text}");
        }
        for text in [
            "", ":443", "]]]", "[::1", "a:0", "a:x", "a#b", "u@a", "a:1:2", "[x]", "a%b",
        ] {
            assert!(!is_authority(text), "{text}");
        }
        assert!(parse("https://]]]#^x:]/dns-query").is_err());
    }

    #[test]
    fn zones_by_number() {
        for (text, scope) in [
            ("fe80::1%1", 1),
            ("fe80::1%25", 25),
            ("fe80::1%251", 251),
            ("[fe80::1%250]:54", 250),
            ("udp://[fe80::1%25251]", 251),
            ("tcp://[fe80::1%2525]", 25),
            ("tls://[fe80::1%25]:54", 25),
        ] {
            let Ok(Spec::Server(server)) = parse(text) else {
                panic!("{text}");
            };
            let (Way::Udp(SocketAddr::V6(address))
            | Way::Tcp(SocketAddr::V6(address))
            | Way::Tls {
                address: SocketAddr::V6(address),
                ..
            }) = server.way
            else {
                panic!("{text}");
            };
            assert_eq!(address.scope_id(), scope, "{text}");
        }
    }

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
                "https://b\u{fc}cher.test:8443/\u{fc}",
                "https://xn--bcher-kva.test:8443/\u{fc}",
                Protocol::Https,
            ),
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

//! DNS servers: their transports, their labels, and their forms on the command line.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use common::address;
use common::endpoint::{self, Host};
use common::zone;

/// The protocol of an answer, `protocol` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
    Tls,
    Https,
}

impl Protocol {
    /// Returns the name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
        }
    }
}

/// The transport to a server, with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// UDP, and TCP after truncation.
    Udp(SocketAddr),
    /// TCP from the first query on.
    Tcp(SocketAddr),
    /// DNS over TLS (RFC 7858); the certificate must be valid for `name`.
    Tls { address: SocketAddr, name: String },
    /// DNS over HTTPS (RFC 8484), with GET or POST.
    Https { url: String, uses_get: bool },
}

/// A DNS server with a label for records and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) transport: Transport,
    pub(crate) label: Arc<str>,
}

/// The server of an option or operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerArg {
    Server(Server),
    /// The system's resolver, for `--diff`.
    System,
    /// A server for DNS over TLS, given by a name that has to be looked up.
    Named {
        host: String,
        port: u16,
        text: String,
    },
}

impl ServerArg {
    /// Returns whether the server requires TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        match self {
            Self::Server(server) => server.uses_tls(),
            Self::System => false,
            Self::Named { .. } => true,
        }
    }
}

const FORMS: &str = "use IP[:PORT], udp://IP, tcp://IP, tls://IP, tls://NAME or https://HOST/PATH";

impl Server {
    /// Creates a server with a label from the command line.
    fn with_label(transport: Transport, label: String) -> Self {
        let label = label.into();
        Self { transport, label }
    }

    /// Creates a server with its address or URL as the label.
    pub(crate) fn new(transport: Transport) -> Self {
        let label = match &transport {
            Transport::Udp(address) | Transport::Tcp(address) | Transport::Tls { address, .. } => {
                address.to_string()
            }
            Transport::Https { url, .. } => url.clone(),
        };
        Self::with_label(transport, label)
    }

    /// Returns whether the server requires TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        matches!(
            self.transport,
            Transport::Tls { .. } | Transport::Https { .. }
        )
    }

    /// Returns the protocol that is tried first.
    pub(crate) fn protocol(&self) -> Protocol {
        match self.transport {
            Transport::Udp(_) => Protocol::Udp,
            Transport::Tcp(_) => Protocol::Tcp,
            Transport::Tls { .. } => Protocol::Tls,
            Transport::Https { .. } => Protocol::Https,
        }
    }
}

/// Parses `IP[:PORT]` or `[v6]:PORT`, optionally after `udp://`, `tcp://` or
/// `tls://`; `tls://NAME`, `tls://IP#NAME`, an `https://` URL, or `system`.
/// The error is the reason, for an error message.
pub(crate) fn parse(text: &str) -> Result<ServerArg, String> {
    // unbound and dnsmasq write a port after `#`; here it precedes the name in the
    // certificate.
    if let Some((server, port)) = text.rsplit_once('#')
        && !text.starts_with("https://")
        && !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!("use a colon before the port: {server}:{port}"));
    }
    let parse_ip_server = |rest, transport: fn(SocketAddr) -> Transport| {
        let parsed = parse_address(rest, 53, text)?;
        let parsed = parsed.ok_or_else(|| format!("not a server; {FORMS}"))?;
        let server = Server::with_label(transport(parsed.address), parsed.label);
        Ok(ServerArg::Server(server))
    };
    match text.split_once("://") {
        None if text == "system" => Ok(ServerArg::System),
        None => parse_ip_server(text, Transport::Udp),
        Some(("udp", rest)) => parse_ip_server(rest, Transport::Udp),
        Some(("tcp", rest)) => parse_ip_server(rest, Transport::Tcp),
        Some(("tls", rest)) => parse_tls(rest, text),
        Some(("https", rest)) => parse_https(rest, text),
        Some(("http", _)) => Err("DNS over HTTP is not supported; use https://".to_owned()),
        Some(_) => Err(format!("not a server; {FORMS}")),
    }
}

/// Parses the URL `text`. `rest` is the part after the scheme.
fn parse_https(rest: &str, text: &str) -> Result<ServerArg, String> {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err("not a URL: missing host".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("not a URL: it contains white space or a control character".to_owned());
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, _)) if !host.is_ascii() => (host, &authority[host.len()..]),
        _ => (authority, ""),
    };
    let ascii = zone::to_ascii(host)?;
    check_authority(&format!("{ascii}{port}"))?;
    let url = format!("https://{ascii}{port}{}", &rest[authority.len()..]);
    let (url, uses_get) = match url.strip_suffix("{?dns}") {
        Some(url) => (url, true),
        None => (&*url, false),
    };
    // RFC 8484 has no default path, but this one is common.
    let url = if rest.contains('/') {
        url.to_owned()
    } else {
        format!("{url}/dns-query")
    };
    Ok(ServerArg::Server(Server::new(Transport::Https {
        url,
        uses_get,
    })))
}

/// Fails unless a text is `HOST`, `HOST:PORT`, `[v6]` or `[v6]:PORT`.
fn check_authority(text: &str) -> Result<(), String> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (is_host, port) = if let Some((host, rest)) = bracketed {
        (host.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (!host.is_empty() && host.bytes().all(is_name), port)
    };
    match port.strip_prefix(':') {
        Some(port) if is_host => parse_port(port).map(drop),
        None if is_host && port.is_empty() => Ok(()),
        _ => Err("not a URL: the host is not a name or address".to_owned()),
    }
}

/// Parses the server `text`. `rest` is the part after `tls://`.
fn parse_tls(rest: &str, text: &str) -> Result<ServerArg, String> {
    let (server, certificate_name) = match rest.split_once('#') {
        Some((_, "")) => return Err("missing name after '#'".to_owned()),
        Some((server, name)) => (server, Some(name)),
        None => (rest, None),
    };
    if let Some(parsed) = parse_address(server, 853, text)? {
        let address = parsed.address;
        let name = certificate_name.map_or_else(|| address.ip().to_string(), str::to_owned);
        let transport = Transport::Tls { address, name };
        let server = Server::with_label(transport, parsed.label);
        return Ok(ServerArg::Server(server));
    }
    // A single colon precedes a port.
    if let Some((_, port)) = server.split_once(':')
        && !port.contains(':')
    {
        parse_port(port)?;
    }
    let (host, port) = match endpoint::parse(server) {
        Ok(endpoint) => (endpoint.host, endpoint.port),
        Err(_) => (endpoint::parse_host(server)?, 853),
    };
    match host {
        Host::Name(host) if port > 0 && certificate_name.is_none() => Ok(ServerArg::Named {
            host: zone::to_ascii(&host)?,
            port,
            text: text.to_owned(),
        }),
        _ => Err(format!("not a server; {FORMS}")),
    }
}

/// A socket address with its label, in which a zone is as typed.
struct LabeledAddress {
    address: SocketAddr,
    label: String,
}

/// Parses `IP`, `IP:PORT`, `[IP]` and `[IP]:PORT`, all of them with or without a
/// zone. Returns `None` for a text that may be a name. If the whole operand has a
/// scheme, the zone may follow `%25`, as in URLs (RFC 6874).
fn parse_address(
    text: &str,
    default_port: u16,
    operand: &str,
) -> Result<Option<LabeledAddress>, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, rest)) = rest.split_once(']') else {
                return Err("missing ']' after the IPv6 address; use [ADDR]:PORT".to_owned());
            };
            match rest.strip_prefix(':') {
                Some(port) => (host, parse_port(port)?),
                None if rest.is_empty() => (host, default_port),
                None => return Err(format!("not a server; {FORMS}")),
            }
        }
        // A single colon precedes a port, several are an IPv6 address.
        None => match text.split_once(':') {
            Some((host, rest)) if !rest.contains(':') => match host.parse::<IpAddr>() {
                Ok(_) => (host, parse_port(rest)?),
                Err(_) => return Ok(None),
            },
            _ => (text, default_port),
        },
    };
    let Some((ip, zone)) = host.split_once('%') else {
        return match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) if text.starts_with('[') => {
                Err("only IPv6 addresses may be in brackets".to_owned())
            }
            Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Err(format!(
                "a link-local server needs a zone, such as {ip}%eth0"
            )),
            Ok(ip) => {
                let address = SocketAddr::new(ip, port);
                let label = address.to_string();
                Ok(Some(LabeledAddress { address, label }))
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
    let (ip, scope) = parse_zoned(ip, zone)?;
    let address = SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope));
    let label = format!("[{ip}%{zone}]:{port}");
    Ok(Some(LabeledAddress { address, label }))
}

fn parse_port(text: &str) -> Result<u16, String> {
    match endpoint::parse_port(text) {
        Ok(0) => Err("the port is out of range; use 1 to 65535".to_owned()),
        // Port 0 is for sockets that listen.
        Err(why) => Err(why.replace("use 0 to", "use 1 to")),
        Ok(port) => Ok(port),
    }
}

/// Returns the address and the scope ID of `IP%ZONE`. The zone is the name or the
/// index of an interface.
pub(crate) fn parse_zoned(ip: &str, zone: &str) -> Result<(Ipv6Addr, u32), String> {
    let IpAddr::V6(ip) = address::parse(ip)? else {
        return Err("only IPv6 addresses have a zone".to_owned());
    };
    Ok((ip, zone::index(zone)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_checked() {
        for text in [
            "dns.test",
            "192.0.2.1:8443",
            "[2001:db8::1]",
            "[::1]:443",
            "a_b.test:1",
        ] {
            assert!(check_authority(text).is_ok(), "{text}");
        }
        for text in [
            "", ":443", "]]]", "[::1", "a:0", "a:x", "a#b", "u@a", "a:1:2", "[x]", "a%b",
        ] {
            assert!(check_authority(text).is_err(), "{text}");
        }
        assert!(parse("https://]]]#^x:]/dns-query").is_err());
    }

    #[test]
    fn a_zone_may_be_a_number() {
        for (text, scope) in [
            ("fe80::1%1", 1),
            ("fe80::1%25", 25),
            ("fe80::1%251", 251),
            ("[fe80::1%250]:54", 250),
            ("udp://[fe80::1%25251]", 251),
            ("tcp://[fe80::1%2525]", 25),
            ("tls://[fe80::1%25]:54", 25),
        ] {
            let Ok(ServerArg::Server(server)) = parse(text) else {
                panic!("{text}");
            };
            let (Transport::Udp(SocketAddr::V6(address))
            | Transport::Tcp(SocketAddr::V6(address))
            | Transport::Tls {
                address: SocketAddr::V6(address),
                ..
            }) = server.transport
            else {
                panic!("{text}");
            };
            assert_eq!(address.scope_id(), scope, "{text}");
        }
    }

    #[test]
    fn servers_have_many_forms() {
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
            let Ok(ServerArg::Server(server)) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!((&*server.label, server.protocol()), (shown, protocol));
        }
        assert_eq!(parse("system"), Ok(ServerArg::System));
        assert!(matches!(
            parse("tls://dns.test"),
            Ok(ServerArg::Named { port: 853, .. })
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

//! Endpoints on the command line: `HOST:PORT`, `[v6]:PORT`, `:PORT`.

use std::fmt;
use std::net::IpAddr;

use crate::address;

/// The host part of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An empty host: all local addresses, or this machine.
    Any,
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// A name to resolve.
    Name(String),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host before the port.
    pub host: Host,
    /// The port; a server with port 0 gets a free one from the system.
    pub port: u16,
}

/// Parses an endpoint; usable as a clap value parser. An IPv6 address needs
/// brackets, since `::1:80` is also an address.
pub fn parse(text: &str) -> Result<Endpoint, String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| "no ']' after the IPv6 address; use [ADDR]:PORT".to_owned())?;
        let port = rest
            .strip_prefix(':')
            .ok_or_else(|| "missing port; use [ADDR]:PORT".to_owned())?;
        match address::parse(host)? {
            v6 @ IpAddr::V6(_) => (Host::Address(v6), port),
            IpAddr::V4(_) => return Err("only IPv6 addresses may be in brackets".to_owned()),
        }
    } else {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| "missing port; use HOST:PORT".to_owned())?;
        if host.contains(':') {
            return Err("an IPv6 address needs brackets; use [ADDR]:PORT".to_owned());
        }
        (parse_host(host)?, port)
    };
    Ok(Endpoint {
        host,
        port: parse_port(port)?,
    })
}

/// Parses a host without a port: a name, or an address without brackets.
pub fn parse_host(text: &str) -> Result<Host, String> {
    if text.is_empty() {
        return Ok(Host::Any);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("not a host name: it contains white space or a control character".to_owned());
    }
    if let Ok(address) = text.parse() {
        return Ok(Host::Address(address));
    }
    if address::looks_numeric(text) {
        return address::parse(text).map(Host::Address);
    }
    if text.contains([':', '[', ']']) {
        return Err("not a host name: it contains a colon or bracket".to_owned());
    }
    Ok(Host::Name(text.to_owned()))
}

/// Parses a port: digits only, 0 to 65535.
pub fn parse_port(text: &str) -> Result<u16, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the port is not a number; use 0 to 65535".to_owned());
    }
    text.parse()
        .map_err(|_| "the port is out of range; use 0 to 65535".to_owned())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => write!(f, ":{}", self.port),
            Host::Address(IpAddr::V6(a)) => write!(f, "[{a}]:{}", self.port),
            Host::Address(a) => write!(f, "{a}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_survive_a_round_trip() {
        for text in ["localhost:80", "127.0.0.1:0", "[::1]:8080", ":65535"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_text_is_rejected() {
        for text in [
            "",
            "localhost",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[::1",
            "[127.0.0.1]:1",
            "a:65536",
            "a:+1",
            "a:",
            "a b:1",
            "a\u{1b}b:1",
            "a\u{a0}b:1",
            "127.1:80",
            "010.0.0.1:80",
            "a]:80",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

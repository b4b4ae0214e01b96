//! Servers as given on the command line and in `/etc/resolv.conf`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use common::address;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// UDP, TCP on truncation.
    Udp,
    /// TCP only.
    Tcp,
}

/// A DNS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Reads `IP`, `IP:PORT`, `[v6]:PORT`, with `udp://` or `tcp://` before it.
pub(crate) fn parse(text: &str) -> Result<Server, String> {
    let (protocol, rest) = match text.split_once("://") {
        None => (Protocol::Udp, text),
        Some(("udp", rest)) => (Protocol::Udp, rest),
        Some(("tcp", rest)) => (Protocol::Tcp, rest),
        Some((scheme @ ("tls" | "https"), _)) => {
            return Err(format!(
                "{scheme}:// servers are not supported yet; use udp:// or tcp://"
            ));
        }
        Some(_) => return Err("not a server; use IP[:PORT], udp:// or tcp://".to_owned()),
    };
    let address = if let Ok(ip) = rest.parse::<IpAddr>() {
        SocketAddr::new(ip, 53)
    } else if let Some(ip) = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
        SocketAddr::new(address::parse(ip)?, 53)
    } else {
        match rest.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => address,
            _ => return Err("not a server; use IP[:PORT], [v6]:PORT, udp:// or tcp://".to_owned()),
        }
    };
    Ok(Server { address, protocol })
}

/// What `/etc/resolv.conf` says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    pub(crate) servers: Vec<Server>,
    pub(crate) search: Vec<String>,
    /// Names with fewer dots are tried with the search list first.
    pub(crate) ndots: usize,
}

/// Reads the text of a `resolv.conf`; unknown lines are passed over, as libc
/// does. Without any server it is this machine's (resolv.conf(5)).
pub(crate) fn resolv_conf(text: &str) -> ResolvConf {
    let mut conf = ResolvConf {
        ndots: 1,
        ..ResolvConf::default()
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                // A zone index (fe80::1%eth0) is in SocketAddrV6's form too.
                let server = words.next().and_then(|w| {
                    w.parse::<IpAddr>()
                        .map(|ip| SocketAddr::new(ip, 53))
                        .or_else(|_| format!("[{w}]:53").parse())
                        .ok()
                });
                conf.servers.extend(server.map(|address| Server {
                    address,
                    protocol: Protocol::Udp,
                }));
            }
            Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
            Some("options") => {
                for word in words {
                    if let Some(n) = word.strip_prefix("ndots:").and_then(|n| n.parse().ok()) {
                        conf.ndots = std::cmp::min(n, 15);
                    }
                }
            }
            _ => {}
        }
    }
    if conf.servers.is_empty() {
        conf.servers.push(Server {
            address: SocketAddr::from(([127, 0, 0, 1], 53)),
            protocol: Protocol::Udp,
        });
    }
    conf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("udp://[2001:db8::1]:54", "[2001:db8::1]:54"),
            ("tcp://[::1]", "[::1]:53"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "localhost",
            "127.1",
            "1.2.3.4:0",
            "1.2.3.4:x",
            "tls://1.1.1.1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn resolv_conf_lines() {
        let conf = resolv_conf(
            "# x\nnameserver 192.0.2.1\nnameserver junk\nsearch a.test b.test\noptions ndots:2 rotate\n",
        );
        assert_eq!(conf.servers.len(), 1);
        assert_eq!(conf.search, ["a.test", "b.test"]);
        assert_eq!(conf.ndots, 2);
        assert_eq!(resolv_conf("").servers[0].to_string(), "127.0.0.1:53");
    }
}

//! `--resolve` and `--connect-to`: connecting to other addresses, or to another host and
//! port. Host and TLS still use the name in the URL.

use std::net::{IpAddr, SocketAddr};

use common::endpoint::parse_port;

/// A rule `HOST:PORT:ADDRESS[,ADDRESS…]`; `*` is any host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// A rule `HOST1:PORT1:HOST2:PORT2`; an empty part matches or keeps anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    from: (String, Option<u16>),
    to: (String, Option<u16>),
}

/// The rules of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The rules of `--resolve`.
    pub resolve: Vec<Resolve>,
    /// The rules of `--connect-to`.
    pub connect_to: Vec<ConnectTo>,
}

/// Splits off a host, which may be in brackets, and the colon after it.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            Some((host, rest.strip_prefix(':')?))
        }
        None => text.split_once(':'),
    }
}

fn parse_optional_port(text: &str) -> Result<Option<u16>, String> {
    match text {
        "" => Ok(None),
        text => parse_port(text).map(Some),
    }
}

/// Parses the value of `--resolve`. A leading `+`, which sets a timeout in curl, is
/// ignored.
pub fn parse_resolve(text: &str) -> Result<Resolve, String> {
    let usage = || "must be HOST:PORT:ADDRESS[,ADDRESS...]".to_owned();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (host, rest) = split_host(text).ok_or_else(usage)?;
    let (port, addresses) = rest.split_once(':').ok_or_else(usage)?;
    let addresses = addresses
        .split(',')
        .map(|a| common::address::parse(a.trim_matches(['[', ']'])))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Resolve {
        host: host.to_ascii_lowercase(),
        port: parse_port(port)?,
        addresses,
    })
}

/// Parses the value of `--connect-to`.
pub fn parse_connect_to(text: &str) -> Result<ConnectTo, String> {
    let usage = || "must be HOST1:PORT1:HOST2:PORT2".to_owned();
    let (from, rest) = split_host(text).ok_or_else(usage)?;
    let (from_port, rest) = rest.split_once(':').ok_or_else(usage)?;
    let (to, to_port) = split_host(rest).ok_or_else(usage)?;
    Ok(ConnectTo {
        from: (from.to_ascii_lowercase(), parse_optional_port(from_port)?),
        to: (to.to_owned(), parse_optional_port(to_port)?),
    })
}

impl Routes {
    /// Returns the addresses that a rule gives to a host and port.
    pub fn resolve(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let host = host.to_ascii_lowercase();
        // The last rule wins, and a rule for the name takes precedence over `*`.
        let rule = |name: &str| {
            let mut rules = self.resolve.iter().rev();
            rules.find(|rule| rule.host == name && rule.port == port)
        };
        let rule = rule(&host).or_else(|| rule("*"))?;
        let addresses = rule.addresses.iter();
        Some(addresses.map(|&a| SocketAddr::new(a, port)).collect())
    }

    /// Returns the host and port to connect to.
    pub fn connect_to(&self, host: &str, port: u16) -> (String, u16) {
        let matches = |rule: &&ConnectTo| {
            (rule.from.0.is_empty() || rule.from.0.eq_ignore_ascii_case(host))
                && rule.from.1.is_none_or(|from| from == port)
        };
        match self.connect_to.iter().find(matches) {
            None => (host.to_owned(), port),
            Some(rule) => {
                let to = if rule.to.0.is_empty() {
                    host
                } else {
                    &rule.to.0
                };
                (to.to_owned(), rule.to.1.unwrap_or(port))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_resolved_by_rules() {
        let routes = Routes {
            resolve: ["A.test:80:192.0.2.1,[2001:db8::1]", "*:443:192.0.2.9"]
                .map(|text| parse_resolve(text).unwrap())
                .to_vec(),
            ..Routes::default()
        };
        let found = routes.resolve("a.TEST", 80).unwrap();
        assert_eq!(found[0].to_string(), "192.0.2.1:80");
        assert_eq!(found[1].to_string(), "[2001:db8::1]:80");
        assert_eq!(routes.resolve("a.test", 81), None);
        assert!(routes.resolve("b.test", 443).is_some());
        for bad in ["a.test", "a.test:80", "a.test:x:1.2.3.4", "a.test:80:1.2"] {
            assert!(parse_resolve(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn connections_are_redirected_by_rules() {
        let routes = Routes {
            connect_to: ["a.test:80:b.test:81", "::[::1]:"]
                .map(|text| parse_connect_to(text).unwrap())
                .to_vec(),
            ..Routes::default()
        };
        assert_eq!(routes.connect_to("a.test", 80), ("b.test".into(), 81));
        assert_eq!(routes.connect_to("a.test", 443), ("::1".into(), 443));
        assert!(parse_connect_to("a:1:b").is_err());
    }
}

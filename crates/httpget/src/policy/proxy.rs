//! The choice of a proxy for a request.
//!
//! Options (`-x`, `--noproxy`) override the environment. There, the variable of the
//! scheme overrides ALL_PROXY. `http_proxy` is read in lower case only, since a CGI
//! program gets the header `Proxy:` of its client as HTTP_PROXY.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::request_url;

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP, with absolute-form for http and CONNECT for https.
    Http,
    /// HTTP over TLS, otherwise like `Http`.
    Https,
    /// SOCKS 4, with names resolved by the client; IPv4 only.
    Socks4,
    /// SOCKS 4a, with names resolved by the proxy.
    Socks4a,
    /// SOCKS 5, with names resolved by the client.
    Socks5,
    /// SOCKS 5, with names resolved by the proxy.
    Socks5h,
}

/// A proxy server with its login.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The protocol to use.
    pub protocol: Protocol,
    /// The name or address, without brackets.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// The user and the password.
    pub user: Option<(String, String)>,
}

/// Leaves out the login.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("protocol", &self.protocol)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Parses `[SCHEME://][USER:PASSWORD@]HOST[:PORT]`. The default scheme is http; the
/// default port is 1080, as in curl, and 443 for https.
pub fn parse(text: &str) -> Result<Proxy, String> {
    let bad =
        |why: &str| format!("{why}; use [http|https|socks4|socks4a|socks5|socks5h]://HOST:PORT");
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (protocol, port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (Protocol::Http, 1080),
        "https" => (Protocol::Https, 443),
        "socks4" => (Protocol::Socks4, 1080),
        "socks4a" => (Protocol::Socks4a, 1080),
        "socks5" => (Protocol::Socks5, 1080),
        "socks5h" | "socks" => (Protocol::Socks5h, 1080),
        _ => return Err(bad("unknown scheme")),
    };
    // Use the URL parser, so that authorities are read the same way.
    let url = url::Url::parse(&format!("http://{rest}")).map_err(|e| bad(&e.to_string()))?;
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| bad("missing host"))?;
    let names_port_80 = rest
        .rsplit_once('@')
        .map_or(rest, |(_, host)| host)
        .trim_end_matches('/')
        .ends_with(":80");
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = (!url.username().is_empty() || url.password().is_some())
        .then(|| (decode(url.username()), decode(url.password().unwrap_or(""))));
    Ok(Proxy {
        protocol,
        host: host.trim_matches(['[', ']']).to_owned(),
        // `url` drops port 80, the default of http.
        port: url.port().unwrap_or(if names_port_80 { 80 } else { port }),
        user,
    })
}

/// An entry of NO_PROXY.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NoProxyEntry {
    Everything,
    Network(IpNet),
    /// A domain with its subdomains, and a port if one is given.
    Domain(String, Option<u16>),
}

/// The hosts that need no proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<NoProxyEntry>);

impl NoProxy {
    /// Parses a list of names, addresses, networks and `*`, separated by commas or white
    /// space. An invalid entry matches nothing.
    pub fn parse(text: &str) -> Self {
        let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        Self(words.map(parse_entry).collect())
    }

    /// Whether requests to `host` (without brackets) at `port` need no proxy.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|entry| match entry {
            NoProxyEntry::Everything => true,
            NoProxyEntry::Network(network) => address.is_some_and(|address| {
                network.contains(&address)
                    || matches!(address, IpAddr::V6(v6) if v6
                        .to_ipv4_mapped()
                        .is_some_and(|v4| network.contains(&IpAddr::V4(v4))))
            }),
            NoProxyEntry::Domain(domain, only) => {
                let is_within = host
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                is_within && only.is_none_or(|only| only == port)
            }
        })
    }
}

fn parse_entry(word: &str) -> NoProxyEntry {
    if word == "*" {
        return NoProxyEntry::Everything;
    }
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    if let Ok(network) = bare.parse::<IpNet>() {
        return NoProxyEntry::Network(network);
    }
    if let Ok(address) = bare.parse::<IpAddr>() {
        return NoProxyEntry::Network(address.into());
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name, port.parse().ok())
        }
        _ => (word, None),
    };
    let name = name.trim_start_matches("*.").trim_matches(['.', '[', ']']);
    NoProxyEntry::Domain(name.to_ascii_lowercase(), port)
}

/// The proxies by their source.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The proxy of `-x`; the inner `None` disables all proxies (`-x ''`).
    pub option: Option<Option<Proxy>>,
    /// The proxy of `http_proxy`.
    pub http: Option<Proxy>,
    /// The proxy of `https_proxy` or `HTTPS_PROXY`.
    pub https: Option<Proxy>,
    /// The proxy of `all_proxy` or `ALL_PROXY`.
    pub all: Option<Proxy>,
    /// The hosts of `--noproxy`, `no_proxy` or `NO_PROXY`.
    pub no_proxy: NoProxy,
}

impl Proxies {
    /// Returns the proxy for a request to `host` (without brackets) at `port`.
    pub fn choose(&self, scheme: &str, host: &str, port: u16) -> Option<&Proxy> {
        if self.no_proxy.covers(host, port) {
            return None;
        }
        if let Some(option) = &self.option {
            return option.as_ref();
        }
        // Names of this host need no proxy of the environment.
        if request_url::is_localhost(host) {
            return None;
        }
        let own = match scheme {
            "http" => &self.http,
            _ => &self.https,
        };
        own.as_ref().or(self.all.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn proxies_are_parsed() {
        let proxy = parse("http://us%40er:p%3Aw@[::1]:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 3128));
        assert_eq!(proxy.user, Some(("us@er".into(), "p:w".into())));
        assert!(!format!("{proxy:?}").contains("p:w"));
        for (text, protocol, port) in [
            ("proxy.test", Protocol::Http, 1080),
            ("proxy.test:80", Protocol::Http, 80),
            ("https://proxy.test", Protocol::Https, 443),
            ("SOCKS5h://proxy.test:9050", Protocol::Socks5h, 9050),
            ("socks4a://proxy.test", Protocol::Socks4a, 1080),
        ] {
            let proxy = parse(text).unwrap();
            assert_eq!((proxy.protocol, proxy.port), (protocol, port), "{text}");
        }
        assert!(parse("ftp://x").is_err());
        assert!(parse("http://").is_err());
    }

    #[test]
    fn hosts_without_a_proxy_are_matched() {
        let no_proxy = NoProxy::parse("example.com, .corp.test 10.0.0.0/8,::1,a.test:8080");
        for (host, port, covered) in [
            ("example.com", 80, true),
            ("www.Example.com.", 80, true),
            ("notexample.com", 80, false),
            ("corp.test", 80, true),
            ("x.corp.test", 443, true),
            ("10.1.2.3", 80, true),
            ("::ffff:10.1.2.3", 80, true),
            ("11.1.2.3", 80, false),
            ("::1", 80, true),
            ("a.test", 8080, true),
            ("a.test", 80, false),
        ] {
            assert_eq!(no_proxy.covers(host, port), covered, "{host}:{port}");
        }
        assert!(NoProxy::parse("*").covers("x", 1));
        assert!(!NoProxy::parse("").covers("x", 1));
    }

    #[test]
    fn options_override_the_environment() {
        let proxy = |name: &str| Some(parse(name).unwrap());
        let mut proxies = Proxies {
            http: proxy("h"),
            all: proxy("a"),
            ..Proxies::default()
        };
        let host = |p: &Proxies, scheme: &str| p.choose(scheme, "x", 80).map(|p| p.host.clone());
        assert_eq!(host(&proxies, "http").as_deref(), Some("h"));
        assert_eq!(host(&proxies, "https").as_deref(), Some("a"));
        proxies.option = Some(proxy("o"));
        assert_eq!(host(&proxies, "http").as_deref(), Some("o"));
        proxies.option = Some(None);
        assert_eq!(host(&proxies, "http"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
            let _ = NoProxy::parse(&text).covers(&text, 80);
        }
    }
}

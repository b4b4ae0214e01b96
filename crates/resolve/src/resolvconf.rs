//! `/etc/resolv.conf` (resolv.conf(5)), as far as asking DNS servers needs it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::server::{Server, Way};

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    pub(crate) servers: Vec<Server>,
    pub(crate) search: Vec<String>,
    /// Names with fewer dots are tried with the search list first.
    pub(crate) ndots: usize,
    /// How long one server may be silent, where the file says so.
    pub(crate) timeout: Option<Duration>,
    /// How often each server is asked, where the file says so.
    pub(crate) attempts: Option<u32>,
    /// Begin with another server for each name.
    pub(crate) rotate: bool,
    /// Ask over TCP.
    pub(crate) tcp: bool,
}

/// Reads the text of a `resolv.conf`; unknown lines are passed over, as libc
/// does. Without any server it is this machine's.
pub(crate) fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: None,
        attempts: None,
        rotate: false,
        tcp: false,
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
                // libc's limit.
                if conf.servers.len() < 3 {
                    conf.servers
                        .extend(server.map(|address| Server::at(Way::Udp(address))));
                }
            }
            Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
            Some("options") => words.for_each(|word| option(&mut conf, word)),
            _ => {}
        }
    }
    if conf.servers.is_empty() {
        let address = SocketAddr::from(([127, 0, 0, 1], 53));
        conf.servers.push(Server::at(Way::Udp(address)));
    }
    conf
}

/// One word of an `options` line; limits are libc's.
fn option(conf: &mut ResolvConf, word: &str) {
    let (name, value) = word.split_once(':').unwrap_or((word, ""));
    let number = value.parse::<u32>().ok();
    match (name, number) {
        ("ndots", Some(n)) => conf.ndots = n.min(15) as usize,
        ("timeout", Some(n)) => {
            conf.timeout = Some(Duration::from_secs(u64::from(n.clamp(1, 30))));
        }
        ("attempts", Some(n)) => conf.attempts = Some(n.clamp(1, 5)),
        ("rotate", _) => conf.rotate = true,
        ("use-vc", _) => conf.tcp = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let conf = parse(
            "# x\nnameserver 192.0.2.1\nnameserver junk\nsearch a.test b.test\n\
             options ndots:2 rotate timeout:99 attempts:0 edns0\n; y\noptions use-vc\n",
        );
        assert_eq!(conf.servers.len(), 1);
        assert_eq!(conf.search, ["a.test", "b.test"]);
        assert_eq!((conf.ndots, conf.attempts), (2, Some(1)));
        assert_eq!(conf.timeout, Some(Duration::from_secs(30)));
        assert!(conf.rotate && conf.tcp);
        assert_eq!(&*parse("").servers[0].label, "127.0.0.1:53");
        let many = "nameserver ::1\n".repeat(5);
        assert_eq!(parse(&many).servers.len(), 3);
    }
}

//! The parts of `/etc/resolv.conf` (resolv.conf(5)) that matter for asking DNS
//! servers directly.
//!
//! The crate `resolv-conf` rejects a file with an unknown directive or an invalid
//! address. libc ignores such lines, and so does this parser, which reports the servers
//! that it ignores.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::{Error, Kind, Result};

use crate::server::{self, Server, ServerArg, Transport};

/// The path of the file.
pub(crate) const PATH: &str = "/etc/resolv.conf";

/// The maximum number of `nameserver` lines that libc uses.
const MAX_SERVERS: usize = 3;

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    pub(crate) servers: Vec<Server>,
    pub(crate) search: Vec<String>,
    /// Names with fewer dots are tried with the search list first.
    pub(crate) ndots: usize,
    /// The time for one attempt, if the file sets it.
    pub(crate) timeout: Option<Duration>,
    /// The number of attempts per server, if the file sets it.
    pub(crate) attempts: Option<u32>,
    /// Whether each lookup starts with the next server.
    pub(crate) rotate: bool,
    /// Whether to use TCP only.
    pub(crate) tcp: bool,
    /// The servers that cannot be used, each with the reason.
    pub(crate) skipped: Vec<String>,
}

/// The number of bytes after which the file is truncated.
const MAX_SIZE: u64 = 1 << 20;

/// Reads the file. If it does not exist, this machine is the only server.
pub(crate) fn load() -> Result<ResolvConf> {
    let mut bytes = Vec::new();
    match std::fs::File::open(PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        file => {
            let read = file.and_then(|file| file.take(MAX_SIZE).read_to_end(&mut bytes));
            read.map_err(|error| Error::local(&error).with_subject(PATH))?;
        }
    }
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Fails if none of the servers in the file can be used: that is not a reason to
/// ask a server that the file does not name.
pub(crate) fn require_server(conf: &ResolvConf) -> Result<()> {
    match conf.skipped.last() {
        Some(why) if conf.servers.is_empty() => {
            Err(Error::new(Kind::Input, why.as_str()).with_subject(PATH))
        }
        _ => Ok(()),
    }
}

/// Parses the text of a `resolv.conf`. Ignores unknown lines, as libc does. If it
/// names no server, this machine is the server.
pub(crate) fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: None,
        attempts: None,
        rotate: false,
        tcp: false,
        skipped: Vec::new(),
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                let Some(word) = words.next() else { continue };
                if conf.servers.len() < MAX_SERVERS {
                    match parse_nameserver(word) {
                        Ok(server) => conf.servers.push(server),
                        Err(why) => conf.skipped.push(format!("nameserver {word}: {why}")),
                    }
                }
            }
            Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
            Some("options") => words.for_each(|word| apply_option(&mut conf, word)),
            _ => {}
        }
    }
    if conf.servers.is_empty() && conf.skipped.is_empty() {
        let address = SocketAddr::from(([127, 0, 0, 1], 53));
        conf.servers.push(Server::new(Transport::Udp(address)));
    }
    conf
}

/// Parses an address with or without a zone.
fn parse_nameserver(word: &str) -> Result<Server, String> {
    let (ip, _zone) = word.split_once('%').unwrap_or((word, ""));
    let is_address = ip.parse::<IpAddr>().is_ok();
    match server::parse(word) {
        Ok(ServerArg::Server(server)) if is_address => Ok(server),
        Err(why) if is_address => Err(why),
        _ => Err("not an address".to_owned()),
    }
}

/// Applies one word of an `options` line, within libc's limits.
fn apply_option(conf: &mut ResolvConf, word: &str) {
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
    fn every_kind_of_line_is_parsed() {
        let conf = parse(
            "# x\nnameserver 192.0.2.1\nnameserver junk\nsearch a.test b.test\n\
             options ndots:2 rotate timeout:99 attempts:0 edns0\n; y\noptions use-vc\n",
        );
        assert_eq!(conf.servers.len(), 1);
        assert_eq!(conf.skipped, ["nameserver junk: not an address"]);
        assert_eq!(conf.search, ["a.test", "b.test"]);
        assert_eq!((conf.ndots, conf.attempts), (2, Some(1)));
        assert_eq!(conf.timeout, Some(Duration::from_secs(30)));
        assert!(conf.rotate && conf.tcp);
        assert_eq!(&*parse("").servers[0].label, "127.0.0.1:53");
        let zones = parse("nameserver fe80::1%lo\nnameserver fe80::2%99\nnameserver fe80::3%no0");
        let shown: Vec<&str> = zones.servers.iter().map(|s| &*s.label).collect();
        assert_eq!(shown, ["[fe80::1%lo]:53", "[fe80::2%99]:53"]);
        assert_eq!(
            zones.skipped,
            ["nameserver fe80::3%no0: no network interface named no0"]
        );
        for word in ["::1:53x", "tls://fe80::1%lo", "[fe80::1%lo]:5353", "x%lo"] {
            assert!(parse(&format!("nameserver {word}")).servers.is_empty());
        }
        let many = "nameserver ::1\n".repeat(5);
        assert_eq!(parse(&many).servers.len(), 3);
    }
}

//! The operands: the target, and the message.
//!
//! The first word decides between `HOST:PORT [MESSAGE]`, `HOST PORT [MESSAGE]`
//! and `unix:PATH [MESSAGE]`: if it is an endpoint by itself, the second word
//! is the message, even if it is a number.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use common::endpoint::{self, Endpoint, Host};
use common::{Error, Result, zone};
use socket2::SockAddr;

/// The peer to connect to, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A host and a port, and the zone of a link-local address.
    Inet(Endpoint, Option<String>),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The name of a Unix socket in the abstract namespace of Linux.
    Abstract(Vec<u8>),
}

impl Target {
    /// Returns the address of a Unix socket, or `None` for a host.
    pub(crate) fn unix(&self) -> Option<io::Result<SockAddr>> {
        match self {
            Self::Inet(..) => None,
            Self::Unix(path) => Some(unix_address(path)),
            Self::Abstract(name) => {
                let name = [&b"\0"[..], name].concat();
                Some(unix_address(Path::new(OsStr::from_bytes(&name))))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(endpoint, None) => endpoint.fmt(f),
            Self::Inet(endpoint, Some(zone)) => {
                let text = endpoint.to_string();
                let (address, port) = text.rsplit_once(']').unwrap_or((&text, ""));
                write!(f, "{address}%{zone}]{port}")
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// Returns the address of a path. The only error is a path that is too long.
fn unix_address(path: &Path) -> io::Result<SockAddr> {
    SockAddr::unix(path).map_err(|_| {
        let text = "the path is too long for a Unix socket; use a shorter one";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Parses the operands: the target and, if given, the bytes of the message.
pub(crate) fn operands(words: &[OsString]) -> Result<(Target, Option<Vec<u8>>)> {
    let (target, rest) = match words {
        [] => return Err(Error::usage("missing HOST:PORT")),
        [first, rest @ ..] => match (first.as_bytes().strip_prefix(b"unix:"), rest) {
            (Some([] | [b'@']), _) => {
                return Err(input(first, "missing path; use unix:PATH or unix:@NAME"));
            }
            (Some([b'@', name @ ..]), _) => (Target::Abstract(name.to_vec()), rest),
            (Some(path), _) => (Target::Unix(OsStr::from_bytes(path).into()), rest),
            (None, _) => inet(first, rest)?,
        },
    };
    match rest {
        [] => Ok((target, None)),
        [message] => Ok((target, Some(message.clone().into_vec()))),
        [_, extra, ..] => {
            let why = "unexpected operand after the message; quote a message with spaces";
            Err(Error::usage(why).with_subject(extra.to_string_lossy()))
        }
    }
}

/// Parses `HOST:PORT` or `HOST PORT`; also returns the words after it.
fn inet<'a>(first: &OsStr, rest: &'a [OsString]) -> Result<(Target, &'a [OsString])> {
    let text = first
        .to_str()
        .ok_or_else(|| input(first, "not a host name: not valid UTF-8"))?;
    let invalid = |why: &str| input(first, why);
    if text.trim().is_empty() {
        // An empty host would be this machine, which an unset variable of a
        // script does not mean.
        let why = "the target is empty; use HOST:PORT, or :PORT for this machine";
        return Err(invalid(why));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let why = match scheme {
            "udp" => "this is a URL; use --udp HOST:PORT",
            _ => "this is a URL; use HOST:PORT",
        };
        return Err(invalid(why));
    }
    let (plain, zone) = zone::split(text);
    let (endpoint, rest) = match (endpoint::parse(&plain), rest) {
        (Ok(endpoint), _) => (endpoint, rest),
        (Err(_), [port, rest @ ..]) if is_number(port) => {
            let host = plain
                .strip_prefix('[')
                .and_then(|t| t.strip_suffix(']'))
                .unwrap_or(&plain);
            let host = endpoint::parse_host(host).map_err(|why| invalid(&why))?;
            let number = port.to_string_lossy();
            let port =
                endpoint::parse_port(&number).map_err(|why| input(port, &without_port_0(&why)))?;
            (Endpoint { host, port }, rest)
        }
        (Err(_), []) if is_number(first) => {
            return Err(invalid(&format!(
                "missing host before the port; use :{text} for this machine"
            )));
        }
        (Err(why), _) => {
            let why = why.replace("use HOST:PORT", "use HOST:PORT or HOST PORT");
            return Err(invalid(&without_port_0(&why)));
        }
    };
    if endpoint.port == 0 {
        return Err(invalid("the port must be from 1 to 65535"));
    }
    let zone = match (zone, &endpoint.host) {
        (None, _) => None,
        (Some(zone), Host::Address(address)) if zone::is_needed(*address) => {
            zone::index(zone).map_err(|why| invalid(&why))?;
            Some(zone.to_owned())
        }
        (Some(_), _) => {
            return Err(invalid(
                "only IPv6 link-local and multicast addresses have a zone; use --interface",
            ));
        }
    };
    match &endpoint.host {
        Host::Name(name) if name == "*" => {
            return Err(invalid(
                "cannot connect to a wildcard address; use :PORT for this machine",
            ));
        }
        // The lookup uses the ASCII form; messages show the name as given.
        Host::Name(name) => drop(zone::to_ascii(name).map_err(|why| invalid(&why))?),
        Host::Any | Host::Address(_) => {}
    }
    Ok((Target::Inet(endpoint, zone), rest))
}

/// Removes port 0, which cannot be connected to, from a hint.
fn without_port_0(why: &str) -> String {
    why.replace("0 to 65535", "1 to 65535")
}

fn is_number(word: &OsStr) -> bool {
    !word.is_empty() && word.as_bytes().iter().all(u8::is_ascii_digit)
}

fn input(word: &OsStr, why: &str) -> Error {
    Error::input(word.to_string_lossy(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<(String, Option<Vec<u8>>)> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        operands(&words).map(|(target, message)| (target.to_string(), message))
    }

    #[test]
    fn the_first_word_decides_the_form() {
        for (words, target, message) in [
            (&["localhost:80"][..], "localhost:80", None),
            (&["localhost:80", "90"], "localhost:80", Some("90")),
            (&["localhost", "80"], "localhost:80", None),
            (&["localhost", "80", "90"], "localhost:80", Some("90")),
            (&["::1", "80", ""], "[::1]:80", Some("")),
            (&["[::1]", "80"], "[::1]:80", None),
            (&["[::1]:80", "x"], "[::1]:80", Some("x")),
            (&[":80"], ":80", None),
            (&["unix:/run/echo", "80"], "unix:/run/echo", Some("80")),
            (&["unix:@echo"], "unix:@echo", None),
            (&["[fe80::1%lo]:80"], "[fe80::1%lo]:80", None),
            (&["fe80::1%lo", "80"], "[fe80::1%lo]:80", None),
            (&["b\u{fc}cher.test:80"], "b\u{fc}cher.test:80", None),
            (&["localhost:80", "-"], "localhost:80", Some("-")),
            (&["localhost:80", "@file"], "localhost:80", Some("@file")),
        ] {
            let (shown, body) = read(words).unwrap();
            assert_eq!(shown, target, "{words:?}");
            assert_eq!(body.as_deref(), message.map(str::as_bytes), "{words:?}");
        }
    }

    #[test]
    fn invalid_operands_are_refused() {
        for (words, why) in [
            (
                &["localhost"][..],
                "localhost: missing port; use HOST:PORT or HOST PORT",
            ),
            (
                &["localhost", "hello"],
                "localhost: missing port; use HOST:PORT or HOST PORT",
            ),
            (
                &["localhost", "65536"],
                "65536: the port is out of range; use 1 to 65535",
            ),
            (
                &["127.1", "80"],
                "127.1: not an address: IPv4 needs four numbers, this has 2",
            ),
            (
                &["localhost:0"],
                "localhost:0: the port must be from 1 to 65535",
            ),
            (
                &["unix:"],
                "unix:: missing path; use unix:PATH or unix:@NAME",
            ),
            (
                &["unix:@"],
                "unix:@: missing path; use unix:PATH or unix:@NAME",
            ),
            (
                &["tcp://127.0.0.1:7"],
                "tcp://127.0.0.1:7: this is a URL; use HOST:PORT",
            ),
            (
                &["udp://127.0.0.1:7", "x"],
                "udp://127.0.0.1:7: this is a URL; use --udp HOST:PORT",
            ),
            (
                &["8080"],
                "8080: missing host before the port; use :8080 for this machine",
            ),
            (
                &["*:8080"],
                "*:8080: cannot connect to a wildcard address; use :PORT for this machine",
            ),
            (
                &["[fe80::1%no-such-if]:80"],
                "[fe80::1%no-such-if]:80: no network interface named no-such-if",
            ),
            (
                &["127.0.0.1%lo:80"],
                "127.0.0.1%lo:80: only IPv6 link-local and multicast addresses have a zone; use \
                 --interface",
            ),
            (
                &["\u{ad}:80"],
                "\u{ad}:80: not a valid internationalized name (UTS 46)",
            ),
            (
                &["[28*", "81"],
                "[28*: not a host name: it contains a colon or bracket",
            ),
            (
                &["localhost:80", "a", "b"],
                "b: unexpected operand after the message; quote a message with spaces",
            ),
        ] {
            assert_eq!(read(words).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn a_message_may_be_invalid_utf8() {
        let words = [
            OsString::from("localhost:80"),
            OsString::from_vec(vec![0xff, 0xfe]),
        ];
        assert_eq!(operands(&words).unwrap().1, Some(vec![0xff, 0xfe]));
    }
}

//! The operands: who to talk to, and what to say.
//!
//! `HOST:PORT [MESSAGE]`, `HOST PORT [MESSAGE]` and `unix:PATH [MESSAGE]` are
//! told apart by the first word: if it is an endpoint by itself, the second
//! is the message, even if it is a number.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use common::endpoint::{self, Endpoint};
use common::{Error, Result};

/// Who to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A host and a port.
    Inet(Endpoint),
    /// A socket of the local domain.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(endpoint) => endpoint.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads the operands: the target and, if one is given, the message's bytes.
pub(crate) fn operands(words: &[OsString]) -> Result<(Target, Option<Vec<u8>>)> {
    let (target, rest) = match words {
        [] => return Err(Error::usage("HOST:PORT is missing")),
        [first, rest @ ..] => match (first.as_bytes().strip_prefix(b"unix:"), rest) {
            (Some([]), _) => return Err(input(first, "no path; use unix:PATH")),
            (Some(path), _) => (Target::Unix(OsStr::from_bytes(path).into()), rest),
            (None, _) => inet(first, rest)?,
        },
    };
    match rest {
        [] => Ok((target, None)),
        [message] => Ok((target, Some(message.clone().into_vec()))),
        [_, extra, ..] => Err(Error::usage("one message only; quote it if it has blanks")
            .about(extra.to_string_lossy())),
    }
}

fn inet<'a>(first: &OsStr, rest: &'a [OsString]) -> Result<(Target, &'a [OsString])> {
    let text = first
        .to_str()
        .ok_or_else(|| input(first, "not a host name: no UTF-8"))?;
    let (endpoint, rest) = match (endpoint::parse(text), rest) {
        (Ok(endpoint), _) => (endpoint, rest),
        (Err(_), [port, rest @ ..]) if is_number(port) => {
            let host = text
                .strip_prefix('[')
                .and_then(|t| t.strip_suffix(']'))
                .unwrap_or(text);
            let host = endpoint::parse_host(host).map_err(|why| input(first, &why))?;
            let number = port.to_string_lossy();
            let port = endpoint::parse_port(&number).map_err(|why| input(port, &why))?;
            (Endpoint { host, port }, rest)
        }
        (Err(why), _) => {
            let why = why.replace("use HOST:PORT", "use HOST:PORT or HOST PORT");
            return Err(input(first, &why));
        }
    };
    if endpoint.port == 0 {
        return Err(input(
            first,
            "port 0 is no port to connect to; use 1 to 65535",
        ));
    }
    Ok((Target::Inet(endpoint), rest))
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
    fn forms() {
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
        ] {
            let (got, said) = read(words).unwrap();
            assert_eq!(got, target, "{words:?}");
            assert_eq!(said.as_deref(), message.map(str::as_bytes), "{words:?}");
        }
    }

    #[test]
    fn refused() {
        for (words, why) in [
            (
                &["localhost"][..],
                "localhost: no port; use HOST:PORT or HOST PORT",
            ),
            (
                &["localhost", "hello"],
                "localhost: no port; use HOST:PORT or HOST PORT",
            ),
            (
                &["localhost", "65536"],
                "65536: port out of range; use 0 to 65535",
            ),
            (
                &["127.1", "80"],
                "127.1: not an address: IPv4 needs four numbers, this has 2",
            ),
            (
                &["localhost:0"],
                "localhost:0: port 0 is no port to connect to; use 1 to 65535",
            ),
            (&["unix:"], "unix:: no path; use unix:PATH"),
            (
                &["[28*", "81"],
                "[28*: not a host name: colon or bracket inside",
            ),
            (
                &["localhost:80", "a", "b"],
                "b: one message only; quote it if it has blanks",
            ),
        ] {
            assert_eq!(read(words).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn messages_need_no_utf8() {
        let words = [
            OsString::from("localhost:80"),
            OsString::from_vec(vec![0xff, 0xfe]),
        ];
        assert_eq!(operands(&words).unwrap().1, Some(vec![0xff, 0xfe]));
    }
}

//! Questions for libc's getaddrinfo and getnameinfo, and its answers.
//!
//! Canonical names are never requested: libc returns them as bytes, and the
//! binding panics if they are not UTF-8.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;

use common::Kind;
use common::address::Family;
use dns_lookup::{AddrInfoHints, getaddrinfo};
use domain::base::iana::{OptRcode, Rtype};

use crate::answer::Status;
use crate::lookup::{DisplayRecord, Failure, Lookup, QueryType, Source};
use crate::sys;

/// EAI_ADDRFAMILY and EAI_NODATA of `netdb.h`; the libc crate lacks one of them on each
/// system.
#[cfg(target_os = "linux")]
const EAI_ADDRFAMILY: i32 = -9;
#[cfg(target_os = "linux")]
const EAI_NODATA: i32 = libc::EAI_NODATA;
#[cfg(not(target_os = "linux"))]
const EAI_ADDRFAMILY: i32 = 1;
#[cfg(not(target_os = "linux"))]
const EAI_NODATA: i32 = 7;

/// A question for libc.
#[derive(Clone, Debug)]
pub(crate) enum SystemQuestion {
    /// The addresses of a name.
    Forward(String, Family),
    /// The name of an address.
    Reverse(IpAddr),
}

impl SystemQuestion {
    /// Returns the type that is requested.
    pub(crate) fn query_type(&self) -> QueryType {
        match self {
            Self::Forward(_, Family::Any) => QueryType::Addresses,
            Self::Forward(_, Family::V4) => QueryType::Type(Rtype::A),
            Self::Forward(_, Family::V6) => QueryType::Type(Rtype::AAAA),
            Self::Reverse(_) => QueryType::Type(Rtype::PTR),
        }
    }

    /// Creates the result of this lookup.
    pub(super) fn lookup(&self, answer: SystemAnswer) -> Lookup {
        let mut lookup = match answer {
            Ok(records) => Lookup::found(self.query_type(), records),
            Err((status, failure)) => Lookup::failed(self.query_type(), status, failure),
        };
        lookup.source = Source::System;
        lookup.query_name = match self {
            Self::Forward(name, _) => Some(name.clone()),
            Self::Reverse(_) => None,
        };
        lookup
    }
}

/// The values in libc's order, or a status with the reason.
pub(super) type SystemAnswer = Result<Vec<DisplayRecord>, (Status, Option<Failure>)>;

/// Returns the status and the message of a timeout.
pub(super) fn timed_out(message: &str) -> (Status, Option<Failure>) {
    let failure = Failure {
        kind: Kind::Timeout,
        message: message.to_owned(),
    };
    (Status::Timeout, Some(failure))
}

/// Calls libc and waits for its answer.
pub(super) fn ask(question: &SystemQuestion) -> SystemAnswer {
    match question {
        SystemQuestion::Forward(name, family) => {
            let hints = AddrInfoHints {
                flags: 0,
                address: match family {
                    Family::Any => 0,
                    Family::V4 => libc::AF_INET,
                    Family::V6 => libc::AF_INET6,
                },
                // One entry per address instead of one per socket type.
                socktype: libc::SOCK_STREAM,
                protocol: 0,
            };
            let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|e| {
                let code = e.error_num();
                let error = (code == libc::EAI_SYSTEM).then(|| io::Error::from(e));
                status_of_code(code, error.as_ref())
            })?;
            let addresses: Vec<DisplayRecord> = found
                .filter_map(Result::ok)
                .map(|info| match info.sockaddr.ip() {
                    IpAddr::V4(a) => record(name, Rtype::A, a.to_string()),
                    IpAddr::V6(a) => record(name, Rtype::AAAA, a.to_string()),
                })
                .collect();
            if addresses.is_empty() {
                return Err((Status::NoData, None));
            }
            Ok(addresses)
        }
        SystemQuestion::Reverse(address) => {
            let name = sys::host_name(*address)
                .map_err(|(code, error)| status_of_code(code, error.as_ref()))?;
            let owner = address.to_string();
            Ok(vec![record(&owner, Rtype::PTR, escape_name(&name))])
        }
    }
}

fn record(name: &str, rtype: Rtype, data: String) -> DisplayRecord {
    DisplayRecord {
        name: name.to_owned(),
        rtype,
        ttl: None,
        data,
        is_value: true,
    }
}

/// Escapes bytes that are not printable as `\DDD`: a name from libc is not always
/// a valid host name.
fn escape_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for &byte in name {
        if (0x21..0x7f).contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:03}");
        }
    }
    text
}

/// Converts an `EAI_*` code of libc to a status. `error` is the system's error for
/// `EAI_SYSTEM`.
fn status_of_code(code: i32, error: Option<&io::Error>) -> (Status, Option<Failure>) {
    let failure = |kind, message: &str| {
        Some(Failure {
            kind,
            message: message.to_owned(),
        })
    };
    match code {
        libc::EAI_NONAME => (Status::NoSuchName, None),
        EAI_NODATA | EAI_ADDRFAMILY => (Status::NoData, None),
        libc::EAI_AGAIN => timed_out("temporary failure in name resolution"),
        libc::EAI_FAIL => (
            Status::Rcode(OptRcode::SERVFAIL),
            failure(Kind::Server, "the system's resolver failed"),
        ),
        libc::EAI_MEMORY => (Status::System, failure(Kind::System, "out of memory")),
        libc::EAI_SYSTEM => {
            let text = error.map(common::error::io_message);
            let text = text.unwrap_or_else(|| "system error".to_owned());
            (Status::System, failure(Kind::System, &text))
        }
        n => {
            let message = format!("the system's resolver failed with code {n}");
            (Status::System, failure(Kind::System, &message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status() {
        let status = |code| status_of_code(code, None).0;
        assert_eq!(status(libc::EAI_NONAME), Status::NoSuchName);
        assert_eq!(status(EAI_NODATA), Status::NoData);
        assert_eq!(status(EAI_ADDRFAMILY), Status::NoData);
        assert_eq!(status(libc::EAI_AGAIN), Status::Timeout);
        assert_eq!(status(libc::EAI_FAIL).name(), "SERVFAIL");
        assert_eq!(status(libc::EAI_MEMORY), Status::System);
        assert_eq!(status(libc::EAI_SYSTEM), Status::System);
        assert_eq!(status(libc::EAI_SERVICE), Status::System);
    }

    #[test]
    fn names_from_libc_are_escaped() {
        assert_eq!(escape_name(b"a\xff\x1b[m b\\.c"), "a\\255\\027[m\\032b\\.c");
    }
}

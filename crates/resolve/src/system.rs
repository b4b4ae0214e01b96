//! The system path: libc's getaddrinfo and getnameinfo, as other programs
//! resolve names, with a deadline libc does not have.
//!
//! Canonical names are never asked for: libc hands them over as bytes and the
//! binding panics on those that are no UTF-8.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::Kind;
use common::address::Family;
use dns_lookup::{AddrInfoHints, LookupError, getaddrinfo, getnameinfo};

use crate::answer::Status;
use crate::lookup::Failure;

/// What libc is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Addresses of a name.
    Forward(String, Family),
    /// The name of an address.
    Reverse(IpAddr),
}

/// Values in libc's order, or why there are none.
pub(crate) type Answer = Result<Vec<Value>, (Status, Option<Failure>)>;

/// An address or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Address(IpAddr),
    Name(String),
}

/// Asks libc in a thread of its own; one that outlasts `timeout` is left
/// behind.
pub(crate) fn ask(question: Question, timeout: Duration) -> Answer {
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new()
        .name("lookup".to_owned())
        .spawn(move || {
            // After the deadline nobody listens any more.
            let _ = sender.send(ask_libc(&question));
        });
    if let Err(e) = spawned {
        let message = common::error::sentence(&e);
        let kind = Kind::System;
        return Err((Status::System, Some(Failure { kind, message })));
    }
    receiver
        .recv_timeout(timeout)
        .unwrap_or_else(|_| Err(timed_out("the system's resolver did not answer in time")))
}

fn timed_out(message: &str) -> (Status, Option<Failure>) {
    let failure = Failure {
        kind: Kind::Timeout,
        message: message.to_owned(),
    };
    (Status::Timeout, Some(failure))
}

fn ask_libc(question: &Question) -> Answer {
    match question {
        Question::Forward(name, family) => {
            let hints = AddrInfoHints {
                flags: 0,
                address: match family {
                    Family::Any => 0,
                    Family::V4 => libc::AF_INET,
                    Family::V6 => libc::AF_INET6,
                },
                // One entry an address instead of one a socket type.
                socktype: libc::SOCK_STREAM,
                protocol: 0,
            };
            let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|e| status(&e))?;
            let addresses: Vec<Value> = found
                .filter_map(Result::ok)
                .map(|info| Value::Address(info.sockaddr.ip()))
                .collect();
            if addresses.is_empty() {
                return Err((Status::NoData, None));
            }
            Ok(addresses)
        }
        Question::Reverse(address) => {
            let socket = SocketAddr::new(*address, 0);
            let (name, _) = getnameinfo(&socket, libc::NI_NAMEREQD).map_err(|e| status(&e))?;
            Ok(vec![Value::Name(name)])
        }
    }
}

/// The status every EAI code stands for.
fn status(error: &LookupError) -> (Status, Option<Failure>) {
    let number = error.error_num();
    let failure = |kind, message: &str| {
        Some(Failure {
            kind,
            message: message.to_owned(),
        })
    };
    match number {
        libc::EAI_NONAME => (Status::NoSuchName, None),
        // -9 is EAI_ADDRFAMILY, which the libc crate lacks on Linux.
        libc::EAI_NODATA | -9 => (Status::NoData, None),
        libc::EAI_AGAIN => timed_out("the system's resolver failed for now"),
        libc::EAI_FAIL => (
            Status::Rcode(domain::base::iana::OptRcode::SERVFAIL),
            failure(Kind::Server, "the system's resolver failed"),
        ),
        libc::EAI_MEMORY => (Status::System, failure(Kind::System, "out of memory")),
        libc::EAI_SYSTEM => {
            let errno = std::io::Error::last_os_error();
            let text = common::error::sentence(&errno);
            (Status::System, failure(Kind::System, &text))
        }
        n => (
            Status::System,
            failure(Kind::System, &format!("the system's resolver: code {n}")),
        ),
    }
}

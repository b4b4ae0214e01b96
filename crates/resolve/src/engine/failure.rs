//! What went wrong with a server, as a status and a sentence.

use std::io;

use common::Kind;
use domain::base::iana::OptRcode;

use crate::answer::{Gap, Status};
use crate::lookup::Failure;
use crate::tls;
use crate::wire::reply::Reply;

/// A status and why.
pub(crate) type Fault = (Status, Failure);

fn fault(status: Status, kind: Kind, message: String) -> Fault {
    (status, Failure { kind, message })
}

/// A fault of this machine.
pub(crate) fn local(error: &io::Error) -> Fault {
    fault(
        Status::System,
        Kind::System,
        common::error::io_message(error),
    )
}

/// A failed call on a socket to `server`.
pub(crate) fn of_io(error: &io::Error, server: &str) -> Fault {
    if let Some(cause) = tls::cause(error) {
        return fault(Status::Tls, Kind::Tls, format!("{server}: {cause}"));
    }
    let kind = Kind::of_io(error);
    let status = match kind {
        Kind::Timeout => Status::Timeout,
        Kind::Protocol => Status::Malformed,
        Kind::Permission | Kind::System => Status::System,
        _ => Status::Unreachable,
    };
    let message = match kind {
        Kind::Timeout => format!("no answer from {server} in time"),
        Kind::Protocol => format!("{server} closed the connection before its answer was whole"),
        _ => format!("{server}: {}", common::error::io_message(error)),
    };
    fault(status, kind, message)
}

pub(crate) fn timeout(server: &str) -> Fault {
    let message = format!("no answer from {server} in time");
    fault(Status::Timeout, Kind::Timeout, message)
}

/// A server that began to answer and stopped.
pub(crate) fn silence(server: &str) -> Fault {
    let message = format!("no further message from {server} in time");
    fault(Status::Timeout, Kind::Timeout, message)
}

pub(crate) fn malformed(server: &str) -> Fault {
    let message = format!("malformed answer from {server}");
    fault(Status::Malformed, Kind::Protocol, message)
}

pub(crate) fn incomplete(server: &str, why: &str) -> Fault {
    let message = format!("incomplete answer from {server}: {why}");
    fault(Status::Incomplete, Kind::Protocol, message)
}

/// An answer of `server` about `name` that does not lead to the end.
pub(crate) fn gap(gap: &Gap, server: &str, name: &str) -> Failure {
    Failure {
        kind: Kind::Protocol,
        message: gap.sentence(server, name),
    }
}

/// Adds why a server was asked over TCP.
pub(crate) fn over_tcp(failure: &mut Failure, why: &str) {
    failure.message.push_str(" (over TCP, since ");
    failure.message.push_str(why);
    failure.message.push(')');
}

/// An RCODE that is no answer, with what the server says about it.
pub(crate) fn rcode(code: OptRcode, reply: &Reply<'_>, server: &str) -> Fault {
    let status = Status::Rcode(code);
    let mut message = format!("{server} answered {}", status.name());
    for note in reply.extended_errors() {
        message.push_str(" (");
        message.push_str(&note);
        message.push(')');
    }
    fault(status, Kind::Server, message)
}

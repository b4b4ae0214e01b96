//! Failures of servers: a status and an error message for the user.

use std::io;

use common::Kind;
use domain::base::iana::OptRcode;

use crate::answer::{IncompleteReason, Status};
use crate::lookup::Failure;
use crate::tls;
use crate::wire::reply::Reply;

/// The status of a lookup that failed at a server, and the reason.
pub(crate) type ServerFailure = (Status, Failure);

fn failure(status: Status, kind: Kind, message: String) -> ServerFailure {
    (status, Failure { kind, message })
}

/// Describes a local error, which no server caused.
pub(crate) fn local(error: &io::Error) -> ServerFailure {
    failure(
        Status::System,
        Kind::System,
        common::error::io_message(error),
    )
}

/// Describes a failed call on a socket that is connected to `server`.
pub(crate) fn from_io(error: &io::Error, server: &str) -> ServerFailure {
    if let Some(cause) = tls::cause(error) {
        return failure(Status::Tls, Kind::Tls, format!("{server}: {cause}"));
    }
    let (status, kind) = classify_io(error);
    let message = match kind {
        Kind::Timeout => format!("no answer from {server} in time"),
        Kind::Protocol => format!("{server} closed the connection before its answer was complete"),
        _ => format!("{server}: {}", common::error::io_message(error)),
    };
    failure(status, kind, message)
}

/// Returns the status and the kind of an I/O error on a connection to a server.
pub(crate) fn classify_io(error: &io::Error) -> (Status, Kind) {
    let kind = Kind::of_io(error);
    let status = match kind {
        Kind::Timeout => Status::Timeout,
        Kind::Protocol => Status::Malformed,
        Kind::Permission | Kind::System => Status::System,
        _ => Status::Unreachable,
    };
    (status, kind)
}

pub(crate) fn timeout(server: &str) -> ServerFailure {
    let message = format!("no answer from {server} in time");
    failure(Status::Timeout, Kind::Timeout, message)
}

/// Describes a server that stopped sending in the middle of a zone transfer.
pub(crate) fn transfer_timeout(server: &str) -> ServerFailure {
    let message = format!("no further message from {server} in time");
    failure(Status::Timeout, Kind::Timeout, message)
}

pub(crate) fn malformed(server: &str) -> ServerFailure {
    let message = format!("malformed answer from {server}");
    failure(Status::Malformed, Kind::Protocol, message)
}

pub(crate) fn incomplete(server: &str, why: &str) -> ServerFailure {
    let message = format!("incomplete answer from {server}: {why}");
    failure(Status::Incomplete, Kind::Protocol, message)
}

/// Describes an incomplete answer of `server` about `name`.
pub(crate) fn incomplete_answer(reason: &IncompleteReason, server: &str, name: &str) -> Failure {
    Failure {
        kind: Kind::Protocol,
        message: reason.message(server, name),
    }
}

/// Adds the reason why a server was asked over TCP.
pub(crate) fn add_reason_for_tcp(failure: &mut Failure, why: &str) {
    failure.message.push_str(" (over TCP, because ");
    failure.message.push_str(why);
    failure.message.push(')');
}

/// Describes an RCODE that is an error, with the server's extended errors.
pub(crate) fn rcode(code: OptRcode, reply: &Reply<'_>, server: &str) -> ServerFailure {
    let status = Status::Rcode(code);
    let mut message = format!("{server} answered {}", status.name());
    for error in reply.extended_errors() {
        message.push_str(" (");
        message.push_str(&error);
        message.push(')');
    }
    failure(status, Kind::Server, message)
}

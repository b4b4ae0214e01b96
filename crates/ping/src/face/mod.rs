//! The faces: how a run is told, one file each.

pub(crate) mod classic;
pub(crate) mod csv;
pub(crate) mod graph;
pub(crate) mod held;
mod iputils;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod mtu;
pub(crate) mod watch;

use std::io;

use common::app::Io;

use crate::target::Targets;

/// SIGQUIT with several targets: how many are still open.
fn undecided(io: &Io, targets: &Targets) {
    let count = targets.iter().filter(|(_, target)| !target.ended).count();
    let noun = if count == 1 { "host" } else { "hosts" };
    io.report.line(format_args!("{count} {noun} undecided"));
}

/// Why a probe was not sent, in lower case, and what to do.
fn unsent(errno: i32, mtu: Option<u32>) -> String {
    let message = strerror(errno).to_lowercase();
    if errno == libc::EACCES {
        return format!("{message}; a broadcast address needs -b");
    }
    match mtu {
        Some(mtu) => format!("{message}, mtu {mtu}"),
        None => message,
    }
}

/// The words for an error number, as strerror has them.
pub(crate) fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

//! The output formats, each an [`Observer`](crate::event::Observer) in a file of
//! its own.

pub(crate) mod classic;
pub(crate) mod csv;
pub(crate) mod graph;
pub(crate) mod held_lines;
mod iputils;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod mtu;
pub(crate) mod records;
#[cfg(test)]
pub(crate) mod test_io;
pub(crate) mod watch;

use std::io;

/// Returns the reason why a probe was not sent, in lower case, and a hint.
fn explain_unsent(errno: i32, mtu: Option<u32>) -> String {
    let message = strerror(errno).to_lowercase();
    if errno == libc::EACCES {
        return format!("{message}; a broadcast address needs -b");
    }
    match mtu {
        Some(mtu) => format!("{message}, mtu {mtu}"),
        None => message,
    }
}

/// Returns the text of an error number, as `strerror(3)` does.
fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

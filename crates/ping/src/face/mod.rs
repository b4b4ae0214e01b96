//! The faces: how a run is told, one file each.

pub(crate) mod classic;
pub(crate) mod csv;
pub(crate) mod graph;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod mtu;

use std::io;

/// The words for an error number, as strerror has them.
pub(crate) fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

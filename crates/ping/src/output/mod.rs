//! The output formats, each an [`Observer`] in its own file. [`create`] is the
//! list of them.

pub(crate) mod classic;
mod csv;
mod graph;
pub(crate) mod held_lines;
mod json;
pub(crate) mod list;
mod metrics;
mod mtu;
pub(crate) mod record_stream;
pub(crate) mod records;
#[cfg(test)]
pub(crate) mod test_io;
pub(crate) mod watch;

use std::io;

use common::Result;

use self::csv::Csv;
use self::graph::Graph;
use self::json::Json;
use self::metrics::Metrics;
use self::mtu::Mtu;
use self::record_stream::{RecordStream, Selection};
use crate::event::Observer;

/// An output format that the user can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines of text: the classic format or the list format.
    Text,
    /// A graph above the lines of text.
    Graph,
    /// Records as JSON Lines.
    Json,
    /// Records as comma-separated values.
    Csv,
    /// The summaries as OpenMetrics text.
    Metrics,
    /// The path MTU of each target, as text or JSON.
    Mtu,
}

/// The options of the formats other than [`Format::Text`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormatOptions {
    /// Which records are written.
    pub(crate) selection: Selection,
    /// The number of data bytes in the first probe.
    pub(crate) size: u16,
    /// Whether the run has a single target.
    pub(crate) is_single: bool,
}

/// Creates an output format. `text` creates the format of lines of text.
pub(crate) fn create(
    format: Format,
    options: FormatOptions,
    text: impl FnOnce() -> Result<Box<dyn Observer>>,
) -> Result<Box<dyn Observer>> {
    let FormatOptions {
        selection,
        size,
        is_single,
    } = options;
    Ok(match format {
        Format::Text => text()?,
        Format::Graph => Box::new(Graph::new(text()?, is_single)),
        Format::Json => Box::new(RecordStream::new(Json, selection, size)),
        Format::Csv => Box::new(RecordStream::new(Csv::default(), selection, size)),
        Format::Metrics => Box::new(Metrics::default()),
        Format::Mtu => Box::new(Mtu::default()),
    })
}

/// What to do if the system refuses to send to a broadcast address.
pub(crate) const BROADCAST_HINT: &str = "use -b to probe a broadcast address";

/// Returns the reason why a probe was not sent, in lower case, with a hint.
fn explain_unsent(errno: i32, mtu: Option<u32>) -> String {
    let message = strerror(errno).to_lowercase();
    if errno == libc::EACCES {
        return format!("{message}; {BROADCAST_HINT}");
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

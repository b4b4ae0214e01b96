//! The options that select an output format.

use clap::Args;

use super::Cli;
use crate::output::Format;

/// The formats besides text and JSON. Each excludes all others.
#[derive(Args, Clone, Copy, Debug)]
#[group(id = "format", multiple = false, arg = "json")]
pub(crate) struct FormatArgs {
    /// Write the records as comma-separated values
    #[arg(long, conflicts_with = "mtu", help_heading = "Output")]
    csv: bool,

    /// Write the summaries as OpenMetrics text
    #[arg(long, conflicts_with = "mtu", help_heading = "Output")]
    metrics: bool,

    /// Draw the round-trip times, one line per target (on a terminal)
    #[arg(long, conflicts_with = "mtu", help_heading = "Output")]
    graph: bool,
}

impl Cli {
    /// Returns the output format that the user has chosen.
    pub(crate) fn format(&self) -> Format {
        match &self.formats {
            _ if self.mtu => Format::Mtu,
            _ if self.common.json => Format::Json,
            FormatArgs { csv: true, .. } => Format::Csv,
            FormatArgs { metrics: true, .. } => Format::Metrics,
            FormatArgs { graph: true, .. } => Format::Graph,
            _ => Format::Text,
        }
    }
}

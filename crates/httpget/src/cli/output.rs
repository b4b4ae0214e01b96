//! What is shown.

use std::path::PathBuf;

use clap::Args;

/// Options of what is shown.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print the head before the body
    #[arg(short, long)]
    pub(crate) include: bool,

    /// Write the heads to this file (`-`: stdout)
    #[arg(short = 'D', long, value_name = "FILE")]
    pub(crate) dump_header: Option<PathBuf>,

    /// Print no body of a status of 400 or more
    #[arg(short, long)]
    pub(crate) fail: bool,

    /// A status of 400 or more is no failure
    #[arg(long, conflicts_with = "fail")]
    pub(crate) no_fail: bool,

    /// Print the body of a status of 400 or more, and fail; this is so anyway
    #[arg(long, hide = true, conflicts_with = "fail")]
    pub(crate) fail_with_body: bool,

    /// Write a body as it comes; this is so anyway
    #[arg(short = 'N', long, hide = true)]
    pub(crate) no_buffer: bool,

    /// Show a progress bar; this is so anyway
    #[arg(short = '#', long, hide = true)]
    pub(crate) progress_bar: bool,

    /// Print this value of a JSON body, such as /items/0/name (RFC 6901)
    #[arg(long, value_name = "POINTER", conflicts_with_all = ["include", "head"])]
    pub(crate) pointer: Option<String>,

    /// Print this after each transfer: curl's %{VARIABLES}, %header{NAME},
    /// %{json}; `@FILE` reads it from a file
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) write_out: Option<String>,

    /// Show on stderr where the time went
    #[arg(long)]
    pub(crate) time: bool,

    /// Show on stderr the certificates of the server and the days they are
    /// still valid
    #[arg(long)]
    pub(crate) show_cert: bool,

    /// No progress bar
    #[arg(long)]
    pub(crate) no_progress_meter: bool,

    /// No errors, no progress
    #[arg(short, long, visible_alias = "quiet", visible_short_alias = 'q')]
    pub(crate) silent: bool,

    /// With -s: errors all the same
    #[arg(short = 'S', long)]
    pub(crate) show_error: bool,

    /// Show on stderr what is sent and received, secrets left out
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options of many URLs.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Many URLs")]
pub(crate) struct ManyArgs {
    /// Fetch several URLs at once
    #[arg(short = 'Z', long)]
    pub(crate) parallel: bool,

    /// How many at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) parallel_max: u16,

    /// How many at once of one host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) max_per_host: Option<u16>,

    /// Fetch up to N further pages by the response's Link rel="next"
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "output")]
    pub(crate) next: u32,

    /// With -Z: results in the order of the URLs
    #[arg(long, conflicts_with = "max_per_host")]
    pub(crate) ordered: bool,
}

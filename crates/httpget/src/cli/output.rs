//! Options for the output, and for many URLs.

use std::path::PathBuf;

use clap::Args;

/// Options for the output.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print the response head before the body
    #[arg(short, long)]
    pub(crate) include: bool,

    /// Write the response heads to FILE (`-` for standard output)
    #[arg(short = 'D', long, value_name = "FILE")]
    pub(crate) dump_header: Option<PathBuf>,

    /// Do not print the body of a response with status 400 or more
    #[arg(short, long)]
    pub(crate) fail: bool,

    /// Do not treat status 400 or more as a failure
    #[arg(long, conflicts_with = "fail")]
    pub(crate) no_fail: bool,

    /// Print the body of a response with status 400 or more (always the case)
    #[arg(long, hide = true, conflicts_with = "fail")]
    pub(crate) fail_with_body: bool,

    /// Write each piece of the body as it arrives (always the case)
    #[arg(short = 'N', long, hide = true)]
    pub(crate) no_buffer: bool,

    /// Show a progress bar (always the case)
    #[arg(short = '#', long, hide = true)]
    pub(crate) progress_bar: bool,

    /// Print one value of a JSON body, such as /items/0/name (RFC 6901)
    #[arg(long, value_name = "POINTER", conflicts_with_all = ["include", "head"])]
    pub(crate) pointer: Option<String>,

    /// Print FORMAT after each transfer: curl's %{VARIABLE}, %header{NAME} and
    /// %{json}; `@FILE` reads the format from a file
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) write_out: Option<String>,

    /// Print the duration of each phase of the transfer on standard error
    #[arg(long)]
    pub(crate) time: bool,

    /// On standard error, print the server's certificates and the days until they expire
    #[arg(long)]
    pub(crate) show_cert: bool,

    /// Do not show a progress bar
    #[arg(long)]
    pub(crate) no_progress_meter: bool,

    /// Do not print errors or a progress bar
    #[arg(short, long, visible_alias = "quiet", visible_short_alias = 'q')]
    pub(crate) silent: bool,

    /// With -s, still print errors
    #[arg(short = 'S', long)]
    pub(crate) show_error: bool,

    /// Print requests and responses on standard error, with secrets masked
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options for many URLs.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Many URLs")]
pub(crate) struct ManyArgs {
    /// Fetch URLs in parallel
    #[arg(short = 'Z', long)]
    pub(crate) parallel: bool,

    /// Maximum number of parallel transfers
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) parallel_max: u16,

    /// Maximum number of parallel transfers per host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) max_per_host: Option<u16>,

    /// Follow the Link rel="next" of a response, up to N times
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "output")]
    pub(crate) next: u32,

    /// With -Z, print the results in the order of the URLs
    #[arg(long, conflicts_with = "max_per_host")]
    pub(crate) ordered: bool,
}

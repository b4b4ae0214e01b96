//! What is asked, and of whom.

use std::path::PathBuf;

use clap::Args;

/// Options of the request.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestArgs {
    /// Add a header; `NAME:` removes one, `NAME;` sends it empty, `@FILE`
    /// reads them from a file
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Ask for the head only, and print it
    #[arg(short = 'I', long)]
    pub(crate) head: bool,

    /// Say to be this program
    #[arg(short = 'A', long, value_name = "NAME")]
    pub(crate) user_agent: Option<String>,

    /// Say to come from this page
    #[arg(short = 'e', long, value_name = "URL")]
    pub(crate) referer: Option<String>,

    /// User and password, for the origin of the URL only
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub(crate) user: Option<String>,

    /// Answer the server's challenge (RFC 7616) instead of sending the password
    #[arg(long)]
    pub(crate) digest: bool,

    /// A file with a bearer token, for the origin of the URL only
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub(crate) bearer_file: Option<PathBuf>,

    /// User and password from ~/.netrc, for the hosts named there
    #[arg(short, long)]
    pub(crate) netrc: bool,

    /// The same from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) netrc_file: Option<PathBuf>,

    /// Cookies: NAME=VALUE[; NAME=VALUE] for the origin of the URL, or a file
    #[arg(short = 'b', long, value_name = "DATA|FILE")]
    pub(crate) cookie: Vec<String>,

    /// Keep cookies, and write them to this file at the end; `-` is standard
    /// output
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) cookie_jar: Option<PathBuf>,

    /// Only if it changed since this date, or since this file did; `-` before
    /// the date: only if not. 2021-01-31, 20210131, 2021-01-31T12:00:00Z,
    /// '31 Jan 2021' and dates of HTTP are dates, all of UTC
    #[arg(
        short = 'z',
        long,
        value_name = "DATE|FILE",
        allow_hyphen_values = true
    )]
    pub(crate) time_cond: Option<String>,

    /// Only if its entity tag is another than the one in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) etag_compare: Option<PathBuf>,

    /// Write its entity tag to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) etag_save: Option<PathBuf>,

    /// Ask for these bytes, such as 0-99, 500- or -100
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,

    /// Add to the query: NAME=VALUE (the value is encoded), or +TEXT as it is
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) url_query: Vec<String>,

    /// Ask for gzip, deflate, br or zstd, and undo them
    #[arg(long)]
    pub(crate) compressed: bool,

    /// Send the path as typed, with `.` and `..` in it
    #[arg(long)]
    pub(crate) path_as_is: bool,

    /// Follow redirects; this is so anyway
    #[arg(short = 'L', long, hide = true)]
    pub(crate) location: bool,

    /// Send the password by Basic authentication; this is so anyway
    #[arg(long, hide = true, conflicts_with = "digest")]
    pub(crate) basic: bool,

    /// Speak HTTP/1.1; this is so anyway
    #[arg(long = "http1.1", hide = true)]
    pub(crate) http1_1: bool,

    /// Take brackets and braces in a URL as they are; this is so anyway
    #[arg(short = 'g', long, hide = true)]
    pub(crate) globoff: bool,

    /// Do not follow redirects
    #[arg(long)]
    pub(crate) no_location: bool,

    /// Redirects to follow; -1 for any number
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1..))]
    pub(crate) max_redirs: i32,

    /// Let credentials follow redirects to other origins
    #[arg(long)]
    pub(crate) location_trusted: bool,
}

//! Options of the request.

use std::path::PathBuf;

use clap::Args;

/// Options for the request.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestArgs {
    /// Set a header; `NAME:` removes a header, `NAME;` sends an empty one, `@FILE`
    /// reads headers from a file
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Send a HEAD request, and print the response head
    #[arg(short = 'I', long)]
    pub(crate) head: bool,

    /// Send NAME as the User-Agent
    #[arg(short = 'A', long, value_name = "NAME")]
    pub(crate) user_agent: Option<String>,

    /// Send URL as the Referer
    #[arg(short = 'e', long, value_name = "URL")]
    pub(crate) referer: Option<String>,

    /// Send user and password, only to the origin of the URL
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub(crate) user: Option<String>,

    /// Use Digest authentication (RFC 7616) instead of Basic
    #[arg(long)]
    pub(crate) digest: bool,

    /// Send the bearer token in FILE, only to the origin of the URL
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub(crate) bearer_file: Option<PathBuf>,

    /// Use the credentials in ~/.netrc, if it exists, for the hosts that it lists
    #[arg(short, long)]
    pub(crate) netrc: bool,

    /// Use the credentials in FILE instead of ~/.netrc
    #[arg(long, value_name = "FILE")]
    pub(crate) netrc_file: Option<PathBuf>,

    /// Send cookies NAME=VALUE[; NAME=VALUE] to the origin of the URL, or read a cookie file
    #[arg(short = 'b', long, value_name = "DATA|FILE")]
    pub(crate) cookie: Vec<String>,

    /// Store received cookies, and write them to FILE at exit (`-` for standard output)
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) cookie_jar: Option<PathBuf>,

    /// Download only if modified after DATE or after the time of FILE; -DATE: only if
    /// not modified since. DATE is 2021-01-31, 20210131, 2021-01-31T12:00:00Z,
    /// '31 Jan 2021' or an HTTP date, in UTC
    #[arg(
        short = 'z',
        long,
        value_name = "DATE|FILE",
        allow_hyphen_values = true
    )]
    pub(crate) time_cond: Option<String>,

    /// Download only if the ETag differs from the one in FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) etag_compare: Option<PathBuf>,

    /// Save the ETag of the response to FILE (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    pub(crate) etag_save: Option<PathBuf>,

    /// Request a byte range, such as 0-99, 500- or -100
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,

    /// Add NAME=VALUE to the query, with VALUE encoded; +TEXT is added unchanged
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) url_query: Vec<String>,

    /// Accept gzip, deflate, br and zstd, and decompress the body
    #[arg(long)]
    pub(crate) compressed: bool,

    /// Send the path as typed, without resolving `.` and `..`
    #[arg(long)]
    pub(crate) path_as_is: bool,

    /// Follow redirects (always the case)
    #[arg(short = 'L', long, hide = true)]
    pub(crate) location: bool,

    /// Use Basic authentication (always the case)
    #[arg(long, hide = true, conflicts_with = "digest")]
    pub(crate) basic: bool,

    /// Use HTTP/1.1 (always the case)
    #[arg(long = "http1.1", hide = true)]
    pub(crate) http1_1: bool,

    /// Do not expand brackets and braces in URLs (always the case)
    #[arg(short = 'g', long, hide = true)]
    pub(crate) globoff: bool,

    /// Do not follow redirects
    #[arg(long)]
    pub(crate) no_location: bool,

    /// Follow at most N redirects; -1 means no limit
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1..))]
    pub(crate) max_redirs: i32,

    /// Also send credentials to other origins after a redirect
    #[arg(long)]
    pub(crate) location_trusted: bool,
}

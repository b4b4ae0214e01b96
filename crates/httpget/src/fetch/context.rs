//! The values that a transfer starts from: its URL, and the state that it shares with
//! the other transfers.

use std::sync::{Mutex, OnceLock};

use common::Error;
use common::app::Reporter;

use super::public_suffixes::PublicSuffixes;
use super::reserved_names::ReservedNames;
use crate::config::{Config, Destination};
use crate::net::Network;
use crate::output::progress::{Bar, Progress};
use crate::policy::cookie::Jar;
use crate::policy::filename;
use crate::policy::request_url::RequestUrl;
use crate::policy::state_file;
use crate::pool::HostLimiter;

/// A URL to fetch.
#[derive(Clone, Debug)]
pub(crate) struct UrlJob {
    /// The URL as typed, without credentials.
    pub(crate) display_url: String,
    pub(crate) request: RequestUrl,
    pub(crate) destination: Destination,
    /// The origin to which credentials belong.
    pub(crate) trusted_origin: url::Origin,
    /// The index of the URL, from 0.
    pub(crate) index: usize,
    /// The number of the page, with `--next`; 0 is the URL itself.
    pub(crate) page: u32,
    /// The expected SHA-256 of the body in lower-case hexadecimal.
    pub(crate) sha256: Option<String>,
}

impl UrlJob {
    /// Whether the body is saved to a file.
    pub(super) fn is_saved(&self) -> bool {
        self.destination != Destination::Stdout
    }

    /// Returns the identifier of the URL in the state file.
    pub(super) fn state_id(&self) -> String {
        state_file::url_id(&self.request.url)
    }

    /// Returns the label of the progress bar: the file name, or the URL.
    fn progress_label(&self) -> String {
        let name = match &self.destination {
            Destination::Stdout => None,
            Destination::File(path) => path.file_name().map(|name| name.display().to_string()),
            Destination::RemoteName => filename::from_url(&self.request.url),
        };
        name.unwrap_or_else(|| self.display_url.clone())
    }
}

/// The state that all transfers share.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) network: &'a Network,
    pub(crate) reporter: Reporter,
    /// The file of `-D`.
    pub(crate) header_dump: Option<Mutex<std::fs::File>>,
    /// The cookie jar, if cookies are stored.
    pub(crate) jar: Option<Mutex<Jar>>,
    /// The Set-Cookie headers of a cookie file, for the requested URLs.
    pub(crate) given_cookies: Vec<String>,
    /// The password that was typed on the terminal.
    pub(crate) password: OnceLock<Result<String, Error>>,
    pub(crate) public_suffixes: PublicSuffixes,
    pub(crate) progress: Progress,
    /// The file names that transfers of this run use.
    pub(crate) reserved_names: ReservedNames,
    /// The limit of `--max-per-host`.
    pub(crate) host_limiter: Option<HostLimiter>,
}

impl Context<'_> {
    /// Returns the progress bar of a body from `start` to `total` bytes. It is hidden
    /// if the body is on the terminal, too.
    pub(super) fn bar(&self, job: &UrlJob, start: u64, total: Option<u64>) -> Bar {
        let is_shown = job.is_saved() || !self.config.output.stdout_is_terminal;
        self.progress
            .bar(is_shown, &job.progress_label(), start, total)
    }

    /// Whether the digest of a body is needed.
    pub(super) fn needs_digest(&self, job: &UrlJob) -> bool {
        self.config.output.json || job.sha256.is_some()
    }

    /// Prints that a partial download is given up.
    pub(super) fn report_start_over(&self, job: &UrlJob, why: &str) {
        if self.config.output.show_errors {
            let url = common::text::escape(job.display_url.as_bytes());
            self.reporter
                .line(format_args!("{url}: starting over: {why}"));
        }
    }
}

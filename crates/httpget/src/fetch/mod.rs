//! One URL from its first request to its last byte: tries, hops, delivery.
//!
//! [`fetch`] runs the tries. Each try follows redirects ([`hops`]) to a
//! response, and its body goes through [`source`] and [`crate::http::coding`] into a
//! [`sink`]. All of it leaves a [`Report`].

mod auth;
mod conditional;
mod continuation;
mod extract;
mod memory_file;
mod output_file;
mod output_path;
mod partial_file;
mod paths;
mod redirects;
mod response;
mod segments;
mod sink;
mod source;
mod stdout;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use common::Error;
use common::app::Reporter;

pub(crate) use auth::PublicSuffixes;
pub(crate) use output_path::ReservedNames;
pub(crate) use stdout::{SharedStdout, TransferOutput};

use url::Url;

use crate::config::{Config, Start};
use crate::http::head::Head;
use crate::net::{self, AbortHandle, Network};
use crate::output::progress::Progress;
use crate::policy::cookie::Jar;
use crate::policy::request_url::{RequestUrl, User};
use crate::policy::resume::PartialDownload;
use crate::policy::state_file;
use crate::pool::HostLimiter;
use crate::report::{AttemptError, FetchError, Report};
use output_file::EarlierDownload;
use sink::{RetrySupport, Sink};

/// Where a URL's body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To standard output, or into the JSON record.
    Stdout,
    /// Into this file.
    File(PathBuf),
    /// Into a file named by the URL or the server.
    Remote,
}

/// One URL to fetch.
#[derive(Clone, Debug)]
pub(crate) struct UrlJob {
    /// As typed, without credentials.
    pub(crate) display_url: String,
    pub(crate) request: RequestUrl,
    pub(crate) destination: Destination,
    /// The origin that credentials are for.
    pub(crate) trusted_origin: url::Origin,
    /// The number of the URL, from 0.
    pub(crate) index: usize,
    /// The number of the page behind it, with `--next`.
    pub(crate) page: u32,
    /// The SHA-256 that the body must have, in lower case.
    pub(crate) sha256: Option<String>,
}

/// What all transfers share.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) network: &'a Network,
    pub(crate) reporter: Reporter,
    /// The file of `-D`.
    pub(crate) header_dump: Option<Mutex<std::fs::File>>,
    /// Cookies, where they are kept.
    pub(crate) jar: Option<Mutex<Jar>>,
    /// Set-Cookie headers of a file, for the URLs that are asked for.
    pub(crate) given_cookies: Vec<String>,
    /// The password that was asked for on the terminal.
    pub(crate) password: OnceLock<Result<String, Error>>,
    pub(crate) public_suffixes: PublicSuffixes,
    pub(crate) progress: Progress,
    /// The names that are taken.
    pub(crate) reserved_names: ReservedNames,
    /// The limit of `--max-per-host`.
    pub(crate) host_limiter: Option<HostLimiter>,
}

/// Why there is no further try although one was asked for.
const NOT_RETRIED: &str =
    "not retries again, since what is out already can neither be taken back nor be continued";

/// The same where the time for tries is over.
const RETRY_TOO_LATE: &str = "the next try would be too late; --retry-max-time allows more";

/// A transfer under way.
struct Transfer<'a, 'b> {
    context: &'a Context<'a>,
    job: &'a UrlJob,
    output: &'a mut TransferOutput<'b>,
    report: Report,
    sink: Sink,
    /// Whether this body goes nowhere, though there may be a file that others
    /// went to.
    discards_body: bool,
    started: Instant,
    /// When this try must be done.
    deadline: Option<Instant>,
    /// Where the response came from.
    final_url: Url,
    /// User and password in a Location of the origin that was asked for.
    redirect_user: Option<User>,
    /// The id of the URL, for the record beside a part file.
    url_id: String,
    /// Whether a first piece is asked for, to have the rest in pieces, too.
    is_segmented: bool,
    /// The connection of that first piece.
    abort_handle: Option<Arc<AbortHandle>>,
    /// The heads of this try, where they belong into the file.
    file_heads: Vec<u8>,
    /// The digest of what is on stdout, for a try that goes on behind it.
    stdout_digest: Option<ring::digest::Context>,
    /// Whether the entity tag has been printed.
    etag_printed: bool,
    /// The last bytes that are there and that the body repeats first.
    overlap: Vec<u8>,
    /// Whether it repeated others.
    overlap_differs: bool,
    /// What is there already and shall be continued.
    resume: Option<PartialDownload>,
    /// Whether `resume` was asked for by number, so that the start cannot be
    /// had from anywhere else.
    explicit_offset: bool,
}

/// How one try ended when it did not fail.
enum AttemptOutcome {
    Done,
    /// The status may pass within this time.
    RetryAfter(Duration),
}

/// Fetches one URL.
pub(crate) fn fetch(
    context: &Context<'_>,
    job: &UrlJob,
    output: &mut TransferOutput<'_>,
) -> Report {
    let head = context.config.request.head;
    let transfer = Transfer {
        context,
        job,
        output,
        report: Report {
            url: job.display_url.clone(),
            method: if head { "HEAD" } else { "GET" },
            ..Report::default()
        },
        sink: Sink::Undecided,
        discards_body: false,
        started: Instant::now(),
        deadline: None,
        final_url: job.request.url.clone(),
        redirect_user: None,
        url_id: state_file::url_id(&job.request.url),
        is_segmented: false,
        abort_handle: None,
        file_heads: Vec::new(),
        stdout_digest: None,
        etag_printed: false,
        overlap: Vec::new(),
        overlap_differs: false,
        resume: None,
        explicit_offset: false,
    };
    transfer.run()
}

impl Transfer<'_, '_> {
    fn run(mut self) -> Report {
        self.store_given_cookies();
        let outcome = match self.prepare() {
            Ok(true) => {
                self.is_segmented = self.is_segmentable();
                self.run_attempts()
            }
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.report.total = self.started.elapsed();
        let failed = outcome.is_err();
        self.report.error = outcome.err();
        let remove = self.context.config.saving.remove_on_error
            || matches!(self.report.error, Some(FetchError::Negative { .. }));
        if let Err(error) = self.sink.spill_to_file() {
            self.report.error.get_or_insert(error.into());
        }
        match self.sink {
            Sink::File {
                file, is_started, ..
            } => {
                // One that is complete has its name, and is here no more.
                let outcome = if is_started {
                    file.abandon(remove)
                } else {
                    file.discard_unused()
                };
                if let (Err(error), None) = (outcome, &self.report.error) {
                    self.report.error = Some(error.into());
                }
            }
            // One that is too large is not printed either.
            Sink::Memory { bytes, .. }
                if self
                    .report
                    .error
                    .as_ref()
                    .is_none_or(|error| error.kind() != "size")
                    && (!failed || !bytes.is_empty()) =>
            {
                self.report.body = Some(bytes);
            }
            _ => {}
        }
        self.report
    }

    /// Looks at what is there before anything is asked. False if nothing is
    /// to be asked.
    fn prepare(&mut self) -> Result<bool, Error> {
        let config = self.context.config;
        let path = match &self.job.destination {
            Destination::Stdout => None,
            Destination::Remote if config.saving.remote_header_name => None,
            _ => Some(self.output_path(None)?.0),
        };
        if let Some(path) = &path
            && config.saving.skip_existing
            && path.exists()
        {
            self.report.file = Some(path.clone());
            return Ok(false);
        }
        match (config.start, path) {
            (Start::Beginning, _) | (Start::Offset(0), None) => {}
            (Start::Offset(bytes), None) => {
                self.explicit_offset = true;
                self.resume = Some(PartialDownload {
                    bytes,
                    is_exact: true,
                    ..PartialDownload::default()
                });
            }
            (Start::Resume, None) => {
                return Err(Error::usage("-C - needs a file to continue (-o or -O)"));
            }
            (start, Some(path)) => {
                let (_, on_exists) = self.reserve_path(None)?;
                let mut is_unproved = false;
                let file = output_file::OutputFile::open(
                    &path,
                    on_exists,
                    config.saving.create_dirs,
                    &self.url_id,
                )?;
                self.resume = match start {
                    Start::Offset(bytes) => {
                        self.explicit_offset = true;
                        Some(PartialDownload {
                            bytes,
                            in_final_file: true,
                            is_exact: true,
                            ..PartialDownload::default()
                        })
                    }
                    _ => match file.find_earlier(self.job.sha256.is_some())? {
                        EarlierDownload::Found(partial) => Some(partial),
                        EarlierDownload::Unproved => {
                            is_unproved = true;
                            None
                        }
                        EarlierDownload::None => None,
                    },
                };
                self.sink = Sink::new_file(file);
                if is_unproved {
                    self.start_over(
                        "no validator proves that a rest belongs to what is there; \
                         --sha256 would",
                    );
                }
            }
        }
        Ok(true)
    }

    /// Tries until it is done, or until no further try is allowed.
    fn run_attempts(&mut self) -> Result<(), FetchError> {
        let policy = &self.context.config.retry;
        let mut retries = 0;
        loop {
            let may_retry = retries < policy.max_retries
                && policy
                    .max_time
                    .is_none_or(|max| self.started.elapsed() < max);
            let (why, delay) = match self.attempt(!may_retry) {
                Ok(AttemptOutcome::Done) => return Ok(()),
                Ok(AttemptOutcome::RetryAfter(delay)) => {
                    let head = self.report.head.as_deref();
                    (head.map_or_else(String::new, Head::status_text), delay)
                }
                Err(AttemptError { error, is_cut }) => match &error {
                    FetchError::Error(cause) if may_retry && policy.is_retryable(cause, is_cut) => {
                        if !self.prepare_retry()? {
                            return Err(cause.clone().hint(NOT_RETRIED).into());
                        }
                        match self.retry_delay(self.report.head.as_deref()) {
                            Some(delay) => (error.message(), delay),
                            None => return Err(cause.clone().hint(RETRY_TOO_LATE).into()),
                        }
                    }
                    _ => return Err(error),
                },
            };
            retries += 1;
            self.report.retries = retries;
            if !self.context.config.output.silent {
                self.context.reporter.line(format_args!(
                    "{}: {}; trying again {}",
                    common::text::escape(self.job.display_url.as_bytes()),
                    common::text::escape(why.as_bytes()),
                    if delay.is_zero() {
                        "at once".to_owned()
                    } else {
                        format!("in {}", net::format_duration(delay))
                    },
                ));
            }
            std::thread::sleep(delay);
        }
    }

    /// One try. `last` says that there will be no other.
    fn attempt(&mut self, is_last: bool) -> Result<AttemptOutcome, AttemptError> {
        self.deadline = self
            .context
            .config
            .max_time
            .map(|time| Instant::now() + time);
        loop {
            let response = self.follow_redirects()?;
            if let Some(delay) = self.status_retry_delay(&response.head, is_last) {
                return Ok(AttemptOutcome::RetryAfter(delay));
            }
            if let Some(retries) = self.handle_response(response, is_last)? {
                return Ok(retries);
            }
            // What was there cannot be continued: the whole, then.
        }
    }

    /// The delay after which a response may be another; `None` where it is what
    /// there is to be had.
    fn status_retry_delay(&self, head: &Head, is_last: bool) -> Option<Duration> {
        let is_retryable = !is_last && self.context.config.retry.is_retryable_status(head.status);
        is_retryable.then(|| self.retry_delay(Some(head))).flatten()
    }

    /// The delay before a further try; `None` where that would be too late.
    fn retry_delay(&self, head: Option<&Head>) -> Option<Duration> {
        let policy = &self.context.config.retry;
        let delay = policy.delay(self.report.retries + 1, head, random_byte());
        let left = policy
            .max_time
            .map(|max| max.saturating_sub(self.started.elapsed()));
        left.is_none_or(|left| delay <= left).then_some(delay)
    }

    /// Whether a further try can continue or repeat what was delivered.
    fn prepare_retry(&mut self) -> Result<bool, Error> {
        match self.sink.retry_support()? {
            RetrySupport::Continue(partial) => self.resume = Some(partial),
            // From the start, or behind what an earlier run left or the user
            // named.
            RetrySupport::Restart if self.sink.has_destination() && !self.explicit_offset => {
                self.resume = None
            }
            RetrySupport::Restart => {}
            RetrySupport::Impossible => return Ok(false),
        }
        Ok(true)
    }
}

/// A random byte, for pauses that differ between clients.
fn random_byte() -> u8 {
    let mut byte = [0];
    // Without randomness the delay is merely not spread.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

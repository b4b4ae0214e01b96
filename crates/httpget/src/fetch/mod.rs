//! The transfer of one URL: attempts, redirects, and the delivery of the body.
//!
//! [`fetch`] runs the attempts. Each attempt follows redirects ([`redirects`]) to a
//! response ([`response`]). The body goes through [`source`] and
//! [`crate::http::coding`] into a [`sink`], and [`finish`]
//! checks the complete body. The result is a [`Report`].

mod auth;
mod conditional;
mod continuation;
mod extract;
mod finish;
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

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use common::Error;
use common::app::Reporter;

pub(crate) use auth::PublicSuffixes;
pub(crate) use output_path::ReservedNames;
pub(crate) use stdout::{SharedStdout, TransferOutput};

use url::Url;

use crate::config::{Config, Destination, ExistingFile, Start};
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

/// The hint of a failure that cannot be retried despite `--retry`.
const NOT_RETRIED: &str = "not retried: output already written cannot be undone or continued";

/// The hint if the next attempt would exceed `--retry-max-time`.
const RETRY_TOO_LATE: &str = "not retried: --retry-max-time would be exceeded";

/// The state of a transfer.
struct Transfer<'a, 'b> {
    context: &'a Context<'a>,
    job: &'a UrlJob,
    output: &'a mut TransferOutput<'b>,
    report: Report,
    sink: Sink,
    /// Whether the current body is discarded. The sink may still hold the body of an
    /// earlier attempt.
    discards_body: bool,
    started: Instant,
    /// The deadline of this attempt.
    deadline: Option<Instant>,
    /// The URL of the final response.
    final_url: Url,
    /// The login in a Location header that refers to the trusted origin.
    redirect_user: Option<User>,
    /// The identifier of the URL in the state file.
    url_id: String,
    /// Whether the first segment of the file is requested instead of all of it.
    is_segmented: bool,
    /// The abort handle of the first segment.
    abort_handle: Option<Arc<AbortHandle>>,
    /// The response heads of this attempt, if they are written to the file.
    file_heads: Vec<u8>,
    /// The digest of the bytes written to standard output, for an attempt that
    /// continues the body after them.
    stdout_digest: Option<ring::digest::Context>,
    /// Whether the entity tag has been printed.
    etag_printed: bool,
    /// The last bytes of the partial download that the body must repeat.
    overlap: Vec<u8>,
    /// Whether the body did not repeat these bytes.
    overlap_differs: bool,
    /// The partial download to continue.
    resume: Option<PartialDownload>,
    /// Whether `resume` is an offset given by the user, so that the start of the body
    /// must not be fetched.
    explicit_offset: bool,
}

/// The outcome of an attempt that did not fail.
enum AttemptOutcome {
    Done,
    /// The status may be temporary: retry after this delay.
    RetryAfter(Duration),
}

/// Fetches the URL of a job, with retries.
pub(crate) fn fetch(
    context: &Context<'_>,
    job: &UrlJob,
    output: &mut TransferOutput<'_>,
) -> Report {
    let transfer = Transfer {
        context,
        job,
        output,
        report: Report {
            url: job.display_url.clone(),
            method: context.config.request.method(),
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
                // A complete file has been renamed and is no longer a sink.
                let outcome = if is_started {
                    file.abandon(remove)
                } else {
                    file.discard_unused()
                };
                if let (Err(error), None) = (outcome, &self.report.error) {
                    self.report.error = Some(error.into());
                }
            }
            // A body that is too large is not reported.
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

    /// Examines existing files before the first request. Returns false if there is
    /// nothing to fetch.
    fn prepare(&mut self) -> Result<bool, Error> {
        let config = self.context.config;
        let path = match &self.job.destination {
            Destination::Stdout => None,
            Destination::Remote if config.saving.remote_header_name => None,
            _ => Some(self.output_path(None)?.0),
        };
        if let Some(path) = &path
            && config.saving.existing == ExistingFile::Skip
            && path.exists()
        {
            self.report.file = Some(path.clone());
            return Ok(false);
        }
        match (config.saving.start, path) {
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
                        "no validator proves that the rest belongs to the partial file; \
                         use --sha256 to verify it",
                    );
                }
            }
        }
        Ok(true)
    }

    /// Runs attempts until one succeeds or no retry is left.
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
            if self.context.config.output.show_retries {
                self.context.reporter.line(format_args!(
                    "{}: {}; retrying {}",
                    common::text::escape(self.job.display_url.as_bytes()),
                    common::text::escape(why.as_bytes()),
                    if delay.is_zero() {
                        "now".to_owned()
                    } else {
                        format!("in {}", net::format_duration(delay))
                    },
                ));
            }
            std::thread::sleep(delay);
        }
    }

    /// Runs one attempt; `is_last` is true if no retry is left.
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
            // The partial download cannot be continued, so this requests the whole body.
        }
    }

    /// Returns the delay before a retry if the status may be temporary; `None` if
    /// the response must be used.
    fn status_retry_delay(&self, head: &Head, is_last: bool) -> Option<Duration> {
        let is_retryable = !is_last && self.context.config.retry.is_retryable_status(head.status);
        is_retryable.then(|| self.retry_delay(Some(head))).flatten()
    }

    /// Returns the delay before the next attempt; `None` if it would be too late.
    fn retry_delay(&self, head: Option<&Head>) -> Option<Duration> {
        let policy = &self.context.config.retry;
        let delay = policy.delay(self.report.retries + 1, head, random_byte());
        let left = policy
            .max_time
            .map(|max| max.saturating_sub(self.started.elapsed()));
        left.is_none_or(|left| delay <= left).then_some(delay)
    }

    /// Prepares a retry that continues or repeats the output; returns false if that
    /// is impossible.
    fn prepare_retry(&mut self) -> Result<bool, Error> {
        match self.sink.retry_support()? {
            RetrySupport::Continue(partial) => self.resume = Some(partial),
            // Starts from the beginning, unless an earlier run or the user gave an
            // offset.
            RetrySupport::Restart if self.sink.has_destination() && !self.explicit_offset => {
                self.resume = None;
            }
            RetrySupport::Restart => {}
            RetrySupport::Impossible => return Ok(false),
        }
        Ok(true)
    }
}

/// Returns a random byte, which adds jitter to the delays of retries.
fn random_byte() -> u8 {
    let mut byte = [0];
    // Without random numbers the delays have no jitter.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

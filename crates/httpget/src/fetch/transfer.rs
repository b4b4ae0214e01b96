//! The transfer of one URL: attempts, until one succeeds or no retry is left.
//!
//! Each attempt gets a response ([`Attempt`]), decides on its use ([`decide`]), and
//! passes its body to the delivery ([`Delivery`]), which stays from one attempt to the
//! next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;

use super::attempt::{Attempt, FinalResponse};
use super::body::{Body, Situation};
use super::context::{Context, UrlJob};
use super::cookies;
use super::copy::{Copied, Copy};
use super::decision::{Action, Segments, decide};
use super::delivery::Delivery;
use super::earlier;
use super::requested_part::RequestedPart;
use super::segments::{self, Connections, EndReason};
use super::sink::RetrySupport;
use super::stdout::TransferOutput;
use crate::http::head::Head;
use crate::net;
use crate::report::{AttemptError, FetchError, Report};

/// The hint of a failure that cannot be retried despite `--retry`.
const NOT_RETRIED: &str =
    "not retried: the output already printed can be neither undone nor continued";

/// The hint if the next attempt would exceed `--retry-max-time`.
const RETRY_TOO_LATE: &str = "not retried: --retry-max-time would be exceeded";

/// The state of a transfer between its attempts.
struct Transfer<'a, 'b> {
    context: &'a Context<'a>,
    job: &'a UrlJob,
    started: Instant,
    report: Report,
    /// The part of the body that the next request asks for.
    part: RequestedPart,
    delivery: Delivery<'a, 'b>,
}

/// The outcome of an attempt that did not fail.
enum AttemptOutcome {
    Done,
    /// The status may be temporary: retry after this delay.
    RetryAfter(Duration),
    /// Another request is needed within this attempt.
    Repeat,
}

/// Fetches the URL of a job, with retries.
pub(crate) fn fetch(
    context: &Context<'_>,
    job: &UrlJob,
    output: &mut TransferOutput<'_>,
) -> Report {
    let started = Instant::now();
    let mut transfer = Transfer {
        context,
        job,
        started,
        report: Report {
            url: job.display_url.clone(),
            method: context.config.request.method(),
            ..Report::default()
        },
        part: RequestedPart::Whole,
        delivery: Delivery::new(context, job, output),
    };
    let outcome = transfer.run();
    let Transfer {
        mut report,
        delivery,
        ..
    } = transfer;
    report.total = started.elapsed();
    report.error = outcome.err();
    delivery.close(&mut report);
    report
}

impl Transfer<'_, '_> {
    fn run(&mut self) -> Result<(), FetchError> {
        cookies::store_given(self.context, self.job);
        if let Some(path) = earlier::kept_file(self.context, self.job)? {
            self.report.file = Some(path);
            return Ok(());
        }
        let (part, file) = earlier::prepare(self.context, self.job)?;
        self.part = part;
        if let Some(file) = file {
            self.delivery.use_file(file);
        }
        if self.may_use_segments() {
            self.part.use_segments();
        }
        self.run_attempts()
    }

    /// Whether the file may be downloaded over several connections.
    fn may_use_segments(&self) -> bool {
        let config = self.context.config;
        config.saving.segments > 1 && self.job.is_saved() && config.request.range_header.is_none()
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
            let (why, delay) = match self.run_attempt(!may_retry) {
                Ok(None) => return Ok(()),
                Ok(Some(delay)) => {
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
            self.announce_retry(&why, delay);
            std::thread::sleep(delay);
        }
    }

    /// Prints the reason of a retry and its delay.
    fn announce_retry(&self, why: &str, delay: Duration) {
        if !self.context.config.output.show_retries {
            return;
        }
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

    /// Runs one attempt; `is_last` is true if no retry is left. Returns the delay before
    /// a retry if the status may be temporary.
    fn run_attempt(&mut self, is_last: bool) -> Result<Option<Duration>, AttemptError> {
        let mut attempt = Attempt::new(self.context, self.job, self.started);
        loop {
            let response = attempt.respond(&self.part, &mut self.delivery, &mut self.report)?;
            match self.use_response(&attempt, response, is_last)? {
                AttemptOutcome::Done => return Ok(None),
                AttemptOutcome::RetryAfter(delay) => return Ok(Some(delay)),
                AttemptOutcome::Repeat => {}
            }
        }
    }

    /// Decides how a response is used, and uses it.
    fn use_response(
        &mut self,
        attempt: &Attempt<'_>,
        found: FinalResponse,
        is_last: bool,
    ) -> Result<AttemptOutcome, AttemptError> {
        let head = Arc::clone(&found.response.head);
        let config = self.context.config;
        let decision = decide(
            &Situation {
                request: &config.request,
                output: &config.output,
                max_bytes: config.limits.max_bytes,
                is_saved: self.job.is_saved(),
                part: &self.part,
                has_printed: self.delivery.has_printed(),
                retry_delay: self.status_retry_delay(&head, is_last),
            },
            &head,
        );
        if decision.one_connection {
            self.part.use_one_connection();
        }
        if let Some(why) = decision.start_over {
            self.start_over(why);
        }
        self.report.is_failure_status =
            matches!(&decision.action, Action::Deliver(body) if body.is_failure);
        let response = (&*head, &found.url);
        match decision.action {
            Action::Retry(delay) => return Ok(AttemptOutcome::RetryAfter(delay)),
            Action::Repeat => return Ok(AttemptOutcome::Repeat),
            Action::Fail(error) => return Err(error.into()),
            Action::Deliver(body) => return self.deliver(&body, found, attempt.deadline()),
            Action::Segments(segments) => {
                return self.download_segments(&segments, found, attempt, is_last);
            }
            Action::NotModified => {
                let head = Arc::new(not_modified(&head));
                self.report.head = Some(Arc::clone(&head));
                let response = (&*head, &found.url);
                self.delivery
                    .finish_not_modified(response, &mut self.report)?;
            }
            Action::Complete(partial) => {
                self.delivery
                    .finish_complete(&partial, response, &mut self.report)?;
            }
        }
        Ok(AttemptOutcome::Done)
    }

    /// Delivers the body of a response.
    fn deliver(
        &mut self,
        body: &Body,
        found: FinalResponse,
        deadline: Option<Instant>,
    ) -> Result<AttemptOutcome, AttemptError> {
        let head = Arc::clone(&found.response.head);
        let response = (&*head, &found.url);
        let mut open = self.delivery.open(body, response, &mut self.report)?;
        let copy = Copy {
            context: self.context,
            job: self.job,
            body,
            deadline,
        };
        let reader = found.response.body;
        match copy.run(reader, &mut open, &mut self.delivery, &mut self.report) {
            Ok(Copied::Complete) => {
                self.delivery
                    .finish(open, response, body.is_failure, &mut self.report)?;
                Ok(AttemptOutcome::Done)
            }
            Ok(Copied::Differs) => {
                self.start_over("the end of the partial file differs from the server's file");
                Ok(AttemptOutcome::Repeat)
            }
            Err(error) => {
                self.delivery.interrupt(open)?;
                Err(error)
            }
        }
    }

    /// Downloads a file over several connections, starting with its first segment.
    fn download_segments(
        &mut self,
        segments: &Segments,
        found: FinalResponse,
        attempt: &Attempt<'_>,
        is_last: bool,
    ) -> Result<AttemptOutcome, AttemptError> {
        let head = Arc::clone(&found.response.head);
        let response = (&*head, &found.url);
        let file = self
            .delivery
            .open_segments(&segments.body(), response, &mut self.report)?;
        let Some(file) = file else {
            self.part.use_one_connection();
            return Ok(AttemptOutcome::Repeat);
        };
        let connections = Connections {
            context: self.context,
            job: self.job,
            prepared: attempt.prepare(&found.url, None, Vec::new())?,
            deadline: attempt.deadline(),
            abort_handle: found.abort_handle.unwrap_or_default(),
        };
        let end = segments::download(connections, segments, found.response, file)?;
        self.report.bytes = end.contiguous;
        self.report.wire_bytes += end.wire_bytes;
        match end.reason {
            None => {
                self.delivery.finish_segments(response, &mut self.report)?;
                return Ok(AttemptOutcome::Done);
            }
            Some(EndReason::Failed(error)) => return Err(error),
            Some(EndReason::Changed) => {}
            // The status may be temporary, or the server says when to retry.
            Some(EndReason::Refused(head)) => {
                if let Some(delay) = self.status_retry_delay(&head, is_last) {
                    self.report.head = Some(head);
                    self.prepare_retry()?;
                    return Ok(AttemptOutcome::RetryAfter(delay));
                }
            }
        }
        // A single request then reports the status.
        self.part.use_one_connection();
        self.part.start_over();
        Ok(AttemptOutcome::Repeat)
    }

    /// Gives up the partial download, and prints the reason.
    fn start_over(&mut self, why: &str) {
        self.part.start_over();
        self.context.report_start_over(self.job, why);
    }

    /// Returns the delay before a retry if the status may be temporary; `None` if
    /// the response must be used.
    fn status_retry_delay(&self, head: &Head, is_last: bool) -> Option<Duration> {
        let is_retryable = !is_last && self.context.config.retry.is_retryable_status(head.status);
        is_retryable.then(|| self.retry_delay(Some(head))).flatten()
    }

    /// Returns the delay before the next attempt; `None` if it would exceed `--retry-max-time`.
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
        match self.delivery.retry_support()? {
            RetrySupport::Continue(partial) => self.part.continue_after(partial),
            // Starts from the beginning, unless an earlier run or the user gave an
            // offset.
            RetrySupport::Restart if self.delivery.has_destination() => self.part.start_over(),
            RetrySupport::Restart => {}
            RetrySupport::Impossible => return Ok(false),
        }
        Ok(true)
    }
}

/// Returns the head that a server should have sent instead of the whole body.
fn not_modified(head: &Head) -> Head {
    let mut head = head.clone();
    head.status = 304;
    "Not Modified".clone_into(&mut head.reason);
    head
}

/// Returns a random byte, which adds jitter to the delays of retries.
fn random_byte() -> u8 {
    let mut byte = [0];
    // Without random numbers the delays have no jitter.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

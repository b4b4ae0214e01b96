//! An attempt: requests and redirects, up to the response that is delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;
use url::Url;

use super::auth::Logins;
use super::context::{Context, UrlJob};
use super::cookies;
use super::delivery::Delivery;
use super::requested_part::RequestedPart;
use super::requests::{self, PreparedRequest};
use crate::net::{AbortHandle, Request, Response};
use crate::output::verbose;
use crate::policy::digest;
use crate::policy::redirect::{self, RedirectLimit};
use crate::report::{AttemptError, Redirect, Report};

/// The limits on reading the body of a redirect to keep its connection.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(250);

/// One attempt of a transfer.
pub(super) struct Attempt<'a> {
    context: &'a Context<'a>,
    job: &'a UrlJob,
    logins: Logins<'a>,
    /// The start of the first attempt.
    started: Instant,
    /// The time at which this attempt must be finished.
    deadline: Option<Instant>,
}

/// The final response of an attempt.
pub(super) struct FinalResponse {
    pub(super) response: Response,
    /// The URL that it came from.
    pub(super) url: Url,
    /// The handle that aborts its connection, if that is one of several.
    pub(super) abort_handle: Option<Arc<AbortHandle>>,
}

impl<'a> Attempt<'a> {
    /// Starts an attempt of a transfer that was `started` then.
    pub(super) fn new(context: &'a Context<'a>, job: &'a UrlJob, started: Instant) -> Self {
        Self {
            context,
            job,
            logins: Logins::new(context, job),
            started,
            deadline: context.config.max_time.map(|time| Instant::now() + time),
        }
    }

    /// Returns the time at which this attempt must be finished.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends requests and follows redirects until there is a final response. The
    /// heads go to `delivery`, the facts to `report`.
    pub(super) fn respond(
        &mut self,
        part: &RequestedPart,
        delivery: &mut Delivery<'_, '_>,
        report: &mut Report,
    ) -> Result<FinalResponse, AttemptError> {
        let redirects = self.context.config.redirects;
        let mut url = self.job.request.url.clone();
        report.redirects.clear();
        report.redirect_count = 0;
        self.logins.reset();
        delivery.discard_heads();
        loop {
            let found = self.authenticate(&url, part, delivery, report)?;
            let limit = RedirectLimit {
                max: redirects.max,
                followed: report.redirect_count,
            };
            let next = if redirects.follows {
                redirect::target(&found.response.head, &url, limit)?
            } else {
                None
            };
            let Some(next) = next else {
                return Ok(found);
            };
            report.add_redirect(Redirect {
                url: url.to_string(),
                status: found.response.head.status,
                location: next.url.to_string(),
            });
            self.logins.follow(&next.url, next.user);
            found.response.body.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX);
            report.redirect_time = self.started.elapsed();
            url = next.url;
        }
    }

    /// Sends a request, and answers a challenge to it.
    fn authenticate(
        &self,
        url: &Url,
        part: &RequestedPart,
        delivery: &mut Delivery<'_, '_>,
        report: &mut Report,
    ) -> Result<FinalResponse, AttemptError> {
        let mut found = self.send(url, part, None, delivery, report)?;
        let Some(value) = self.logins.answer_challenge(&found.response.head, url)? else {
            return Ok(found);
        };
        found.response.body.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX);
        found = self.send(url, part, Some(value), delivery, report)?;
        // A nonce that has expired is replaced once.
        if digest::is_stale(&found.response.head)
            && let Some(value) = self.logins.answer_challenge(&found.response.head, url)?
        {
            found.response.body.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX);
            found = self.send(url, part, Some(value), delivery, report)?;
        }
        Ok(found)
    }

    /// Sends one request and records its exchange.
    fn send(
        &self,
        url: &Url,
        part: &RequestedPart,
        authorization: Option<String>,
        delivery: &mut Delivery<'_, '_>,
        report: &mut Report,
    ) -> Result<FinalResponse, AttemptError> {
        let config = self.context.config;
        let range = part.headers(config.request.range.as_deref());
        let is_segment = matches!(part, RequestedPart::Segment(_));
        let abort_handle = is_segment.then(Arc::default);
        let prepared = self.prepare(url, authorization, range)?;
        report.final_url = Some(url.to_string());
        let request = Request {
            head: config.request.head,
            url: &prepared.url,
            zone: prepared.zone.as_deref(),
            headers: &prepared.headers,
            proxy: prepared.proxy,
            target: prepared.target,
            resume_offset: part.resume_offset(),
            deadline: self.deadline,
            abort_handle: abort_handle.clone(),
        };
        let mut outcome = self.context.network.send(&request);
        let exchange = match &mut outcome {
            Ok(response) => std::mem::take(&mut response.exchange),
            Err((_, exchange)) => std::mem::take(&mut **exchange),
        };
        if config.output.verbose {
            self.context
                .reporter
                .raw(verbose::exchange(&exchange).as_bytes());
        }
        report.connects += u32::from(!exchange.reused && exchange.connection.peer.is_some());
        report.exchange = exchange;
        match outcome {
            Ok(response) => {
                cookies::store(self.context, &response.head, url);
                report.head_bytes += response.head.raw.len() as u64;
                delivery.record_head(&response.head)?;
                report.head = Some(Arc::clone(&response.head));
                Ok(FinalResponse {
                    response,
                    url: url.clone(),
                    abort_handle,
                })
            }
            Err((failure, _)) => {
                report.head = report.exchange.head.clone();
                Err(failure.into())
            }
        }
    }

    /// Returns the request for a URL with the headers of a range.
    pub(super) fn prepare(
        &self,
        url: &Url,
        authorization: Option<String>,
        range: Vec<(&'static str, String)>,
    ) -> Result<PreparedRequest, Error> {
        let transfer = (self.context, self.job);
        requests::prepare(transfer, &self.logins, url, authorization, range)
    }
}

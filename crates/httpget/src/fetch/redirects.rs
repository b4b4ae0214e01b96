//! From the URL to the final response: the headers of each request, its proxy, and
//! the redirects that are followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;
use url::Url;

use super::Transfer;
use crate::config::{Destination, FileOrStdout};
use crate::http::coding;
use crate::http::head::Head;
use crate::net::{self, Request, Response};
use crate::output::verbose;
use crate::policy::digest;
use crate::policy::proxy::{Protocol, Proxy};
use crate::policy::redirect::{self, RedirectLimit};
use crate::policy::request::{self, HeaderParts};
use crate::policy::request_url;
use crate::report::{AttemptError, FetchError, Redirect};

/// The limits on reading the body of a redirect to keep its connection.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(250);

/// The maximum size of all heads that are held for a file, in bytes.
const HEADS_MAX: usize = 16 << 20;

/// A request that only lacks its time limit.
#[derive(Clone, Debug)]
pub(super) struct PreparedRequest {
    pub(super) url: String,
    /// The zone of the URL's IPv6 address.
    pub(super) zone: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) proxy: Option<Arc<Proxy>>,
    /// The target of the request line, if it is not the path of the URL.
    pub(super) target: Option<String>,
}

impl Transfer<'_, '_> {
    /// Sends requests and follows redirects until there is a final response.
    pub(super) fn follow_redirects(&mut self) -> Result<Response, AttemptError> {
        let (config, deadline) = (self.context.config, self.deadline);
        let mut url = self.job.request.url.clone();
        self.report.redirects.clear();
        self.report.redirect_count = 0;
        self.redirect_user = None;
        self.file_heads.clear();
        loop {
            let trusted = self.is_trusted(&url);
            let mut response = self.send_request(&url, trusted, deadline, None)?;
            if let Some(value) = self.answer_challenge(&response.head, &url, trusted)? {
                response.body.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX);
                response = self.send_request(&url, trusted, deadline, Some(value))?;
                // A nonce that has expired is replaced once.
                if digest::is_stale(&response.head)
                    && let Some(value) = self.answer_challenge(&response.head, &url, trusted)?
                {
                    response.body.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX);
                    response = self.send_request(&url, trusted, deadline, Some(value))?;
                }
            }
            let limit = RedirectLimit {
                max: config.redirects.max,
                followed: self.report.redirect_count,
            };
            let next = if config.redirects.follows {
                redirect::target(&response.head, &url, limit)?
            } else {
                None
            };
            let Some(next) = next else {
                self.final_url = url;
                return Ok(response);
            };
            self.report.add_redirect(Redirect {
                url: url.to_string(),
                status: response.head.status,
                location: next.url.to_string(),
            });
            if next.user.is_some() && next.url.origin() == self.job.trusted_origin {
                self.redirect_user = next.user;
            }
            response.body.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX);
            self.report.redirect_time = self.started.elapsed();
            url = next.url;
        }
    }

    /// Whether credentials are sent to this URL.
    pub(super) fn is_trusted(&self, url: &Url) -> bool {
        url.origin() == self.job.trusted_origin || self.context.config.redirects.trusts_all
    }

    /// Sends one request and records its exchange.
    fn send_request(
        &mut self,
        url: &Url,
        trusted: bool,
        deadline: Option<Instant>,
        authorization: Option<String>,
    ) -> Result<Response, AttemptError> {
        let config = self.context.config;
        let range = match (&self.resume, &config.request.range) {
            (partial, _) if self.is_segmented => {
                let validator = partial
                    .as_ref()
                    .and_then(|partial| partial.validator.as_ref());
                self.first_segment().range_headers(validator)
            }
            (Some(partial), _) => partial.range_headers(),
            (None, Some(range)) => vec![("Range", format!("bytes={range}"))],
            (None, None) => Vec::new(),
        };
        self.abort_handle = self.is_segmented.then(Arc::default);
        let prepared = self.prepare_request(url, trusted, authorization, range)?;
        self.report.final_url = Some(url.to_string());
        let request = Request {
            head: config.request.head,
            url: &prepared.url,
            zone: prepared.zone.as_deref(),
            headers: &prepared.headers,
            proxy: prepared.proxy,
            target: prepared.target,
            resume_offset: match &self.resume {
                Some(partial) if !self.is_segmented => partial.resume_offset(),
                _ => 0,
            },
            deadline,
            abort_handle: self.abort_handle.clone(),
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
        self.report.connects += u32::from(!exchange.reused && exchange.connection.peer.is_some());
        self.report.exchange = exchange;
        match outcome {
            Ok(response) => {
                self.store_cookies(&response.head, url);
                self.record_head(&response.head)?;
                Ok(response)
            }
            Err((failure, _)) => {
                self.report.head = self.report.exchange.head.clone();
                Err(failure.into())
            }
        }
    }

    /// Returns the request for a URL.
    pub(super) fn prepare_request(
        &self,
        url: &Url,
        trusted: bool,
        authorization: Option<String>,
        range: Vec<(&'static str, String)>,
    ) -> Result<PreparedRequest, Error> {
        let config = self.context.config;
        let host = request_url::host(url);
        let proxy = config
            .proxies
            .choose(url.scheme(), host, request_url::port(url));
        let is_first = *url == self.job.request.url;
        let path = if config.request.path_as_is && is_first {
            Some(self.job.request.raw_path.clone())
        } else {
            None
        };
        // An HTTP proxy expects the whole URL of a plain http request.
        let forward_proxy = proxy.filter(|proxy| {
            url.scheme() == "http" && matches!(proxy.protocol, Protocol::Http | Protocol::Https)
        });
        let target = match (forward_proxy, &path) {
            (Some(_), Some(path)) => Some(format!("http://{}{path}", request_url::authority(url))),
            (Some(_), None) => Some(url.to_string()),
            (None, path) => path.clone(),
        };
        let authority = request_url::authority(url);
        let parts = HeaderParts {
            host: &authority,
            trusted,
            generated: self.generated_headers(url, trusted, forward_proxy, authorization, range)?,
            edits: &config.request.edits,
        };
        let is_same_host = url.host() == self.job.request.url.host();
        Ok(PreparedRequest {
            headers: request::headers(&parts),
            url: url.to_string(),
            zone: self.job.request.zone.clone().filter(|_| is_same_host),
            proxy: proxy.map(|proxy| Arc::new(proxy.clone())),
            target,
        })
    }

    /// Returns all headers except those of the user.
    fn generated_headers(
        &self,
        url: &Url,
        trusted: bool,
        forward_proxy: Option<&Proxy>,
        authorization: Option<String>,
        range: Vec<(&'static str, String)>,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let config = self.context.config;
        let mut headers = Vec::new();
        if let Some(value) = forward_proxy.and_then(net::proxy_authorization) {
            headers.push(("Proxy-Authorization", value));
        }
        let value = match authorization {
            Some(value) => Some(value),
            None => self.authorization(url, trusted)?,
        };
        if let Some(value) = value {
            headers.push(("Authorization", value));
        }
        if let Some(name) = &config.request.user_agent {
            headers.push(("User-Agent", name.clone()));
        }
        headers.push(("Accept", "*/*".to_owned()));
        if config.request.compressed {
            headers.push(("Accept-Encoding", coding::ACCEPT.to_owned()));
        }
        if let Some(referer) = &config.request.referer {
            headers.push(("Referer", referer.clone()));
        }
        if let Some(value) = self.cookie_header(url, trusted) {
            headers.push(("Cookie", value));
        }
        headers.extend(config.request.conditional_headers.iter().cloned());
        headers.extend(range);
        Ok(headers)
    }

    /// Records the head of a response, and prints it if requested.
    fn record_head(&mut self, head: &Arc<Head>) -> Result<(), AttemptError> {
        let config = self.context.config;
        self.report.head_bytes += head.raw.len() as u64;
        if let (Some(file), Some(FileOrStdout::File(name))) =
            (&self.context.header_dump, &config.output.header_dump)
        {
            use std::io::Write;
            let mut file = file
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            file.write_all(&head.raw)
                .map_err(|e| Error::local(&e).with_subject(name.display().to_string()))?;
        }
        let is_dumped = config.output.header_dump == Some(FileOrStdout::Stdout);
        let is_shown = config.output.heads;
        if is_shown && self.job.destination != Destination::Stdout {
            if self.file_heads.len() + head.raw.len() > HEADS_MAX {
                let message = format!("the response heads are larger than {HEADS_MAX} bytes");
                return Err(FetchError::negative("size", message).into());
            }
            self.file_heads.extend_from_slice(&head.raw);
        }
        let is_shown = is_shown && self.job.destination == Destination::Stdout;
        // Not within a body that a retry continues.
        if (is_shown || is_dumped) && !config.output.json && !self.sink.has_printed() {
            if config.output.view {
                self.output
                    .write(verbose::format_head(&head.raw).as_bytes())?;
            } else {
                self.output.write(&head.raw)?;
            }
        }
        self.report.head = Some(Arc::clone(head));
        Ok(())
    }
}

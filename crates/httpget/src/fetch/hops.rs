//! From the URL to a response that is no redirect: which headers, which
//! proxy, and whether to go where a redirect leads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;
use url::Url;

use super::report::{Hop, Stop, Trouble};
use super::{Place, Transfer};
use crate::http::coding;
use crate::http::head::Head;
use crate::net::{self, Answer, Ask};
use crate::output::talk;
use crate::policy::digest;
use crate::policy::proxy::{Protocol, Proxy};
use crate::policy::redirect::{self, Rules};
use crate::policy::request::{self, Parts};
use crate::policy::target;

/// A redirect's body is read this far and this long, to keep its connection.
const DRAIN: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(250);

/// The most bytes of heads that are held for a file: redirects may go on and on.
const HEADS_MAX: usize = 16 << 20;

/// What is asked of the network, but for the time it may take.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) url: String,
    /// The zone of its IPv6 address.
    pub(super) zone: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) proxy: Option<Arc<Proxy>>,
    /// The target for the request line, where it is not the path.
    pub(super) absolute: Option<String>,
}

impl Transfer<'_, '_> {
    /// Asks, and follows redirects, until there is a response to deliver.
    pub(super) fn hops(&mut self) -> Result<Answer, Stop> {
        let (config, deadline) = (self.context.config, self.deadline);
        let mut url = self.job.target.url.clone();
        self.report.redirects.clear();
        self.report.redirect_count = 0;
        self.led_user = None;
        self.heads.clear();
        loop {
            let at_home = self.is_home(&url);
            let mut answer = self.ask(&url, at_home, deadline, None)?;
            if let Some(value) = self.answer_challenge(&answer.head, &url, at_home)? {
                answer.body.drain(DRAIN, DRAIN_TIME);
                answer = self.ask(&url, at_home, deadline, Some(value))?;
                // A nonce that is too old is replaced once.
                if digest::is_stale(&answer.head)
                    && let Some(value) = self.answer_challenge(&answer.head, &url, at_home)?
                {
                    answer.body.drain(DRAIN, DRAIN_TIME);
                    answer = self.ask(&url, at_home, deadline, Some(value))?;
                }
            }
            let rules = Rules {
                max: u32::try_from(config.request.max_redirs).ok(),
                followed: self.report.redirect_count,
            };
            let next = if config.request.no_location {
                None
            } else {
                redirect::next(&answer.head, &url, rules)?
            };
            let Some(next) = next else {
                self.final_url = url;
                return Ok(answer);
            };
            self.report.add_hop(Hop {
                url: url.to_string(),
                status: answer.head.status,
                location: next.url.to_string(),
            });
            if next.user.is_some() && next.url.origin() == self.job.home {
                self.led_user = next.user;
            }
            answer.body.drain(DRAIN, DRAIN_TIME);
            self.report.redirect_time = self.started.elapsed();
            url = next.url;
        }
    }

    /// Whether credentials go to this URL.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.job.home || self.context.config.request.location_trusted
    }

    /// One request.
    fn ask(
        &mut self,
        url: &Url,
        home: bool,
        deadline: Option<Instant>,
        authorization: Option<String>,
    ) -> Result<Answer, Stop> {
        let config = self.context.config;
        let range = match (&self.resume, &config.request.range) {
            (had, _) if self.split => {
                let validator = had.as_ref().and_then(|had| had.validator.as_ref());
                self.first_piece().ask(validator)
            }
            (Some(had), _) => had.ask(),
            (None, Some(range)) => vec![("Range", format!("bytes={range}"))],
            (None, None) => Vec::new(),
        };
        self.line = self.split.then(Arc::default);
        let wanted = self.wanted(url, home, authorization, range)?;
        self.report.final_url = Some(url.to_string());
        let ask = Ask {
            head: config.request.head,
            url: &wanted.url,
            zone: wanted.zone.as_deref(),
            headers: &wanted.headers,
            proxy: wanted.proxy,
            absolute: wanted.absolute,
            had: match &self.resume {
                Some(had) if !self.split => had.from(),
                _ => 0,
            },
            deadline,
            line: self.line.clone(),
        };
        let mut outcome = self.context.network.ask(&ask);
        let exchange = match &mut outcome {
            Ok(answer) => std::mem::take(&mut answer.exchange),
            Err((_, exchange)) => std::mem::take(&mut **exchange),
        };
        if config.output.verbose {
            self.context.talk.raw(talk::exchange(&exchange).as_bytes());
        }
        self.report.connects += u32::from(!exchange.reused && exchange.made.peer.is_some());
        self.report.exchange = exchange;
        match outcome {
            Ok(answer) => {
                self.keep_cookies(&answer.head, url);
                self.receive(&answer.head)?;
                Ok(answer)
            }
            Err((failure, _)) => {
                self.report.head = self.report.exchange.head.clone();
                Err(failure.into())
            }
        }
    }

    /// What to ask for, of whom.
    pub(super) fn wanted(
        &self,
        url: &Url,
        home: bool,
        authorization: Option<String>,
        range: Vec<(&'static str, String)>,
    ) -> Result<Wanted, Error> {
        let config = self.context.config;
        let host = target::host(url);
        let proxy = config.proxies.choose(url.scheme(), host, target::port(url));
        let first = *url == self.job.target.url;
        let path = if config.request.path_as_is && first {
            Some(self.job.target.raw_path.clone())
        } else {
            None
        };
        // Plain http is asked of an HTTP proxy by the whole URL.
        let forwarded = proxy.filter(|proxy| {
            url.scheme() == "http" && matches!(proxy.protocol, Protocol::Http | Protocol::Https)
        });
        let absolute = match (forwarded, &path) {
            (Some(_), Some(path)) => Some(format!("http://{}{path}", target::authority(url))),
            (Some(_), None) => Some(url.to_string()),
            (None, path) => path.clone(),
        };
        let authority = target::authority(url);
        let parts = Parts {
            host: &authority,
            home,
            own: self.own_headers(url, home, forwarded, authorization, range)?,
            edits: &config.edits,
        };
        let is_of_zone = url.host() == self.job.target.url.host();
        Ok(Wanted {
            headers: request::headers(&parts),
            url: url.to_string(),
            zone: self.job.target.zone.clone().filter(|_| is_of_zone),
            proxy: proxy.map(|proxy| Arc::new(proxy.clone())),
            absolute,
        })
    }

    /// Headers that are not the user's own.
    fn own_headers(
        &self,
        url: &Url,
        home: bool,
        forwarded: Option<&Proxy>,
        authorization: Option<String>,
        range: Vec<(&'static str, String)>,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let config = self.context.config;
        let mut own = Vec::new();
        if let Some(value) = forwarded.and_then(net::authorization) {
            own.push(("Proxy-Authorization", value));
        }
        let value = match authorization {
            Some(value) => Some(value),
            None => self.authorization(url, home)?,
        };
        if let Some(value) = value {
            own.push(("Authorization", value));
        }
        if !config.user_agent.is_empty() {
            own.push(("User-Agent", config.user_agent.clone()));
        }
        own.push(("Accept", "*/*".to_owned()));
        if config.request.compressed {
            own.push(("Accept-Encoding", coding::ACCEPT.to_owned()));
        }
        if let Some(referer) = &config.request.referer {
            own.push(("Referer", referer.clone()));
        }
        if let Some(value) = self.cookies(url, home) {
            own.push(("Cookie", value));
        }
        own.extend(config.conditions.iter().cloned());
        own.extend(range);
        Ok(own)
    }

    /// Takes note of a head, and shows it where it is wanted.
    fn receive(&mut self, head: &Arc<Head>) -> Result<(), Stop> {
        let config = self.context.config;
        self.report.head_bytes += head.raw.len() as u64;
        if let Some(file) = &self.context.heads {
            use std::io::Write;
            let mut file = file
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            file.write_all(&head.raw).map_err(|e| {
                let name = config.output.dump_header.as_deref();
                let name = name.unwrap_or(std::path::Path::new("-"));
                Error::local(&e).with_subject(name.display().to_string())
            })?;
        }
        let dumped = config.output.dump_header.as_deref() == Some(std::path::Path::new("-"));
        let shown = config.output.include || config.request.head;
        if shown && self.job.place != Place::Stdout {
            if self.heads.len() + head.raw.len() > HEADS_MAX {
                let message = format!("the heads are larger than {HEADS_MAX} bytes");
                return Err(Trouble::no("size", message).into());
            }
            self.heads.extend_from_slice(&head.raw);
        }
        let shown = shown && self.job.place == Place::Stdout;
        // Not amid a body that a further try goes on with.
        if (shown || dumped) && !config.json && !self.sink.is_out() {
            if config.view {
                self.stage.write(talk::shown_head(&head.raw).as_bytes())?;
            } else {
                self.stage.write(&head.raw)?;
            }
        }
        self.report.head = Some(Arc::clone(head));
        Ok(())
    }
}

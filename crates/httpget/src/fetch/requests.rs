//! The parts of a request: its headers, its proxy and its target.

use std::sync::Arc;

use common::Error;
use url::Url;

use super::auth::Logins;
use super::context::{Context, UrlJob};
use super::cookies;
use crate::http::coding;
use crate::net;
use crate::policy::proxy::{Protocol, Proxy};
use crate::policy::request::{self, HeaderParts};
use crate::policy::request_url;

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

/// Returns the request for a URL with the headers of a range. `authorization` is the
/// answer to a challenge.
pub(super) fn prepare(
    (context, job): (&Context<'_>, &UrlJob),
    logins: &Logins<'_>,
    url: &Url,
    authorization: Option<String>,
    range: Vec<(&'static str, String)>,
) -> Result<PreparedRequest, Error> {
    let config = context.config;
    let host = request_url::host(url);
    let proxy = config
        .proxies
        .choose(url.scheme(), host, request_url::port(url));
    let is_first = *url == job.request.url;
    let path = if config.request.path_as_is && is_first {
        Some(job.request.raw_path.clone())
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
    let authorization = match authorization {
        Some(value) => Some(value),
        None => logins.authorization(url)?,
    };
    let trusted = logins.trusts(url);
    let parts = HeaderParts {
        host: &authority,
        trusted,
        generated: generated_headers(context, url, trusted, forward_proxy, authorization, range),
        edits: &config.request.edits,
    };
    let is_same_host = url.host() == job.request.url.host();
    Ok(PreparedRequest {
        headers: request::headers(&parts),
        url: url.to_string(),
        zone: job.request.zone.clone().filter(|_| is_same_host),
        proxy: proxy.map(|proxy| Arc::new(proxy.clone())),
        target,
    })
}

/// Returns all headers except those of the user.
fn generated_headers(
    context: &Context<'_>,
    url: &Url,
    trusted: bool,
    forward_proxy: Option<&Proxy>,
    authorization: Option<String>,
    range: Vec<(&'static str, String)>,
) -> Vec<(&'static str, String)> {
    let config = &context.config.request;
    let mut headers = Vec::new();
    if let Some(value) = forward_proxy.and_then(net::proxy_authorization) {
        headers.push(("Proxy-Authorization", value));
    }
    if let Some(value) = authorization {
        headers.push(("Authorization", value));
    }
    if let Some(name) = &config.user_agent {
        headers.push(("User-Agent", name.clone()));
    }
    headers.push(("Accept", "*/*".to_owned()));
    if config.compressed {
        headers.push(("Accept-Encoding", coding::ACCEPT.to_owned()));
    }
    if let Some(referer) = &config.referer {
        headers.push(("Referer", referer.clone()));
    }
    if let Some(value) = cookies::header(context, url, trusted) {
        headers.push(("Cookie", value));
    }
    headers.extend(config.conditional_headers.iter().cloned());
    headers.extend(range);
    headers
}

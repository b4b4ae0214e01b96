//! The jobs of operands, and of the further pages that responses name.

use common::operands::Operand;
use common::{Error, Kind, Result};
use url::{Position, Url};

use crate::config::Config;
use crate::fetch::UrlJob;
use crate::http::link;
use crate::policy::request_url::{self, RequestUrl};
use crate::report::Report;

/// Returns the job of an operand.
pub(crate) fn url_job(config: &Config, operand: &Operand, index: usize) -> Result<UrlJob> {
    let bare = strip_credentials(&operand.text);
    let mut request = request_url::parse(&operand.text)
        .map_err(|e| Error::new(Kind::Input, e).with_subject(&bare))?;
    request_url::add_query(&mut request.url, &config.request.url_query);
    Ok(UrlJob {
        display_url: bare,
        trusted_origin: request.url.origin(),
        request,
        destination: config.saving.destination(index).clone(),
        index,
        page: 0,
        sha256: config.saving.sha256.get(index).cloned(),
    })
}

/// Returns the job for the next page, which the response names in Link rel="next".
/// Credentials stay bound to the origin of the first page.
pub(crate) fn next_page(job: &UrlJob, report: &Report) -> Result<Option<UrlJob>> {
    let refused = |message: String| Err(Error::new(Kind::Protocol, message));
    let link = report
        .head
        .as_ref()
        .and_then(|head| link::find(head.all("link"), "next"));
    let base = report.final_url.as_deref().map(Url::parse);
    let (Some(link), Some(Ok(base))) = (link, base) else {
        return Ok(None);
    };
    let Ok(mut url) = base.join(link) else {
        return refused(format!(
            "the link to the next page is not a valid URL: {link}"
        ));
    };
    if !matches!(url.scheme(), "http" | "https")
        || base.scheme() == "https" && url.scheme() == "http"
    {
        return refused(format!(
            "refused to follow the link to the next page: {url}"
        ));
    }
    request_url::strip(&mut url);
    Ok(Some(UrlJob {
        display_url: url.to_string(),
        request: RequestUrl {
            raw_path: url[Position::BeforePath..].to_owned(),
            user: job.request.user.clone(),
            zone: job
                .request
                .zone
                .clone()
                .filter(|_| url.host() == job.request.url.host()),
            url,
        },
        destination: job.destination.clone(),
        trusted_origin: job.trusted_origin.clone(),
        index: job.index,
        page: job.page + 1,
        // The digest is that of the first page.
        sha256: None,
    }))
}

/// Returns a URL as typed, without its credentials.
fn strip_credentials(text: &str) -> String {
    if request_url::other_scheme(text).is_some() {
        return text.to_owned();
    }
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.to_owned(),
    }
}

//! The cookies of requests and responses.

use std::sync::PoisonError;

use url::Url;

use super::context::{Context, UrlJob};
use crate::http::date;
use crate::http::head::Head;
use crate::policy::cookie;

/// Returns the value of the Cookie header for a URL. The cookies of `-b` are sent
/// only if the URL is `trusted`.
pub(super) fn header(context: &Context<'_>, url: &Url, trusted: bool) -> Option<String> {
    let given = context.config.cookies.header.clone().filter(|_| trusted);
    let stored = context.jar.as_ref().and_then(|jar| {
        let jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
        jar.header(url, date::now())
    });
    match (stored, given) {
        (Some(stored), Some(given)) => Some(format!("{stored}; {given}")),
        (stored, given) => stored.or(given),
    }
}

/// Stores the Set-Cookie headers of a cookie file for the requested URL, unless the
/// jar has such cookies already.
pub(super) fn store_given(context: &Context<'_>, job: &UrlJob) {
    let Some(jar) = &context.jar else { return };
    let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
    let is_public = |domain: &str| context.public_suffixes.is_public(domain);
    for value in &context.given_cookies {
        jar.insert_new(value, &job.request.url, date::now(), &is_public);
    }
}

/// Stores the cookies of a response from `url`.
pub(super) fn store(context: &Context<'_>, head: &Head, url: &Url) {
    let Some(jar) = &context.jar else { return };
    let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
    let is_public = |domain: &str| context.public_suffixes.is_public(domain);
    for value in head.all("set-cookie").take(cookie::RESPONSE_MAX) {
        jar.insert(value, url, date::now(), &is_public);
    }
}

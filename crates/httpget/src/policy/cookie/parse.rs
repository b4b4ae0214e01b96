//! Set-Cookie headers, parsed by the rules of user agents (RFC 6265, section 5).

use std::net::IpAddr;

use url::Url;

use super::{Cookie, IsPublic, is_trustworthy, is_within};
use crate::http::date::{self, Seconds};
use crate::policy::request_url;

/// The maximum length of a name with its value, in bytes.
const COOKIE_MAX: usize = 4096;

/// Returns the default path of a cookie (RFC 6265, section 5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// Parses a Set-Cookie header of a response from `url`; `None` if the cookie is
/// invalid or must not be stored.
pub(super) fn parse(
    text: &str,
    url: &Url,
    now: Seconds,
    is_public: IsPublic<'_>,
) -> Option<Cookie> {
    let host = request_url::host(url).to_ascii_lowercase();
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    // A TAB in a name or value would end a field of the cookie file.
    let is_forbidden = |c: char| c.is_control() && c != '\t';
    if name.is_empty()
        || name.len() + value.len() > COOKIE_MAX
        || text.contains(is_forbidden)
        || name.contains('\t')
        || value.contains('\t')
    {
        return None;
    }
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: host.clone(),
        host_only: true,
        path: default_path(url.path()).to_owned(),
        secure: false,
        http_only: false,
        expires: None,
    };
    let mut domain = String::new();
    let mut max_age = None;
    let mut has_path = false;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "domain" => {
                domain = value
                    .strip_prefix('.')
                    .unwrap_or(value)
                    .to_ascii_lowercase();
            }
            "path" if value.starts_with('/') && !value.contains('\t') => {
                has_path = true;
                value.clone_into(&mut cookie.path);
            }
            "path" => {
                has_path = false;
                default_path(url.path()).clone_into(&mut cookie.path);
            }
            "secure" => cookie.secure = true,
            "httponly" => cookie.http_only = true,
            "expires" => cookie.expires = date::parse(value).or(cookie.expires),
            "max-age" => max_age = parse_max_age(value).or(max_age),
            _ => {}
        }
    }
    // Max-Age takes precedence over Expires, whichever comes first.
    if let Some(age) = max_age {
        cookie.expires = Some(now.saturating_add(age));
    }
    if !domain.is_empty() && domain != host {
        if host.parse::<IpAddr>().is_ok() || !is_within(&host, &domain) || domain.ends_with('.') {
            return None;
        }
        match is_public(&domain) {
            Some(true) => return None,
            Some(false) => {
                cookie.domain = domain;
                cookie.host_only = false;
            }
            None => {}
        }
    } else if domain == host && host.parse::<IpAddr>().is_err() {
        cookie.host_only = is_public(&domain) != Some(false);
    }
    if cookie.secure && !is_trustworthy(url) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("__secure-") && !cookie.secure {
        return None;
    }
    let is_host_bound = cookie.secure && cookie.host_only && has_path && cookie.path == "/";
    if lower.starts_with("__host-") && !is_host_bound {
        return None;
    }
    Some(cookie)
}

/// Parses the value of Max-Age, in seconds; a negative one expires at once.
fn parse_max_age(value: &str) -> Option<Seconds> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if value.starts_with('-') {
        return Some(-1);
    }
    Some(digits.parse().unwrap_or(i64::from(i32::MAX)))
}

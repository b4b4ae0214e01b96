//! Redirects: their target, and whether to follow them.

use common::{Error, Kind, Result};
use url::Url;

use crate::http::head::Head;
use crate::policy::request_url;

/// The maximum length of a redirect's URL in bytes.
const URL_MAX: usize = 64 * 1024;

/// The target of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTarget {
    /// The URL without credentials and fragment.
    pub url: Url,
    /// The user and the password in the Location header.
    pub user: Option<request_url::User>,
}

/// The limit on redirects, and how many have been followed.
#[derive(Clone, Copy, Debug)]
pub struct RedirectLimit {
    /// The maximum number of redirects; `None` means no limit.
    pub max: Option<u32>,
    /// The number of redirects followed so far.
    pub followed: u32,
}

/// Returns the target of a redirect; `None` if the response is final. Refuses an
/// unsupported scheme, a downgrade from https to http, too many redirects, and Locations
/// that differ.
pub fn target(head: &Head, base: &Url, limit: RedirectLimit) -> Result<Option<RedirectTarget>> {
    if !matches!(head.status, 300..=303 | 307 | 308) {
        return Ok(None);
    }
    let mut locations = head.locations();
    let Some(location) = locations.next().filter(|location| !location.is_empty()) else {
        return Ok(None);
    };
    let refused = |message: String| Err(Error::new(Kind::Protocol, message));
    if locations.any(|other| other != location) {
        return refused("the response has two different Location headers".to_owned());
    }
    if limit.max.is_some_and(|max| limit.followed >= max) {
        return Err(Error::new(
            Kind::Protocol,
            format!("more than {} redirects", limit.followed),
        )
        .hint("use --max-redirs N to allow more"));
    }
    let mut url = match base.join(&location) {
        Ok(url) => url,
        Err(e) => {
            let start: String = location.chars().take(1000).collect();
            return refused(format!("redirected to an invalid URL ({start}): {e}"));
        }
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return refused(format!(
            "redirected to an unsupported scheme: {}",
            url.scheme()
        ));
    }
    let user = request_url::credentials(&url);
    request_url::strip(&mut url);
    if url.as_str().len() > URL_MAX {
        return refused(format!("redirected to a URL longer than {URL_MAX} bytes"));
    }
    if base.scheme() == "https" && url.scheme() == "http" {
        return refused(format!("refused a redirect from https to http: {url}"));
    }
    Ok(Some(RedirectTarget { url, user }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(base: &str, head: &str) -> Result<Option<String>> {
        let head = Head::parse(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).unwrap();
        let limit = RedirectLimit {
            max: Some(10),
            followed: 0,
        };
        let url = target(&head, &Url::parse(base).unwrap(), limit)?;
        Ok(url.map(|next| next.url.into()))
    }

    #[test]
    fn targets_are_relative_to_the_url() {
        let base = "http://h/d/e/q?x=1";
        for (location, url) in [
            ("?page=2", "http://h/d/e/q?page=2"),
            ("../../../../a", "http://h/a"),
            ("/a b/ä", "http://h/a%20b/%C3%A4"),
            ("//other/x", "http://other/x"),
            ("https://u:p@h/#f", "https://h/"),
            ("x", "http://h/d/e/x"),
        ] {
            let head = format!("302 Found\r\nLocation: {location}");
            assert_eq!(
                follow(base, &head).unwrap().as_deref(),
                Some(url),
                "{location}"
            );
        }
    }

    #[test]
    fn other_responses_are_final() {
        for head in [
            "200 OK\r\nLocation: /x",
            "304 Not Modified\r\nLocation: /x",
            "302 Found",
            "302 Found\r\nLocation:",
        ] {
            assert_eq!(follow("http://h/", head).unwrap(), None, "{head}");
        }
    }

    #[test]
    fn unsafe_redirects_are_refused() {
        for head in [
            "302 F\r\nLocation: http://h/",
            "302 F\r\nLocation: ftp://h/",
            "302 F\r\nLocation: file:///etc/passwd",
            "302 F\r\nLocation: data:text/plain,x",
            "302 F\r\nLocation: /a\r\nLocation: /b",
            "302 F\r\nLocation: http://[x/",
        ] {
            assert_eq!(
                follow("https://h/", head).unwrap_err().kind(),
                Kind::Protocol
            );
        }
        for (length, gone_to) in [(60_000, true), (250_000, false)] {
            let long = format!("302 F\r\nLocation: /{}", "x".repeat(length));
            assert_eq!(follow("http://h/", &long).is_ok(), gone_to);
        }
        let head = Head::parse(b"HTTP/1.1 302 F\r\nLocation: /\r\n\r\n").unwrap();
        let limit = RedirectLimit {
            max: Some(3),
            followed: 3,
        };
        assert!(target(&head, &Url::parse("http://h/").unwrap(), limit).is_err());
    }
}

//! Where a redirect leads, and whether to go there.

use common::{Error, Kind, Result};
use url::Url;

use crate::http::head::Head;
use crate::policy::target;

/// The longest URL that is gone to.
const URL_MAX: usize = 64 * 1024;

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Without credentials and fragment.
    pub url: Url,
    /// User and password in the Location.
    pub user: Option<target::User>,
}

/// What is known when a response comes.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Redirects allowed, `None` for any number.
    pub max: Option<u32>,
    /// Redirects followed so far.
    pub followed: u32,
}

/// The URL to ask next, or `None` for a response that is to be taken as it
/// is. Refused are a foreign scheme, a way from https to http, one redirect
/// too many, and two different Locations.
pub fn next(head: &Head, base: &Url, rules: Rules) -> Result<Option<Next>> {
    if !matches!(head.status, 300..=303 | 307 | 308) {
        return Ok(None);
    }
    let mut locations = head.locations();
    let Some(location) = locations.next().filter(|location| !location.is_empty()) else {
        return Ok(None);
    };
    let refused = |message: String| Err(Error::new(Kind::Protocol, message));
    if locations.any(|other| other != location) {
        return refused("two Locations that differ".to_owned());
    }
    if rules.max.is_some_and(|max| rules.followed >= max) {
        return Err(Error::new(
            Kind::Protocol,
            format!("more than {} redirects", rules.followed),
        )
        .hint("--max-redirs allows more"));
    }
    let mut url = match base.join(&location) {
        Ok(url) => url,
        Err(e) => {
            let start: String = location.chars().take(1000).collect();
            return refused(format!("redirected to no URL ({start}): {e}"));
        }
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return refused(format!(
            "redirected to an unsupported scheme: {}",
            url.scheme()
        ));
    }
    let user = target::credentials(&url);
    target::strip(&mut url);
    if url.as_str().len() > URL_MAX {
        return refused(format!("redirected to a URL of more than {URL_MAX} bytes"));
    }
    if base.scheme() == "https" && url.scheme() == "http" {
        return refused(format!("refused to go from https to http: {url}"));
    }
    Ok(Some(Next { url, user }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(base: &str, head: &str) -> Result<Option<String>> {
        let head = Head::parse(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).unwrap();
        let rules = Rules {
            max: Some(10),
            followed: 0,
        };
        let url = next(&head, &Url::parse(base).unwrap(), rules)?;
        Ok(url.map(|next| next.url.into()))
    }

    #[test]
    fn locations() {
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
            assert_eq!(go(base, &head).unwrap().as_deref(), Some(url), "{location}");
        }
    }

    #[test]
    fn taken_as_they_are() {
        for head in [
            "200 OK\r\nLocation: /x",
            "304 Not Modified\r\nLocation: /x",
            "302 Found",
            "302 Found\r\nLocation:",
        ] {
            assert_eq!(go("http://h/", head).unwrap(), None, "{head}");
        }
    }

    #[test]
    fn refused() {
        for head in [
            "302 F\r\nLocation: http://h/",
            "302 F\r\nLocation: ftp://h/",
            "302 F\r\nLocation: file:///etc/passwd",
            "302 F\r\nLocation: data:text/plain,x",
            "302 F\r\nLocation: /a\r\nLocation: /b",
            "302 F\r\nLocation: http://[x/",
        ] {
            assert_eq!(go("https://h/", head).unwrap_err().kind(), Kind::Protocol);
        }
        for (length, gone_to) in [(60_000, true), (250_000, false)] {
            let long = format!("302 F\r\nLocation: /{}", "x".repeat(length));
            assert_eq!(go("http://h/", &long).is_ok(), gone_to);
        }
        let head = Head::parse(b"HTTP/1.1 302 F\r\nLocation: /\r\n\r\n").unwrap();
        let rules = Rules {
            max: Some(3),
            followed: 3,
        };
        assert!(next(&head, &Url::parse("http://h/").unwrap(), rules).is_err());
    }
}

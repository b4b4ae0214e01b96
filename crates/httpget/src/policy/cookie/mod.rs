//! Cookies (RFC 6265): which ones are stored, and which ones a request sends.
//!
//! A cookie for a whole domain is stored only if the domain is known not to be a
//! public suffix ([`suffix`]); without a list of suffixes the cookie is kept for
//! its own host. [`parse`] reads Set-Cookie headers, [`file`] reads and writes
//! cookie files.

mod file;
mod parse;
mod suffix;

use std::collections::VecDeque;

use url::Url;

use crate::http::date::Seconds;
use crate::policy::request_url;

pub use file::{CookieFile, ReadError};
pub use suffix::is_public;

/// The maximum number of cookies of one domain.
const DOMAIN_MAX: usize = 50;
/// The maximum number of cookies in a jar.
const JAR_MAX: usize = 10_000;

/// The maximum number of cookies in one request; curl's limit.
const SENT_MAX: usize = 150;
/// The maximum length of a Cookie header's value in bytes; curl's limit.
const HEADER_MAX: usize = 8190;
/// The maximum number of cookies taken from one response; curl's limit.
pub const RESPONSE_MAX: usize = 50;

/// A cookie with its attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    /// In lower case, without a leading dot.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
    http_only: bool,
    /// `None` for a session cookie.
    expires: Option<Seconds>,
}

impl Cookie {
    /// Whether one of the two cookies replaces the other in a jar.
    fn has_same_key(&self, other: &Self) -> bool {
        self.name == other.name && self.domain == other.domain && self.path == other.path
    }
}

/// Leaves out the value, which may be a secret.
impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cookie({} of {}{})", self.name, self.domain, self.path)
    }
}

/// Returns whether a domain is a public suffix; `None` if that is not known.
pub type IsPublic<'a> = &'a dyn Fn(&str) -> Option<bool>;

/// The cookies of a run, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Jar(VecDeque<Cookie>);

/// Whether `host` is `domain` or a subdomain of it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn path_matches(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// Whether secure cookies may be stored from this URL and sent to it: over
/// HTTPS, and on this machine, as in browsers.
fn is_trustworthy(url: &Url) -> bool {
    url.scheme() == "https" || request_url::is_local(request_url::host(url))
}

impl Jar {
    /// Stores a cookie as [`Self::insert`] does, unless the jar has one with the
    /// same key.
    pub fn insert_new(&mut self, text: &str, url: &Url, now: Seconds, is_public: IsPublic<'_>) {
        if let Some(cookie) = parse::parse(text, url, now, is_public)
            && !self.0.iter().any(|other| other.has_same_key(&cookie))
        {
            self.insert(text, url, now, is_public);
        }
    }

    /// Stores the cookie of a Set-Cookie header from `url`, if it is acceptable.
    pub fn insert(&mut self, text: &str, url: &Url, now: Seconds, is_public: IsPublic<'_>) {
        let Some(cookie) = parse::parse(text, url, now, is_public) else {
            return;
        };
        if let Some(at) = self.0.iter().position(|other| other.has_same_key(&cookie)) {
            // Plain http must not overwrite a cookie that https has set.
            if self.0[at].secure && !is_trustworthy(url) {
                return;
            }
            self.0.remove(at);
        }
        if cookie.expires.is_some_and(|expires| expires <= now) {
            return;
        }
        let domain = cookie.domain.clone();
        self.push(cookie);
        let is_of_domain = |c: &Cookie| c.domain == domain;
        if self.0.iter().filter(|c| is_of_domain(c)).count() > DOMAIN_MAX
            && let Some(oldest) = self.0.iter().position(is_of_domain)
        {
            self.0.remove(oldest);
        }
    }

    /// Adds a cookie, and removes the oldest one if the jar is full.
    fn push(&mut self, cookie: Cookie) {
        self.0.push_back(cookie);
        if self.0.len() > JAR_MAX {
            self.0.pop_front();
        }
    }

    /// Returns the value of the Cookie header for a request; `None` if no cookie
    /// matches.
    pub fn header(&self, url: &Url, now: Seconds) -> Option<String> {
        let host = request_url::host(url).to_ascii_lowercase();
        let mut matching: Vec<&Cookie> = self
            .0
            .iter()
            .filter(|c| {
                let domain_matches = if c.host_only {
                    host == c.domain
                } else {
                    is_within(&host, &c.domain)
                };
                domain_matches
                    && path_matches(url.path(), &c.path)
                    && (!c.secure || is_trustworthy(url))
                    && c.expires.is_none_or(|expires| expires > now)
            })
            .collect();
        // Longer paths come first, then older cookies (RFC 6265, section 5.4).
        matching.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut value = String::new();
        for cookie in matching.iter().take(SENT_MAX) {
            let gap = if value.is_empty() { "" } else { "; " };
            let pair = [gap, &cookie.name, "=", &cookie.value].concat();
            if value.len() + pair.len() > HEADER_MAX {
                break;
            }
            value.push_str(&pair);
        }
        (!value.is_empty()).then_some(value)
    }

    /// Appends the cookies of another jar.
    pub fn merge(&mut self, other: Self) {
        for cookie in other.0 {
            self.push(cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) const LIST: &str = "// comment\ncom\nco.uk\n*.ck\n!www.ck\n";

    fn header(sets: &[(&str, &str)], requested: &str) -> Option<String> {
        let mut jar = Jar::default();
        for (url, set) in sets {
            let public = |domain: &str| Some(is_public(LIST, domain));
            jar.insert(set, &Url::parse(url).unwrap(), 1000, &public);
        }
        let again = Jar::read(jar.to_netscape(1000).as_bytes()).unwrap();
        let url = Url::parse(requested).unwrap();
        assert_eq!(again.header(&url, 1000), jar.header(&url, 1000));
        jar.header(&url, 1000)
    }

    #[test]
    fn a_cookie_is_sent_to_its_domain_and_path() {
        let host = [("http://a.x.com/d/p", "n=v")];
        assert_eq!(header(&host, "http://a.x.com/d/q").as_deref(), Some("n=v"));
        assert_eq!(header(&host, "http://a.x.com/e"), None);
        assert_eq!(header(&host, "http://x.com/d/"), None);
        let domain = [("http://a.x.com/", "n=v; Domain=.X.com; Path=/")];
        assert!(header(&domain, "http://b.x.com/").is_some());
        assert!(header(&domain, "http://notx.com/").is_none());
        for bad in ["com", "co.uk", "y.com", "b.a.x.com"] {
            let set = format!("n=v; Domain={bad}");
            assert_eq!(
                header(&[("http://a.x.com/", &set)], "http://a.x.com/"),
                None,
                "{bad}"
            );
        }
        let order = [
            ("http://x.com/", "a=1; path=/"),
            ("http://x.com/", "b=2; path=/p"),
        ];
        assert_eq!(
            header(&order, "http://x.com/p/q").as_deref(),
            Some("b=2; a=1")
        );
        assert_eq!(header(&order, "http://x.com/pq").as_deref(), Some("a=1"));
    }

    #[test]
    fn expired_and_unsafe_cookies_are_not_stored() {
        let url = "https://x.com/";
        let sent = |set: &str| header(&[(url, set)], url);
        assert!(sent("a=b; Max-Age=1").is_some());
        assert!(sent("a=b; Max-Age=0").is_none());
        assert!(sent("a=b; Max-Age=-5; Expires=Fri, 01 Jan 2100 00:00:00 GMT").is_none());
        assert!(sent("a=b; Expires=Thu, 01 Jan 1970 00:00:01 GMT").is_none());
        assert!(sent("a=\u{7}").is_none());
        assert!(sent("=b").is_none());
        assert!(sent("__Host-a=b; Secure; Path=/").is_some());
        assert!(sent("__Host-a=b; Secure").is_none());
        assert!(sent("__Secure-a=b").is_none());
        let secure = [(url, "a=b; Secure")];
        assert!(header(&secure, "http://x.com/").is_none());
        assert!(header(&[("http://x.com/", "a=b; Secure")], url).is_none());
        let over = [(url, "a=1; Secure"), ("http://x.com/", "a=2")];
        assert_eq!(header(&over, url).as_deref(), Some("a=1"));
        assert!(
            header(
                &[("http://10.0.0.1/", "a=b; Domain=0.0.1")],
                "http://10.0.0.1/"
            )
            .is_none()
        );
    }

    #[test]
    fn attributes_are_written_to_the_file() {
        let list = |domain: &str| Some(is_public(LIST, domain));
        for (url, set, known, line) in [
            (
                "http://x.com/d/p",
                "n=v",
                true,
                "x.com\tFALSE\t/d\tFALSE\t0\tn\tv",
            ),
            (
                "https://x.com/",
                "n=v; HttpOnly; Secure",
                true,
                "#HttpOnly_x.com\tFALSE\t/\tTRUE\t0\tn\tv",
            ),
            (
                "http://x.com/",
                "n=v; httponly",
                true,
                "#HttpOnly_x.com\tFALSE\t/\tFALSE\t0\tn\tv",
            ),
            // The host's own domain, which is public, not public, or unknown.
            (
                "http://x.com/",
                "n=v; Domain=x.com",
                true,
                ".x.com\tTRUE\t/\tFALSE\t0\tn\tv",
            ),
            (
                "http://com/",
                "n=v; Domain=com",
                true,
                "com\tFALSE\t/\tFALSE\t0\tn\tv",
            ),
            (
                "http://x.com/",
                "n=v; Domain=x.com",
                false,
                "x.com\tFALSE\t/\tFALSE\t0\tn\tv",
            ),
            (
                "http://10.0.0.1/",
                "n=v; Domain=10.0.0.1",
                true,
                "10.0.0.1\tFALSE\t/\tFALSE\t0\tn\tv",
            ),
            (
                "http://x.com/",
                "n=v; Max-Age=9",
                true,
                "x.com\tFALSE\t/\tFALSE\t1009\tn\tv",
            ),
        ] {
            let mut jar = Jar::default();
            let is_public = |domain: &str| list(domain).filter(|_| known);
            jar.insert(set, &Url::parse(url).unwrap(), 1000, &is_public);
            let text = format!("# Netscape HTTP Cookie File\n\n{line}\n");
            assert_eq!(jar.to_netscape(1000), text, "{url} {set}");
        }
    }

    #[test]
    fn without_a_list_a_domain_cookie_is_kept_for_its_host() {
        let mut jar = Jar::default();
        let url = |text: &str| Url::parse(text).unwrap();
        jar.insert("a=b; Domain=x.com", &url("http://a.x.com/"), 0, &|_| None);
        assert!(jar.header(&url("http://a.x.com/"), 0).is_some());
        assert!(jar.header(&url("http://b.x.com/"), 0).is_none());
    }

    #[test]
    fn bad_lines_are_named_and_odd_times_are_read() {
        let line = |text: &str| match Jar::read(text.as_bytes()) {
            Err(ReadError::Line(number)) => number,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("x.com\tTRUE\t/\n"), 1);
        assert_eq!(line("# c\n\nh\tFALSE\t/\tFALSE\tsoon\tn\tv\n"), 3);
        assert_eq!(line(&format!("\n{}", "x".repeat(70_000))), 2);
        // A time that is out of range spoils only its own cookie.
        let far = "h\tFALSE\t/\tFALSE\t99999999999999999999\tfar\tv\n\
                   h\tFALSE\t/\tFALSE\t-99999999999999999999\tpast\tv\n\
                   h\tFALSE\t/\tFALSE\t0\tn\tv\n";
        let url = Url::parse("http://h/").unwrap();
        let sent = Jar::read(far.as_bytes()).unwrap().header(&url, 1000);
        assert_eq!(sent.as_deref(), Some("far=v; n=v"));
        assert!(Jar::read(&b"h\tFALSE\t/\tFALSE\t+9x\tn\tv\n"[..]).is_err());
        let jar = Jar::read(&b"#HttpOnly_.x.com\tTRUE\t/\tFALSE\t0\tn\tv\n"[..]).unwrap();
        assert!(
            jar.to_netscape(0)
                .contains("#HttpOnly_.x.com\tTRUE\t/\tFALSE\t0\tn\tv\n")
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", file in ".*") {
            let mut jar = Jar::default();
            let url = Url::parse("http://a.b.c/d/e").unwrap();
            jar.insert(&text, &url, 0, &|domain| Some(is_public(&file, domain)));
            let _ = jar.header(&url, 0);
            let _ = Jar::read(file.as_bytes());
        }
    }
}

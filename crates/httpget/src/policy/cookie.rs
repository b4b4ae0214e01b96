//! Cookies (RFC 6265): which are taken, which are sent, and the file they are
//! kept in, in Netscape's format as curl and wget read it.
//!
//! A cookie for a whole domain is taken only if that domain is known to be no
//! public suffix; where that cannot be known it is kept for the one host.

use std::collections::VecDeque;
use std::fmt::Write;
use std::io::{self, BufRead, Read};
use std::net::IpAddr;

use url::Url;

use crate::http::date::{self, Seconds};
use crate::policy::request_url;

/// The most bytes of a name and value together.
const COOKIE_MAX: usize = 4096;
/// The most cookies of one domain, and of a jar.
const DOMAIN_MAX: usize = 50;
const JAR_MAX: usize = 10_000;
/// The longest line of a cookie file.
const LINE_MAX: u64 = 64 * 1024;

/// The most cookies of one request, and the most bytes of the value of Cookie;
/// curl's limits.
const SENT_MAX: usize = 150;
const HEADER_MAX: usize = 8190;
/// The most cookies taken of one response; curl's limit.
pub const RESPONSE_MAX: usize = 50;

/// One cookie.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    /// Lower case, without a leading dot.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
    http_only: bool,
    /// `None` for the length of a session.
    expires: Option<Seconds>,
}

impl Cookie {
    /// Whether one replaces the other.
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.domain == other.domain && self.path == other.path
    }
}

/// Without the value.
impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cookie({} of {}{})", self.name, self.domain, self.path)
    }
}

/// Says whether a domain is a public suffix; `None` where it cannot be known.
pub type IsPublic<'a> = &'a dyn Fn(&str) -> Option<bool>;

/// The cookies of a run.
#[derive(Clone, Debug, Default)]
pub struct Jar(VecDeque<Cookie>);

/// What a cookie file holds.
#[derive(Clone, Debug, Default)]
pub struct CookieFile {
    /// The cookies of its lines in Netscape's format.
    pub jar: Jar,
    /// The values of its Set-Cookie headers, which belong to the URL that is
    /// asked for.
    pub headers: Vec<String>,
}

/// Whether `host` is `domain` or below it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn path_matches(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// The path of a cookie that names none (section 5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

fn parse(text: &str, url: &Url, now: Seconds, is_public: IsPublic<'_>) -> Option<Cookie> {
    let host = request_url::host(url).to_ascii_lowercase();
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    // A TAB within a name or value would be the end of a field in the file.
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
    // Max-Age counts before Expires, in whatever order they stand.
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

/// Whether secure cookies may be taken from here and sent there: by HTTPS, and
/// on this machine, as browsers have it.
fn is_trustworthy(url: &Url) -> bool {
    url.scheme() == "https" || request_url::is_local(request_url::host(url))
}

/// Max-Age: seconds, or zero and less for "at once".
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

impl Jar {
    /// [`Self::insert`], unless there is such a cookie already.
    pub fn insert_new(&mut self, text: &str, url: &Url, now: Seconds, is_public: IsPublic<'_>) {
        if let Some(cookie) = parse(text, url, now, is_public)
            && !self.0.iter().any(|other| other.is_same(&cookie))
        {
            self.insert(text, url, now, is_public);
        }
    }

    /// Takes a Set-Cookie of a response from `url`, or leaves it.
    pub fn insert(&mut self, text: &str, url: &Url, now: Seconds, is_public: IsPublic<'_>) {
        let Some(cookie) = parse(text, url, now, is_public) else {
            return;
        };
        if let Some(at) = self.0.iter().position(|other| other.is_same(&cookie)) {
            // Plain http does not overwrite what https has set.
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
        let of_domain = |c: &Cookie| c.domain == domain;
        if self.0.iter().filter(|c| of_domain(c)).count() > DOMAIN_MAX
            && let Some(oldest) = self.0.iter().position(of_domain)
        {
            self.0.remove(oldest);
        }
    }

    /// Adds a cookie; the oldest goes if there are too many.
    fn push(&mut self, cookie: Cookie) {
        self.0.push_back(cookie);
        if self.0.len() > JAR_MAX {
            self.0.pop_front();
        }
    }

    /// The value of Cookie for a request, or `None` without any.
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
        // Longer paths first, older ones before younger (section 5.4).
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

    /// Takes the cookies of another jar behind its own.
    pub fn merge(&mut self, other: Self) {
        for cookie in other.0 {
            self.push(cookie);
        }
    }

    /// Reads the cookies of a file.
    pub fn read(file: impl BufRead) -> Result<Self, ReadError> {
        CookieFile::read(file).map(|file| file.jar)
    }
}

impl CookieFile {
    /// Reads a file in Netscape's format, or one of response heads, as `-D`
    /// writes it; keeps the last 10,000 cookies.
    pub fn read(mut file: impl BufRead) -> Result<Self, ReadError> {
        let mut found = Self::default();
        // The lines of a head that are not cookies.
        let mut in_head = false;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut file).take(LINE_MAX).read_until(b'\n', &mut line);
            if read.map_err(ReadError::Io)? == 0 {
                break;
            }
            let text = std::str::from_utf8(&line).ok();
            let text = text.filter(|text| text.ends_with('\n') || (text.len() as u64) < LINE_MAX);
            let text = text.ok_or(ReadError::Line(number))?;
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            in_head |= text.starts_with("HTTP/");
            if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("set-cookie")
            {
                found.headers.push(value.trim().to_owned());
                if found.headers.len() > RESPONSE_MAX {
                    found.headers.remove(0);
                }
                continue;
            }
            match from_line(text) {
                Ok(Some(cookie)) => found.jar.push(cookie),
                Ok(None) => {}
                Err(NotACookie) if in_head => {}
                Err(NotACookie) => return Err(ReadError::Line(number)),
            }
        }
        Ok(found)
    }
}

impl Jar {
    /// The file's text. Cookies of the session are kept too, as curl does.
    pub fn to_netscape(&self, now: Seconds) -> String {
        let mut text = "# Netscape HTTP Cookie File\n\n".to_owned();
        let flag = |set: bool| if set { "TRUE" } else { "FALSE" };
        for c in &self.0 {
            if c.expires.is_some_and(|expires| expires <= now) {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}{}{}\t{}\t{}\t{}\t{}\t{}\t{}",
                if c.http_only { "#HttpOnly_" } else { "" },
                if c.host_only { "" } else { "." },
                c.domain,
                flag(!c.host_only),
                c.path,
                flag(c.secure),
                c.expires.unwrap_or(0),
                c.name,
                c.value
            );
        }
        text
    }
}

/// Why a cookie file cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The line of this number is not one of such a file.
    Line(usize),
    /// Reading failed.
    Io(io::Error),
}

/// The cookie of a line; `None` for a comment.
fn from_line(line: &str) -> Result<Option<Cookie>, NotACookie> {
    let (http_only, line) = match line.strip_prefix("#HttpOnly_") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    from_fields(line, http_only).map(Some).ok_or(NotACookie)
}

/// A line that cannot be read.
struct NotACookie;

fn from_fields(line: &str, http_only: bool) -> Option<Cookie> {
    let fields: Vec<&str> = line.splitn(7, '\t').collect();
    let (&[domain, below, path, secure, expires, name], value) = match &fields[..] {
        [six @ .., value] if six.len() == 6 => (six.first_chunk()?, *value),
        // The TAB in front of an empty value is easily lost.
        six => (six.first_chunk().filter(|_| six.len() == 6)?, ""),
    };
    // Some programs write fractions of a second.
    let expires = expires.split('.').next().unwrap_or_default();
    let digits = expires.strip_prefix('-').unwrap_or(expires);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond what can be counted is the end of what can.
    let expires: Seconds = expires.parse().unwrap_or(if digits == expires {
        Seconds::MAX
    } else {
        Seconds::MIN
    });
    if line.replace('\t', "").contains(char::is_control) {
        return None;
    }
    Some(Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: domain.trim_start_matches('.').to_ascii_lowercase(),
        host_only: !below.eq_ignore_ascii_case("TRUE"),
        path: path.to_owned(),
        secure: secure.eq_ignore_ascii_case("TRUE"),
        http_only,
        expires: (expires != 0).then_some(expires),
    })
}

/// Whether `domain` is a public suffix by the list in its published form.
pub fn is_public(list: &str, domain: &str) -> bool {
    let parent = domain.split_once('.').map(|(_, parent)| parent);
    let mut is_listed = false;
    for line in list.lines() {
        let rule = line.split_ascii_whitespace().next().unwrap_or_default();
        if rule.is_empty() || rule.starts_with("//") {
            continue;
        }
        if let Some(exception) = rule.strip_prefix('!') {
            if exception == domain {
                return false;
            }
        } else if let Some(rest) = rule.strip_prefix("*.") {
            is_listed |= parent == Some(rest);
        } else {
            is_listed |= rule == domain;
        }
    }
    // A name of one label is always one (the rule `*`).
    is_listed || parent.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = "// comment\ncom\nco.uk\n*.ck\n!www.ck\n";

    fn header(sets: &[(&str, &str)], ask: &str) -> Option<String> {
        let mut jar = Jar::default();
        for (url, set) in sets {
            let public = |domain: &str| Some(is_public(LIST, domain));
            jar.insert(set, &Url::parse(url).unwrap(), 1000, &public);
        }
        let again = Jar::read(jar.to_netscape(1000).as_bytes()).unwrap();
        let url = Url::parse(ask).unwrap();
        assert_eq!(again.header(&url, 1000), jar.header(&url, 1000));
        jar.header(&url, 1000)
    }

    #[test]
    fn suffixes() {
        for (domain, public) in [
            ("com", true),
            ("example.com", false),
            ("co.uk", true),
            ("a.ck", true),
            ("www.ck", false),
            ("localhost", true),
        ] {
            assert_eq!(is_public(LIST, domain), public, "{domain}");
        }
    }

    #[test]
    fn hosts_domains_and_paths() {
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
    fn life_and_safety() {
        let url = "https://x.com/";
        let one = |set: &str| header(&[(url, set)], url);
        assert!(one("a=b; Max-Age=1").is_some());
        assert!(one("a=b; Max-Age=0").is_none());
        assert!(one("a=b; Max-Age=-5; Expires=Fri, 01 Jan 2100 00:00:00 GMT").is_none());
        assert!(one("a=b; Expires=Thu, 01 Jan 1970 00:00:01 GMT").is_none());
        assert!(one("a=\u{7}").is_none());
        assert!(one("=b").is_none());
        assert!(one("__Host-a=b; Secure; Path=/").is_some());
        assert!(one("__Host-a=b; Secure").is_none());
        assert!(one("__Secure-a=b").is_none());
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
    fn lines_of_the_file() {
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
            // A domain that is the host's own, and is or may be public.
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
    fn without_a_list_domains_are_narrowed() {
        let mut jar = Jar::default();
        let url = |text: &str| Url::parse(text).unwrap();
        jar.insert("a=b; Domain=x.com", &url("http://a.x.com/"), 0, &|_| None);
        assert!(jar.header(&url("http://a.x.com/"), 0).is_some());
        assert!(jar.header(&url("http://b.x.com/"), 0).is_none());
    }

    #[test]
    fn files() {
        let line = |text: &str| match Jar::read(text.as_bytes()) {
            Err(ReadError::Line(number)) => number,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("x.com\tTRUE\t/\n"), 1);
        assert_eq!(line("# c\n\nh\tFALSE\t/\tFALSE\tsoon\tn\tv\n"), 3);
        assert_eq!(line(&format!("\n{}", "x".repeat(70_000))), 2);
        // A time beyond what can be counted is that of one cookie only.
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

//! The URL of an operand: parsed strictly, with https as the default scheme, and with
//! the credentials taken out.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// A user, and the password if one is given.
pub type User = (String, Option<String>);

/// A URL to request, and the parts that no request line contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUrl {
    /// The URL, http or https, without credentials and fragment.
    pub url: Url,
    /// The decoded user and password of the URL.
    pub user: Option<User>,
    /// The zone of an IPv6 address.
    pub zone: Option<String>,
    /// The path as typed, for `--path-as-is`.
    pub raw_path: String,
}

/// The characters of a query value that are not encoded, as in curl's
/// `--data-urlencode`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Schemes that are used without `//`, or without a host.
const OTHER_SCHEMES: [&str; 8] = [
    "mailto",
    "data",
    "javascript",
    "file",
    "tel",
    "news",
    "magnet",
    "urn",
];

/// Parses an operand. The error is a sentence that does not repeat the operand.
pub fn parse(text: &str) -> Result<RequestUrl, String> {
    if text.chars().any(char::is_control) {
        return Err("not a URL: it contains a control character".to_owned());
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme.to_ascii_lowercase()), rest),
        _ => (None, text),
    };
    match scheme.as_deref() {
        None => check_scheme(text)?,
        Some("http" | "https") => {}
        Some(other) => return Err(format!("{other} is not supported; use http or https")),
    }
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.matches('@').count() > 1 {
        return Err("not a URL: it has more than one '@' before the path".to_owned());
    }
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority),
    };
    // `:PORT` means this host.
    let host = match host.strip_prefix(':') {
        Some(port) if scheme.is_none() && !port.is_empty() => format!("localhost:{port}"),
        _ => host.to_owned(),
    };
    let (host, zone) = split_zone(&host)?;
    check_host(&host)?;
    let scheme = scheme.unwrap_or_else(|| default_scheme(&host).to_owned());
    let login = login.map_or_else(String::new, |login| format!("{login}@"));
    let mut url = Url::parse(&format!("{scheme}://{login}{host}{tail}"))
        .map_err(|e| explain_invalid(&host, e))?;
    if url.port() == Some(0) {
        return Err("not a URL: the port must not be 0".to_owned());
    }
    let user = credentials(&url);
    strip(&mut url);
    let path = tail.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok(RequestUrl {
        url,
        user,
        zone,
        raw_path: utf8_percent_encode(&path, REQUEST_LINE_UNSAFE).to_string(),
    })
}

/// Explains why a URL with this host is not valid.
fn explain_invalid(host: &str, error: url::ParseError) -> String {
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    if is_address {
        return format!("not a URL: an IPv6 address needs brackets, as in [{host}]");
    }
    match error {
        url::ParseError::IdnaError if host.contains(' ') => {
            "not a URL: the host contains a space".to_owned()
        }
        url::ParseError::IdnaError => "not a URL: invalid host name".to_owned(),
        error => format!("not a URL: {error}"),
    }
}

/// Refuses a scheme without `://`, which would be read as a host or a user.
fn check_scheme(text: &str) -> Result<(), String> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok(());
    };
    let scheme = scheme.to_ascii_lowercase();
    if matches!(scheme.as_str(), "http" | "https") {
        return Err(format!(
            "not a URL: use {scheme}://{}",
            rest.trim_start_matches('/')
        ));
    }
    match other_scheme(text) {
        Some(scheme) => Err(format!("{scheme} is not supported; use http or https")),
        None => Ok(()),
    }
}

/// Returns the scheme of an operand such as `mailto:a@b`, which is not a host with a
/// port.
pub fn other_scheme(text: &str) -> Option<&'static str> {
    let (scheme, rest) = text.split_once(':')?;
    let scheme = OTHER_SCHEMES
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(scheme))?;
    (!rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.starts_with("//")).then_some(scheme)
}

/// Splits the zone off `[fe80::1%25eth0]:80` or `[fe80::1%eth0]:80`.
fn split_zone(host: &str) -> Result<(String, Option<String>), String> {
    let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return Ok((host.to_owned(), None));
    };
    let Some((address, zone)) = address.split_once('%') else {
        return Ok((host.to_owned(), None));
    };
    // RFC 6874 requires `%25`; people often type `%`.
    let zone = zone
        .strip_prefix("25")
        .filter(|zone| !zone.is_empty())
        .unwrap_or(zone);
    let zone = percent_decode_str(zone).decode_utf8_lossy();
    if zone.is_empty() {
        return Err("not a URL: missing interface after '%'".to_owned());
    }
    Ok((format!("[{address}]{port}"), Some(zone.into_owned())))
}

/// Returns the scheme of a URL that has none: http for this host except on the ports of
/// HTTPS, and else https.
fn default_scheme(host: &str) -> &'static str {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    if is_local(name.trim_matches(['[', ']'])) && !matches!(port, "443" | "8443") {
        "http"
    } else {
        "https"
    }
}

/// Whether a host is `localhost`, a name below it, or a loopback address.
pub fn is_local(host: &str) -> bool {
    is_localhost(host)
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a host is `localhost` or a name below it (RFC 6761, section 6.3).
pub fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Returns the decoded user and password of a URL.
pub fn credentials(url: &Url) -> Option<User> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (!url.username().is_empty() || url.password().is_some())
        .then(|| (decode(url.username()), url.password().map(decode)))
}

/// The characters that a request line cannot contain.
const REQUEST_LINE_UNSAFE: &AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>');

/// Removes the credentials and the fragment of a URL.
pub fn strip(url: &mut Url) {
    // Both fail only for a URL without a host, which http URLs have.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Refuses a host that looks like an address but is not one: the URL parser accepts
/// `127.1` and `0x7f000001`.
fn check_host(host: &str) -> Result<(), String> {
    if host.starts_with('[') {
        return Ok(());
    }
    let host = host.split(':').next().unwrap_or_default();
    if host.is_empty() {
        return Err("not a URL: missing host".to_owned());
    }
    let bare = host.strip_suffix('.').unwrap_or(host);
    if common::address::looks_numeric(bare) {
        common::address::parse(bare).map(drop)?;
    }
    if host.contains('%') {
        return Err("not a URL: the host contains '%'".to_owned());
    }
    Ok(())
}

/// Adds to the query as curl's `--url-query` does: `NAME=VALUE`, `=VALUE` and `VALUE`
/// with the value encoded, `+TEXT` unchanged.
pub fn add_query(url: &mut Url, parts: &[String]) {
    let mut query = url.query().unwrap_or_default().to_owned();
    for part in parts {
        if !query.is_empty() {
            query.push('&');
        }
        if let Some(raw) = part.strip_prefix('+') {
            query.push_str(raw);
            continue;
        }
        let value = match part.split_once('=') {
            Some(("", value)) => value,
            Some((name, value)) => {
                query.push_str(name);
                query.push('=');
                value
            }
            None => part,
        };
        query.extend(utf8_percent_encode(value, VALUE));
    }
    if !parts.is_empty() {
        url.set_query(Some(&query));
    }
}

/// Returns the host without brackets.
pub fn host(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Returns the port, or the default port of the scheme.
pub fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(443)
}

/// Returns the value of the Host header, which is unique within a scheme.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> String {
        parse(text).unwrap().url.to_string()
    }

    #[test]
    fn urls_are_completed_and_normalized() {
        assert_eq!(url("example.com"), "https://example.com/");
        assert_eq!(url("localhost:8080/a?b#c"), "http://localhost:8080/a?b");
        for (text, whole) in [
            (":8080/x", "http://localhost:8080/x"),
            (":443", "https://localhost/"),
            ("localhost", "http://localhost/"),
            ("app.localhost:3000", "http://app.localhost:3000/"),
            ("127.0.0.1:8443/x", "https://127.0.0.1:8443/x"),
            ("127.8.0.1/x", "http://127.8.0.1/x"),
            ("[::1]:81", "http://[::1]:81/"),
            ("user:pw@localhost/", "http://localhost/"),
            ("10.0.0.1:81", "https://10.0.0.1:81/"),
            ("localhost.example", "https://localhost.example/"),
            ("user:pw@h/x", "https://h/x"),
            ("[fe80::1%25eth0]:80/x", "https://[fe80::1]:80/x"),
        ] {
            assert_eq!(url(text), whole, "{text}");
        }
        for text in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"] {
            let request = parse(text).unwrap();
            assert_eq!(request.url.as_str(), "http://[fe80::1]/");
            assert_eq!(request.zone.as_deref(), Some("eth0"));
        }
        assert_eq!(
            url("HTTP://Example.com:80/a/../b c"),
            "http://example.com/b%20c"
        );
        assert_eq!(
            url("http://bücher.example/ä"),
            "http://xn--bcher-kva.example/%C3%A4"
        );
        assert_eq!(url("http://[::1]:81/"), "http://[::1]:81/");
        assert_eq!(url("http://127.0.0.1?x"), "http://127.0.0.1/?x");
        let request = parse("http://us%40er:p%3A@h/a/../b?q").unwrap();
        assert_eq!(request.user, Some(("us@er".into(), Some("p:".into()))));
        assert_eq!(request.url.as_str(), "http://h/b?q");
        assert_eq!(request.raw_path, "/a/../b?q");
    }

    #[test]
    fn the_error_of_a_host_says_what_is_wrong() {
        for (text, message) in [
            ("http://a b/", "not a URL: the host contains a space"),
            ("http://xn--a/", "not a URL: invalid host name"),
            (
                "http://fe80::1/",
                "not a URL: an IPv6 address needs brackets, as in [fe80::1]",
            ),
            ("http://a:x/", "not a URL: invalid port number"),
            ("http:///", "not a URL: missing host"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn invalid_urls_are_refused() {
        for text in [
            "",
            "http://",
            "ftp://x/",
            "file:///etc/passwd",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://010.0.0.1/",
            "http://1.2.3.4.5/",
            "http://a@b@c/",
            "http://a b/",
            "http://x:99999/",
            "http://x:0/",
            "http://%31%32/",
            "http://x\n/",
            "/path",
            "http:/host/",
            "https:host",
            "mailto:a@b",
            "javascript:alert(1)",
            "http://[fe80::1%]/",
            "http://[x%eth0]/",
            ":",
        ] {
            assert!(parse(text).is_err(), "{text:?} {:?}", parse(text));
        }
    }

    #[test]
    fn queries_are_extended() {
        let mut url = parse("http://h/?a=1").unwrap().url;
        add_query(&mut url, &["b=x y&z".into(), "=ä".into(), "+r=a+b".into()]);
        assert_eq!(url.query(), Some("a=1&b=x%20y%26z&%C3%A4&r=a+b"));
    }

    proptest! {
        #[test]
        fn never_panics_and_never_keeps_credentials(text in ".*") {
            if let Ok(request) = parse(&text) {
                prop_assert!(request.url.username().is_empty());
                prop_assert!(matches!(request.url.scheme(), "http" | "https"));
                prop_assert!(request.url.host_str().is_some_and(|host| !host.is_empty()));
            }
        }
    }
}

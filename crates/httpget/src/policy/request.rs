//! The headers of a request, and which of them may be sent to another origin.

use std::fmt::Write;

/// A change to the headers (`-H`).
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Adds or replaces a header: `NAME: VALUE`.
    Set(String, String),
    /// Adds or replaces a header without a value: `NAME;`.
    Empty(String),
    /// Removes a generated header: `NAME:`.
    Remove(String),
}

/// Leaves out the value, which may be a secret.
impl std::fmt::Debug for HeaderEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Set(name, _) | Self::Empty(name) | Self::Remove(name) => name,
        };
        f.debug_tuple("HeaderEdit").field(name).finish()
    }
}

/// Parses the value of `-H`.
pub fn parse(text: &str) -> Result<HeaderEdit, String> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.contains(['\r', '\n', '\0']) {
        return Err("must not contain a line break or NUL".to_owned());
    }
    let named = |name: &str| -> Result<String, String> {
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(crate::http::head::is_token) {
            return Err("invalid header name; use 'NAME: VALUE'".to_owned());
        }
        Ok(name.to_owned())
    };
    if let Some((name, value)) = text.split_once(':') {
        let (name, value) = (named(name)?, value.trim());
        return Ok(if value.is_empty() {
            HeaderEdit::Remove(name)
        } else {
            HeaderEdit::Set(name, value.to_owned())
        });
    }
    match text.trim_end().strip_suffix(';') {
        Some(name) => named(name).map(HeaderEdit::Empty),
        None => Err("must be 'NAME: VALUE', 'NAME;' or 'NAME:'".to_owned()),
    }
}

/// Whether the name of a header suggests that its value is a secret.
pub fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 14] = [
        "auth",
        "cookie",
        "apikey",
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "credential",
        "session",
        "signature",
        "jwt",
        "bearer",
        "ticket",
    ];
    const WORDS: [&str; 11] = [
        "key", "keys", "sid", "pat", "pin", "otp", "pwd", "pass", "sso", "hmac", "sig",
    ];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
        || name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| WORDS.contains(&word))
}

/// The parts of a request's headers.
#[derive(Clone, Debug, Default)]
pub struct HeaderParts<'a> {
    /// The value of the Host header.
    pub host: &'a str,
    /// Whether the request goes to the trusted origin, which receives credentials.
    pub trusted: bool,
    /// The generated headers in order. A header of the user with the same name replaces
    /// them.
    pub generated: Vec<(&'static str, String)>,
    /// The changes of the user.
    pub edits: &'a [HeaderEdit],
}

/// Returns the headers of a request in order.
pub fn headers(parts: &HeaderParts<'_>) -> Vec<(String, String)> {
    let named = |edit: &&HeaderEdit, name: &str| match edit {
        HeaderEdit::Set(n, _) | HeaderEdit::Empty(n) | HeaderEdit::Remove(n) => {
            n.eq_ignore_ascii_case(name)
        }
    };
    let allowed: Vec<&HeaderEdit> = parts
        .edits
        .iter()
        .filter(|edit| match edit {
            HeaderEdit::Set(name, _) | HeaderEdit::Empty(name) => {
                parts.trusted || !(is_secret(name) || name.eq_ignore_ascii_case("host"))
            }
            HeaderEdit::Remove(_) => true,
        })
        .collect();
    let mut headers = Vec::new();
    // Host is always the first header.
    let generated =
        std::iter::once(("Host", parts.host.to_owned())).chain(parts.generated.iter().cloned());
    for (name, value) in generated {
        match allowed.iter().rev().find(|edit| named(edit, name)) {
            None => headers.push((name.to_owned(), value)),
            Some(HeaderEdit::Set(n, v)) if name == "Host" => headers.push((n.clone(), v.clone())),
            Some(_) => {}
        }
    }
    for edit in allowed {
        match edit {
            HeaderEdit::Set(name, _) if name.eq_ignore_ascii_case("host") => {}
            HeaderEdit::Set(name, value) => headers.push((name.clone(), value.clone())),
            HeaderEdit::Empty(name) => headers.push((name.clone(), String::new())),
            HeaderEdit::Remove(_) => {}
        }
    }
    headers
}

/// Replaces the values of secret headers in a head.
pub fn redact(head: &str) -> String {
    let mut shown = String::with_capacity(head.len());
    for line in head.split_inclusive('\n') {
        match line.split_once(':') {
            Some((name, value)) if is_secret(name) => {
                // The scheme of Authorization is useful and not secret.
                let scheme = value
                    .trim()
                    .split_once(' ')
                    .map_or("", |(scheme, _)| scheme);
                let scheme = if name.to_ascii_lowercase().contains("authorization") {
                    scheme
                } else {
                    ""
                };
                let gap = if scheme.is_empty() { "" } else { " " };
                let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
                // Writing to a String cannot fail.
                let _ = write!(shown, "{name}: {scheme}{gap}***{end}");
            }
            _ => shown.push_str(line),
        }
    }
    shown
}

/// Whether a text is a byte range, or a list of byte ranges.
pub fn is_range(text: &str) -> bool {
    text.split(',').all(|range| {
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        range.trim().split_once('-').is_some_and(|(first, last)| {
            let is_reversed = matches!((first.parse::<u64>(), last.parse::<u64>()),
                (Ok(first), Ok(last)) if first > last);
            number(first) && number(last) && !(first.is_empty() && last.is_empty()) && !is_reversed
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(texts: &[&str]) -> Vec<HeaderEdit> {
        texts.iter().map(|text| parse(text).unwrap()).collect()
    }

    fn lines(parts: &HeaderParts<'_>) -> Vec<String> {
        let headers = headers(parts);
        headers.iter().map(|(n, v)| format!("{n}: {v}")).collect()
    }

    #[test]
    fn generated_headers_are_replaced_and_removed() {
        let edits = edits(&["user-agent: x", "Accept:", "X-Empty;", "X-A: 1", "X-A: 2"]);
        let parts = HeaderParts {
            host: "h:81",
            trusted: true,
            generated: vec![("User-Agent", "u".into()), ("Accept", "*/*".into())],
            edits: &edits,
        };
        assert_eq!(
            lines(&parts),
            [
                "Host: h:81",
                "user-agent: x",
                "X-Empty: ",
                "X-A: 1",
                "X-A: 2"
            ]
        );
    }

    #[test]
    fn secrets_are_sent_to_the_trusted_origin_only() {
        let edits = edits(&[
            "Authorization: b",
            "cookie: c",
            "X-API-Key: k",
            "Private-Token: t",
            "Host: virtual",
            "X-Plain: p",
        ]);
        let mut parts = HeaderParts {
            host: "h",
            trusted: true,
            generated: Vec::new(),
            edits: &edits,
        };
        assert_eq!(lines(&parts).len(), 6);
        assert_eq!(lines(&parts)[0], "Host: virtual");
        parts.trusted = false;
        assert_eq!(lines(&parts), ["Host: h", "X-Plain: p"]);
    }

    #[test]
    fn secrets_are_recognized_by_name() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "X-Api-Key",
            "x_api_key",
            "X-ApiKey",
            "Ocp-Apim-Subscription-Key",
            "X-Functions-Key",
            "X-JWT",
            "X-Jwt-Assertion",
            "X-Sid",
            "X-Amz-Security-Token",
            "X-CSRF-Token",
            "X-Hub-Signature-256",
            "X-Account-PIN",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "Accept",
            "X-Plain",
            "Range",
            "X-Residence",
            "X-Keyboard",
            "User-Agent",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn invalid_headers_are_refused() {
        for text in ["", "x", ": x", "a b: c", "a: b\r\nc: d", "a: \0"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn secret_headers_are_redacted() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic Zm9v\r\nCookie: a=b\r\n\r\n";
        assert_eq!(
            redact(head),
            "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic ***\r\nCookie: ***\r\n\r\n"
        );
    }

    #[test]
    fn ranges_are_recognized() {
        for text in ["0-99", "500-", "-100", "0-0,-1", "0-1, 4-5"] {
            assert!(is_range(text), "{text}");
        }
        for text in [
            "",
            "-",
            "abc",
            "5",
            "5-1",
            "0-1,3-2",
            "1-2-3",
            "a-b",
            "0-1,",
            "bytes=0-1",
        ] {
            assert!(!is_range(text), "{text}");
        }
    }
}

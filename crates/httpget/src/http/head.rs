//! The head of a response (RFC 9112).
//!
//! [`Head::parse`] reads all bytes up to the blank line. It keeps them as
//! received, for `-i` and `-D`, unfolds folded lines, and refuses a head that
//! two parsers could interpret differently: with a NUL, a lone CR, a line without a
//! colon, or white space before the colon of a header that decides about the
//! framing. [`super::framing`] finds the end of the body.

use std::fmt::Write;

use common::{Error, Kind, Result};

/// The maximum length of a head in bytes; curl's limit.
pub const HEAD_MAX: usize = 300 * 1024;

/// The status line and the headers of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    /// The status code, from 100 to 999.
    pub status: u16,
    /// The reason phrase, which may be empty.
    pub reason: String,
    /// Names as sent and trimmed values, in order. A value that is not UTF-8 is
    /// read as Latin-1 (RFC 9110, section 5.5).
    pub headers: Vec<(String, String)>,
    /// All bytes as received, including the blank line.
    pub raw: Vec<u8>,
    /// The first lines that were skipped because their names are invalid.
    pub skipped: Vec<String>,
    /// Indexes of the headers with values that are not UTF-8: each of their
    /// characters stands for one byte.
    latin1: Vec<usize>,
}

/// The maximum number of header lines; curl's limit.
pub const LINES_MAX: usize = 5000;

/// Returns the length of the head at the start of `bytes`, including the blank
/// line; `None` while it is incomplete. Lines end in CRLF or LF.
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    find_end_from(bytes, &mut 0)
}

/// Like [`find_end`], for a head that is received in pieces. `from` is the offset up
/// to which `bytes` has been searched, 0 at first.
pub fn find_end_from(bytes: &[u8], from: &mut usize) -> Option<usize> {
    while let Some(at) = bytes[*from..].iter().position(|&b| b == b'\n') {
        let next = *from + at + 1;
        match &bytes[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            // The next byte decides whether the head ends here.
            [] | [b'\r'] => {
                *from = next - 1;
                return None;
            }
            _ => *from = next,
        }
    }
    *from = bytes.len();
    None
}

/// The maximum number of skipped lines that are kept.
const SKIPPED_MAX: usize = 10;

/// Whether an invalid name becomes, without white space, the name of a header
/// that decides how the response is read.
fn affects_interpretation(name: &[u8]) -> bool {
    let bare: Vec<u8> = name
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    [
        &b"content-length"[..],
        b"transfer-encoding",
        b"content-range",
        b"content-encoding",
        b"location",
        b"connection",
    ]
    .iter()
    .any(|known| bare.eq_ignore_ascii_case(known))
}

/// Returns the start of a line for an error message.
fn excerpt(line: &[u8]) -> String {
    const LENGTH_MAX: usize = 100;
    let mut shown: String = decode_text(line).chars().take(LENGTH_MAX).collect();
    if line.len() > LENGTH_MAX {
        shown.push_str("...");
    }
    shown
}

fn protocol_error(what: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, what)
}

impl Head {
    /// Parses a complete head, up to the length that [`find_end`] returned.
    pub fn parse(raw: &[u8]) -> Result<Self> {
        if raw.contains(&0) {
            return Err(protocol_error("the response head contains a NUL byte"));
        }
        let mut lines = raw
            .split(|&b| b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (minor, status, reason) = status_line(lines.next().unwrap_or_default())?;
        let mut head = Self {
            minor,
            status,
            reason,
            headers: Vec::new(),
            raw: raw.to_vec(),
            skipped: Vec::new(),
            latin1: Vec::new(),
        };
        // The continuation lines of a skipped line are skipped, too.
        let mut is_skipping = false;
        for line in lines {
            if line.is_empty() {
                break;
            }
            if line.contains(&b'\r') {
                return Err(protocol_error(
                    "the response head contains a CR without an LF",
                ));
            }
            if line[0] == b' ' || line[0] == b'\t' {
                if is_skipping {
                    continue;
                }
                // A fold is replaced by one space (RFC 9112, section 5.2).
                let last = head.headers.len().checked_sub(1);
                let Some((_, value)) = head.headers.last_mut() else {
                    return Err(protocol_error(
                        "the first header line of the response is a continuation line",
                    ));
                };
                if std::str::from_utf8(line).is_err() {
                    head.latin1.extend(last);
                }
                let more = decode_text(line.trim_ascii());
                if !value.is_empty() && !more.is_empty() {
                    value.push(' ');
                }
                value.push_str(&more);
                continue;
            }
            let Some(colon) = line.iter().position(|&b| b == b':') else {
                return Err(protocol_error(format!(
                    "a header line of the response has no colon: {}",
                    excerpt(line)
                )));
            };
            let name = &line[..colon];
            is_skipping = name.is_empty() || !name.iter().all(|&b| is_token(b));
            if is_skipping {
                if affects_interpretation(name) {
                    return Err(protocol_error(format!(
                        "a header line of the response has an invalid name: {}",
                        excerpt(line)
                    )));
                }
                if head.skipped.len() < SKIPPED_MAX {
                    head.skipped.push(excerpt(line));
                }
                continue;
            }
            if head.headers.len() == LINES_MAX {
                return Err(protocol_error(format!(
                    "the response head has more than {LINES_MAX} header lines"
                )));
            }
            let value = line[colon + 1..].trim_ascii();
            if std::str::from_utf8(value).is_err() {
                head.latin1.push(head.headers.len());
            }
            head.headers.push((decode_text(name), decode_text(value)));
        }
        Ok(head)
    }

    /// Returns the first value of a header; the case of `name` does not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns all values of a header in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns all values of Location as URL references. Bytes that are not UTF-8
    /// are percent-encoded, as browsers do.
    pub fn locations(&self) -> impl Iterator<Item = String> + '_ {
        let headers = self.headers.iter().enumerate();
        headers
            .filter(|(_, (name, _))| name.eq_ignore_ascii_case("location"))
            .map(|(at, (_, value))| {
                if !self.latin1.contains(&at) {
                    return value.clone();
                }
                value.chars().fold(String::new(), |mut reference, c| {
                    if c.is_ascii() {
                        reference.push(c);
                    } else {
                        // Writing to a String cannot fail.
                        let _ = write!(reference, "%{:02X}", c as u32);
                    }
                    reference
                })
            })
    }

    /// Returns `HTTP/1.1` or `HTTP/1.0`.
    pub fn version(&self) -> &'static str {
        if self.minor == 0 {
            "HTTP/1.0"
        } else {
            "HTTP/1.1"
        }
    }

    /// Returns the status with its reason phrase, such as `404 Not Found`.
    pub fn status_text(&self) -> String {
        format!("{} {}", self.status, self.reason)
            .trim_end()
            .to_owned()
    }
}

fn status_line(line: &[u8]) -> Result<(u8, u16, String)> {
    let invalid = || {
        let start: Vec<u8> = line.iter().copied().take(40).collect();
        protocol_error(format!("not an HTTP/1 response: {}", decode_text(&start)))
    };
    let rest = line.strip_prefix(b"HTTP/1.").ok_or_else(invalid)?;
    let [minor @ (b'0' | b'1'), b' ', rest @ ..] = rest else {
        return Err(invalid());
    };
    let digits = rest.get(..3).ok_or_else(invalid)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(rest.get(3), None | Some(b' ')) {
        return Err(invalid());
    }
    let status = digits
        .iter()
        .fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    if status < 100 {
        return Err(invalid());
    }
    let reason = rest.get(4..).unwrap_or_default();
    if reason.contains(&b'\r') {
        return Err(invalid());
    }
    Ok((minor - b'0', status, decode_text(reason.trim_ascii())))
}

/// Whether a byte is allowed in the name of a header (RFC 9110, section 5.6.2).
pub fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Decodes UTF-8, or Latin-1 if the bytes are not valid UTF-8.
fn decode_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Head> {
        let end = find_end(text.as_bytes()).expect("the head is complete");
        Head::parse(&text.as_bytes()[..end])
    }

    proptest! {
        #[test]
        fn the_end_is_found_byte_by_byte(picks in proptest::collection::vec(0..4usize, 0..20)) {
            let bytes: Vec<u8> = picks.iter().map(|&pick| b"a\r\n\0"[pick]).collect();
            let mut from = 0;
            let found = (0..=bytes.len()).find_map(|n| find_end_from(&bytes[..n], &mut from));
            prop_assert_eq!(found, find_end(&bytes));
        }
    }

    #[test]
    fn lines_with_invalid_names_are_skipped_or_refused() {
        let head = parse(
            "HTTP/1.1 200 OK\r\nPHP Warning: PHP Startup: x\r\n folded\r\nen-US Content-Type: a\r\n\
             X[1]: v\r\n: v\r\nX-A: b\r\n\tc\r\nX B: c\r\n\r\n",
        )
        .unwrap();
        assert_eq!(head.headers, [("X-A".to_owned(), "b c".to_owned())]);
        assert_eq!(head.skipped.len(), 5);
        assert_eq!(head.skipped[0], "PHP Warning: PHP Startup: x");
        let many = "X Y: z\r\n".repeat(50);
        assert_eq!(
            parse(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"))
                .unwrap()
                .skipped
                .len(),
            10
        );
        for line in [
            "Content-Length : 5",
            "Content- Length: 5",
            "transfer-encoding : chunked",
            "LOCATION : /x",
            "Connection :close",
            "content-encoding : gzip",
            "Content-Range : bytes 0-1/2",
        ] {
            // After a first header, or the line would be a continuation line.
            let error = parse(&format!(
                "HTTP/1.1 200 OK\r\nX: y\r\n{}\r\n\r\n",
                line.trim_start()
            ));
            assert!(
                error.unwrap_err().to_string().contains(line.trim()),
                "{line}"
            );
        }
        let error = parse("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("no colon here"), "{error}");
    }

    #[test]
    fn locations_keep_the_bytes_of_the_server() {
        let locations = |value: &[u8]| {
            let raw = [
                b"HTTP/1.1 302 F\r\nX: \xff\r\nLocation: ",
                value,
                b"\r\n\r\n",
            ]
            .concat();
            Head::parse(&raw).unwrap().locations().collect::<Vec<_>>()
        };
        assert_eq!(locations(b"/caf\xe9"), ["/caf%E9"]);
        assert_eq!(locations("/café".as_bytes()), ["/café"]);
        assert_eq!(
            locations("/café\u{0}".trim_end_matches('\0').as_bytes()),
            ["/café"]
        );
        assert_eq!(locations(b"/\xc3\xa9\xe9"), ["/%C3%A9%E9"]);
    }

    #[test]
    fn a_head_ends_with_a_blank_line() {
        assert_eq!(find_end(b"HTTP/1.1 200 OK\r\nA: b\r\n"), None);
        assert_eq!(find_end(b"a\r\n\r\nbody"), Some(5));
        assert_eq!(find_end(b"a\n\nbody"), Some(3));
        let head = parse("HTTP/1.1 404 Not Found\r\nX-A:  b \r\nx-a: c\r\n\r\n").unwrap();
        assert_eq!((head.status, head.reason.as_str()), (404, "Not Found"));
        assert_eq!(head.all("X-a").collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(head.status_text(), "404 Not Found");
        assert_eq!(parse("HTTP/1.0 200\r\n\r\n").unwrap().reason, "");
    }

    #[test]
    fn folded_lines_are_unfolded() {
        let head = parse("HTTP/1.1 200 OK\r\nA: b\r\n  c\r\n\td\r\n\r\n").unwrap();
        assert_eq!(head.get("a"), Some("b c d"));
        assert!(parse("HTTP/1.1 200 OK\r\n folded\r\n\r\n").is_err());
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/1.1 099 no\r\n\r\n",
            "HTTP/1.1 20 no\r\n\r\n",
            "HTTP/1.1 2000 no\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        ] {
            assert_eq!(parse(text).unwrap_err().kind(), Kind::Protocol, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            head.extend(bytes);
            if let Ok(head) = Head::parse(&head) {
                let _ = head.framing(false);
            }
        }
    }
}

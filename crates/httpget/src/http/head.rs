//! The head of a response (RFC 9112), and how long its body is.
//!
//! [`Head::parse`] is given all bytes up to the blank line. It keeps them as
//! they came, for `-i` and `-D`, unfolds folded lines, and refuses what could
//! be read in two ways: NUL, a lone CR, a line without colon, blanks before
//! the colon. [`Head::framing`] then says where the body ends, or refuses
//! (RFC 9112, section 6.3).

use std::fmt::Write;

use common::{Error, Kind, Result};

/// The most bytes a head may have; curl's limit.
pub const HEAD_MAX: usize = 300 * 1024;

/// The head of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase, which may be empty.
    pub reason: String,
    /// Names as sent and values trimmed, in order. Bytes that are no UTF-8
    /// are read as Latin-1, as RFC 9110 has it.
    pub headers: Vec<(String, String)>,
    /// All bytes as received, with the blank line.
    pub raw: Vec<u8>,
    /// Lines that were skipped, since their names cannot be read; the first
    /// few of them.
    pub skipped: Vec<String>,
    /// Which of the headers are not UTF-8, so that each of their characters
    /// stands for one byte.
    latin1: Vec<usize>,
}

/// The most header lines; curl's limit.
pub const LINES_MAX: usize = 5000;

/// Where the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// The length of the head at the start of `bytes`, blank line included, or
/// `None` while it is not complete. Lines end in CRLF or LF.
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    find_end_from(bytes, &mut 0)
}

/// [`find_end`] for a head that comes in pieces: `from` is how far it was searched,
/// 0 at first, so that nothing is searched twice.
pub fn find_end_from(bytes: &[u8], from: &mut usize) -> Option<usize> {
    while let Some(at) = bytes[*from..].iter().position(|&b| b == b'\n') {
        let next = *from + at + 1;
        match &bytes[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            // The next byte decides about this line end.
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

/// The most lines that are kept of those that were skipped.
const SKIPPED_MAX: usize = 10;

/// Whether a name that cannot be read looks, but for blanks, like that of a
/// header which decides what the response is.
fn affects_framing(name: &[u8]) -> bool {
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

/// The start of a line, for a person.
fn excerpt(line: &[u8]) -> String {
    const MOST: usize = 100;
    let mut shown: String = decode_text(line).chars().take(MOST).collect();
    if line.len() > MOST {
        shown.push_str("...");
    }
    shown
}

fn protocol_error(what: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, what)
}

impl Head {
    /// Reads a complete head, as delimited by [`find_end`].
    pub fn parse(raw: &[u8]) -> Result<Self> {
        if raw.contains(&0) {
            return Err(protocol_error("the response's head has a NUL byte in it"));
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
        // Whether the line before was skipped, and its continuation with it.
        let mut is_skipping = false;
        for line in lines {
            if line.is_empty() {
                break;
            }
            if line.contains(&b'\r') {
                return Err(protocol_error("the response's head has a lone CR in it"));
            }
            if line[0] == b' ' || line[0] == b'\t' {
                if is_skipping {
                    continue;
                }
                // A folded line goes on with one blank (RFC 9112, section 5.2).
                let last = head.headers.len().checked_sub(1);
                let Some((_, value)) = head.headers.last_mut() else {
                    return Err(protocol_error(
                        "the response's first header line is a folded one",
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
                if affects_framing(name) {
                    return Err(protocol_error(format!(
                        "a header line of the response has no valid name: {}",
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
                    "the response's head has more than {LINES_MAX} lines"
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

    /// The first value of a header, by name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of Location as URL references: bytes that are not UTF-8 are
    /// percent-encoded, so that the resource they name is asked for.
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

    /// Where the body ends. `is_head` says that HEAD was asked.
    pub fn framing(&self, is_head: bool) -> Result<Framing> {
        let length = self.content_length()?;
        let mut codings = self
            .all("transfer-encoding")
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|coding| !coding.is_empty());
        let coding = codings.next();
        if let Some(other) = codings.next() {
            return Err(protocol_error(format!(
                "several transfer codings ({}, {other}, ...), which nobody asked for",
                coding.unwrap_or_default()
            )));
        }
        let framing = match coding {
            Some(coding) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            Some(coding) if coding.eq_ignore_ascii_case("identity") => {
                length.map_or(Framing::Close, Framing::Length)
            }
            Some(coding) => {
                return Err(protocol_error(format!("unknown transfer coding {coding}")));
            }
            None => length.map_or(Framing::Close, Framing::Length),
        };
        if is_head || self.status / 100 == 1 || matches!(self.status, 204 | 304) {
            return Ok(Framing::Empty);
        }
        Ok(match framing {
            Framing::Length(0) => Framing::Empty,
            framing => framing,
        })
    }

    /// The value of Content-Length; several must agree.
    pub fn content_length(&self) -> Result<Option<u64>> {
        let mut length = None;
        for value in self.all("content-length").flat_map(|v| v.split(',')) {
            let value = value.trim();
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err(protocol_error(format!(
                    "Content-Length is no number: {value}"
                )));
            }
            let value: u64 = value
                .parse()
                .map_err(|_| protocol_error(format!("Content-Length is out of range: {value}")))?;
            if length.is_some_and(|length| length != value) {
                return Err(protocol_error("two Content-Lengths that differ"));
            }
            length = Some(value);
        }
        Ok(length)
    }

    /// Whether the server keeps the connection (RFC 9112, section 9.3).
    pub fn keeps_alive(&self) -> bool {
        let says = |what: &str| {
            self.all("connection")
                .flat_map(|value| value.split(','))
                .any(|option| option.trim().eq_ignore_ascii_case(what))
        };
        !says("close")
            && (self.minor > 0 || says("keep-alive"))
            // Both at once is how responses are smuggled; believe it once.
            && !(self.get("transfer-encoding").is_some() && self.get("content-length").is_some())
    }

    /// `HTTP/1.1` or `HTTP/1.0`.
    pub fn version(&self) -> &'static str {
        if self.minor == 0 {
            "HTTP/1.0"
        } else {
            "HTTP/1.1"
        }
    }

    /// `404 Not Found`, or `404` where there is no reason phrase.
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

/// Whether a byte may stand in a header's name (RFC 9110, section 5.6.2).
pub fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// UTF-8, or else Latin-1.
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
        let end = find_end(text.as_bytes()).expect("a whole head");
        Head::parse(&text.as_bytes()[..end])
    }

    proptest! {
        #[test]
        fn an_end_is_found_byte_by_byte(picks in proptest::collection::vec(0..4usize, 0..20)) {
            let bytes: Vec<u8> = picks.iter().map(|&pick| b"a\r\n\0"[pick]).collect();
            let mut from = 0;
            let found = (0..=bytes.len()).find_map(|n| find_end_from(&bytes[..n], &mut from));
            prop_assert_eq!(found, find_end(&bytes));
        }
    }

    #[test]
    fn lines_that_cannot_be_read() {
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
            // The first line would otherwise be a folded one.
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
    fn locations_keep_their_bytes() {
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

    fn framing(headers: &str) -> Result<Framing> {
        parse(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))?.framing(false)
    }

    #[test]
    fn a_head_and_its_end() {
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
    fn refused() {
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

    #[test]
    fn where_bodies_end() {
        assert_eq!(framing("").unwrap(), Framing::Close);
        assert_eq!(
            framing("Content-Length: 3\r\n").unwrap(),
            Framing::Length(3)
        );
        assert_eq!(framing("Content-Length: 0\r\n").unwrap(), Framing::Empty);
        assert_eq!(
            framing("Content-Length: 3, 3\r\nContent-Length: 3\r\n").unwrap(),
            Framing::Length(3)
        );
        assert_eq!(
            framing("Transfer-Encoding: Chunked\r\nContent-Length: 3\r\n").unwrap(),
            Framing::Chunked
        );
        for bad in [
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert!(framing(bad).is_err(), "{bad}");
        }
        let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap();
        assert_eq!(head.framing(true).unwrap(), Framing::Empty);
    }

    #[test]
    fn who_keeps_the_connection() {
        let keeps = |text: &str| parse(text).unwrap().keeps_alive();
        assert!(keeps("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\n\r\n"));
        assert!(keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: x, close\r\n\r\n"));
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

//! Cookie files in Netscape's format, which curl and wget read and write, and
//! Set-Cookie headers in a dump of response heads.

use std::fmt::Write;
use std::io::{self, BufRead, Read};

use super::{Cookie, Jar, RESPONSE_MAX};
use crate::http::date::Seconds;

/// The maximum length of a line of a cookie file in bytes.
const LINE_MAX: u64 = 64 * 1024;

/// The contents of a cookie file.
#[derive(Clone, Debug, Default)]
pub struct CookieFile {
    /// The cookies of the lines in Netscape's format.
    pub jar: Jar,
    /// The values of the Set-Cookie headers, which belong to the requested URL.
    pub headers: Vec<String>,
}

/// The error of a cookie file that cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The line with this number, from 1, is not a cookie.
    Line(usize),
    /// Reading the file failed.
    Io(io::Error),
}

/// The error of a line that is not a cookie.
struct NotACookie;

impl CookieFile {
    /// Reads a file in Netscape's format, or response heads as `-D` writes them.
    /// Keeps the last 10,000 cookies.
    pub fn read(mut file: impl BufRead) -> Result<Self, ReadError> {
        let mut found = Self::default();
        // Other headers of a dumped head are skipped.
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
            match parse_line(text) {
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
    /// Reads only the cookies of a file in Netscape's format.
    pub fn read(file: impl BufRead) -> Result<Self, ReadError> {
        CookieFile::read(file).map(|file| file.jar)
    }

    /// Returns the jar in Netscape's format. Session cookies are included, as in
    /// curl; cookies that have expired by `now` are not.
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

/// Parses a line; `None` for a comment or a blank line.
fn parse_line(line: &str) -> Result<Option<Cookie>, NotACookie> {
    let (http_only, line) = match line.strip_prefix("#HttpOnly_") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    parse_fields(line, http_only).map(Some).ok_or(NotACookie)
}

fn parse_fields(line: &str, http_only: bool) -> Option<Cookie> {
    let fields: Vec<&str> = line.splitn(7, '\t').collect();
    let (&[domain, subdomains, path, secure, expires, name], value) = match &fields[..] {
        [six @ .., value] if six.len() == 6 => (six.first_chunk()?, *value),
        // Editors remove the TAB before an empty value.
        six => (six.first_chunk().filter(|_| six.len() == 6)?, ""),
    };
    // Some programs write fractions of a second.
    let expires = expires.split('.').next().unwrap_or_default();
    let digits = expires.strip_prefix('-').unwrap_or(expires);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A time that is out of range becomes the nearest one that is not.
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
        host_only: !subdomains.eq_ignore_ascii_case("TRUE"),
        path: path.to_owned(),
        secure: secure.eq_ignore_ascii_case("TRUE"),
        http_only,
        expires: (expires != 0).then_some(expires),
    })
}

//! Message framing: where the body of a response ends (RFC 9112, section 6.3),
//! and whether its connection can be used again (section 9.3).

use common::{Error, Kind, Result};

use super::head::Head;

/// The end of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The response has no body.
    Empty,
    /// The body has this many bytes.
    Length(u64),
    /// The body ends with its last chunk.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

fn protocol_error(message: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, message)
}

impl Head {
    /// Returns where the body ends. `is_head` is true for the response to a HEAD
    /// request.
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
                "unsupported transfer codings: {}, {other}",
                coding.unwrap_or_default()
            )));
        }
        let framing = match coding {
            Some(coding) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            Some(coding) if coding.eq_ignore_ascii_case("identity") => {
                length.map_or(Framing::UntilClose, Framing::Length)
            }
            Some(coding) => {
                return Err(protocol_error(format!(
                    "unsupported transfer coding {coding}"
                )));
            }
            None => length.map_or(Framing::UntilClose, Framing::Length),
        };
        if is_head || self.status / 100 == 1 || matches!(self.status, 204 | 304) {
            return Ok(Framing::Empty);
        }
        Ok(match framing {
            Framing::Length(0) => Framing::Empty,
            framing => framing,
        })
    }

    /// Returns the value of Content-Length. Several values must agree.
    pub fn content_length(&self) -> Result<Option<u64>> {
        let mut length = None;
        for value in self.all("content-length").flat_map(|v| v.split(',')) {
            let value = value.trim();
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err(protocol_error(format!("invalid Content-Length: {value}")));
            }
            let value: u64 = value
                .parse()
                .map_err(|_| protocol_error(format!("Content-Length is out of range: {value}")))?;
            if length.is_some_and(|length| length != value) {
                return Err(protocol_error(
                    "the response has different Content-Length values",
                ));
            }
            length = Some(value);
        }
        Ok(length)
    }

    /// Whether the server keeps the connection open.
    pub fn keeps_alive(&self) -> bool {
        let has_option = |name: &str| {
            self.all("connection")
                .flat_map(|value| value.split(','))
                .any(|option| option.trim().eq_ignore_ascii_case(name))
        };
        !has_option("close")
            && (self.minor > 0 || has_option("keep-alive"))
            // A response with both may be smuggled: nothing after it is trusted.
            && !(self.get("transfer-encoding").is_some() && self.get("content-length").is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;

    fn parse(text: &str) -> Result<Head> {
        let end = head::find_end(text.as_bytes()).expect("the head is complete");
        Head::parse(&text.as_bytes()[..end])
    }

    fn framing(headers: &str) -> Result<Framing> {
        parse(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))?.framing(false)
    }

    #[test]
    fn the_end_of_a_body_is_unambiguous() {
        assert_eq!(framing("").unwrap(), Framing::UntilClose);
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
    fn persistent_connections() {
        let keeps = |text: &str| parse(text).unwrap().keeps_alive();
        assert!(keeps("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\n\r\n"));
        assert!(keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: x, close\r\n\r\n"));
    }
}

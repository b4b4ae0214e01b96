//! When a download may go on where it stopped: pure decisions, for `-C`, for
//! `--retry`, and for the ranges of `--segments`.
//!
//! What is there is continued only under a proof that the rest belongs to it: a
//! strong validator that the server confirms (If-Range answered by 206). A weak
//! validator must be repeated by the server; with it, and without any, the last
//! [`OVERLAP`] bytes are asked for again and must be equal.

use std::fmt::Write;

use crate::http::content_range;
use crate::http::head::Head;

/// The bytes that are fetched again if no strong validator proves the rest.
pub const OVERLAP: u64 = 64 * 1024;

/// What tells one state of a resource from another (RFC 9110, section 8.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    /// A strong entity tag, with its quotes.
    Tag(String),
    /// The value of Last-Modified, if it is old enough to be strong.
    Date(String),
    /// Any other entity tag.
    WeakTag(String),
    /// Any other Last-Modified.
    WeakDate(String),
}

impl Validator {
    /// The validator of a response: an entity tag, else a date. A date is strong
    /// if it is a second older than Date (RFC 9110, section 8.8.2.2).
    pub fn of(head: &Head) -> Option<Self> {
        if let Some(tag) = head.get("etag").filter(|tag| !tag.is_empty()) {
            let tag = tag.to_owned();
            return Some(if is_strong(&tag) {
                Self::Tag(tag)
            } else {
                Self::WeakTag(tag)
            });
        }
        let modified = head.get("last-modified").filter(|date| !date.is_empty())?;
        let at = crate::http::date::parse(modified);
        let sent = head.get("date").and_then(crate::http::date::parse);
        let is_old = at.zip(sent).is_some_and(|(at, sent)| sent > at);
        Some(if is_old {
            Self::Date(modified.to_owned())
        } else {
            Self::WeakDate(modified.to_owned())
        })
    }

    /// The validator of a response that may be used in If-Range.
    pub fn strong(head: &Head) -> Option<Self> {
        Self::of(head).filter(Self::is_strong)
    }

    /// Whether it may be used in If-Range.
    pub fn is_strong(&self) -> bool {
        matches!(self, Self::Tag(_) | Self::Date(_))
    }

    /// The value, as the server wrote it.
    pub fn value(&self) -> &str {
        match self {
            Self::Tag(value) | Self::Date(value) | Self::WeakTag(value) | Self::WeakDate(value) => {
                value
            }
        }
    }

    /// Whether a later response is of the same state. If it does not say, the
    /// 206 itself is the proof for a strong one, since If-Range asked for it.
    pub fn agrees(&self, head: &Head) -> bool {
        let name = match self {
            Self::Tag(_) | Self::WeakTag(_) => "etag",
            Self::Date(_) | Self::WeakDate(_) => "last-modified",
        };
        match head.get(name) {
            Some(value) => value == self.value(),
            None => self.is_strong(),
        }
    }
}

fn is_strong(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
}

/// What is there of a download, and how it is to be continued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Had {
    /// Bytes that are there.
    pub bytes: u64,
    /// The state they are of.
    pub validator: Option<Validator>,
    /// The length of the whole, if it is known.
    pub total: Option<u64>,
    /// Its [`coding`], if it is known: bytes of one are none of another, and a
    /// server may give them the same tag.
    pub coding: Option<String>,
    /// Whether these bytes are in the final file and not in its part file.
    pub of_file: bool,
    /// Whether the user said where to go on, so that nothing is fetched again.
    pub exact: bool,
}

/// The value of Content-Encoding; empty where there is none.
pub fn coding(head: &Head) -> String {
    let values = head.all("content-encoding").flat_map(|v| v.split(','));
    let codings: Vec<String> = values
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    codings.join(",")
}

/// What to do with a response to the request for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its body continues what is there.
    Continue,
    /// Its body is the whole, from the start.
    Whole,
    /// What is there is the whole already.
    Complete,
    /// It cannot be used: ask again, for the whole.
    Again,
    /// It is about something else: an error status, a redirect.
    Other,
}

impl Had {
    /// Whether a response is coded as what is there.
    pub fn is_coded_as(&self, head: &Head) -> bool {
        let coding = coding(head);
        self.coding.as_ref().is_none_or(|known| *known == coding)
    }

    /// Whether a strong validator proves that a rest belongs to it.
    pub fn is_proved(&self) -> bool {
        self.validator.as_ref().is_some_and(Validator::is_strong)
    }

    /// How many of its last bytes are fetched again.
    pub fn overlap(&self) -> u64 {
        if self.exact || self.is_proved() {
            0
        } else {
            OVERLAP.min(self.bytes)
        }
    }

    /// Where the rest is asked for from.
    pub fn from(&self) -> u64 {
        self.bytes - self.overlap()
    }

    /// The headers that ask for the rest.
    pub fn ask(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Range", format!("bytes={}-", self.from()))];
        if let Some(validator) = self.validator.as_ref().filter(|v| v.is_strong()) {
            headers.push(("If-Range", validator.value().to_owned()));
        }
        headers
    }

    /// Judges the response.
    pub fn judge(&self, head: &Head) -> Verdict {
        let range = head.get("content-range").and_then(content_range::parse);
        match head.status {
            206 => {
                let Some(range) = range else {
                    return Verdict::Again;
                };
                let starts = range.span.is_some_and(|(first, _)| first == self.from());
                let fits = match (self.total, range.total) {
                    (Some(a), Some(b)) => a == b,
                    _ => true,
                };
                // What is there may be no longer than the whole.
                let fits = fits && range.total.is_none_or(|total| total >= self.bytes);
                // Not a part of the rest, but all of it. If no total is known,
                // a span that adds nothing proves nothing.
                let reaches = match (range.span, range.total.or(self.total)) {
                    (Some((_, last)), Some(total)) => last.checked_add(1) == Some(total),
                    (Some((_, last)), None) => last >= self.bytes,
                    (None, _) => false,
                };
                let same = match &self.validator {
                    Some(validator) => validator.agrees(head),
                    None => true,
                };
                if starts && fits && reaches && same && self.is_coded_as(head) {
                    Verdict::Continue
                } else {
                    Verdict::Again
                }
            }
            200 => Verdict::Whole,
            416 => match range {
                Some(range) if range.span.is_none() && range.total == Some(self.bytes) => {
                    // A 416 does not look at If-Range; a tag tells.
                    match &self.validator {
                        Some(validator) if !validator.agrees(head) => Verdict::Again,
                        _ => Verdict::Complete,
                    }
                }
                _ => Verdict::Again,
            },
            _ => Verdict::Other,
        }
    }
}

/// What a record says of the URL: its SHA-256, so that a query with a secret in
/// it cannot be read there.
pub fn url_id(url: &url::Url) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, url.as_str().as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The key of a record's first line, by which it is known as one.
const URL: &str = "url-sha256";

/// The key of its last line: a record cut short proves nothing.
const END: &str = "end";

/// The text of the record beside a part file of the URL with this id. `bytes`
/// is the number of bytes that are there of a part file with gaps; without it,
/// all of the file is.
pub fn to_state(had: &Had, url: &str, bytes: Option<u64>) -> String {
    let line = |name: &str, value: Option<String>| {
        value.map_or_else(String::new, |value| format!("{name}: {value}\n"))
    };
    let coding = had.coding.clone().filter(|coding| !coding.is_empty());
    let validator = had.validator.as_ref().map(|validator| {
        let name = match validator {
            Validator::Tag(_) => "etag",
            Validator::Date(_) => "last-modified",
            Validator::WeakTag(_) => "weak-etag",
            Validator::WeakDate(_) => "weak-last-modified",
        };
        line(name, Some(validator.value().to_owned()))
    });
    [
        line(URL, Some(url.to_owned())),
        line("bytes", bytes.map(|bytes| bytes.to_string())),
        line("content-encoding", coding),
        validator.unwrap_or_default(),
        line("length", had.total.map(|total| total.to_string())),
        line(END, Some("record".to_owned())),
    ]
    .concat()
}

/// Whether this is a record, of whatever URL.
pub fn is_state(text: &str) -> bool {
    text.strip_prefix(URL)
        .is_some_and(|rest| rest.starts_with(": "))
}

/// Reads a record of this URL for a part file of `length` bytes; what cannot be
/// read or does not fit proves nothing.
pub fn from_state(text: &str, url: &str, length: u64) -> Option<Had> {
    let mut validator = None;
    let mut total = None;
    let mut bytes = length;
    let mut coding = String::new();
    let (mut is_of_url, mut is_whole) = (false, false);
    // A line without its end may have been longer.
    for line in text.strip_suffix('\n')?.split('\n') {
        let (name, value) = line.split_once(": ")?;
        match name {
            URL => is_of_url = value == url,
            END => is_whole = true,
            "etag" if is_strong(value) => validator = Some(Validator::Tag(value.to_owned())),
            "last-modified" => validator = Some(Validator::Date(value.to_owned())),
            "weak-etag" => validator = Some(Validator::WeakTag(value.to_owned())),
            "weak-last-modified" => validator = Some(Validator::WeakDate(value.to_owned())),
            "content-encoding" => value.clone_into(&mut coding),
            "length" => total = Some(value.parse().ok()?),
            "bytes" => bytes = value.parse().ok()?,
            _ => return None,
        }
    }
    let fits = bytes > 0 && bytes <= length && total.is_none_or(|total| bytes <= total);
    (fits && is_of_url && is_whole).then(|| Had {
        bytes,
        validator,
        total,
        coding: Some(coding),
        ..Had::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> Head {
        Head::parse(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes()).unwrap()
    }

    fn had(validator: Option<&str>, total: Option<u64>) -> Had {
        Had {
            bytes: 5,
            validator: validator.map(|tag| Validator::Tag(tag.to_owned())),
            total,
            coding: Some(String::new()),
            ..Had::default()
        }
    }

    #[test]
    fn verdicts() {
        use Verdict::*;
        let tag = had(Some("\"1\""), Some(10));
        for (text, verdict) in [
            ("206 P\r\nContent-Range: bytes 5-9/10", Continue),
            (
                "206 P\r\nContent-Range: bytes 5-9/10\r\nETag: \"1\"",
                Continue,
            ),
            ("206 P\r\nContent-Range: bytes 5-9/10\r\nETag: \"2\"", Again),
            (
                "206 P\r\nContent-Range: bytes 5-9/10\r\nContent-Encoding: gzip",
                Again,
            ),
            ("206 P\r\nContent-Range: bytes 4-9/10", Again),
            ("206 P\r\nContent-Range: bytes 5-8/10", Again),
            ("206 P\r\nContent-Range: bytes 5-10/11", Again),
            ("206 P", Again),
            ("200 OK", Whole),
            ("416 R\r\nContent-Range: bytes */5", Complete),
            ("416 R\r\nContent-Range: bytes */5\r\nETag: \"2\"", Again),
            ("416 R\r\nContent-Range: bytes */4", Again),
            ("416 R", Again),
            ("404 N", Other),
            ("503 S", Other),
        ] {
            assert_eq!(tag.judge(&head(text)), verdict, "{text}");
        }
        // A strong date need not be repeated, but must not differ.
        let dated = Had {
            validator: Some(Validator::Date("x".into())),
            ..had(None, Some(10))
        };
        for (repeated, verdict) in [
            ("", Continue),
            ("\r\nLast-Modified: x", Continue),
            ("\r\nLast-Modified: y", Again),
            ("\r\nETag: \"1\"", Continue),
        ] {
            let text = format!("206 P\r\nContent-Range: bytes 5-9/10{repeated}");
            assert_eq!(dated.judge(&head(&text)), verdict, "{repeated}");
        }
        let exact = Had {
            exact: true,
            ..had(None, None)
        };
        assert_eq!(exact.ask(), [("Range", "bytes=5-".to_owned())]);
        assert_eq!(
            exact.judge(&head("206 P\r\nContent-Range: bytes 5-9/10")),
            Continue
        );
        // Without a proof the last bytes are asked for again, and a weak tag
        // must be repeated.
        let range = format!(
            "206 P\r\nContent-Range: bytes {}-199999/200000",
            100_000 - OVERLAP
        );
        for (validator, repeated, verdict) in [
            (None, "", Continue),
            (
                Some(Validator::WeakTag("W/\"1\"".into())),
                "\r\nETag: W/\"1\"",
                Continue,
            ),
            (
                Some(Validator::WeakTag("W/\"1\"".into())),
                "\r\nETag: W/\"2\"",
                Again,
            ),
            (Some(Validator::WeakTag("W/\"1\"".into())), "", Again),
            (
                Some(Validator::WeakDate("x".into())),
                "\r\nLast-Modified: x",
                Continue,
            ),
            (Some(Validator::WeakDate("x".into())), "", Again),
            (
                Some(Validator::WeakDate("x".into())),
                "\r\nLast-Modified: y",
                Again,
            ),
        ] {
            let weak = Had {
                bytes: 100_000,
                validator,
                ..Had::default()
            };
            assert_eq!(weak.ask(), [("Range", "bytes=34464-".to_owned())]);
            let answer = head(&format!("{range}{repeated}"));
            assert_eq!(weak.judge(&answer), verdict, "{repeated}");
            let shorter = "206 P\r\nContent-Range: bytes 34464-99998/99999";
            assert_eq!(weak.judge(&head(&format!("{shorter}{repeated}"))), Again);
        }
    }

    #[test]
    fn validators() {
        let of = |text: &str| Validator::of(&head(&format!("200 OK\r\n{text}")));
        assert_eq!(of("ETag: \"a\""), Some(Validator::Tag("\"a\"".into())));
        assert_eq!(
            of("ETag: W/\"a\""),
            Some(Validator::WeakTag("W/\"a\"".into()))
        );
        assert_eq!(of("ETag: a"), Some(Validator::WeakTag("a".into())));
        let modified = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
        assert!(
            of(&format!(
                "{modified}\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT"
            ))
            .is_some_and(|date| date.is_strong())
        );
        for weak in [
            format!("{modified}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT"),
            modified.to_owned(),
        ] {
            assert!(of(&weak).is_some_and(|date| !date.is_strong()), "{weak}");
        }
        assert_eq!(of("X: y"), None);
    }

    #[test]
    fn states_come_back() {
        let id = url_id(&url::Url::parse("http://h/?token=secret").unwrap());
        assert_eq!(id.len(), 64);
        let tag = Validator::Tag("\"x\"".into());
        let had = |bytes| Had {
            bytes,
            validator: Some(tag.clone()),
            total: Some(7),
            coding: Some(String::new()),
            ..Had::default()
        };
        let text = to_state(&had(5), "id", None);
        assert_eq!(
            text,
            "url-sha256: id\netag: \"x\"\nlength: 7\nend: record\n"
        );
        assert!(is_state(&text));
        assert_eq!(from_state(&text, "id", 5), Some(had(5)));
        assert_eq!(from_state(&text, "other", 5), None);
        assert_eq!(from_state(&text, "id", 8), None);
        assert_eq!(from_state(&text, "id", 0), None);
        let coded = Had {
            coding: Some("gzip".into()),
            ..had(5)
        };
        let text = to_state(&coded, "id", None);
        assert_eq!(from_state(&text, "id", 5), Some(coded));
        let text = to_state(&had(5), "id", Some(3));
        assert_eq!(from_state(&text, "id", 5), Some(had(3)));
        assert_eq!(from_state(&text, "id", 2), None);
        // Cut anywhere, it says nothing.
        for end in 0..text.len() {
            let cut = from_state(&text[..end], "id", 5);
            assert_eq!(cut, None, "{}", &text[..end]);
        }
        for bad in [
            "bytes: x\netag: \"x\"\n",
            "etag: x\n",
            "etag: \"x\"\nlength: y\n",
            "junk",
        ] {
            assert_eq!(
                from_state(&format!("url-sha256: id\n{bad}end: record\n"), "id", 9),
                None,
                "{bad}"
            );
            assert!(!is_state(bad));
        }
        // Without the URL nothing is proved.
        assert_eq!(from_state("etag: \"x\"\nend: record\n", "id", 9), None);
        for validator in [
            None,
            Some(Validator::WeakTag("W/\"x\"".into())),
            Some(Validator::WeakDate("y".into())),
        ] {
            let unproved = Had {
                validator,
                ..had(5)
            };
            let text = to_state(&unproved, "id", None);
            assert!(is_state(&text));
            assert_eq!(from_state(&text, "id", 5), Some(unproved));
        }
    }

    proptest! {
        #[test]
        fn never_continued_from_another_byte(bytes in 0..100u64, first in 0..100u64, total in 1..200u64) {
            let had = Had { bytes, exact: true, ..Had::default() };
            let text = format!("206 P\r\nContent-Range: bytes {first}-{}/{total}", total - 1);
            if had.judge(&head(&text)) == Verdict::Continue {
                prop_assert!(first == bytes && bytes < total);
            }
        }
    }
}

//! When a download may be continued: for `-C`, for `--retry`, and for the ranges of
//! `--segments`.
//!
//! A partial download is continued only with proof that the rest belongs to it. The
//! proof is a strong validator that the server confirms (If-Range answered by 206). A
//! weak validator must be repeated by the server. With a weak validator, or without any,
//! the last [`OVERLAP`] bytes are fetched again and must be equal.

use crate::http::content_range;
use crate::http::head::Head;

/// The number of bytes that are fetched again without a strong validator.
pub const OVERLAP: u64 = 64 * 1024;

/// A validator, which identifies a version of a resource (RFC 9110, section 8.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    /// A strong entity tag with its quotes.
    Tag(String),
    /// The value of Last-Modified, if it is strong.
    Date(String),
    /// An entity tag that is not strong.
    WeakTag(String),
    /// A Last-Modified that is not strong.
    WeakDate(String),
}

impl Validator {
    /// Returns the validator of a response: the entity tag, or else the date. A date is
    /// strong if it is at least a second older than Date (RFC 9110, section 8.8.2.2).
    pub fn of(head: &Head) -> Option<Self> {
        if let Some(tag) = head.get("etag").filter(|tag| !tag.is_empty()) {
            let tag = tag.to_owned();
            return Some(if is_strong_tag(&tag) {
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

    /// Returns the validator of a response if it may be used in If-Range.
    pub fn strong(head: &Head) -> Option<Self> {
        Self::of(head).filter(Self::is_strong)
    }

    /// Whether the validator may be used in If-Range.
    pub fn is_strong(&self) -> bool {
        matches!(self, Self::Tag(_) | Self::Date(_))
    }

    /// Returns the value as the server wrote it.
    pub fn value(&self) -> &str {
        match self {
            Self::Tag(value) | Self::Date(value) | Self::WeakTag(value) | Self::WeakDate(value) => {
                value
            }
        }
    }

    /// Whether a later response is of the same version. If it has no validator, a 206
    /// proves that for a strong one, since the request contained If-Range.
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

pub(super) fn is_strong_tag(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
}

/// A partial download, and how it can be continued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialDownload {
    /// The number of bytes that have been received.
    pub bytes: u64,
    /// The validator of their version.
    pub validator: Option<Validator>,
    /// The total length, if it is known.
    pub total: Option<u64>,
    /// The [`coding`] of the bytes, if it is known: a server may use the same tag for
    /// several codings.
    pub coding: Option<String>,
    /// Whether the bytes are in the final file instead of the partial file.
    pub in_final_file: bool,
    /// Whether the user gave the offset, so that no bytes are fetched again.
    pub is_exact: bool,
}

/// Returns the normalized value of Content-Encoding; empty for no coding.
pub fn coding(head: &Head) -> String {
    let values = head.all("content-encoding").flat_map(|v| v.split(','));
    let codings: Vec<String> = values
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    codings.join(",")
}

/// The use of a response to a request for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body continues the partial download.
    Continue,
    /// The body is complete and starts at the beginning.
    Whole,
    /// The partial download is complete already.
    Complete,
    /// The response cannot be used: request the whole body.
    Refetch,
    /// The response is about something else, such as an error status.
    Other,
}

impl PartialDownload {
    /// Whether a response has the same coding as the partial download.
    pub fn is_coded_as(&self, head: &Head) -> bool {
        let coding = coding(head);
        self.coding.as_ref().is_none_or(|known| *known == coding)
    }

    /// Whether the partial download has a strong validator.
    pub fn has_strong_validator(&self) -> bool {
        self.validator.as_ref().is_some_and(Validator::is_strong)
    }

    /// Returns the number of bytes that are fetched again.
    pub fn overlap(&self) -> u64 {
        if self.is_exact || self.has_strong_validator() {
            0
        } else {
            OVERLAP.min(self.bytes)
        }
    }

    /// Returns the offset at which the request starts.
    pub fn resume_offset(&self) -> u64 {
        self.bytes - self.overlap()
    }

    /// Returns the headers that request the rest.
    pub fn range_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Range", format!("bytes={}-", self.resume_offset()))];
        if let Some(validator) = self.validator.as_ref().filter(|v| v.is_strong()) {
            headers.push(("If-Range", validator.value().to_owned()));
        }
        headers
    }

    /// Decides how to use a response to the request for the rest.
    pub fn classify(&self, head: &Head) -> Verdict {
        let range = head.get("content-range").and_then(content_range::parse);
        match head.status {
            206 => {
                let Some(range) = range else {
                    return Verdict::Refetch;
                };
                let starts_there = range
                    .span
                    .is_some_and(|(first, _)| first == self.resume_offset());
                let is_consistent = match (self.total, range.total) {
                    (Some(a), Some(b)) => a == b,
                    _ => true,
                };
                // The total must not be less than the bytes received.
                let is_consistent =
                    is_consistent && range.total.is_none_or(|total| total >= self.bytes);
                // The range must extend to the end. If the total is unknown, it must
                // extend beyond the bytes received.
                let reaches_end = match (range.span, range.total.or(self.total)) {
                    (Some((_, last)), Some(total)) => last.checked_add(1) == Some(total),
                    (Some((_, last)), None) => last >= self.bytes,
                    (None, _) => false,
                };
                let is_same_version = match &self.validator {
                    Some(validator) => validator.agrees(head),
                    None => true,
                };
                if starts_there
                    && is_consistent
                    && reaches_end
                    && is_same_version
                    && self.is_coded_as(head)
                {
                    Verdict::Continue
                } else {
                    Verdict::Refetch
                }
            }
            200 => Verdict::Whole,
            416 => match range {
                Some(range) if range.span.is_none() && range.total == Some(self.bytes) => {
                    // If-Range does not apply to a 416, but an entity tag does.
                    match &self.validator {
                        Some(validator) if !validator.agrees(head) => Verdict::Refetch,
                        _ => Verdict::Complete,
                    }
                }
                _ => Verdict::Refetch,
            },
            _ => Verdict::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> Head {
        Head::parse(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes()).unwrap()
    }

    fn partial(validator: Option<&str>, total: Option<u64>) -> PartialDownload {
        PartialDownload {
            bytes: 5,
            validator: validator.map(|tag| Validator::Tag(tag.to_owned())),
            total,
            coding: Some(String::new()),
            ..PartialDownload::default()
        }
    }

    #[test]
    fn responses_are_classified() {
        use Verdict::*;
        let tag = partial(Some("\"1\""), Some(10));
        for (text, verdict) in [
            ("206 P\r\nContent-Range: bytes 5-9/10", Continue),
            (
                "206 P\r\nContent-Range: bytes 5-9/10\r\nETag: \"1\"",
                Continue,
            ),
            (
                "206 P\r\nContent-Range: bytes 5-9/10\r\nETag: \"2\"",
                Refetch,
            ),
            (
                "206 P\r\nContent-Range: bytes 5-9/10\r\nContent-Encoding: gzip",
                Refetch,
            ),
            ("206 P\r\nContent-Range: bytes 4-9/10", Refetch),
            ("206 P\r\nContent-Range: bytes 5-8/10", Refetch),
            ("206 P\r\nContent-Range: bytes 5-10/11", Refetch),
            ("206 P", Refetch),
            ("200 OK", Whole),
            ("416 R\r\nContent-Range: bytes */5", Complete),
            ("416 R\r\nContent-Range: bytes */5\r\nETag: \"2\"", Refetch),
            ("416 R\r\nContent-Range: bytes */4", Refetch),
            ("416 R", Refetch),
            ("404 N", Other),
            ("503 S", Other),
        ] {
            assert_eq!(tag.classify(&head(text)), verdict, "{text}");
        }
        // A strong date need not be repeated, but must not differ.
        let dated = PartialDownload {
            validator: Some(Validator::Date("x".into())),
            ..partial(None, Some(10))
        };
        for (repeated, verdict) in [
            ("", Continue),
            ("\r\nLast-Modified: x", Continue),
            ("\r\nLast-Modified: y", Refetch),
            ("\r\nETag: \"1\"", Continue),
        ] {
            let text = format!("206 P\r\nContent-Range: bytes 5-9/10{repeated}");
            assert_eq!(dated.classify(&head(&text)), verdict, "{repeated}");
        }
        let exact = PartialDownload {
            is_exact: true,
            ..partial(None, None)
        };
        assert_eq!(exact.range_headers(), [("Range", "bytes=5-".to_owned())]);
        assert_eq!(
            exact.classify(&head("206 P\r\nContent-Range: bytes 5-9/10")),
            Continue
        );
        // Without a strong validator, the last bytes are requested again, and a weak
        // tag must be repeated.
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
                Refetch,
            ),
            (Some(Validator::WeakTag("W/\"1\"".into())), "", Refetch),
            (
                Some(Validator::WeakDate("x".into())),
                "\r\nLast-Modified: x",
                Continue,
            ),
            (Some(Validator::WeakDate("x".into())), "", Refetch),
            (
                Some(Validator::WeakDate("x".into())),
                "\r\nLast-Modified: y",
                Refetch,
            ),
        ] {
            let weak = PartialDownload {
                bytes: 100_000,
                validator,
                ..PartialDownload::default()
            };
            assert_eq!(weak.range_headers(), [("Range", "bytes=34464-".to_owned())]);
            let answer = head(&format!("{range}{repeated}"));
            assert_eq!(weak.classify(&answer), verdict, "{repeated}");
            let shorter = "206 P\r\nContent-Range: bytes 34464-99998/99999";
            assert_eq!(
                weak.classify(&head(&format!("{shorter}{repeated}"))),
                Refetch
            );
        }
    }

    #[test]
    fn validators_are_strong_or_weak() {
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

    proptest! {
        #[test]
        fn never_continued_from_another_byte(bytes in 0..100u64, first in 0..100u64, total in 1..200u64) {
            let partial = PartialDownload { bytes, is_exact: true, ..PartialDownload::default() };
            let text = format!("206 P\r\nContent-Range: bytes {first}-{}/{total}", total - 1);
            if partial.classify(&head(&text)) == Verdict::Continue {
                prop_assert!(first == bytes && bytes < total);
            }
        }
    }
}

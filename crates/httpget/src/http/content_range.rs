//! `Content-Range` (RFC 9110, section 14.4): which part of the whole came.

use super::head::Head;

/// The value of a Content-Range header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First and last byte; `None` for `*`, as in a 416.
    pub span: Option<(u64, u64)>,
    /// The length of the whole; `None` for `*`.
    pub total: Option<u64>,
}

/// How many bytes the span of a response has, if it says so.
pub fn length(head: &Head) -> Option<u64> {
    let (first, last) = head.get("content-range").and_then(parse)?.span?;
    (last - first).checked_add(1)
}

/// Parses a value; `None` for another unit, a span that ends before it
/// starts or beyond the total, or anything else that is not as it must be.
pub fn parse(value: &str) -> Option<ContentRange> {
    let (unit, rest) = value.trim().split_once([' ', '='])?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (span, total) = rest.trim().split_once('/')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(number(total)?),
    };
    let span = match span.trim() {
        "*" => None,
        span => {
            let (first, last) = span.split_once('-')?;
            let (first, last) = (number(first)?, number(last)?);
            if last < first || total.is_some_and(|total| last >= total) {
                return None;
            }
            Some((first, last))
        }
    };
    match (span, total) {
        (None, None) => None,
        _ => Some(ContentRange { span, total }),
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let range = |span, total| Some(ContentRange { span, total });
        assert_eq!(parse("bytes 0-9/10"), range(Some((0, 9)), Some(10)));
        assert_eq!(parse("Bytes 5-5/*"), range(Some((5, 5)), None));
        assert_eq!(parse("bytes */10"), range(None, Some(10)));
        assert_eq!(parse("bytes=0-1/2"), range(Some((0, 1)), Some(2)));
        for bad in [
            "",
            "bytes",
            "bytes 0-9",
            "items 0-9/10",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes */*",
            "bytes -9/10",
            "bytes +0-9/10",
            "bytes 0-99999999999999999999/*",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

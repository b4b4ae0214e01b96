//! The Content-Range header (RFC 9110, section 14.4).

use super::head::Head;

/// The value of a Content-Range header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first and the last byte; `None` for `*`, as in a 416.
    pub span: Option<(u64, u64)>,
    /// The length of the representation; `None` for `*`.
    pub total: Option<u64>,
}

/// Returns the Content-Range of a response.
pub fn of(head: &Head) -> Option<ContentRange> {
    head.get("content-range").and_then(parse)
}

/// Parses a value; `None` for another unit, a range that ends before its start or
/// after the total, or any syntax error.
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

/// Whether a response with this Content-Range has the range that `asked` requests, the
/// value of Range without its unit: from its first byte to its last one, or to the end
/// of the representation. Returns true for several ranges, which a server may combine,
/// and for a value that is not a range.
pub fn satisfies(range: &ContentRange, asked: &str) -> bool {
    let Some((first, last)) = range.span else {
        return false;
    };
    let Some((from, to)) = asked.trim().split_once('-') else {
        return true;
    };
    let ends_at = |end: u64| match range.total {
        Some(total) => last == end.min(total.saturating_sub(1)),
        None => last <= end,
    };
    match (number(from.trim()), number(to.trim())) {
        (Some(from), Some(to)) => first == from && ends_at(to),
        (Some(from), None) if to.trim().is_empty() => first == from && ends_at(u64::MAX),
        (None, Some(count)) if from.trim().is_empty() => match range.total {
            Some(total) => first == total.saturating_sub(count) && ends_at(u64::MAX),
            None => last - first < count,
        },
        _ => true,
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
    fn values_are_parsed_strictly() {
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

    #[test]
    fn a_range_must_be_the_requested_one() {
        for (asked, value, expected) in [
            ("0-9", "bytes 0-9/1000", true),
            ("0-9", "bytes 0-9/*", true),
            ("0-9", "bytes 0-4/5", true),
            ("0-9", "bytes 0-4/1000", false),
            ("0-9", "bytes 0-10/1000", false),
            ("0-9", "bytes 0-10/*", false),
            ("0-9", "bytes 500-509/1000", false),
            ("0-9", "bytes */1000", false),
            ("990-", "bytes 990-999/1000", true),
            ("990-", "bytes 990-998/1000", false),
            ("990-", "bytes 0-999/1000", false),
            ("-10", "bytes 990-999/1000", true),
            ("-10", "bytes 0-4/5", true),
            ("-10", "bytes 0-9/1000", false),
            ("-10", "bytes 7-16/*", true),
            ("-10", "bytes 7-17/*", false),
            ("0-1, 5-6", "bytes 0-6/1000", true),
        ] {
            let range = parse(value).unwrap();
            assert_eq!(satisfies(&range, asked), expected, "{asked}: {value}");
        }
    }
}

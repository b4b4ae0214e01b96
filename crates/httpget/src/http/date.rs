//! Dates of HTTP (RFC 9110, section 5.6.7) and of cookies (RFC 6265, section 5.1.1).
//!
//! Like browsers, one lenient parser reads all formats: it looks for a time, a day, a
//! month and a year in any order.

use common::time::{civil_from_days, days_from_civil};

/// Seconds since 1970-01-01T00:00:00Z, negative before.
pub type Seconds = i64;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Parses a date; `None` if one of its parts is missing or impossible.
pub fn parse(text: &str) -> Option<Seconds> {
    let mut time = None;
    let mut day: Option<u32> = None;
    let mut month = None;
    let mut year: Option<i64> = None;
    let separator = |c: char| !(c.is_ascii_alphanumeric() || c == ':');
    for word in text.split(separator).filter(|word| !word.is_empty()) {
        if time.is_none() && word.contains(':') {
            time = Some(time_of_day(word)?);
            continue;
        }
        let lower = word.to_ascii_lowercase();
        if month.is_none()
            && let Some(n) = MONTHS
                .iter()
                .position(|name| lower.starts_with(&name.to_ascii_lowercase()))
        {
            month = Some(n as u32 + 1);
            continue;
        }
        if !word.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        match word.len() {
            1 | 2 if day.is_none() => day = word.parse().ok(),
            2 if year.is_none() => {
                let short: i64 = word.parse().ok()?;
                year = Some(short + if short < 70 { 2000 } else { 1900 });
            }
            4 if year.is_none() => year = word.parse().ok(),
            _ => {}
        }
    }
    from_civil(year?, month?, day?, time?)
}

/// Parses a date as people write it: any format of [`parse`], also without a time, or
/// ISO 8601 (`2021-01-31` or `20210131`, also followed by `T12:00[:00][Z]`). Without a
/// time, it is the start of the day. All dates are in UTC.
pub fn parse_typed(text: &str) -> Option<Seconds> {
    let text = text.trim();
    parse_iso(text)
        .or_else(|| parse(text))
        .or_else(|| parse(&format!("{text} 00:00:00")))
}

fn parse_iso(text: &str) -> Option<Seconds> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let digits: String = match date.as_bytes() {
        [_, _, _, _, b'-', _, _, b'-', _, _] => date.replace('-', ""),
        _ => date.to_owned(),
    };
    if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, month, day) = (
        digits[..4].parse().ok()?,
        digits[4..6].parse().ok()?,
        digits[6..].parse().ok()?,
    );
    let time = match time {
        None => 0,
        Some(time) => {
            let time = time.strip_suffix(['Z', 'z']).unwrap_or(time);
            let seconds = if time.len() == 5 { ":00" } else { "" };
            time_of_day(&format!("{time}{seconds}"))?
        }
    };
    from_civil(year, month, day, time)
}

/// Combines a date and a second of the day; `None` if the date does not exist.
fn from_civil(year: i64, month: u32, day: u32, time: i64) -> Option<Seconds> {
    let valid = (1601..=9999).contains(&year)
        && (1..=12).contains(&month)
        && civil_from_days(days_from_civil(year, month, day)) == (year, month, day);
    valid.then(|| days_from_civil(year, month, day) * 86_400 + time)
}

/// Parses `HH:MM:SS` as the second of the day.
fn time_of_day(word: &str) -> Option<i64> {
    let mut parts = word.split(':').map(|part| {
        let short = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
        short.then(|| part.parse::<i64>().ok())?
    });
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next()??);
    let valid = parts.next().is_none() && h < 24 && m < 60 && s <= 60;
    valid.then_some(h * 3600 + m * 60 + s)
}

/// Formats a date for a header: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn format_http(at: Seconds) -> String {
    let (day, second) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let (year, month, date) = civil_from_days(day);
    format!(
        "{}, {date:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[day.rem_euclid(7) as usize],
        MONTHS[month as usize - 1],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Formats a date by RFC 3339 in UTC, to the second.
pub fn rfc3339(at: Seconds) -> String {
    let (day, second) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let (year, month, date) = civil_from_days(day);
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Returns the current time.
pub fn now() -> Seconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_http_and_of_cookies() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06-Nov-1994 8:49:37 UTC",
            // The first of several values is used.
            "06 Nov 94 08:49:37 12 95",
            "06 Nov 1994 08:49:37 1995",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        // The last second of a day, and a leap second.
        assert_eq!(parse("06 Nov 1994 23:59:59"), Some(784_166_399));
        assert_eq!(parse("06 Nov 1994 23:59:60"), Some(784_166_400));
        assert_eq!(format_http(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format_http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(rfc3339(784_111_777), "1994-11-06T08:49:37Z");
    }

    #[test]
    fn invalid_dates_are_refused() {
        for text in [
            "",
            "0",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 23:60:00 GMT",
            "Sun, 06 Nov 1994 23:59:61 GMT",
            "Sun, 06 Nov 1994 23:59:59:00 GMT",
            "Sun, 06 Nov 1994 23:59 GMT",
            "Sun, 06 Nov 1994 023:59:59 GMT",
            "Sun, 06 Nov 1994",
            "06 1994 08:49:37",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn dates_as_people_write_them() {
        let day = 1_612_051_200;
        for text in [
            "2021-01-31",
            "20210131",
            "2021-01-31T00:00:00Z",
            "2021-01-31 00:00",
            "20210131T00:00:00",
            "31 Jan 2021",
            "Jan 31 2021",
            "Sun, 31 Jan 2021 00:00:00 GMT",
        ] {
            assert_eq!(parse_typed(text), Some(day), "{text}");
        }
        assert_eq!(parse_typed("2021-01-31T12:34:56Z"), Some(day + 45_296));
        for text in [
            "",
            "2021",
            "2021-02-30",
            "2021-13-01",
            "2021-00-01",
            "20210131T",
            "2021-01-31T25:00",
            "2021-01-31T00:00:00+01:00",
            "31 Jan 2021 25:00:00",
            "2021-1-31",
            "1 2021",
        ] {
            assert_eq!(parse_typed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn dates_come_back(at in -11_000_000_000i64..250_000_000_000) {
            prop_assert_eq!(parse(&format_http(at)), Some(at));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = (parse(&text), parse_typed(&text));
        }
    }
}

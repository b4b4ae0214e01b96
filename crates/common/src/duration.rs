//! Durations on the command line: `1.5` (seconds), `200us`, `200ms`, `5s`, `2m`,
//! `1h`.

use std::time::Duration;

/// The longest accepted duration, a hundred years: it fits into a number of
/// nanoseconds, and adding it to a clock cannot overflow.
const MAX_SECONDS: f64 = 365.25 * 86400.0 * 100.0;

/// Parses a duration; usable as a clap value parser. The error lists the accepted
/// forms.
pub fn parse(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(form()),
    };
    // Only digits and one dot; the parser of `f64` also accepts `inf` and `1e9`.
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return Err(form());
    }
    let number: f64 = number.parse().map_err(|_| form())?;
    let seconds = number * seconds_per_unit;
    if seconds > MAX_SECONDS {
        return Err("the duration is out of range; use at most 100 years".to_owned());
    }
    // Rounded to nanoseconds, so that 0.1 is exact.
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

/// Like [`parse`], but rejects zero, for timeouts.
pub fn parse_nonzero(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("must be greater than 0".to_owned()),
        duration => Ok(duration),
    }
}

fn form() -> String {
    "not a duration; use seconds, such as 1.5, or a unit: 200us, 200ms, 5s, 2m, 1h".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_parsed() {
        for (text, micros) in [
            ("1.5", 1_500_000),
            ("0.1", 100_000),
            (".5", 500_000),
            ("2.", 2_000_000),
            ("200us", 200),
            ("200ms", 200_000),
            ("5s", 5_000_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn other_text_is_rejected() {
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1e3",
            "inf",
            "nan",
            "5 s",
            "5d",
            "1.2.3",
            "s",
            "99999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_nonzero("0ms").is_err());
    }

    #[test]
    fn the_longest_duration_is_a_hundred_years() {
        let century = parse("876600h").unwrap();
        assert_eq!(century, Duration::from_secs(3_155_760_000));
        assert!(parse("876601h").unwrap_err().contains("at most 100 years"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}

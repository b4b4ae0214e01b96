//! Formats numbers and bytes as iputils prints them. It does no I/O.

use crate::clock::Nanos;

/// The minimum data size for which iputils prints times: it keeps the send time in
/// the data.
pub(super) const MIN_TIMED_SIZE: u16 = 16;

/// Appends formatted text to a buffer.
pub(super) fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = std::io::Write::write_fmt(out, text);
}

/// Formats milliseconds with three decimals, truncated to microseconds.
pub(super) fn format_millis(time: Nanos) -> String {
    let micros = time / 1000;
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

/// Formats the round-trip time of a reply line: three significant digits, rounded
/// from microseconds at the same limits as in iputils.
pub(super) fn format_rtt(rtt: Nanos, precise: bool) -> String {
    let micros = rtt / 1000;
    match micros {
        _ if precise => format_millis(rtt),
        99_950.. => format!("{}", (micros + 500) / 1000),
        9_995.. => {
            let rounded = micros + 50;
            format!("{}.{}", rounded / 1000, rounded % 1000 / 100)
        }
        1_000.. => {
            let rounded = micros + 5;
            format!("{}.{:02}", rounded / 1000, rounded % 1000 / 10)
        }
        _ => format_millis(rtt),
    }
}

/// Formats a percentage like `%g` of a C `float`: six significant digits, no
/// trailing zeros.
pub(super) fn format_percent(percent: f64) -> String {
    let value = percent as f32;
    if value == 0.0 {
        return "0".to_owned();
    }
    if value < 1e-4 {
        let text = format!("{value:.5e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = trim_zeros(digits);
        let exponent = exponent.trim_start_matches('-');
        return format!("{digits}e-{exponent:0>2}");
    }
    let before = value.log10().floor() as i32 + 1;
    let decimals = (6 - before).clamp(0, 9) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn trim_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

/// Writes the first wrong byte, and the data after the send time that iputils
/// keeps at its start.
pub(super) fn write_data_dump(out: &mut Vec<u8>, offset: usize, expected: u8, data: &[u8]) {
    let found = data.get(offset).copied().unwrap_or_default();
    append(
        out,
        format_args!("\nwrong data byte #{offset} should be 0x{expected:x} but was 0x{found:x}"),
    );
    let start = usize::from(MIN_TIMED_SIZE);
    for (index, byte) in data.iter().enumerate().skip(start) {
        if index % 32 == start {
            append(out, format_args!("\n#{index}\t"));
        }
        append(out, format_args!("{byte:x} "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_as_in_iputils() {
        for (micros, text) in [
            (0, "0.000"),
            (94, "0.094"),
            (999, "0.999"),
            (1_000, "1.00"),
            (1_004, "1.00"),
            (1_005, "1.01"),
            (9_994, "9.99"),
            (9_995, "10.0"),
            (10_051, "10.1"),
            (99_949, "99.9"),
            (99_950, "100"),
            (100_117, "100"),
            (100_500, "101"),
        ] {
            assert_eq!(format_rtt(micros * 1000 + 999, false), text, "{micros}");
        }
        assert_eq!(format_rtt(100_117_999, true), "100.117");
    }

    #[test]
    fn percentages_are_formatted_like_c_floats() {
        for (percent, text) in [
            (0.0, "0"),
            (20.0, "20"),
            (100.0, "100"),
            (100.0 / 6.0, "16.6667"),
            (100.0 / 3.0, "33.3333"),
            (0.5, "0.5"),
            (1e-3, "0.001"),
            (100.0 / 3e7, "3.33333e-06"),
            (99.9999, "99.9999"),
        ] {
            assert_eq!(format_percent(percent), text);
        }
    }

    #[test]
    fn the_dump_has_thirty_two_bytes_per_line() {
        let data: Vec<u8> = (0..56).collect();
        let mut out = Vec::new();
        write_data_dump(&mut out, 20, 0xff, &data);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "wrong data byte #20 should be 0xff but was 0x14");
        assert!(lines[2].starts_with("#16\t10 11 12 ") && lines[2].ends_with(" 2f "));
        assert_eq!(lines[3], "#48\t30 31 32 33 34 35 36 37 ");
    }
}

//! LOC records: a location on Earth (RFC 1876), as dig prints it.

/// Shows the 16 bytes of a LOC record. Returns `None` for an unknown version or an
/// invalid size.
pub(crate) fn loc(data: &[u8]) -> Option<String> {
    let data: &[u8; 16] = data.try_into().ok()?;
    if data[0] != 0 || data[1..4].iter().any(|b| b >> 4 > 9 || b & 15 > 9) {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    // The altitude is in centimetres above a point 100 km below the reference.
    let altitude = i64::from(word(12)) - 10_000_000;
    Some(format!(
        "{} {} {}{}.{:02}m {} {} {}",
        angle(word(4), 'N', 'S'),
        angle(word(8), 'E', 'W'),
        if altitude < 0 { "-" } else { "" },
        altitude.abs() / 100,
        altitude.abs() % 100,
        metres(data[1]),
        metres(data[2]),
        metres(data[3]),
    ))
}

/// Shows an angle, which is in thousandths of an arc second and offset by 2^31.
fn angle(value: u32, positive: char, negative: char) -> String {
    let offset = i64::from(value) - (1 << 31);
    let side = if offset < 0 { negative } else { positive };
    let ms = offset.abs();
    format!(
        "{} {} {}.{:03} {side}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

/// Shows a size, which is a digit and a power of ten, in centimetres.
fn metres(byte: u8) -> String {
    let centimetres = u64::from(byte >> 4) * 10u64.pow(u32::from(byte & 15));
    // The size is either below a metre or a whole number of metres.
    if centimetres < 100 {
        format!("0.{centimetres:02}m")
    } else {
        format!("{}m", centimetres / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_shown() {
        // 42 21 54 N 71 06 18 W -24m 30m
        let mut data = vec![0, 0x33, 0x16, 0x13];
        data.extend((2_147_483_648u32 + 152_514_000).to_be_bytes());
        data.extend((2_147_483_648u32 - 255_978_000).to_be_bytes());
        data.extend(9_997_600u32.to_be_bytes());
        assert_eq!(
            loc(&data).unwrap(),
            "42 21 54.000 N 71 6 18.000 W -24.00m 30m 10000m 10m"
        );
        assert_eq!(loc(&data[1..]), None);
    }

    #[test]
    fn sizes_are_shown_in_metres() {
        for (size, text) in [
            (0x00, "0.00m"),
            (0x10, "0.01m"),
            (0x90, "0.09m"),
            (0x11, "0.10m"),
            (0x91, "0.90m"),
            (0x12, "1m"),
            (0x99, "90000000m"),
        ] {
            assert_eq!(metres(size), text, "{size:#x}");
        }
        // Neither the digit nor the power exceeds 9.
        for size in [0x9a, 0xa9] {
            for at in 1..4 {
                let mut data = [0; 16];
                assert!(loc(&data).is_some());
                data[at] = size;
                assert_eq!(loc(&data), None, "{size:#x}");
            }
        }
    }
}

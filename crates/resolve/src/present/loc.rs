//! LOC: a place on earth (RFC 1876), as dig prints it.

/// The text of a LOC record's 16 bytes, or `None` for a version that is not 0.
pub(crate) fn loc(data: &[u8]) -> Option<String> {
    let data: &[u8; 16] = data.try_into().ok()?;
    if data[0] != 0 || data[1..4].iter().any(|b| b >> 4 > 9 || b & 15 > 9) {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    // Centimetres above a point 100 km below the reference.
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

/// Thousandths of an arc second around 2^31.
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

/// A size: mantissa and power of ten, in centimetres.
fn metres(byte: u8) -> String {
    let centimetres = u64::from(byte >> 4) * 10u64.pow(u32::from(byte & 15));
    // One digit times a power of ten: below a metre, or whole metres.
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
    fn rfc_example() {
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
}

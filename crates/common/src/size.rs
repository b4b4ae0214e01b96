//! Sizes on the command line: `64`, `64k`, `1M`, `1G`, with powers of 1024.

/// Parses a size in bytes; usable as a clap value parser.
pub fn parse(text: &str) -> Result<u64, String> {
    let form = || "not a size; use bytes, such as 64, or a suffix: 64k, 1M, 1G".to_owned();
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(form());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| format!("size out of range; at most {}", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        assert_eq!(parse("64"), Ok(64));
        assert_eq!(parse("64k"), Ok(65_536));
        assert_eq!(parse("64K"), Ok(65_536));
        assert_eq!(parse("1M"), Ok(1 << 20));
        assert_eq!(parse("1G"), Ok(1 << 30));
        for bad in ["", "k", "+1", "-1", "1.5k", "1T", "1kk", "99999999999G"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

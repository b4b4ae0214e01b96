//! Parsers of numbers on the command line.

/// Parses a number from 0 in decimal digits.
pub(super) fn number(text: &str) -> Result<u128, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("must be a whole number".to_owned());
    }
    text.parse()
        .map_err(|_| "the number is too large".to_owned())
}

/// Parses a number from 1 in decimal digits.
pub(super) fn positive(text: &str) -> Result<u128, String> {
    match number(text) {
        Ok(0) => Err("must be at least 1".to_owned()),
        other => other,
    }
}

/// The prefix lengths of `--max-prefix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrefixLengths {
    /// The length for IPv4. Without IPv4 and a second length, it is that for IPv6.
    pub(crate) first: u32,
    /// The length for IPv6.
    pub(crate) second: Option<u32>,
}

/// Parses `LEN` or `LEN,LEN6`.
pub(super) fn lengths(text: &str) -> Result<PrefixLengths, String> {
    let Some((first, second)) = text.split_once(',') else {
        return length(text).map(|first| PrefixLengths {
            first,
            second: None,
        });
    };
    let lengths = PrefixLengths {
        first: length(first)?,
        second: Some(length(second)?),
    };
    if lengths.first > 32 {
        return Err("the IPv4 prefix length is out of range; use 0 to 32".to_owned());
    }
    Ok(lengths)
}

/// Parses a prefix length of either family.
pub(super) fn length(text: &str) -> Result<u32, String> {
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    match number(text)? {
        _ if has_leading_zero => Err("the prefix length has a leading zero".to_owned()),
        n @ 0..=128 => Ok(n as u32),
        _ => Err(
            "the prefix length is out of range; use 0 to 32 for IPv4 or 0 to 128 for IPv6"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_lengths_are_limited_by_their_family() {
        let pair = |first, second| Ok(PrefixLengths { first, second });
        assert_eq!(lengths("128"), pair(128, None));
        assert_eq!(lengths("32,128"), pair(32, Some(128)));
        assert_eq!(lengths("0,0"), pair(0, Some(0)));
        for text in ["129", "33,64", "32,129", "32,", ",64", "-1"] {
            assert!(lengths(text).is_err(), "{text}");
        }
    }
}

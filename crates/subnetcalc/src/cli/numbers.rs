//! Numbers on the command line.

/// A number from 0 in digits.
pub(super) fn number(text: &str) -> Result<u128, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a number; use digits".to_owned());
    }
    text.parse()
        .map_err(|_| format!("out of range; use 0 to {}", u128::MAX))
}

/// A number from 1 in digits.
pub(super) fn positive(text: &str) -> Result<u128, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match number(text) {
        Ok(0) => Err(format!("out of range; use 1 to {}", u128::MAX)),
        Err(_) if digits => Err(format!("out of range; use 1 to {}", u128::MAX)),
        other => other,
    }
}

/// One prefix length for IPv4 or for both families, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) first: u32,
    pub(crate) second: Option<u32>,
}

/// `LEN` or `LEN,LEN6`.
pub(super) fn lengths(text: &str) -> Result<Lengths, String> {
    let Some((first, second)) = text.split_once(',') else {
        return length(text).map(|first| Lengths {
            first,
            second: None,
        });
    };
    let lengths = Lengths {
        first: length(first)?,
        second: Some(length(second)?),
    };
    if lengths.first > 32 {
        return Err("IPv4 prefix length out of range; use 0 to 32".to_owned());
    }
    Ok(lengths)
}

/// A prefix length of either family.
pub(super) fn length(text: &str) -> Result<u32, String> {
    let leading = text.len() > 1 && text.starts_with('0');
    match number(text)? {
        _ if leading => Err("leading zero in the prefix length".to_owned()),
        n @ 0..=128 => Ok(n as u32),
        _ => Err("prefix length out of range; use 0 to 32 for IPv4, to 128 for IPv6".to_owned()),
    }
}

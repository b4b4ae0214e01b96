//! The file name in a Content-Disposition header (RFC 6266, RFC 8187).
//!
//! `filename*` with UTF-8 or ISO-8859-1 takes precedence over `filename`. The result is
//! the text of the server, which [`crate::policy::filename`] makes safe.

/// Returns the file name that a server suggests.
pub fn filename(value: &str) -> Option<String> {
    let mut plain = None;
    let mut extended = None;
    for (name, value) in parameters(value) {
        match name.to_ascii_lowercase().as_str() {
            "filename" if plain.is_none() => plain = Some(value),
            "filename*" if extended.is_none() => extended = decode(&value),
            _ => {}
        }
    }
    extended.or(plain).filter(|name| !name.is_empty())
}

/// Returns the parameters after the type of a header value, with quoted strings
/// unquoted.
pub fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // Some servers omit the disposition type.
    let has_type = |at: usize| !value[..at].contains('=');
    let mut rest = match value.find(';') {
        Some(at) if has_type(at) => &value[at + 1..],
        _ if value.contains('=') => value,
        _ => return found,
    };
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let Some(equals) = rest.find(['=', ';']) else {
            return found;
        };
        let name = rest[..equals].trim().to_owned();
        if rest[equals..].starts_with(';') {
            rest = &rest[equals..];
            continue;
        }
        rest = rest[equals + 1..].trim_start();
        let value;
        (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = rest.find(';').unwrap_or(rest.len());
            (rest[..end].trim().to_owned(), &rest[end..])
        };
        found.push((name, value));
    }
}

/// Splits a quoted string after its first quote into its text and the rest.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, &quoted[at + 1..]),
            // Like browsers, keep a backslash before other characters: servers on
            // Windows send paths.
            '\\' => match chars.clone().next() {
                Some((_, next @ ('"' | '\\'))) => {
                    text.push(next);
                    chars.next();
                }
                _ => text.push('\\'),
            },
            c => text.push(c),
        }
    }
    (text, "")
}

/// Decodes an extended value such as `UTF-8'en'na%C3%AFve.txt` (RFC 8187).
fn decode(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, coded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = percent_decode(coded)?;
    if charset.eq_ignore_ascii_case("utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// Decodes `%XX`; `None` if two hexadecimal digits do not follow a `%`.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'%' {
            let digit = |b: Option<&u8>| char::from(*b?).to_digit(16);
            let (high, low) = (digit(more.first())?, digit(more.get(1))?);
            bytes.push((high * 16 + low) as u8);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_names_of_headers() {
        for (value, name) in [
            ("attachment; filename=\"a b.txt\"", Some("a b.txt")),
            ("attachment; filename=plain.txt", Some("plain.txt")),
            (
                "attachment;filename=\"q\\\"uo.txt\" ; x=y",
                Some("q\"uo.txt"),
            ),
            (
                "attachment; filename=\"x.txt\"; filename*=UTF-8''na%C3%AFve.txt",
                Some("naïve.txt"),
            ),
            ("inline; FILENAME*=iso-8859-1'de'%E4.txt", Some("ä.txt")),
            (
                "attachment; filename*=UTF-8''%ff.txt; filename=b",
                Some("b"),
            ),
            ("attachment; filename*=utf-7''x; filename=b", Some("b")),
            ("filename=c.txt", Some("c.txt")),
            (
                "attachment; filename=\"C:\\dir\\f.txt\"",
                Some("C:\\dir\\f.txt"),
            ),
            ("attachment; filename=\"open", Some("open")),
            ("attachment; filename=\"\"", None),
            ("attachment", None),
            ("attachment; filename; x", None),
        ] {
            assert_eq!(filename(value).as_deref(), name, "{value}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", coded in "[ -~]*") {
            let _ = filename(&text);
            let _ = filename(&format!("a; filename*=UTF-8''{coded}"));
        }
    }
}

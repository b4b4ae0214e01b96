//! The file name in a Content-Disposition header (RFC 6266, RFC 8187).
//!
//! `filename*` with UTF-8 or ISO-8859-1 wins over `filename`. What comes out
//! is text as the server meant it, not yet safe as a name: see
//! [`crate::policy::filename`].

/// The name a server suggests, if it does.
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

/// The parameters behind the disposition type; quoted strings are unquoted.
pub fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // Some servers leave the type away.
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

/// A quoted string behind its first quote: its text and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, &quoted[at + 1..]),
            // Browsers take a backslash before other characters as itself,
            // since servers on Windows send paths.
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

/// `UTF-8'en'na%C3%AFve.txt` (RFC 8187).
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

/// `%XX` decoded; `None` where a `%` is not followed by two digits.
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
    fn names() {
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

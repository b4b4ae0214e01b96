//! JSON Pointer (RFC 6901): one value out of a document, as it is written
//! there.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

/// A parsed pointer: the reference tokens, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// Parses a pointer; empty for the whole document.
pub fn parse(text: &str) -> Result<Pointer, String> {
    if text.is_empty() {
        return Ok(Pointer(Vec::new()));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err("a JSON pointer begins with '/', as in /items/0/name".to_owned());
    };
    let unescape = |token: &str| {
        let bad = token
            .match_indices('~')
            .any(|(at, _)| !token[at + 1..].starts_with(['0', '1']));
        if bad {
            return Err("in a JSON pointer '~' is written ~0 and '/' ~1".to_owned());
        }
        Ok(token.replace("~1", "/").replace("~0", "~"))
    };
    rest.split('/')
        .map(unescape)
        .collect::<Result<_, _>>()
        .map(Pointer)
}

impl Pointer {
    /// The value in a document, in its own text; `None` where there is none.
    /// The error is that the document is no JSON.
    pub fn find<'a>(&self, document: &'a str) -> Result<Option<&'a str>, serde_json::Error> {
        let mut value: &RawValue = serde_json::from_str(document)?;
        for token in &self.0 {
            let text = value.get();
            let found = if text.starts_with('{') {
                let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text)?;
                members.get(token.as_str()).copied()
            } else if text.starts_with('[') {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                index(token).and_then(|index| items.get(index).copied())
            } else {
                None
            };
            match found {
                Some(found) => value = found,
                None => return Ok(None),
            }
        }
        Ok(Some(value.get()))
    }
}

/// An array index: no sign, no leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with('0');
    let digits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
    (plain && digits).then(|| token.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#" {"a":[1.50,{"b":"x"}],"":0,"m~n":8,"a/b":12345678901234567890} "#;

    fn find(pointer: &str) -> Option<&'static str> {
        parse(pointer).unwrap().find(TEXT).unwrap()
    }

    #[test]
    fn values() {
        assert_eq!(find("/a/0"), Some("1.50"));
        assert_eq!(find("/a/1/b"), Some("\"x\""));
        assert_eq!(find("/"), Some("0"));
        assert_eq!(find("/m~0n"), Some("8"));
        assert_eq!(find("/a~1b"), Some("12345678901234567890"));
        assert_eq!(find(""), Some(TEXT.trim()));
        for missing in ["/b", "/a/2", "/a/00", "/a/-", "/a/+1", "/a/0/x"] {
            assert_eq!(find(missing), None, "{missing}");
        }
    }

    #[test]
    fn bad_pointers_and_documents() {
        assert!(parse("a").is_err());
        assert!(parse("/~2").is_err());
        assert!(parse("/~").is_err());
        assert!(parse("/a").unwrap().find("{").is_err());
    }

    #[test]
    fn keys_may_be_written_with_escapes() {
        let pointer = parse("/é").unwrap();
        assert_eq!(pointer.find("{\"\\u00e9\":1}").unwrap(), Some("1"));
    }
}

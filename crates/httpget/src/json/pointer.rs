//! JSON Pointer (RFC 6901): one value out of a document, as it is written
//! there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
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
            let mut read = serde_json::Deserializer::from_str(text);
            let found = if text.starts_with('{') {
                read.deserialize_map(Member(token))?
            } else if let Some(index) = index(token).filter(|_| text.starts_with('[')) {
                read.deserialize_seq(Item(index))?
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

/// Finds a member of an object; of several of one name, the last. The others
/// are skipped, so no memory is needed for them.
struct Member<'t>(&'t str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_match) = map.next_key_seed(KeyEquals(self.0))? {
            if is_match {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct KeyEquals<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for KeyEquals<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, read: D) -> Result<bool, D::Error> {
        read.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyEquals<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// Finds an item of an array and skips the others.
struct Item(usize);

impl<'de> Visitor<'de> for Item {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = items.next_element()?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
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
        // Of two members of one name, the last counts, as in JavaScript.
        let twice = "{\"é\":1,\"x\":2,\"\\u00e9\":[3]}";
        assert_eq!(pointer.find(twice).unwrap(), Some("[3]"));
    }
}

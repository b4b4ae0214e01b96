//! JSON Pointer (RFC 6901): extracts one value of a document as text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A pointer, as its unescaped reference tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// Parses a pointer; an empty one refers to the whole document.
pub fn parse(text: &str) -> Result<Pointer, String> {
    if text.is_empty() {
        return Ok(Pointer(Vec::new()));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err("a JSON pointer must start with '/', as in /items/0/name".to_owned());
    };
    let unescape = |token: &str| {
        let bad = token
            .match_indices('~')
            .any(|(at, _)| !token[at + 1..].starts_with(['0', '1']));
        if bad {
            return Err("'~' must be written ~0 and '/' ~1 in a JSON pointer".to_owned());
        }
        Ok(token.replace("~1", "/").replace("~0", "~"))
    };
    rest.split('/')
        .map(unescape)
        .collect::<Result<_, _>>()
        .map(Pointer)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl Pointer {
    /// Returns the text of the value in a document; `None` if there is no such value.
    /// Fails if the document is not JSON.
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

/// Finds the last member of an object with this name. Other members are skipped
/// without allocating memory.
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

/// Compares a key with this name.
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

/// Finds the item of an array with this index, and skips the others.
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

/// Parses an array index, which has neither a sign nor a leading zero.
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
    fn pointers_find_values() {
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
    fn invalid_pointers_and_documents_are_refused() {
        assert!(parse("a").is_err());
        assert!(parse("/~2").is_err());
        assert!(parse("/~").is_err());
        assert!(parse("/a").unwrap().find("{").is_err());
    }

    #[test]
    fn keys_may_contain_escapes() {
        let pointer = parse("/é").unwrap();
        assert_eq!(pointer.find("{\"\\u00e9\":1}").unwrap(), Some("1"));
        // The last of two members with one name is used, as in JavaScript.
        let twice = "{\"é\":1,\"x\":2,\"\\u00e9\":[3]}";
        assert_eq!(pointer.find(twice).unwrap(), Some("[3]"));
    }
}

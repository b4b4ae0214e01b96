//! Media types, as far as a body's presentation depends on them.

/// How a body is to be treated where it is not passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `application/json`, `text/json` and everything that ends in `+json`.
    Json,
    /// Text of any sort.
    Text,
    /// Server-sent events: text that comes as it happens.
    Events,
    /// Anything else, or not said.
    Other,
}

/// The class of a Content-Type value.
pub fn class(content_type: Option<&str>) -> Class {
    let Some(value) = content_type else {
        return Class::Other;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return Class::Other;
    };
    match (kind, subtype) {
        (_, "json") => Class::Json,
        (_, subtype) if subtype.ends_with("+json") => Class::Json,
        ("text", "event-stream") => Class::Events,
        ("text", _)
        | (
            "application",
            "xml"
            | "javascript"
            | "x-javascript"
            | "ecmascript"
            | "x-ndjson"
            | "jsonl"
            | "json-seq"
            | "x-www-form-urlencoded"
            | "yaml"
            | "x-yaml"
            | "toml"
            | "sql"
            | "x-sh"
            | "graphql",
        ) => Class::Text,
        (_, subtype) if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Class::Text,
        _ => Class::Other,
    }
}

/// Whether bytes look binary: a NUL, or many that are neither UTF-8 nor
/// printable. The start of a body is enough to tell.
pub fn looks_binary(start: &[u8]) -> bool {
    if start.contains(&0) {
        return true;
    }
    let invalid: usize = start.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    // A sequence cut at the end of the sample is not held against it.
    invalid > 3 && invalid * 10 > start.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (value, expected) in [
            ("application/json; charset=utf-8", Class::Json),
            ("Application/Problem+JSON", Class::Json),
            ("text/html", Class::Text),
            ("image/svg+xml", Class::Text),
            ("text/event-stream", Class::Events),
            ("application/octet-stream", Class::Other),
            ("json", Class::Other),
        ] {
            assert_eq!(class(Some(value)), expected, "{value}");
        }
        assert_eq!(class(None), Class::Other);
    }

    #[test]
    fn binary() {
        assert!(looks_binary(b"\x7fELF\0"));
        assert!(looks_binary(b"\x89PNG\xff\xfe\xfd\xfc"));
        assert!(!looks_binary("naïve café".as_bytes()));
        assert!(!looks_binary(b""));
    }
}

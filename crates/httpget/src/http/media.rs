//! Media types, as far as the rendering of a body depends on them.

/// The way to render a body that is not passed on unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// JSON: `application/json`, `text/json` and types that end in `+json`.
    Json,
    /// Text of any kind.
    Text,
    /// Server-sent events, a stream of text.
    Events,
    /// Any other type, or no Content-Type.
    Other,
}

/// Classifies a Content-Type value.
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

/// Whether the start of a body looks binary: it contains a NUL, or many bytes that are
/// not UTF-8.
pub fn looks_binary(start: &[u8]) -> bool {
    if start.contains(&0) {
        return true;
    }
    let invalid: usize = start.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    // A few bytes may belong to a sequence that the sample cuts.
    invalid > 3 && invalid * 10 > start.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_classified() {
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
    fn binary_bodies_are_recognized() {
        assert!(looks_binary(b"\x7fELF\0"));
        assert!(looks_binary(b"\x89PNG\xff\xfe\xfd\xfc"));
        assert!(!looks_binary("naïve café".as_bytes()));
        assert!(!looks_binary(b""));
    }
}

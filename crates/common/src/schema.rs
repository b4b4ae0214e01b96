//! The records of `--json`, described by a table from which the JSON Schema is
//! generated.
//!
//! A tool's table is text. An unindented line begins a record type: its name,
//! a colon, a description. The indented lines below it are the keys in order:
//! name, type, description, separated by white space. A key that is indented
//! further belongs to the object, or to the objects of the array, above it.
//!
//! ```text
//! reply: A probe was answered.
//!     target  string   The operand as given.
//!     rtt_ms  number?  Round-trip time in milliseconds.
//!     icmp    object?  The ICMP error.
//!         code  integer  The ICMP code.
//! ```
//!
//! Types are `string`, `integer`, `number`, `boolean`, `any`, `object`,
//! `array` (of the objects below it), `strings` and `pairs` (an array of arrays
//! of two strings), or a choice of strings, `a|b|c`. A question mark permits
//! null. A name in parentheses after the record type distinguishes two forms of
//! one type, as in `summary (load)`. `late = reply: ...` is a record type with
//! the keys of an earlier one. A question mark after the record type means that
//! keys may be missing.

/// A type of record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The value of `type`.
    pub name: &'a str,
    /// Whether keys may be missing.
    pub partial: bool,
    /// The name of this form, if the type has several.
    pub form: Option<&'a str>,
    /// The description in one or more sentences.
    pub about: &'a str,
    /// The keys after `type`, in order.
    pub keys: Vec<Key<'a>>,
}

/// A key of a record or of a nested object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The name of the key.
    pub name: &'a str,
    /// The type in the notation of the table, without the question mark.
    pub kind: &'a str,
    /// Whether the value may be null.
    pub nullable: bool,
    /// The description in one or more sentences.
    pub about: &'a str,
    /// The keys of nested objects.
    pub keys: Vec<Key<'a>>,
}

/// Parses a table. Lines of any other form are skipped.
pub fn parse(table: &str) -> Vec<Record<'_>> {
    let mut records: Vec<Record<'_>> = Vec::new();
    for line in table.lines() {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        if text.is_empty() {
        } else if indent == 0 {
            let Some((name, about)) = text.split_once(": ") else {
                continue;
            };
            let (name, model) = match name.split_once(" = ") {
                Some((name, model)) => (name, records.iter().find(|record| record.name == model)),
                None => (name, None),
            };
            let keys = model.map_or_else(Vec::new, |model| model.keys.clone());
            let (name, form) = match name.split_once(" (") {
                Some((name, form)) => (name, Some(form.trim_end_matches(')'))),
                None => (name, None),
            };
            records.push(Record {
                name: name.trim_end_matches('?'),
                partial: name.ends_with('?'),
                form,
                about,
                keys,
            });
        } else if let (Some(record), Some(key)) = (records.last_mut(), key(text)) {
            push(&mut record.keys, indent / 4, key);
        }
    }
    records
}

/// Adds a key to `keys`, or to the nested keys of the last one if it is indented
/// further.
fn push<'a>(keys: &mut Vec<Key<'a>>, depth: usize, key: Key<'a>) {
    match keys.last_mut() {
        Some(parent) if depth > 1 => push(&mut parent.keys, depth - 1, key),
        _ => keys.push(key),
    }
}

fn key(text: &str) -> Option<Key<'_>> {
    let (name, rest) = text.split_once(' ')?;
    let (kind, about) = rest.trim_start().split_once(' ')?;
    Some(Key {
        name,
        kind: kind.trim_end_matches('?'),
        nullable: kind.ends_with('?'),
        about: about.trim_start(),
        keys: Vec::new(),
    })
}

/// Returns the keys that a tool adds to the error record of all tools, in order.
pub fn error_keys(table: &str) -> Vec<&str> {
    let records = parse(table);
    let error = records.iter().find(|record| record.name == "error");
    let keys = error.map_or(&[][..], |error| &error.keys);
    keys.iter()
        .map(|key| key.name)
        .filter(|name| !["target", "kind", "message", "time"].contains(name))
        .collect()
}

/// Writes the JSON Schema (2020-12) of all records of a tool as one line.
///
/// The text is assembled by hand, since serializers of this format would be larger
/// than the tables.
pub fn write(tool: &str, table: &str, writer: &mut impl std::io::Write) -> std::io::Result<()> {
    let records = parse(table);
    let mut text = String::from("{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"");
    member(&mut text, "title", &format!("Records of {tool} --json"));
    text.push_str(",\"oneOf\":");
    list(&mut text, &records, |text, record| {
        text.push('{');
        string(text, "$ref");
        text.push(':');
        string(text, &format!("#/$defs/{}", definition(record)));
        text.push('}');
    });
    text.push_str(",\"$defs\":{");
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        string(&mut text, &definition(record));
        text.push_str(":{");
        description(&mut text, record.about);
        object(
            &mut text,
            Some(record.name),
            &record.keys,
            false,
            record.partial,
        );
        text.push('}');
    }
    text.push_str("}}\n");
    writer.write_all(text.as_bytes())
}

/// Returns the name of a record's definition: `summary`, `summary-load`.
fn definition(record: &Record<'_>) -> String {
    match record.form {
        Some(form) => format!("{}-{}", record.name, form.replace(' ', "-")),
        None => record.name.to_owned(),
    }
}

/// Appends the members of an object schema. A record has the key `type` with its
/// `name`; keys of a `partial` record may be missing.
fn object(text: &mut String, name: Option<&str>, keys: &[Key<'_>], nullable: bool, partial: bool) {
    kind(text, "object", nullable);
    text.push_str(",\"properties\":{");
    if let Some(name) = name {
        text.push_str("\"type\":{\"const\":");
        string(text, name);
        text.push('}');
    }
    for (index, key) in keys.iter().enumerate() {
        if index > 0 || name.is_some() {
            text.push(',');
        }
        string(text, key.name);
        text.push_str(":{");
        description(text, key.about);
        property(text, key, partial);
        text.push('}');
    }
    text.push_str("},\"required\":");
    let names = keys.iter().map(|key| key.name).filter(|_| !partial);
    let required: Vec<&str> = name.map(|_| "type").into_iter().chain(names).collect();
    list(text, &required, |text, name| string(text, name));
    text.push_str(",\"additionalProperties\":false");
}

/// Appends the type of a key after its description.
fn property(text: &mut String, key: &Key<'_>, partial: bool) {
    match key.kind {
        "any" => {
            // The description is the only member.
            text.pop();
        }
        "object" => object(text, None, &key.keys, key.nullable, partial),
        "array" => {
            kind(text, "array", key.nullable);
            text.push_str(",\"items\":{");
            object(text, None, &key.keys, false, false);
            text.push('}');
        }
        "strings" => {
            kind(text, "array", key.nullable);
            text.push_str(",\"items\":{\"type\":\"string\"}");
        }
        "pairs" => {
            kind(text, "array", key.nullable);
            text.push_str(
                ",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\
                 \"minItems\":2,\"maxItems\":2}",
            );
        }
        "string" | "integer" | "number" | "boolean" => kind(text, key.kind, key.nullable),
        choice => {
            text.push_str("\"enum\":");
            let mut values: Vec<Option<&str>> = choice.split('|').map(Some).collect();
            if key.nullable {
                values.push(None);
            }
            list(text, &values, |text, value| match value {
                Some(value) => string(text, value),
                None => text.push_str("null"),
            });
        }
    }
}

/// Appends the member `type`.
fn kind(text: &mut String, name: &str, nullable: bool) {
    text.push_str("\"type\":");
    if nullable {
        list(text, &[name, "null"], |text, name| string(text, name));
    } else {
        string(text, name);
    }
}

/// Appends the member `description` and a comma.
fn description(text: &mut String, about: &str) {
    text.push_str("\"description\":");
    string(text, about);
    text.push(',');
}

/// Appends a comma and a member with a string as its value.
fn member(text: &mut String, name: &str, value: &str) {
    text.push(',');
    string(text, name);
    text.push(':');
    string(text, value);
}

/// Appends an array of these items.
fn list<T>(text: &mut String, items: &[T], item: fn(&mut String, &T)) {
    text.push('[');
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        item(text, value);
    }
    text.push(']');
}

/// Appends a string literal. Tables contain no control characters.
fn string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
reply: A reply.
    target  string   The operand.
    icmp    object?  The error.
        code  integer  Its code.
    kind    a|b?     One of two.

summary (load): The figures.
    names   strings  All names.

late = reply: A late reply.
";

    #[test]
    fn tables_are_parsed() {
        let records = parse(TABLE);
        assert_eq!(records.len(), 3);
        assert_eq!(records[2].keys, records[0].keys);
        let keys: Vec<&str> = records[0].keys.iter().map(|key| key.name).collect();
        assert_eq!(keys, ["target", "icmp", "kind"]);
        assert_eq!(records[0].keys[1].keys[0].about, "Its code.");
        assert!(records[0].keys[1].nullable);
        assert_eq!(records[1].form, Some("load"));
    }

    #[test]
    fn a_tool_can_add_keys_to_its_errors() {
        let table = "error: A failure.\n    target  string?  The operand.\n    \
                     icmp  object?  The ICMP error.\n        code  integer  Its code.\n    \
                     time  string  The time.\n";
        assert_eq!(error_keys(table), ["icmp"]);
        assert_eq!(error_keys(TABLE), [""; 0]);
    }

    #[test]
    fn a_schema_has_a_definition_for_each_record() {
        let mut text = Vec::new();
        write("sample", TABLE, &mut text).unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let reply = &schema["$defs"]["reply"];
        assert_eq!(reply["properties"]["type"]["const"], "reply");
        assert_eq!(
            reply["required"],
            serde_json::json!(["type", "target", "icmp", "kind"])
        );
        assert_eq!(
            reply["properties"]["icmp"]["type"],
            serde_json::json!(["object", "null"])
        );
        assert_eq!(
            reply["properties"]["kind"]["enum"],
            serde_json::json!(["a", "b", null])
        );
        assert_eq!(schema["oneOf"][1]["$ref"], "#/$defs/summary-load");
    }

    #[test]
    fn keys_are_nested_to_any_depth() {
        let table = "reply: A reply.\n    a  object  One.\n        b  object  Two.\n            \
                     c  integer  Three.\n        d  integer  Two.\n    e  array  One.\n        \
                     f  string  Two.\n    g  strings  One.\n";
        let records = parse(table);
        let keys = &records[0].keys;
        assert_eq!(keys[0].keys[0].keys[0].name, "c");
        assert_eq!(keys[0].keys[1].name, "d");
        let mut text = Vec::new();
        write("sample", table, &mut text).unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let properties = &schema["$defs"]["reply"]["properties"];
        let b = &properties["a"]["properties"]["b"];
        assert_eq!(b["properties"]["c"]["type"], "integer");
        let items = &properties["e"]["items"];
        assert_eq!(items["properties"]["f"]["type"], "string");
        assert_eq!(properties["g"]["items"]["type"], "string");
    }
}

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

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

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

/// Writes the JSON Schema (2020-12) of all records of a tool, followed by a
/// newline.
pub fn write(tool: &str, table: &str, writer: &mut impl std::io::Write) -> std::io::Result<()> {
    let records = parse(table);
    serde_json::to_writer_pretty(
        &mut *writer,
        &Document {
            tool,
            records: &records,
        },
    )?;
    writer.write_all(b"\n")
}

struct Document<'a> {
    tool: &'a str,
    records: &'a [Record<'a>],
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("$schema", "https://json-schema.org/draft/2020-12/schema")?;
        map.serialize_entry("title", &format!("Records of {} --json", self.tool))?;
        let references: Vec<Reference> = self.records.iter().map(Reference::new).collect();
        map.serialize_entry("oneOf", &references)?;
        map.serialize_entry("$defs", &Definitions(self.records))?;
        map.end()
    }
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "$ref")]
    path: String,
}

impl Reference {
    fn new(record: &Record<'_>) -> Self {
        let path = format!("#/$defs/{}", definition(record));
        Self { path }
    }
}

/// Returns the name of a record's definition: `summary`, `summary-load`.
fn definition(record: &Record<'_>) -> String {
    match record.form {
        Some(form) => format!("{}-{}", record.name, form.replace(' ', "-")),
        None => record.name.to_owned(),
    }
}

struct Definitions<'a>(&'a [Record<'a>]);

impl Serialize for Definitions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let definition = |record| (definition(record), Object::record(record));
        serializer.collect_map(self.0.iter().map(definition))
    }
}

/// An object with exactly these keys; a record has the key `type`, too.
struct Object<'a> {
    name: Option<&'a str>,
    about: &'a str,
    keys: &'a [Key<'a>],
    nullable: bool,
    partial: bool,
}

impl<'a> Object<'a> {
    fn record(record: &'a Record<'a>) -> Self {
        Self {
            name: Some(record.name),
            about: record.about,
            keys: &record.keys,
            nullable: false,
            partial: record.partial,
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.about.is_empty() {
            map.serialize_entry("description", self.about)?;
        }
        map.serialize_entry("type", &Type::new("object", self.nullable))?;
        map.serialize_entry("properties", &Properties(self))?;
        let names = self.keys.iter().map(|key| key.name);
        let names = names.filter(|_| !self.partial);
        let required: Vec<&str> = self.name.map(|_| "type").into_iter().chain(names).collect();
        map.serialize_entry("required", &required)?;
        map.serialize_entry("additionalProperties", &false)?;
        map.end()
    }
}

struct Properties<'a>(&'a Object<'a>);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(name) = self.0.name {
            map.serialize_entry("type", &Constant { value: name })?;
        }
        for key in self.0.keys {
            map.serialize_entry(key.name, &Property(key, self.0.partial))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Constant<'a> {
    #[serde(rename = "const")]
    value: &'a str,
}

/// A key, and whether keys of nested objects may be missing.
struct Property<'a>(&'a Key<'a>, bool);

impl Serialize for Property<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(key, partial) = *self;
        if key.kind == "object" {
            return Object {
                name: None,
                about: key.about,
                keys: &key.keys,
                nullable: key.nullable,
                partial,
            }
            .serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("description", key.about)?;
        match key.kind {
            "any" => {}
            "array" => {
                map.serialize_entry("type", &Type::new("array", key.nullable))?;
                let items = Object {
                    name: None,
                    about: "",
                    keys: &key.keys,
                    nullable: false,
                    partial: false,
                };
                map.serialize_entry("items", &items)?;
            }
            "strings" => {
                map.serialize_entry("type", &Type::new("array", key.nullable))?;
                map.serialize_entry("items", &Simple { kind: "string" })?;
            }
            "pairs" => {
                map.serialize_entry("type", &Type::new("array", key.nullable))?;
                map.serialize_entry("items", &Pair)?;
            }
            "string" | "integer" | "number" | "boolean" => {
                map.serialize_entry("type", &Type::new(key.kind, key.nullable))?;
            }
            choice => {
                let null = key.nullable.then_some(None);
                let values: Vec<Option<&str>> = choice.split('|').map(Some).chain(null).collect();
                map.serialize_entry("enum", &values)?;
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Simple {
    #[serde(rename = "type")]
    kind: &'static str,
}

struct Pair;

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "array")?;
        map.serialize_entry("items", &Simple { kind: "string" })?;
        map.serialize_entry("minItems", &2)?;
        map.serialize_entry("maxItems", &2)?;
        map.end()
    }
}

/// A type, or the type and null.
#[derive(Serialize)]
#[serde(untagged)]
enum Type<'a> {
    One(&'a str),
    OrNull([&'a str; 2]),
}

impl<'a> Type<'a> {
    fn new(kind: &'a str, nullable: bool) -> Self {
        if nullable {
            Self::OrNull([kind, "null"])
        } else {
            Self::One(kind)
        }
    }
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
}

//! The JSON records of a run, validated against the tool's own schema.
//!
//! [`check`] knows the part of JSON Schema that `--generate schema` uses:
//! `$defs` with `type`, `properties`, `required`, `additionalProperties`,
//! `items`, `enum` and `const`. A record is valid if one of the definitions
//! accepts it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::bins::TOOLS;

/// Records that are validated of one output; further ones repeat their forms.
const RECORDS: usize = 2_000;

/// The schemas that were read, by the path of the tool.
static SCHEMAS: Mutex<Option<HashMap<String, Value>>> = Mutex::new(None);

/// Returns the first record of `stdout` that the tool's schema refuses, with
/// the reason. Output without records, and an unfinished last line, are valid.
pub fn check(program: &Path, stdout: &[u8]) -> Result<(), String> {
    let is_tool = program
        .file_name()
        .is_some_and(|name| TOOLS.iter().any(|tool| name == *tool));
    if !is_tool || !stdout.starts_with(br#"{"type":""#) {
        return Ok(());
    }
    let schema = schema_of(program)?;
    for line in stdout.split_inclusive(|&byte| byte == b'\n').take(RECORDS) {
        let Some(line) = line.strip_suffix(b"\n") else {
            continue;
        };
        // Other output may follow the records, such as that of a shell.
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        validate(&schema, &record)
            .map_err(|why| format!("{why}\nrecord: {}", String::from_utf8_lossy(line)))?;
    }
    Ok(())
}

fn schema_of(program: &Path) -> Result<Value, String> {
    let key = program.display().to_string();
    let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    let schemas = schemas.get_or_insert_default();
    if let Some(schema) = schemas.get(&key) {
        return Ok(schema.clone());
    }
    let output = std::process::Command::new(program)
        .args(["--generate", "schema"])
        .output()
        .map_err(|error| format!("{key}: {error}"))?;
    let schema: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{key} --generate schema: {error}"))?;
    schemas.insert(key, schema.clone());
    Ok(schema)
}

/// Returns why no definition accepts a record.
fn validate(schema: &Value, record: &Value) -> Result<(), String> {
    let kind = record["type"].as_str().unwrap_or_default();
    let mut reasons = Vec::new();
    for definition in schema["$defs"]
        .as_object()
        .into_iter()
        .flat_map(Map::values)
    {
        if definition["properties"]["type"]["const"] == kind {
            match accept(definition, record, kind) {
                Ok(()) => return Ok(()),
                Err(why) => reasons.push(why),
            }
        }
    }
    if reasons.is_empty() {
        return Err(format!("the schema has no record of type {kind:?}"));
    }
    Err(reasons.join("; or "))
}

/// Returns why a definition does not accept a value. `path` names the value.
fn accept(definition: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(constant) = definition.get("const") {
        return if constant == value {
            Ok(())
        } else {
            Err(format!("{path} is not {constant}"))
        };
    }
    if let Some(values) = definition["enum"].as_array() {
        return if values.contains(value) {
            Ok(())
        } else {
            Err(format!(
                "{path}: {value} is not one of {}",
                definition["enum"]
            ))
        };
    }
    if let Some(kind) = definition.get("type") {
        let is = |kind: &Value| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            _ => false,
        };
        let accepted = kind
            .as_array()
            .map_or_else(|| is(kind), |kinds| kinds.iter().any(is));
        if !accepted {
            return Err(format!("{path}: {value} is not of type {kind}"));
        }
    }
    if let (Some(items), Some(values)) = (definition.get("items"), value.as_array()) {
        for value in values {
            accept(items, value, &format!("{path}[]"))?;
        }
    }
    let (Some(properties), Some(object)) =
        (definition["properties"].as_object(), value.as_object())
    else {
        return Ok(());
    };
    for key in definition["required"].as_array().into_iter().flatten() {
        if key.as_str().is_none_or(|key| !object.contains_key(key)) {
            return Err(format!("{path} lacks the key {key}"));
        }
    }
    for (key, value) in object {
        let Some(property) = properties.get(key) else {
            return Err(format!("{path} has the unknown key {key:?}"));
        };
        accept(property, value, &format!("{path}.{key}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::validate;

    #[test]
    fn unknown_missing_and_wrong_keys_are_refused() {
        let schema = json!({"$defs": {"a": {
            "type": "object",
            "properties": {
                "type": {"const": "a"},
                "n": {"type": ["integer", "null"]},
                "list": {"type": "array", "items": {"type": "string"}},
                "one": {"enum": ["x", "y"]}
            },
            "required": ["type", "n"]
        }}});
        let valid = |record| validate(&schema, &record);
        assert_eq!(valid(json!({"type": "a", "n": 1, "one": "x"})), Ok(()));
        assert_eq!(
            valid(json!({"type": "a", "n": null, "list": ["s"]})),
            Ok(())
        );
        for record in [
            json!({"type": "b", "n": 1}),
            json!({"type": "a"}),
            json!({"type": "a", "n": 1.5}),
            json!({"type": "a", "n": 1, "m": 2}),
            json!({"type": "a", "n": 1, "list": [1]}),
            json!({"type": "a", "n": 1, "one": "z"}),
        ] {
            assert!(valid(record.clone()).is_err(), "{record}");
        }
    }
}

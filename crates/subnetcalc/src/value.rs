//! [`Value`]: a value of `info` that can be written as JSON or as text.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A value of a JSON record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// The field does not apply.
    Null,
    Bool(bool),
    /// A number that is always below 2^53.
    Number(u64),
    /// A text, or a number that can exceed 2^53.
    Text(String),
    /// An array of texts.
    List(Vec<String>),
    /// An object with its keys in order.
    Object(Vec<(&'static str, Value)>),
}

impl Value {
    /// Converts a displayable value to a text.
    pub(crate) fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// Returns the value of a key of an object, or null for other values.
    pub(crate) fn part(&self, key: &str) -> &Value {
        let Self::Object(parts) = self else {
            return &Self::Null;
        };
        let part = parts.iter().find(|(name, _)| *name == key);
        part.map_or(&Self::Null, |(_, value)| value)
    }
}

/// Writes `-` for null, and arrays and objects separated by commas.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("-"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::List(values) => f.write_str(&values.join(",")),
            Self::Object(parts) => {
                let parts: Vec<String> = parts.iter().map(|(_, value)| value.to_string()).collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(parts) => {
                let mut map = serializer.serialize_map(Some(parts.len()))?;
                for (key, value) in parts {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

//! The command `info`, which prints the details of networks.

use common::app::Io;
use common::{Error, Exit, Result, time};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::cli::InfoArgs;
use crate::mask;
use crate::network_info::{FIELDS, Field, LINES, NetworkInfo};
use crate::operand::Rules;
use crate::value::Value;

use super::for_each_network;

/// The width of the column of labels, which are right-aligned.
const LABEL_WIDTH: usize = 15;

/// A field of `--get`: a key, or a key and a part of its object.
struct SelectedField {
    field: &'static Field,
    part: Option<&'static str>,
}

/// Runs `subnetcalc info NETWORK...`.
pub(super) fn info(args: &InfoArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let selected: Result<Vec<SelectedField>> =
        args.get.iter().map(|name| select_field(name)).collect();
    let selected = selected?;
    let mut first = true;
    let networks = match &args.networks[..] {
        // As in ipcalc, an address and a mask are one network.
        [address, mask] => match mask::parse_address_and_mask(address, mask, rules.wildcard) {
            Some(Ok(net)) => vec![net.to_string()],
            Some(Err(reason)) => return Err(Error::input(mask, reason)),
            None => args.networks.clone(),
        },
        networks => networks.to_vec(),
    };
    for_each_network(&networks, rules, io, &mut |net, io| {
        let info = NetworkInfo::new(net);
        if !selected.is_empty() {
            print_fields(&info, &selected, io)?;
        } else if io.json {
            io.out.json(&Record(&info))?;
        } else {
            if !std::mem::take(&mut first) {
                io.out.line("")?;
            }
            for (label, text) in &LINES {
                if let Some(text) = text(&info) {
                    io.out.line(format_args!("{label:>LABEL_WIDTH$}: {text}"))?;
                }
            }
        }
        Ok(Exit::Success)
    })
}

/// Prints the selected fields, separated by TABs or as a JSON object.
fn print_fields(info: &NetworkInfo, selected: &[SelectedField], io: &mut Io) -> Result<()> {
    if io.json {
        return io.out.json(&SelectedRecord(info, selected));
    }
    for (index, selected) in selected.iter().enumerate() {
        let value = (selected.field.value)(info);
        let value = selected.part.map_or(&value, |part| value.part(part));
        let separator = if index > 0 { "\t" } else { "" };
        io.out.bytes(format!("{separator}{value}").as_bytes())?;
    }
    io.out.line("")
}

/// Returns the field with a name of `--get`.
fn select_field(name: &str) -> Result<SelectedField> {
    let (key, part) = match name.split_once('.') {
        Some((key, part)) => (key, Some(part)),
        None => (name, None),
    };
    let unknown = || {
        Error::usage(format!("unknown field '{name}' for '--get'"))
            .hint("see 'subnetcalc info --help' for the names")
    };
    let field = FIELDS.iter().find(|field| field.key == key);
    let field = field.ok_or_else(unknown)?;
    if part.is_none() && !field.parts.is_empty() {
        let parts: Vec<String> = field
            .parts
            .iter()
            .map(|part| format!("{key}.{part}"))
            .collect();
        let message = format!(
            "field '{key}' for '--get' has several parts; use {}",
            parts.join(", ")
        );
        return Err(Error::usage(message));
    }
    let part = match part {
        None => None,
        Some(part) => Some(
            *field
                .parts
                .iter()
                .find(|known| **known == part)
                .ok_or_else(unknown)?,
        ),
    };
    Ok(SelectedField { field, part })
}

/// The JSON record of a network.
struct Record<'a>(&'a NetworkInfo);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(FIELDS.len() + 2))?;
        map.serialize_entry("type", "network")?;
        for field in &FIELDS {
            map.serialize_entry(field.key, &(field.value)(self.0))?;
        }
        map.serialize_entry("time", &time::now())?;
        map.end()
    }
}

/// The JSON record of a network with only the selected fields. The selected parts of an
/// object stay in an object.
struct SelectedRecord<'a>(&'a NetworkInfo, &'a [SelectedField]);

impl Serialize for SelectedRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(info, selected) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "network")?;
        // Each key is written once and in the order of the complete record.
        for field in &FIELDS {
            let of_field = |selected: &&SelectedField| selected.field.key == field.key;
            let mut selected = selected.iter().filter(of_field).peekable();
            if selected.peek().is_none() {
                continue;
            }
            let value = (field.value)(info);
            if field.parts.is_empty() {
                map.serialize_entry(field.key, &value)?;
                continue;
            }
            if value == Value::Null {
                map.serialize_entry(field.key, &value)?;
                continue;
            }
            let named: Vec<&str> = selected.filter_map(|selected| selected.part).collect();
            let parts = field.parts.iter().filter(|part| named.contains(part));
            let parts = parts.map(|&part| (part, value.part(part).clone()));
            map.serialize_entry(field.key, &Value::Object(parts.collect()))?;
        }
        map.serialize_entry("time", &time::now())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operand::parse_network;

    #[test]
    fn fields_list_the_parts_of_their_values() {
        for text in ["10.0.0.1/8", "2001:0:1::", "8.8.8.8", "64:ff9b::1.2.3.4"] {
            let info = NetworkInfo::new(parse_network(text, Rules::default()).unwrap());
            for field in &FIELDS {
                if let Value::Object(parts) = (field.value)(&info) {
                    let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
                    assert_eq!(names, field.parts);
                }
            }
        }
    }

    #[test]
    fn names_are_complete_and_in_order() {
        let names = FIELDS.iter().flat_map(|field| {
            let parts = field.parts.iter();
            let parts = parts.map(|part| format!("{}.{part}", field.key));
            let key = field.parts.is_empty().then(|| field.key.to_owned());
            key.into_iter().chain(parts)
        });
        assert!(names.eq(crate::network_info::FIELD_NAMES));
    }

    #[test]
    fn labels_fit_their_column() {
        assert!(LINES.iter().all(|(label, _)| label.len() <= LABEL_WIDTH));
    }

    #[test]
    fn only_names_of_fields_are_accepted() {
        assert!(select_field("special.name").is_ok() && select_field("total").is_ok());
        for bad in [
            "",
            "totl",
            "total.x",
            "special",
            "special.",
            "special.x",
            ".name",
        ] {
            assert!(select_field(bad).is_err(), "{bad}");
        }
    }
}

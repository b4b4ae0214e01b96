//! `info`: the facts of each network.

use common::app::Io;
use common::{Error, Exit, Result, time};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::cli::InfoArgs;
use crate::facts::{FIELDS, Facts, Field, LINES};
use crate::network::{self, Rules};
use crate::value::Value;

use super::for_each_network;

/// The columns labels are aligned in.
const LABEL_WIDTH: usize = 15;

/// A field of `--get`: a key, or a key and a part of its object.
struct Wanted {
    field: &'static Field,
    part: Option<&'static str>,
}

/// `info NETWORK...`
pub(super) fn info(args: &InfoArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let wanted: Result<Vec<Wanted>> = args.get.iter().map(|name| wanted(name)).collect();
    let wanted = wanted?;
    let mut first = true;
    let networks = match &args.networks[..] {
        // As ipcalc takes them.
        [address, mask] => match network::address_and_mask(address, mask, rules) {
            Some(net) => vec![net.to_string()],
            None => args.networks.clone(),
        },
        networks => networks.to_vec(),
    };
    for_each_network(&networks, rules, io, &mut |net, io| {
        let facts = Facts::new(net);
        if !wanted.is_empty() {
            row(&facts, &wanted, io)?;
        } else if io.json {
            io.out.json(&Record(&facts))?;
        } else {
            if !std::mem::take(&mut first) {
                io.out.line("")?;
            }
            for (label, text) in &LINES {
                if let Some(text) = text(&facts) {
                    io.out.line(format_args!("{label:>LABEL_WIDTH$}: {text}"))?;
                }
            }
        }
        Ok(Exit::Yes)
    })
}

/// The values asked for, by TABs or as a JSON object with only those keys.
fn row(facts: &Facts, wanted: &[Wanted], io: &mut Io) -> Result<()> {
    if io.json {
        return io.out.json(&Chosen(facts, wanted));
    }
    for (at, wanted) in wanted.iter().enumerate() {
        let value = (wanted.field.value)(facts);
        let value = wanted.part.map_or(&value, |part| value.part(part));
        let separator = if at > 0 { "\t" } else { "" };
        io.out.bytes(format!("{separator}{value}").as_bytes())?;
    }
    io.out.line("")
}

/// Finds what a name of `--get` stands for.
fn wanted(name: &str) -> Result<Wanted> {
    let (key, part) = match name.split_once('.') {
        Some((key, part)) => (key, Some(part)),
        None => (name, None),
    };
    let unknown = || {
        Error::usage(format!("--get: unknown field {name:?}"))
            .hint("'subnetcalc info --help' names them")
    };
    let field = FIELDS.iter().find(|field| field.key == key);
    let field = field.ok_or_else(unknown)?;
    if part.is_none() && !field.parts.is_empty() {
        let parts: Vec<String> = field
            .parts
            .iter()
            .map(|part| format!("{key}.{part}"))
            .collect();
        let message = format!("--get: {key} has parts; use {}", parts.join(", "));
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
    Ok(Wanted { field, part })
}

/// The JSON record of a network.
struct Record<'a>(&'a Facts);

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

/// A record with only the fields asked for. A part of an object stands in an
/// object with the parts asked for.
struct Chosen<'a>(&'a Facts, &'a [Wanted]);

impl Serialize for Chosen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(facts, wanted) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "network")?;
        // In the order of the record, each key once, however often it is given.
        for field in &FIELDS {
            let of_field = |wanted: &&Wanted| wanted.field.key == field.key;
            let mut asked = wanted.iter().filter(of_field).peekable();
            if asked.peek().is_none() {
                continue;
            }
            let value = (field.value)(facts);
            if field.parts.is_empty() {
                map.serialize_entry(field.key, &value)?;
                continue;
            }
            if value == Value::Null {
                map.serialize_entry(field.key, &value)?;
                continue;
            }
            let named: Vec<&str> = asked.filter_map(|wanted| wanted.part).collect();
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

    #[test]
    fn parts_are_those_of_the_values() {
        for text in ["10.0.0.1/8", "2001:0:1::", "8.8.8.8", "64:ff9b::1.2.3.4"] {
            let facts = Facts::new(network::network(text, Rules::default()).unwrap());
            for field in &FIELDS {
                if let Value::Object(parts) = (field.value)(&facts) {
                    let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
                    assert_eq!(names, field.parts);
                }
            }
        }
    }

    #[test]
    fn every_field_has_its_name() {
        let names = FIELDS.iter().flat_map(|field| {
            let parts = field.parts.iter();
            let parts = parts.map(|part| format!("{}.{part}", field.key));
            let key = field.parts.is_empty().then(|| field.key.to_owned());
            key.into_iter().chain(parts)
        });
        assert!(names.eq(crate::facts::FIELD_NAMES));
    }

    #[test]
    fn labels_fit_their_column() {
        assert!(LINES.iter().all(|(label, _)| label.len() <= LABEL_WIDTH));
    }

    #[test]
    fn names_of_fields() {
        assert!(wanted("special.name").is_ok() && wanted("total").is_ok());
        for bad in [
            "",
            "totl",
            "total.x",
            "special",
            "special.",
            "special.x",
            ".name",
        ] {
            assert!(wanted(bad).is_err(), "{bad}");
        }
    }
}

//! Record types among the words of the command line, and files that were meant as
//! lists.

use std::net::IpAddr;

use common::{Error, Result};
use domain::base::iana::Rtype;

use crate::presentation;

/// Parses the values of `-t` and removes duplicates.
pub(crate) fn parse_types(values: &[String]) -> Result<Vec<Rtype>> {
    let types = values.iter().map(|value| {
        parse_type(value)
            .map_err(|why| Error::usage(format!("invalid value '{value}' for '-t': {why}")))
    });
    unique(types)
}

/// Removes duplicates, and returns the first error.
fn unique(types: impl Iterator<Item = Result<Rtype>>) -> Result<Vec<Rtype>> {
    let mut unique = Vec::new();
    for rtype in types {
        let rtype = rtype?;
        if !unique.contains(&rtype) {
            unique.push(rtype);
        }
    }
    Ok(unique)
}

/// Parses the name or number of a record type. The error is the reason, for an error
/// message.
pub(crate) fn parse_type(text: &str) -> Result<Rtype, &'static str> {
    match presentation::rtype(&text.to_ascii_uppercase()) {
        Some(Rtype::OPT) => Err("cannot be queried, since OPT is a pseudo-record"),
        Some(Rtype::IXFR) => Err("incremental transfers are not supported; use AXFR"),
        Some(rtype) => Ok(rtype),
        None => Err("unknown record type; use a name such as MX, or TYPE0 to TYPE65535"),
    }
}

/// Returns whether a text is the name of a file and not an address.
pub(crate) fn is_file(text: &str) -> bool {
    text.parse::<IpAddr>().is_err() && std::path::Path::new(text).is_file()
}

/// Removes the record types from the end of the operands, which are in upper case
/// as in dig. The only operand is not a type unless there are `files` of operands.
pub(crate) fn take_trailing_types(names: &mut Vec<String>, files: usize) -> Result<Vec<Rtype>> {
    let mut words = Vec::new();
    while let Some(last) = names.last()
        && (names.len() > 1 || files > 0)
        && last.starts_with(|c: char| c.is_ascii_uppercase())
        && !last.contains(|c: char| c.is_ascii_lowercase())
        && (presentation::is_mnemonic(last) || matches!(last.as_str(), "IN" | "CH" | "HS"))
    {
        words.extend(names.pop());
    }
    if let Some(class) = words
        .iter()
        .find(|word| matches!(word.as_str(), "CH" | "HS"))
    {
        return Err(usage(class, "unsupported class; only IN can be queried"));
    }
    words.retain(|word| word != "IN");
    let types = words.iter().rev();
    unique(types.map(|word| parse_type(word).map_err(|why| usage(word, why))))
}

fn usage(text: &str, message: &str) -> Error {
    Error::usage(message).with_subject(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(words: &[&str], files: usize) -> (Vec<String>, Vec<String>) {
        let mut names: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let types = take_trailing_types(&mut names, files).unwrap();
        (
            names,
            types.into_iter().map(presentation::mnemonic).collect(),
        )
    }

    #[test]
    fn types_are_taken_from_the_end_in_upper_case() {
        for (words, files, names, types) in [
            (&["x", "MX"][..], 0, &["x"][..], &["MX"][..]),
            (
                &["x", "y", "TXT", "TYPE65534", "TXT"],
                0,
                &["x", "y"],
                &["TXT", "TYPE65534"],
            ),
            (&["x", "IN", "NSAP-PTR"], 0, &["x"], &["NSAP-PTR"]),
            (&["MX"], 0, &["MX"], &[]),
            (&["MX"], 1, &[], &["MX"]),
            (&["MX", "x"], 0, &["MX", "x"], &[]),
            (&["x", "mx"], 0, &["x", "mx"], &[]),
            (&["x", "15"], 0, &["x", "15"], &[]),
            (&["x", "MX.test"], 0, &["x", "MX.test"], &[]),
            (&["x", "IN"], 0, &["x"], &[]),
        ] {
            let (got, found) = split(words, files);
            assert_eq!(
                (&got[..], &found[..]),
                (
                    &names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()[..],
                    &types.iter().map(|&t| t.to_owned()).collect::<Vec<_>>()[..]
                ),
                "{words:?}"
            );
        }
        for class in ["CH", "HS"] {
            let mut names = vec!["x".to_owned(), class.to_owned()];
            assert!(take_trailing_types(&mut names, 0).is_err());
        }
    }
}

//! The JSON records of lookups.

use common::{Result, json, time};
use serde::Serialize;

use crate::lookup::{Lookup, Shown};
use crate::present;
use crate::server::Protocol;
use crate::wire::edns;
use crate::wire::reply::{Record, Reply, read};

/// A resource record.
#[derive(Serialize)]
struct JsonRecord<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    rtype: String,
    ttl: Option<u32>,
    data: &'a str,
}

/// A resource record of the authority section.
#[derive(Serialize)]
struct OwnedRecord {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    ttl: u32,
    data: String,
}

#[derive(Serialize)]
struct JsonError<'a> {
    kind: &'static str,
    message: &'a str,
}

/// An extended error (RFC 8914).
#[derive(Serialize)]
struct JsonExtendedError {
    code: u16,
    name: Option<&'static str>,
    text: Option<String>,
}

/// What was asked.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    name: &'a str,
    query_name: Option<&'a str>,
    query_type: String,
    source: &'static str,
}

/// Who answered, and with what status.
#[derive(Serialize)]
struct Place<'a> {
    server: Option<&'a str>,
    protocol: Option<&'static str>,
    status: String,
}

/// What else is known.
#[derive(Serialize)]
struct Rest<'a> {
    authority: Vec<OwnedRecord>,
    flags: Vec<&'static str>,
    ede: Vec<JsonExtendedError>,
    nsid: Option<String>,
    authenticated: bool,
    /// Reserved for DNSSEC validation by the tool itself.
    validation: Option<()>,
    duration_ms: f64,
    tries: u32,
    error: Option<JsonError<'a>>,
    time: String,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    place: Place<'a>,
    records: Vec<JsonRecord<'a>>,
    #[serde(flatten)]
    rest: Rest<'a>,
}

/// What follows the records if they were written as they came.
#[derive(Serialize)]
struct Tail<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    #[serde(flatten)]
    rest: Rest<'a>,
}

/// The record of one lookup; `records` are its own.
pub(crate) fn record<'a>(
    operand: &'a str,
    lookup: &'a Lookup,
    records: &'a [Shown],
) -> impl Serialize + 'a {
    Whole {
        head: head(operand, lookup),
        place: place(lookup),
        records: records.iter().map(resource).collect(),
        rest: rest(lookup),
    }
}

/// The start of a record whose resource records are not there yet, up to the
/// bracket before the first of them.
pub(crate) fn begin(operand: &str, lookup: &Lookup) -> Result<Vec<u8>> {
    let mut line = object(&head(operand, lookup))?;
    line.pop();
    line.extend_from_slice(b",\"records\":[");
    Ok(line)
}

/// A resource record after [`begin`], the first or a further one.
pub(crate) fn next(shown: &Shown, first: bool) -> Result<Vec<u8>> {
    let mut line = object(&resource(shown))?;
    if !first {
        line.insert(0, b',');
    }
    Ok(line)
}

/// The end after [`begin`], with the newline.
pub(crate) fn end(lookup: &Lookup) -> Result<Vec<u8>> {
    let mut line = object(&Tail {
        place: place(lookup),
        rest: rest(lookup),
    })?;
    line.splice(..1, *b"],");
    line.push(b'\n');
    Ok(line)
}

/// The object's text, without a newline.
fn object(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    json::write_line(&mut text, value)?;
    text.pop();
    Ok(text)
}

fn resource(shown: &Shown) -> JsonRecord<'_> {
    JsonRecord {
        name: &shown.name,
        rtype: present::mnemonic(shown.rtype),
        ttl: shown.ttl,
        data: &shown.data,
    }
}

fn head<'a>(operand: &'a str, lookup: &'a Lookup) -> Head<'a> {
    Head {
        tag: "lookup",
        name: operand,
        query_name: lookup.query_name.as_deref(),
        query_type: lookup.asked.to_string(),
        source: lookup.source(),
    }
}

fn place(lookup: &Lookup) -> Place<'_> {
    Place {
        server: lookup.server.as_deref(),
        protocol: lookup.protocol.map(Protocol::name),
        status: lookup.status.name(),
    }
}

fn rest(lookup: &Lookup) -> Rest<'_> {
    let reply = lookup.message.as_deref().and_then(|m| read(m).ok());
    let reply = reply.as_ref();
    let options = reply
        .and_then(|reply| Some(reply.opt?.2))
        .unwrap_or_default();
    let authority = reply.map_or(&[][..], |reply| &reply.authority);
    Rest {
        authority: authority.iter().map(owned).collect(),
        flags: reply.map(Reply::flags).unwrap_or_default(),
        ede: edns::extended_errors(options)
            .map(|error| JsonExtendedError {
                code: error.code,
                name: error.name(),
                text: (!error.text.is_empty()).then(|| present::string(error.text)),
            })
            .collect(),
        nsid: edns::nsid(options).map(present::string),
        authenticated: lookup.authenticated,
        validation: None,
        duration_ms: json::ms(lookup.elapsed),
        tries: lookup.tries,
        error: lookup.failure.as_ref().map(|failure| JsonError {
            kind: failure.kind.name(),
            message: &failure.message,
        }),
        time: time::now(),
    }
}

fn owned(record: &Record<'_>) -> OwnedRecord {
    OwnedRecord {
        name: present::name(&record.owner),
        rtype: present::mnemonic(record.rtype),
        ttl: record.ttl,
        data: record.any_text(),
    }
}

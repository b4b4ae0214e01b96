//! The JSON records of lookups.
//!
//! The record of a zone transfer is written in parts, while its resource records
//! arrive: [`begin`], [`next`] and [`end`]. All others are written by [`record`].

use common::{Result, json, time};
use serde::Serialize;

use crate::lookup::{DisplayRecord, Lookup};
use crate::presentation;
use crate::server::Protocol;
use crate::wire::edns;
use crate::wire::reply::{Record, Reply, read};

/// A resource record of the answer.
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
struct AuthorityRecord {
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

/// The keys before `records` that are known before the answer.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    name: &'a str,
    query_name: Option<&'a str>,
    query_type: String,
    source: &'static str,
}

/// The keys about the server, with the status.
#[derive(Serialize)]
struct ServerKeys<'a> {
    server: Option<&'a str>,
    protocol: Option<&'static str>,
    status: String,
}

/// The keys after `records`.
#[derive(Serialize)]
struct Details<'a> {
    authority: Vec<AuthorityRecord>,
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
struct LookupRecord<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    server: ServerKeys<'a>,
    records: Vec<JsonRecord<'a>>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// The keys after `records` in the record of a zone transfer.
#[derive(Serialize)]
struct Tail<'a> {
    #[serde(flatten)]
    server: ServerKeys<'a>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// Creates the record of one lookup with these resource records.
pub(crate) fn record<'a>(
    operand: &'a str,
    lookup: &'a Lookup,
    records: &'a [DisplayRecord],
) -> impl Serialize + 'a {
    LookupRecord {
        head: head(operand, lookup),
        server: server_keys(lookup),
        records: records.iter().map(resource).collect(),
        details: details(lookup),
    }
}

/// Starts a record, up to the bracket before the first resource record.
pub(crate) fn begin(operand: &str, lookup: &Lookup) -> Result<Vec<u8>> {
    let mut line = object(&head(operand, lookup))?;
    line.pop();
    line.extend_from_slice(b",\"records\":[");
    Ok(line)
}

/// Continues with a resource record; `is_first` if none precedes it.
pub(crate) fn next(record: &DisplayRecord, is_first: bool) -> Result<Vec<u8>> {
    let mut line = object(&resource(record))?;
    if !is_first {
        line.insert(0, b',');
    }
    Ok(line)
}

/// Ends a record, with the newline.
pub(crate) fn end(lookup: &Lookup) -> Result<Vec<u8>> {
    let mut line = object(&Tail {
        server: server_keys(lookup),
        details: details(lookup),
    })?;
    line.splice(..1, *b"],");
    line.push(b'\n');
    Ok(line)
}

/// Serializes an object without a newline.
fn object(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    json::write_line(&mut text, value)?;
    text.pop();
    Ok(text)
}

fn resource(record: &DisplayRecord) -> JsonRecord<'_> {
    JsonRecord {
        name: &record.name,
        rtype: presentation::mnemonic(record.rtype),
        ttl: record.ttl,
        data: &record.data,
    }
}

fn head<'a>(operand: &'a str, lookup: &'a Lookup) -> Head<'a> {
    Head {
        tag: "lookup",
        name: operand,
        query_name: lookup.query_name.as_deref(),
        query_type: lookup.query_type.to_string(),
        source: lookup.source(),
    }
}

fn server_keys(lookup: &Lookup) -> ServerKeys<'_> {
    ServerKeys {
        server: lookup.server.as_deref(),
        protocol: lookup.protocol.map(Protocol::name),
        status: lookup.status.name(),
    }
}

fn details(lookup: &Lookup) -> Details<'_> {
    let reply = lookup.message.as_deref().and_then(|m| read(m).ok());
    let reply = reply.as_ref();
    let options = reply
        .and_then(|reply| Some(reply.opt?.2))
        .unwrap_or_default();
    let authority = reply.map_or(&[][..], |reply| &reply.authority);
    Details {
        authority: authority.iter().map(authority_record).collect(),
        flags: reply.map(Reply::flags).unwrap_or_default(),
        ede: edns::extended_errors(options)
            .map(|error| JsonExtendedError {
                code: error.code,
                name: error.name(),
                text: (!error.text.is_empty()).then(|| presentation::string(error.text)),
            })
            .collect(),
        nsid: edns::nsid(options).map(presentation::string),
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

fn authority_record(record: &Record<'_>) -> AuthorityRecord {
    AuthorityRecord {
        name: presentation::name(&record.owner),
        rtype: presentation::mnemonic(record.rtype),
        ttl: record.ttl,
        data: record.any_text(),
    }
}

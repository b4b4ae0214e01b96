//! Lookups as text and as JSON.

use common::app::Io;
use common::{Result, json};
use serde::Serialize;

use crate::answer::Status;
use crate::lookup::{self, Lookup};
use crate::server::Protocol;

/// Which text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
    Full,
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    rtype: &'a str,
    ttl: Option<u32>,
    data: &'a str,
}

#[derive(Serialize)]
struct JsonError<'a> {
    kind: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct JsonLookup<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    name: &'a str,
    query_type: &'a str,
    source: &'static str,
    server: Option<String>,
    protocol: Option<&'static str>,
    status: String,
    records: Vec<JsonRecord<'a>>,
    authenticated: bool,
    elapsed_ms: f64,
    tries: u32,
    error: Option<JsonError<'a>>,
}

/// Writes one operand's lookups, and remembers their status.
pub(crate) fn show(
    io: &mut Io,
    form: Form,
    quiet: bool,
    verbose: bool,
    all: &[Lookup],
) -> Result<()> {
    let mut any = false;
    for lookup in all {
        if io.json {
            io.out.json(&record(lookup))?;
        } else if let (Form::Full, Some(full)) = (form, &lookup.full) {
            io.out.bytes(full.as_bytes())?;
            any = true;
        } else if !lookup.streamed {
            for shown in lookup.records.iter().filter(|r| r.wanted) {
                any = true;
                value(io, form, &lookup.name, shown)?;
            }
        }
        if verbose && lookup.ignored > 0 {
            io.report.line(format_args!(
                "{}: ignored {} unrelated packets",
                common::text::escape(lookup.name.as_bytes()),
                lookup.ignored
            ));
        }
    }
    let exit = lookup::exit(all);
    io.report.raise(exit);
    let found = exit == common::Exit::Yes;
    if found {
        // One type's answer does not hide that another has none.
        for lookup in all {
            if let Some(failure) = &lookup.failure {
                io.report.line(format_args!(
                    "{}: {}: {}",
                    common::text::escape(lookup.name.as_bytes()),
                    lookup.query_type,
                    common::text::escape(failure.message.as_bytes())
                ));
            }
        }
    }
    let worst = all.iter().max_by_key(|l| l.exit().code());
    let Some(worst) = worst.filter(|_| !found) else {
        return io.out.flush();
    };
    let types: Vec<&str> = all.iter().map(|l| l.query_type.as_str()).collect();
    let types = types.join(",");
    let name = common::text::escape(worst.name.as_bytes());
    if !io.json && !any && form == Form::Long {
        io.out
            .line(format_args!("{name}\t{types}\t-\t{}", worst.status.name()))?;
    }
    match (&worst.failure, &worst.status) {
        (Some(failure), _) => io.report.line(format_args!(
            "{name}: {}",
            common::text::escape(failure.message.as_bytes())
        )),
        (None, _) if quiet || form == Form::Long || io.json => {}
        (None, Status::NoSuchName) => io
            .report
            .line(format_args!("{name}: no such name (NXDOMAIN)")),
        (None, _) => io
            .report
            .line(format_args!("{name}: no data of type {types} (NODATA)")),
    }
    io.out.flush()
}

/// Writes one value.
pub(crate) fn value(io: &mut Io, form: Form, name: &str, shown: &lookup::Shown) -> Result<()> {
    match form {
        Form::Short => io.out.line(&shown.data),
        Form::Long | Form::Full => io.out.line(format_args!(
            "{}\t{}\t{}",
            common::text::escape(name.as_bytes()),
            shown.rtype,
            shown.data
        )),
    }
}

fn record(lookup: &Lookup) -> JsonLookup<'_> {
    JsonLookup {
        tag: "lookup",
        name: &lookup.name,
        query_type: &lookup.query_type,
        source: lookup.source,
        server: lookup.server.map(|s| s.to_string()),
        protocol: lookup.protocol.map(|p| match p {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        }),
        status: lookup.status.name(),
        records: lookup
            .records
            .iter()
            .map(|r| JsonRecord {
                name: &r.name,
                rtype: &r.rtype,
                ttl: r.ttl,
                data: &r.data,
            })
            .collect(),
        authenticated: lookup.authenticated,
        elapsed_ms: json::ms(lookup.elapsed),
        tries: lookup.tries,
        error: lookup.failure.as_ref().map(|f| JsonError {
            kind: f.kind.name(),
            message: &f.message,
        }),
    }
}

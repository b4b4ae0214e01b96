//! Lookups as text and as JSON.

use common::app::Io;
use common::text::escape;
use common::{Error, Exit, Result, json};
use serde::Serialize;

use crate::answer::Status;
use crate::drive::Sink;
use crate::full;
use crate::lookup::{self, Lookup, Shown};
use crate::present::{self, Mnemonic};

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
    rtype: String,
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
    query_type: String,
    source: &'static str,
    server: Option<&'a str>,
    protocol: Option<&'static str>,
    status: String,
    records: Vec<JsonRecord<'a>>,
    authenticated: bool,
    elapsed_ms: f64,
    tries: u32,
    error: Option<JsonError<'a>>,
}

/// Writes lookups to standard output and what is to be said about them to
/// standard error.
pub(crate) struct Printer<'a> {
    pub(crate) io: &'a mut Io,
    pub(crate) form: Form,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

impl Sink for Printer<'_> {
    fn lookups(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
        let mut any = false;
        for lookup in lookups {
            any |= self.values(operand, lookup)?;
            if let (true, Some(name)) = (self.verbose, &lookup.searched) {
                self.say(operand, format_args!("asked as {name}"));
            }
        }
        let exit = lookup::exit(lookups);
        self.io.report.raise(exit);
        if exit == Exit::Yes {
            // One type's answer does not hide that another has none.
            for lookup in lookups {
                if let Some(failure) = &lookup.failure {
                    let message = escape(failure.message.as_bytes());
                    self.say(operand, format_args!("{}: {message}", lookup.asked));
                }
            }
            return Ok(());
        }
        let types: Vec<String> = lookups.iter().map(|l| l.asked.to_string()).collect();
        let types = types.join(",");
        let Some(worst) = lookups.iter().max_by_key(|l| l.exit().code()) else {
            return Ok(());
        };
        if !self.io.json && !any && self.form == Form::Long {
            let status = worst.status.name();
            let name = escape(operand.as_bytes());
            self.io
                .out
                .line(format_args!("{name}\t{types}\t-\t{status}"))?;
        }
        match (&worst.failure, &worst.status) {
            (Some(failure), _) => self.say(operand, escape(failure.message.as_bytes())),
            (None, _) if self.quiet || self.form != Form::Short || self.io.json => {}
            (None, Status::NoSuchName) => self.say(operand, "no such name (NXDOMAIN)"),
            (None, Status::Wildcard) => self.say(operand, "only a wildcard has it (WILDCARD)"),
            (None, _) => self.say(operand, format_args!("no data of type {types} (NODATA)")),
        }
        Ok(())
    }

    fn refused(&mut self, error: &Error) -> Result<()> {
        if error.is_stdout_closed() {
            return Err(error.clone());
        }
        self.io.fail(error)
    }

    fn flush(&mut self) -> Result<()> {
        self.io.out.flush()
    }
}

impl Printer<'_> {
    fn say(&self, operand: &str, text: impl std::fmt::Display) {
        let name = escape(operand.as_bytes());
        self.io.report.line(format_args!("{name}: {text}"));
    }

    /// Writes what was found; whether anything was.
    fn values(&mut self, operand: &str, lookup: &Lookup) -> Result<bool> {
        if self.io.json {
            self.io
                .out
                .json(&record(operand, lookup, &lookup.records()))?;
            return Ok(true);
        }
        if let (Form::Full, Some(text)) = (self.form, full::text(lookup)) {
            self.io.out.bytes(text.as_bytes())?;
            return Ok(true);
        }
        let mut any = lookup.streamed;
        for shown in lookup.records().iter().filter(|shown| shown.wanted) {
            any = true;
            self.value(operand, shown)?;
        }
        Ok(any)
    }

    /// Writes one value.
    pub(crate) fn value(&mut self, name: &str, shown: &Shown) -> Result<()> {
        match self.form {
            Form::Short => self.io.out.line(&shown.data),
            Form::Long | Form::Full => self.io.out.line(format_args!(
                "{}\t{}\t{}",
                escape(name.as_bytes()),
                Mnemonic(shown.rtype),
                shown.data
            )),
        }
    }
}

/// The JSON record of one lookup; `records` are its own.
pub(crate) fn record<'a>(
    operand: &'a str,
    lookup: &'a Lookup,
    records: &'a [Shown],
) -> impl Serialize + 'a {
    JsonLookup {
        tag: "lookup",
        name: operand,
        query_type: lookup.asked.to_string(),
        source: lookup.source(),
        server: lookup.server.as_deref(),
        protocol: lookup.protocol.map(crate::server::Protocol::name),
        status: lookup.status.name(),
        records: records
            .iter()
            .map(|r| JsonRecord {
                name: &r.name,
                rtype: present::mnemonic(r.rtype),
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

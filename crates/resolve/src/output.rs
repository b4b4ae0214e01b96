//! Lookups in text formats, and messages about them.

use common::app::Io;
use common::text::escape;
use common::{Error, Result};

use crate::answer::{self, Status};
use crate::dig_format;
use crate::driver::Sink;
use crate::lookup::{self, DisplayRecord, Lookup};
use crate::presentation::{self, Mnemonic};
use crate::{name, records};

/// A text format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Short,
    Long,
    Full,
}

/// Writes lookups to standard output and messages to standard error.
pub(crate) struct Printer<'a> {
    pub(crate) io: &'a mut Io,
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// The operands of the command line, to which hints apply.
    pub(crate) arguments: &'a [String],
}

impl Sink for Printer<'_> {
    fn show_lookup(&mut self, operand: &str, lookup: &Lookup) -> Result<()> {
        self.values(operand, lookup)?;
        let query_type = lookup.query_type;
        if !self.quiet {
            for warning in &lookup.warnings {
                self.message(operand, format_args!("{query_type}: {warning}"));
            }
        }
        if !self.verbose {
            return Ok(());
        }
        if let Some(query_name) = other_query_name(operand, lookup) {
            self.message(operand, format_args!("asked as {query_name}"));
        }
        for (_, failure, _) in &lookup.server_failures {
            if lookup.failure.as_ref() != Some(failure) {
                let message = escape(failure.message.as_bytes());
                self.message(operand, format_args!("{query_type}: {message}"));
            }
        }
        // The message about an RCODE contains the extended errors already.
        if !matches!(lookup.status, Status::Rcode(_)) {
            for error in &lookup.extended_errors {
                self.message(
                    operand,
                    format_args!("{query_type}: extended error: {error}"),
                );
            }
        }
        Ok(())
    }

    fn finish_operand(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
        let exit = lookup::exit(lookups);
        self.io.report.raise(exit);
        let is_found = lookups.iter().any(|l| l.status == Status::Found);
        if is_found {
            // A failure for one type is reported even if another was found.
            for lookup in lookups {
                if let Some(failure) = &lookup.failure {
                    let message = escape(failure.message.as_bytes());
                    self.message(operand, format_args!("{}: {message}", lookup.query_type));
                }
            }
            return Ok(());
        }
        let types: Vec<String> = lookups.iter().map(|l| l.query_type.to_string()).collect();
        let types = types.join(",");
        let Some(worst) = lookups.iter().max_by_key(|l| l.exit().code()) else {
            return Ok(());
        };
        if !self.io.json && self.format == Format::Long && !worst.is_streamed {
            let status = worst.status.name();
            let subject = escape(operand.as_bytes());
            self.io
                .out
                .line(format_args!("{subject}\t{types}\t-\t{status}"))?;
        }
        let mut text = match &worst.failure {
            Some(failure) => escape(failure.message.as_bytes()).into_owned(),
            None if self.quiet || self.format != Format::Short || self.io.json => return Ok(()),
            None => negative_answer(worst, &types),
        };
        if let Some(hint) = self.hint(operand) {
            text.push_str("; ");
            text.push_str(&hint);
        }
        self.message(operand, text);
        Ok(())
    }

    fn report_rejected(&mut self, error: &Error) -> Result<()> {
        if error.is_stdout_closed() {
            return Err(error.clone());
        }
        self.io.fail(error)
    }

    fn flush(&mut self) -> Result<()> {
        self.io.out.flush()
    }
}

/// Describes a negative answer: the name or the data that does not exist, and the
/// extended errors.
fn negative_answer(lookup: &Lookup, types: &str) -> String {
    let target = lookup.alias_target.as_ref().map(answer::show_name);
    let mut text = match (&lookup.status, target) {
        (Status::NoSuchName, None) => "no such name (NXDOMAIN)".to_owned(),
        (Status::NoSuchName, Some(target)) => {
            format!("alias of {target}, which does not exist (NXDOMAIN)")
        }
        (Status::Wildcard, _) => "exists only through a wildcard (WILDCARD)".to_owned(),
        (_, None) => format!("no data of type {types} (NODATA)"),
        (_, Some(target)) => {
            format!("alias of {target}, which has no data of type {types} (NODATA)")
        }
    };
    for error in &lookup.extended_errors {
        text.push_str("; extended error: ");
        text.push_str(error);
    }
    text
}

/// Returns the name that was queried, if it differs from the operand.
fn other_query_name<'l>(operand: &str, lookup: &'l Lookup) -> Option<&'l str> {
    let query_name = lookup.query_name.as_deref()?;
    let own = name::parse(operand).ok()?;
    (lookup.source == lookup::Source::Dns
        && operand.parse::<std::net::IpAddr>().is_err()
        && !presentation::name(&own).eq_ignore_ascii_case(query_name))
    .then_some(query_name)
}

impl Printer<'_> {
    fn message(&self, operand: &str, text: impl std::fmt::Display) {
        let subject = escape(operand.as_bytes());
        self.io.report.line(format_args!("{subject}: {text}"));
    }

    /// Writes all lookups of an operand.
    pub(crate) fn lookups(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
        for lookup in lookups {
            self.show_lookup(operand, lookup)?;
        }
        self.finish_operand(operand, lookups)
    }

    /// Returns a hint if an operand of the command line may have been meant as a
    /// record type or as a file.
    fn hint(&self, operand: &str) -> Option<String> {
        if !self.arguments.iter().any(|argument| argument == operand) {
            return None;
        }
        let upper = operand.to_ascii_uppercase();
        if presentation::is_mnemonic(&upper) {
            return Some(format!("to query type {upper}, use -t {upper}"));
        }
        let is_file = std::path::Path::new(operand).is_file();
        is_file.then(|| {
            format!(
                "use -f {} to read the file with that name",
                escape(operand.as_bytes())
            )
        })
    }

    /// Writes the records of a lookup.
    fn values(&mut self, operand: &str, lookup: &Lookup) -> Result<()> {
        if lookup.is_streamed {
            return Ok(());
        }
        let records = lookup.records();
        if self.io.json {
            return self
                .io
                .out
                .json(&records::record(operand, lookup, &records));
        }
        if let (Format::Full, Some(text)) = (self.format, dig_format::lookup(lookup)) {
            return self.io.out.bytes(text.as_bytes());
        }
        for record in records.iter().filter(|record| record.is_value) {
            self.value(operand, record)?;
        }
        Ok(())
    }

    /// Writes one value, with name and type in the long format.
    pub(crate) fn value(&mut self, name: &str, record: &DisplayRecord) -> Result<()> {
        match self.format {
            Format::Short => self.io.out.line(&record.data),
            Format::Long | Format::Full => self.io.out.line(format_args!(
                "{}\t{}\t{}",
                escape(name.as_bytes()),
                Mnemonic(record.rtype),
                record.data
            )),
        }
    }
}

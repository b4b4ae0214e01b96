//! Lookups as text, and messages about them.

use common::app::Io;
use common::text::escape;
use common::{Error, Result};

use crate::answer::{self, Status};
use crate::drive::Sink;
use crate::full;
use crate::lookup::{self, Lookup, Shown};
use crate::present::{self, Mnemonic};
use crate::{name, records};

/// Which text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
    Full,
}

/// Writes lookups to standard output and what is to be said about them to
/// standard error.
pub(crate) struct Printer<'a> {
    pub(crate) io: &'a mut Io,
    pub(crate) form: Form,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// The operands of the command line, for hints.
    pub(crate) given: &'a [String],
}

impl Sink for Printer<'_> {
    fn lookup(&mut self, operand: &str, lookup: &Lookup) -> Result<()> {
        self.values(operand, lookup)?;
        let asked = lookup.asked;
        if !self.quiet {
            for odd in &lookup.odd {
                self.say(operand, format_args!("{asked}: {odd}"));
            }
        }
        if !self.verbose {
            return Ok(());
        }
        if let Some(asked) = other_name(operand, lookup) {
            self.say(operand, format_args!("asked as {asked}"));
        }
        for (_, failure, _) in &lookup.others {
            if lookup.failure.as_ref() != Some(failure) {
                let message = escape(failure.message.as_bytes());
                self.say(operand, format_args!("{asked}: {message}"));
            }
        }
        if !matches!(lookup.status, Status::Rcode(_)) {
            for note in &lookup.notes {
                self.say(operand, format_args!("{asked}: extended error: {note}"));
            }
        }
        Ok(())
    }

    fn end(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
        let exit = lookup::exit(lookups);
        self.io.report.raise(exit);
        let found = lookups.iter().any(|l| l.status == Status::Found);
        if found {
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
        if !self.io.json && self.form == Form::Long && !worst.streamed {
            let status = worst.status.name();
            let name = escape(operand.as_bytes());
            self.io
                .out
                .line(format_args!("{name}\t{types}\t-\t{status}"))?;
        }
        let mut text = match &worst.failure {
            Some(failure) => escape(failure.message.as_bytes()).into_owned(),
            None if self.quiet || self.form != Form::Short || self.io.json => return Ok(()),
            None => no(worst, &types),
        };
        if let Some(hint) = self.hint(operand) {
            text.push_str("; ");
            text.push_str(&hint);
        }
        self.say(operand, text);
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

/// A "no" as a sentence: the missing name or data, and extended errors.
fn no(lookup: &Lookup, types: &str) -> String {
    let alias = lookup.alias.as_ref();
    let alias = alias.map(|end| answer::listed(std::slice::from_ref(end), ""));
    let mut text = match (&lookup.status, alias) {
        (Status::NoSuchName, None) => "no such name (NXDOMAIN)".to_owned(),
        (Status::NoSuchName, Some(end)) => {
            format!("an alias of {end}, which does not exist (NXDOMAIN)")
        }
        (Status::Wildcard, _) => "matches only a wildcard record (WILDCARD)".to_owned(),
        (_, None) => format!("no data of type {types} (NODATA)"),
        (_, Some(end)) => format!("an alias of {end}, which has no data of type {types} (NODATA)"),
    };
    for note in &lookup.notes {
        text.push_str("; the server says: ");
        text.push_str(note);
    }
    text
}

/// The name asked, if it is not that of the operand.
fn other_name<'l>(operand: &str, lookup: &'l Lookup) -> Option<&'l str> {
    let asked = lookup.query_name.as_deref()?;
    let own = name::parse(operand).ok()?;
    (lookup.origin == lookup::Origin::Dns
        && operand.parse::<std::net::IpAddr>().is_err()
        && !present::name(&own).eq_ignore_ascii_case(asked))
    .then_some(asked)
}

impl Printer<'_> {
    fn say(&self, operand: &str, text: impl std::fmt::Display) {
        let name = escape(operand.as_bytes());
        self.io.report.line(format_args!("{name}: {text}"));
    }

    /// All lookups of an operand at once.
    pub(crate) fn lookups(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
        for lookup in lookups {
            self.lookup(operand, lookup)?;
        }
        self.end(operand, lookups)
    }

    /// What else an operand of the command line may have been meant for.
    fn hint(&self, operand: &str) -> Option<String> {
        if !self.given.iter().any(|given| given == operand) {
            return None;
        }
        let upper = operand.to_ascii_uppercase();
        if present::is_mnemonic(&upper) {
            return Some(format!("types are given with -t {upper}"));
        }
        let is_file = std::path::Path::new(operand).is_file();
        is_file.then(|| {
            format!(
                "-f {} reads the file of that name",
                escape(operand.as_bytes())
            )
        })
    }

    /// Writes the records found.
    fn values(&mut self, operand: &str, lookup: &Lookup) -> Result<()> {
        if lookup.streamed {
            return Ok(());
        }
        let shown = lookup.records();
        if self.io.json {
            return self.io.out.json(&records::record(operand, lookup, &shown));
        }
        if let (Form::Full, Some(text)) = (self.form, full::text(lookup)) {
            return self.io.out.bytes(text.as_bytes());
        }
        for shown in shown.iter().filter(|shown| shown.wanted) {
            self.value(operand, shown)?;
        }
        Ok(())
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

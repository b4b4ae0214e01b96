//! Runs the tool: lookups by the system or by the engine, zone transfers, or one of
//! the other modes.

use std::fmt;
use std::sync::atomic::Ordering;

use common::app::Io;
use common::operands::Operands;
use common::{Exit, Result};
use domain::base::iana::Rtype;

use crate::answer::Status;
use crate::cli::Cli;
use crate::config::{Config, Mode};
use crate::driver::drive;
use crate::engine::{Engine, Settings};
use crate::lookup::{DisplayRecord, Lookup, QueryType};
use crate::operand_reader::{Inputs, OperandReader};
use crate::output::{Format, Printer};
use crate::system::SystemResolver;
use crate::wildcard::WildcardFilter;
use crate::wire::OwnedName;
use crate::wire::reply::Record;
use crate::{diff, dig_format, presentation, records, trace, transfer, watch};

/// Runs the tool and returns its exit status.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli, io)?;
    let arguments = if config.names.is_empty() && !config.files.is_empty() {
        Operands::new(Vec::new(), Box::new(std::io::empty()))
    } else {
        io.operands(&config.names, "a name or address")?
    };
    let operands = Inputs::new(arguments, &config.files);
    let any = operands.any();
    match (&config.mode, &config.dns) {
        (Mode::Trace { roots }, Some(settings)) => {
            trace::run(&config, settings, roots, operands, io)?;
        }
        (Mode::Diff { includes_system }, Some(settings)) => {
            diff::run(&config, settings, *includes_system, operands, io)?;
        }
        (Mode::Watch { interval }, _) => watch::run(&config, *interval, operands, io)?,
        (_, Some(settings)) if config.types.contains(&Rtype::AXFR) => {
            transfer_zones(&config, settings, operands, io)?;
        }
        (_, Some(settings)) => ask_servers(&config, settings, operands, io)?,
        (_, None) => ask_system(&config, operands, io)?,
    }
    if !any.load(Ordering::Relaxed) {
        io.report.line("the list is empty");
        return Ok(Exit::Negative);
    }
    Ok(Exit::Success)
}

fn printer<'a>(config: &'a Config, io: &'a mut Io) -> Printer<'a> {
    Printer {
        io,
        format: config.format,
        quiet: config.quiet,
        verbose: config.verbose,
        arguments: &config.names,
    }
}

/// Looks up all operands by the system's resolver.
fn ask_system(config: &Config, operands: Inputs, io: &mut Io) -> Result<()> {
    let mut reader = OperandReader::new(operands, config.reads_lists)?;
    let mut resolver = SystemResolver::new(config.timeout)?;
    let questions = |text: &str| {
        let target = config.target(text)?;
        Ok(vec![target.system_question(text, config.family)])
    };
    let mut sink = printer(config, io);
    let is_ordered = config.is_ordered;
    let count = drive(&mut resolver, &mut reader, is_ordered, questions, &mut sink)?;
    if config.verbose {
        // The summary follows the answers, even if both streams are one terminal.
        io.out.flush()?;
        let operands = Count(count, "operand", "operands");
        let report = &io.report;
        report.line(format_args!("{operands} looked up by the system"));
    }
    Ok(())
}

/// A number and its noun in the singular and in the plural.
struct Count(u64, &'static str, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, one, many) = self;
        write!(f, "{number} {}", if *number == 1 { one } else { many })
    }
}

/// Looks up all operands by DNS servers.
fn ask_servers(config: &Config, settings: &Settings, operands: Inputs, io: &mut Io) -> Result<()> {
    let mut reader = OperandReader::new(operands, config.reads_lists)?;
    let mut engine = Engine::new(settings.clone())?;
    let requests = |text: &str| config.lookup_requests(text);
    let mut sink = printer(config, io);
    let is_ordered = config.is_ordered;
    let count = if config.filters_wildcards {
        let mut filter = WildcardFilter::new(engine);
        let count = drive(&mut filter, &mut reader, is_ordered, requests, &mut sink)?;
        engine = filter.into_inner();
        count
    } else {
        drive(&mut engine, &mut reader, is_ordered, requests, &mut sink)?
    };
    if config.verbose {
        let stats = engine.stats();
        // The summary follows the answers, even if both streams are one terminal.
        io.out.flush()?;
        io.report.line(format_args!(
            "{}, {}, {} of them repeated, ignored {}",
            Count(count, "operand", "operands"),
            Count(stats.queries, "query", "queries"),
            stats.repeated,
            Count(stats.ignored, "unrelated packet", "unrelated packets"),
        ));
    }
    Ok(())
}

/// Transfers zones, one after the other, and makes the lookups for other types
/// that were requested with AXFR.
fn transfer_zones(
    config: &Config,
    settings: &Settings,
    operands: Inputs,
    io: &mut Io,
) -> Result<()> {
    let mut engine = Engine::new(settings.clone())?;
    for operand in operands {
        let requests = operand.and_then(|operand| match config.lookup_requests(&operand.text) {
            Ok(requests) => Ok((operand.text, requests)),
            Err(error) => Err(operand.error(error)),
        });
        let (text, requests) = match requests {
            Ok(requests) => requests,
            Err(error) => {
                io.fail(&error)?;
                continue;
            }
        };
        let mut lookups = Vec::new();
        for request in requests {
            if request.rtype == Rtype::AXFR {
                lookups.push(transfer_zone(config, settings, &text, &request.name, io)?);
            } else {
                let results = engine.run(vec![request])?;
                lookups.extend(results.into_iter().map(|(_, lookup)| lookup));
            }
        }
        printer(config, io).lookups(&text, &lookups)?;
        io.out.flush()?;
    }
    Ok(())
}

/// Transfers one zone and writes its records while they arrive.
fn transfer_zone(
    config: &Config,
    settings: &Settings,
    text: &str,
    name: &OwnedName,
    io: &mut Io,
) -> Result<Lookup> {
    let json = io.json;
    let query_type = QueryType::Type(Rtype::AXFR);
    let mut head = Lookup::failed(query_type, Status::Timeout, None);
    head.query_name = Some(presentation::name(name));
    let mut printer = printer(config, io);
    let mut has_records = false;
    let mut on_record = |record: &Record<'_>| {
        let to_display = || DisplayRecord {
            name: presentation::name(&record.owner),
            rtype: record.rtype,
            ttl: Some(record.ttl),
            data: record.any_text(),
            is_value: true,
        };
        let is_first = !std::mem::replace(&mut has_records, true);
        if json {
            let out = &mut printer.io.out;
            if is_first {
                out.bytes(&records::begin(text, &head)?)?;
            }
            return out.bytes(&records::next(&to_display(), is_first)?);
        }
        if config.is_format_explicit && config.format != Format::Full {
            let record = to_display();
            return printer.value(&record.name, &record);
        }
        // The default is the format of a zone file: the values alone would be
        // useless without their owners.
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = dig_format::record(&mut line, record);
        printer.io.out.bytes(line.as_bytes())
    };
    let mut lookup = transfer::transfer(settings, name, &mut on_record)?;
    lookup.query_name = head.query_name;
    lookup.is_streamed = has_records;
    if json && has_records {
        io.out.bytes(&records::end(&lookup)?)?;
    }
    Ok(lookup)
}

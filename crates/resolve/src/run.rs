//! What a run does: by the system, by the engine, or one of the other ways.

use std::fmt;
use std::sync::atomic::Ordering;

use common::app::Io;
use common::operands::Operands;
use common::{Exit, Result};
use domain::base::iana::Rtype;

use crate::answer::Status;
use crate::cli::Cli;
use crate::config::{Config, Mode};
use crate::drive::drive;
use crate::engine::{Ask, Engine, Settings};
use crate::lookup::{Asked, Lookup, Shown};
use crate::output::{Form, Printer};
use crate::source::{Inputs, Source};
use crate::system::Pool;
use crate::wildcard::Wildcards;
use crate::wire::OwnedName;
use crate::wire::reply::Record;
use crate::{diff, full, present, records, trace, transfer, watch};

/// Runs the tool.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli, io)?;
    let given = if config.names.is_empty() && !config.files.is_empty() {
        Operands::new(Vec::new(), Box::new(std::io::empty()))
    } else {
        io.operands(&config.names, "a name or address")?
    };
    let operands = Inputs::new(given, &config.files);
    let any = operands.any();
    match (&config.mode, &config.direct) {
        (Mode::Trace { roots }, Some(settings)) => {
            trace::run(&config, settings, roots, operands, io)?;
        }
        (Mode::Diff { system }, Some(settings)) => {
            diff::run(&config, settings, *system, operands, io)?;
        }
        (Mode::Watch { interval }, _) => watch::run(&config, *interval, operands, io)?,
        (_, Some(settings)) if config.types.contains(&Rtype::AXFR) => {
            zones(&config, settings, operands, io)?;
        }
        (_, Some(settings)) => by_dns(&config, settings, operands, io)?,
        (_, None) => by_system(&config, operands, io)?,
    }
    if !any.load(Ordering::Relaxed) {
        io.report.line("the list is empty");
        return Ok(Exit::No);
    }
    Ok(Exit::Yes)
}

fn printer<'a>(config: &'a Config, io: &'a mut Io) -> Printer<'a> {
    Printer {
        io,
        form: config.form,
        quiet: config.quiet,
        verbose: config.verbose,
        given: &config.names,
    }
}

fn by_system(config: &Config, operands: Inputs, io: &mut Io) -> Result<()> {
    let mut source = Source::new(operands, config.reads)?;
    let mut pool = Pool::new(config.timeout)?;
    let plan = |text: &str| {
        let target = config.target(text)?;
        Ok(vec![target.for_system(text, config.family)])
    };
    let mut sink = printer(config, io);
    let count = drive(&mut pool, &mut source, config.ordered, plan, &mut sink)?;
    if config.verbose {
        // After the answers that it sums up.
        io.out.flush()?;
        let operands = Counted(count, "operand", "operands");
        let report = &io.report;
        report.line(format_args!("{operands} looked up by the system"));
    }
    Ok(())
}

/// A number of things: in the singular, and in the plural.
struct Counted(u64, &'static str, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, one, many) = self;
        write!(f, "{number} {}", if *number == 1 { one } else { many })
    }
}

/// The questions that an operand asks.
pub(crate) fn asks(config: &Config, text: &str) -> Result<Vec<Ask>> {
    let target = config.target(text)?;
    let types = config.types(&target);
    let mut more = config.candidates(text, &target);
    let name = more.pop().unwrap_or(target.name);
    let ask = |name, rtype, more| Ask {
        ticket: 0,
        name,
        rtype,
        more,
        only: None,
    };
    let Some((last, others)) = types.split_last() else {
        return Ok(Vec::new());
    };
    let mut asks = Vec::with_capacity(types.len());
    asks.extend(others.iter().map(|t| ask(name.clone(), *t, more.clone())));
    asks.push(ask(name, *last, more));
    Ok(asks)
}

fn by_dns(config: &Config, settings: &Settings, operands: Inputs, io: &mut Io) -> Result<()> {
    let mut source = Source::new(operands, config.reads)?;
    let mut engine = Engine::new(settings.clone())?;
    let plan = |text: &str| asks(config, text);
    let mut sink = printer(config, io);
    let ordered = config.ordered;
    let count = if config.wildcards {
        drive(&mut engine, &mut source, ordered, plan, &mut sink)?
    } else {
        let mut filtered = Wildcards::new(engine);
        let count = drive(&mut filtered, &mut source, ordered, plan, &mut sink)?;
        engine = filtered.into_inner();
        count
    };
    if config.verbose {
        let figures = engine.figures();
        // After the answers that it sums up.
        io.out.flush()?;
        io.report.line(format_args!(
            "{}, {}, {} of them repeated, ignored {}",
            Counted(count, "operand", "operands"),
            Counted(figures.queries, "query", "queries"),
            figures.repeated,
            Counted(figures.ignored, "unrelated packet", "unrelated packets"),
        ));
    }
    Ok(())
}

/// Zone transfers, one after the other, and what else is asked with them.
fn zones(config: &Config, settings: &Settings, operands: Inputs, io: &mut Io) -> Result<()> {
    let mut engine = Engine::new(settings.clone())?;
    for operand in operands {
        let planned = operand.and_then(|operand| match asks(config, &operand.text) {
            Ok(asks) => Ok((operand.text, asks)),
            Err(error) => Err(operand.error(error)),
        });
        let (text, asks) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                io.fail(&error)?;
                continue;
            }
        };
        let mut lookups = Vec::new();
        for ask in asks {
            if ask.rtype == Rtype::AXFR {
                lookups.push(zone(config, settings, &text, &ask.name, io)?);
            } else {
                let done = engine.ask(vec![ask])?;
                lookups.extend(done.into_iter().map(|(_, lookup)| lookup));
            }
        }
        printer(config, io).lookups(&text, &lookups)?;
        io.out.flush()?;
    }
    Ok(())
}

fn zone(
    config: &Config,
    settings: &Settings,
    text: &str,
    name: &OwnedName,
    io: &mut Io,
) -> Result<Lookup> {
    let json = io.json;
    let asked = Asked::Type(Rtype::AXFR);
    let mut head = Lookup::failed(asked, Status::Timeout, None);
    head.query_name = Some(present::name(name));
    let mut sink = printer(config, io);
    let mut begun = false;
    let mut hand = |record: &Record<'_>| {
        let shown = || Shown {
            name: present::name(&record.owner),
            rtype: record.rtype,
            ttl: Some(record.ttl),
            data: record.any_text(),
            wanted: true,
        };
        let first = !std::mem::replace(&mut begun, true);
        if json {
            if first {
                sink.io.out.bytes(&records::begin(text, &head)?)?;
            }
            return sink.io.out.bytes(&records::next(&shown(), first)?);
        }
        if config.explicit && config.form != Form::Full {
            let shown = shown();
            return sink.value(&shown.name, &shown);
        }
        // Whole, as in a zone file: the data alone would say nothing.
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = full::record(&mut line, record);
        sink.io.out.bytes(line.as_bytes())
    };
    let mut lookup = transfer::transfer(settings, name, &mut hand)?;
    lookup.query_name = head.query_name;
    lookup.streamed = begun;
    if json && begun {
        io.out.bytes(&records::end(&lookup)?)?;
    }
    Ok(lookup)
}

//! The commands. Each of them reads its operands, calls the modules that compute, and
//! prints the results.

mod grep;
mod grep_records;
mod info;
mod lists;
mod match_addresses;
mod plan;
mod sets;
mod single;

use std::path::Path;

use common::address::Family;
use common::app::{Cli as _, Io};
use common::{Error, Exit, Kind, Result};
use ipnet::IpNet;

use crate::cli::{Cli, Command};
use crate::input;
use crate::ipset::with_operand_hint;
use crate::operand::{self, Rules};

/// Runs the command of a parsed command line.
pub(crate) fn run(cli: Cli, io: &mut Io) -> Result<Exit> {
    let rules = Rules {
        strict: cli.top_level.reading.strict,
        wildcard: cli.top_level.reading.wildcard,
        family: cli.top_level.reading.family(),
    };
    let Some(command) = cli.command else {
        // Before anything is printed about the others.
        let first = cli.top_level.info.networks.first();
        if let Some(word) = first
            && let Some(error) = Cli::unknown_command(word)
        {
            return Err(if Path::new(word).is_file() {
                with_operand_hint(Error::input(word, "neither a network nor a command"), word)
            } else {
                error
            });
        }
        return info::info(&cli.top_level.info, rules, io);
    };
    if !cli.top_level.info.get.is_empty() {
        return Err(Error::usage("'--get' is an option of 'info' only"));
    }
    if let Some(word) = cli.top_level.info.networks.first() {
        let message = format!("operand {word:?} must come after the command");
        return Err(Error::usage(message));
    }
    match command {
        Command::Info(args) => info::info(&args, rules, io),
        Command::Hosts(args) => lists::hosts(&args, rules, io),
        Command::Split(args) => lists::split(&args, rules, io),
        Command::Sample(args) => lists::sample(&args, rules, io),
        Command::Plan(args) => plan::plan(&args, rules, io),
        Command::Aggregate(args) => sets::aggregate(&args, rules, io),
        Command::Supernet(args) => sets::supernet(&args, rules, io),
        Command::Subtract(args) => sets::subtract(&args, rules, io),
        Command::Intersect(args) => sets::intersect(&args, rules, io),
        Command::Symdiff(args) => sets::symdiff(&args, rules, io),
        Command::Equal(args) => sets::equal(&args, rules, io),
        Command::Diff(args) => sets::diff(&args, rules, io),
        Command::Complement(args) => sets::complement(&args, rules, io),
        Command::Free(args) => sets::free(&args, rules, io),
        Command::Sort(args) => sets::sort(&args, rules, io),
        Command::Count(args) => sets::count(&args, rules, io),
        Command::Overlap(args) => sets::overlap(&args, rules, io),
        Command::Match(args) => match_addresses::match_addresses(&args, rules, io),
        Command::Grep(args) => grep::grep(&args, rules, io),
        Command::Nth(args) => single::nth(&args, rules, io),
        Command::Next(args) => single::step(&args, true, rules, io),
        Command::Prev(args) => single::step(&args, false, rules, io),
        Command::Reverse(args) => single::reverse(&args, rules, io),
        Command::Mask(args) => single::convert_masks(&args, rules, io),
        Command::Eui64(args) => single::eui64(&args, rules, io),
        Command::Ula(args) => single::ula(&args, io),
    }
}

/// Calls `each` for every operand. Reports an error about an operand and continues with
/// the next one; other errors end the run. Flushes the output before it waits for
/// input. `what` names the operand in the error about a missing one.
fn for_each(
    words: &[String],
    what: &str,
    io: &mut Io,
    each: &mut dyn FnMut(&str, &mut Io) -> Result<Exit>,
) -> Result<Exit> {
    let words = operand::join_ranges(words);
    let mut operands = io.operands_or_stdin(&words, what)?.with_files();
    let (mut exit, mut any) = (Exit::Success, false);
    loop {
        if !operands.is_ready() {
            io.out.flush()?;
        }
        let Some(operand) = operands.next() else {
            break;
        };
        let outcome = match operand {
            Ok(mut operand) => {
                if operand.origin.is_some() {
                    let value = input::line_operand(operand.text.as_bytes());
                    operand.text = String::from_utf8_lossy(value).into_owned();
                    if operand.text.is_empty() {
                        continue;
                    }
                }
                any = true;
                each(&operand.text, io).map_err(|error| match error.kind() {
                    Kind::Input if operand.origin.is_none() => {
                        with_operand_hint(operand.error(error), &operand.text)
                    }
                    Kind::Input => operand.error(error),
                    _ => error,
                })
            }
            Err(error) => {
                any = true;
                io.fail(&error)?;
                continue;
            }
        };
        match outcome {
            Ok(one) => exit = exit.and(one),
            Err(error) if error.kind() == Kind::Input => io.fail(&error)?,
            Err(error) => return Err(error),
        }
    }
    if !any {
        io.report.line("the list is empty");
        exit = Exit::Negative;
    }
    Ok(exit)
}

/// Calls `each` for every network as [`for_each`] does, except for networks of an
/// ignored family.
fn for_each_network(
    words: &[String],
    rules: Rules,
    io: &mut Io,
    each: &mut dyn FnMut(IpNet, &mut Io) -> Result<Exit>,
) -> Result<Exit> {
    for_each(words, "a network", io, &mut |text, io| {
        let net = parse_network(text, rules)?;
        if rules.family.admits(&net.addr()) {
            each(net, io)
        } else {
            Ok(Exit::Success)
        }
    })
}

/// Parses an operand that is one network.
fn parse_network(text: &str, rules: Rules) -> Result<IpNet> {
    operand::parse_network(text, rules).map_err(|why| Error::input(text, why))
}

/// Parses the only network of a command, which must be of the selected family.
fn single_network(text: &str, rules: Rules) -> Result<IpNet> {
    let net = parse_network(text, rules)?;
    if rules.family.admits(&net.addr()) {
        return Ok(net);
    }
    let option = if rules.family == Family::V4 {
        "-4"
    } else {
        "-6"
    };
    let other = if rules.family == Family::V4 {
        "IPv6"
    } else {
        "IPv4"
    };
    let message = format!("an {other} network cannot be used with {option}");
    Err(Error::input(text, message))
}

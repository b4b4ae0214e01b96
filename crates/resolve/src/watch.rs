//! `--watch`: repeats the same lookups, and prints new and vanished values with the
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::app::Io;
use common::operands::Operand;
use common::text::escape;
use common::{Result, time};

use crate::backend::Backend;
use crate::config::Config;
use crate::engine::{Engine, LookupRequest};
use crate::lookup::Lookup;
use crate::operand_reader::Inputs;
use crate::presentation;
use crate::records;
use crate::system::SystemResolver;

/// The lines of the last result, by the numbers of operand and type.
type LastResults = BTreeMap<(usize, usize), BTreeSet<String>>;

/// The resolver that performs the lookups.
enum Resolver {
    Dns(Box<Engine>),
    System(SystemResolver),
}

/// Repeats the lookups until the tool is killed.
pub(crate) fn run(
    config: &Config,
    interval: Duration,
    operands: Inputs,
    io: &mut Io,
) -> Result<()> {
    let mut valid: Vec<Operand> = Vec::new();
    for operand in operands {
        let checked = operand.and_then(|operand| match config.target(&operand.text) {
            Ok(_) => Ok(operand),
            Err(error) => Err(operand.error(error)),
        });
        match checked {
            Ok(operand) => valid.push(operand),
            Err(error) => io.fail(&error)?,
        }
    }
    if valid.is_empty() {
        return Ok(());
    }
    let mut resolver = match &config.dns {
        Some(settings) => Resolver::Dns(Box::new(Engine::new(settings.clone())?)),
        None => Resolver::System(SystemResolver::new(config.timeout)?),
    };
    let mut last = LastResults::new();
    let mut next = Instant::now();
    loop {
        for (number, operand) in valid.iter().enumerate() {
            let lookups = resolver.look_up(config, &operand.text)?;
            for (type_number, lookup) in lookups.iter().enumerate() {
                let key = (number, type_number);
                report(io, &operand.text, lookup, last.entry(key).or_default())?;
            }
        }
        io.out.flush()?;
        // A round that took longer than the interval delays the following ones.
        next = (next + interval).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

impl Resolver {
    fn look_up(&mut self, config: &Config, text: &str) -> Result<Vec<Lookup>> {
        match self {
            Self::Dns(engine) => {
                let numbered = (0u64..).zip(config.lookup_requests(text)?);
                let requests = numbered.map(|(token, request)| LookupRequest { token, ..request });
                let mut results = engine.run(requests.collect())?;
                results.sort_by_key(|(token, _)| *token);
                Ok(results.into_iter().map(|(_, lookup)| lookup).collect())
            }
            Self::System(system) => {
                let target = config.target(text)?;
                system.submit(0, target.system_question(text, config.family));
                while !system.is_idle() {
                    system.turn(None, None, &mut || Ok(()))?;
                    let results = system.take_finished();
                    if !results.is_empty() {
                        return Ok(results.into_iter().map(|(_, lookup)| lookup).collect());
                    }
                }
                Ok(Vec::new())
            }
        }
    }
}

/// Prints how a lookup differs from `last`, and updates it.
fn report(io: &mut Io, text: &str, lookup: &Lookup, last: &mut BTreeSet<String>) -> Result<()> {
    let name = escape(text.as_bytes());
    let query_type = lookup.query_type;
    let mut current: BTreeSet<String> = lookup
        .records()
        .iter()
        .filter(|record| record.is_value)
        .map(|record| format!("{}\t{}", presentation::mnemonic(record.rtype), record.data))
        .collect();
    if current.is_empty() {
        current.insert(format!("{query_type}\t-\t{}", lookup.status.name()));
    }
    if current == *last {
        return Ok(());
    }
    if io.json {
        io.out
            .json(&records::record(text, lookup, &lookup.records()))?;
    } else {
        let now = time::now();
        for vanished in last.difference(&current) {
            io.out.line(format_args!("{now}\t-\t{name}\t{vanished}"))?;
        }
        for new in current.difference(last) {
            io.out.line(format_args!("{now}\t+\t{name}\t{new}"))?;
        }
    }
    *last = current;
    Ok(())
}

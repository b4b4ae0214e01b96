//! `--watch`: the same lookups again and again; what is new and what is gone
//! is printed with its time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::app::Io;
use common::operands::Operand;
use common::text::escape;
use common::{Result, time};

use crate::config::Config;
use crate::drive::Backend;
use crate::engine::{Ask, Engine};
use crate::lookup::Lookup;
use crate::records;
use crate::run;
use crate::source::Inputs;
use crate::system::Pool;

/// What was last known of an operand and type: lines as they are printed.
type Seen = BTreeMap<(usize, usize), BTreeSet<String>>;

/// Either way to ask.
enum Ways {
    Dns(Box<Engine>),
    System(Pool),
}

/// Asks until the tool is ended.
pub(crate) fn run(
    config: &Config,
    interval: Duration,
    operands: Inputs,
    io: &mut Io,
) -> Result<()> {
    let mut known: Vec<Operand> = Vec::new();
    for operand in operands {
        let checked = operand.and_then(|operand| match config.target(&operand.text) {
            Ok(_) => Ok(operand),
            Err(error) => Err(operand.error(error)),
        });
        match checked {
            Ok(operand) => known.push(operand),
            Err(error) => io.fail(&error)?,
        }
    }
    if known.is_empty() {
        return Ok(());
    }
    let mut ways = match &config.direct {
        Some(settings) => Ways::Dns(Box::new(Engine::new(settings.clone())?)),
        None => Ways::System(Pool::new(config.timeout)?),
    };
    let mut seen = Seen::new();
    let mut next = Instant::now();
    loop {
        for (number, operand) in known.iter().enumerate() {
            let lookups = ways.look_up(config, &operand.text)?;
            for (which, lookup) in lookups.iter().enumerate() {
                let key = (number, which);
                report(io, &operand.text, lookup, seen.entry(key).or_default())?;
            }
        }
        io.out.flush()?;
        // Evenly; a round that took too long delays the following ones.
        next = (next + interval).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

impl Ways {
    fn look_up(&mut self, config: &Config, text: &str) -> Result<Vec<Lookup>> {
        match self {
            Self::Dns(engine) => {
                let numbered = (0u64..).zip(run::asks(config, text)?);
                let asks = numbered.map(|(ticket, ask)| Ask { ticket, ..ask });
                let mut done = engine.ask(asks.collect())?;
                done.sort_by_key(|(ticket, _)| *ticket);
                Ok(done.into_iter().map(|(_, lookup)| lookup).collect())
            }
            Self::System(pool) => {
                let target = config.target(text)?;
                pool.submit(0, target.for_system(text, config.family));
                while !pool.is_idle() {
                    pool.turn(None, None, &mut || Ok(()))?;
                    let done = pool.done();
                    if !done.is_empty() {
                        return Ok(done.into_iter().map(|(_, lookup)| lookup).collect());
                    }
                }
                Ok(Vec::new())
            }
        }
    }
}

/// Prints how a lookup differs from the last one.
fn report(io: &mut Io, text: &str, lookup: &Lookup, seen: &mut BTreeSet<String>) -> Result<()> {
    let name = escape(text.as_bytes());
    let asked = lookup.asked;
    let mut now: BTreeSet<String> = lookup
        .records()
        .iter()
        .filter(|shown| shown.wanted)
        .map(|shown| format!("{}\t{}", crate::present::mnemonic(shown.rtype), shown.data))
        .collect();
    if now.is_empty() {
        now.insert(format!("{asked}\t-\t{}", lookup.status.name()));
    }
    if now == *seen {
        return Ok(());
    }
    if io.json {
        io.out
            .json(&records::record(text, lookup, &lookup.records()))?;
    } else {
        let moment = time::now();
        for gone in seen.difference(&now) {
            io.out.line(format_args!("{moment}\t-\t{name}\t{gone}"))?;
        }
        for new in now.difference(seen) {
            io.out.line(format_args!("{moment}\t+\t{name}\t{new}"))?;
        }
    }
    *seen = now;
    Ok(())
}

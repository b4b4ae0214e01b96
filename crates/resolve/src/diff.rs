//! `--diff`: what several servers, and perhaps the system, say about the same
//! names. Equal sets of values and equal statuses are equal; otherwise each
//! value that not all have is printed with who has it.

use std::collections::BTreeSet;

use common::address::Family;
use common::app::Io;
use common::text::escape;
use common::{Error, Exit, Result, time};
use domain::base::iana::Rtype;
use serde::Serialize;

use crate::answer::Status;
use crate::config::Config;
use crate::drive::Backend;
use crate::engine::{Ask, Engine, Settings};
use crate::lookup::Lookup;
use crate::source::Inputs;
use crate::system::Pool;
use crate::{present, run};

/// What one of them says: a set of values and a status.
struct Said {
    who: String,
    values: BTreeSet<String>,
    status: Status,
    failure: Option<String>,
    exit: Exit,
}

#[derive(Serialize)]
struct JsonDiff<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    name: &'a str,
    query_type: &'a str,
    server: &'a str,
    data: Option<&'a str>,
    status: String,
    time: String,
}

/// Compares for every operand.
pub(crate) fn run(
    config: &Config,
    settings: &Settings,
    system: bool,
    operands: Inputs,
    io: &mut Io,
) -> Result<()> {
    let mut engine = Engine::new(settings.clone())?;
    let mut pool = if system {
        Some(Pool::new(config.timeout)?)
    } else {
        None
    };
    for operand in operands {
        let planned = operand.and_then(|operand| {
            let asks = run::asks(config, &operand.text).and_then(|asks| match &pool {
                Some(_) => answerable(asks),
                None => Ok(asks),
            });
            match asks {
                Ok(asks) => Ok((operand.text, asks)),
                Err(error) => Err(operand.error(error)),
            }
        });
        let (text, asks) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                io.fail(&error)?;
                continue;
            }
        };
        for ask in asks {
            let rtype = ask.rtype;
            let mut said = by_servers(&mut engine, settings, &ask)?;
            if let Some(pool) = &mut pool {
                said.push(by_system(config, pool, &text, rtype)?);
            }
            show(io, &text, rtype, &said)?;
        }
        io.out.flush()?;
    }
    Ok(())
}

/// The system knows addresses and names of addresses only.
fn answerable(asks: Vec<Ask>) -> Result<Vec<Ask>> {
    let foreign = |ask: &&Ask| !matches!(ask.rtype, Rtype::A | Rtype::AAAA | Rtype::PTR);
    match asks.iter().find(foreign) {
        Some(ask) => Err(Error::usage(format!(
            "the system cannot be asked for {}; name a second server",
            present::mnemonic(ask.rtype)
        ))),
        None => Ok(asks),
    }
}

fn by_servers(engine: &mut Engine, settings: &Settings, ask: &Ask) -> Result<Vec<Said>> {
    let asks = (0..settings.servers.len()).map(|number| Ask {
        ticket: number as u64,
        name: ask.name.clone(),
        rtype: ask.rtype,
        more: ask.more.clone(),
        only: Some(number),
    });
    let mut done = engine.ask(asks.collect())?;
    done.sort_by_key(|(number, _)| *number);
    Ok(done
        .into_iter()
        .map(|(number, lookup)| {
            let who = settings.servers[number as usize].label.to_string();
            said(who, &lookup, str::to_owned)
        })
        .collect())
}

fn by_system(config: &Config, pool: &mut Pool, text: &str, rtype: Rtype) -> Result<Said> {
    let target = config.target(text)?;
    let family = match rtype {
        Rtype::A => Family::V4,
        Rtype::AAAA => Family::V6,
        _ => Family::Any,
    };
    pool.submit(0, target.for_system(text, family));
    loop {
        pool.turn(None, None, &mut || Ok(()))?;
        if let Some((_, lookup)) = pool.done().pop() {
            // libc leaves the final dot off that names of DNS have.
            let absolute = |data: &str| match rtype {
                Rtype::PTR if !data.ends_with('.') => format!("{data}."),
                _ => data.to_owned(),
            };
            return Ok(said("system".to_owned(), &lookup, absolute));
        }
    }
}

fn said(who: String, lookup: &Lookup, form: impl Fn(&str) -> String) -> Said {
    Said {
        who,
        values: lookup
            .records()
            .iter()
            .filter(|shown| shown.wanted)
            .map(|shown| form(&shown.data))
            .collect(),
        status: lookup.status.clone(),
        failure: lookup.failure.as_ref().map(|f| f.message.clone()),
        exit: lookup.exit(),
    }
}

fn show(io: &mut Io, text: &str, rtype: Rtype, all: &[Said]) -> Result<()> {
    for said in all {
        // Without an answer there is nothing to compare.
        if said.exit > Exit::No {
            io.report.raise(said.exit);
            let message = said.failure.as_deref().unwrap_or_default();
            let name = escape(text.as_bytes());
            let message = escape(message.as_bytes());
            io.report.line(format_args!("{name}: {message}"));
        }
    }
    let alike = |a: &Said, b: &Said| a.values == b.values && a.status == b.status;
    if all.windows(2).all(|pair| alike(&pair[0], &pair[1])) {
        return Ok(());
    }
    io.report.raise(Exit::No);
    let query_type = present::mnemonic(rtype);
    let common: BTreeSet<&String> = match all {
        [first, rest @ ..] => first
            .values
            .iter()
            .filter(|value| rest.iter().all(|said| said.values.contains(*value)))
            .collect(),
        [] => BTreeSet::new(),
    };
    for said in all {
        let own: Vec<&String> = said.values.iter().filter(|v| !common.contains(v)).collect();
        let values: Vec<Option<&str>> = if said.values.is_empty() {
            vec![None]
        } else {
            own.into_iter().map(|value| Some(value.as_str())).collect()
        };
        for data in values {
            if io.json {
                io.out.json(&JsonDiff {
                    tag: "diff",
                    name: text,
                    query_type: &query_type,
                    server: &said.who,
                    data,
                    status: said.status.name(),
                    time: time::now(),
                })?;
                continue;
            }
            let (who, name) = (escape(said.who.as_bytes()), escape(text.as_bytes()));
            match data {
                Some(data) => io
                    .out
                    .line(format_args!("{who}\t{name}\t{query_type}\t{data}"))?,
                None => io.out.line(format_args!(
                    "{who}\t{name}\t{query_type}\t-\t{}",
                    said.status.name()
                ))?,
            }
        }
    }
    Ok(())
}

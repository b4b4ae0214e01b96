//! `--diff`: compares the answers of several servers, and of the system if it is
//! one of them. Answers are equal if their sets of values and their statuses are;
//! otherwise each value that is not common to all is printed with its server.

use std::collections::BTreeSet;

use common::address::Family;
use common::app::Io;
use common::text::escape;
use common::{Error, Exit, Result, time};
use domain::base::iana::Rtype;
use serde::Serialize;

use crate::answer::Status;
use crate::backend::Backend;
use crate::config::Config;
use crate::engine::{Engine, LookupRequest, Settings};
use crate::lookup::Lookup;
use crate::operand_reader::Inputs;
use crate::presentation;
use crate::system::SystemResolver;

/// The answer of one server.
struct ServerAnswer {
    server: String,
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

/// Compares the answers about every operand.
pub(crate) fn run(
    config: &Config,
    settings: &Settings,
    includes_system: bool,
    operands: Inputs,
    io: &mut Io,
) -> Result<()> {
    let mut engine = Engine::new(settings.clone())?;
    let mut system = if includes_system {
        Some(SystemResolver::new(config.timeout)?)
    } else {
        None
    };
    for operand in operands {
        let requests = operand.and_then(|operand| {
            let requests = config.lookup_requests(&operand.text);
            let requests = requests.and_then(|requests| {
                if includes_system {
                    check_types(&requests)?;
                }
                Ok(requests)
            });
            match requests {
                Ok(requests) => Ok((operand.text, requests)),
                Err(error) => Err(operand.error(error)),
            }
        });
        let (text, requests) = match requests {
            Ok(requests) => requests,
            Err(error) => {
                io.fail(&error)?;
                continue;
            }
        };
        let mut reported = BTreeSet::new();
        for request in requests {
            let rtype = request.rtype;
            let mut answers = ask_servers(&mut engine, settings, &request)?;
            if let Some(system) = &mut system {
                answers.push(ask_system(config, system, &text, rtype)?);
            }
            report_failures(io, &text, &answers, &mut reported);
            show(io, &text, rtype, &answers)?;
        }
        io.out.flush()?;
    }
    Ok(())
}

/// Fails if a type is requested that the system's resolver does not know.
fn check_types(requests: &[LookupRequest]) -> Result<()> {
    let is_unknown =
        |request: &&LookupRequest| !matches!(request.rtype, Rtype::A | Rtype::AAAA | Rtype::PTR);
    match requests.iter().find(is_unknown) {
        Some(request) => Err(Error::usage(format!(
            "the system's resolver does not support type {}; add a second server",
            presentation::mnemonic(request.rtype)
        ))),
        None => Ok(()),
    }
}

fn ask_servers(
    engine: &mut Engine,
    settings: &Settings,
    request: &LookupRequest,
) -> Result<Vec<ServerAnswer>> {
    let requests = (0..settings.servers.len()).map(|number| LookupRequest {
        token: number as u64,
        name: request.name.clone(),
        rtype: request.rtype,
        candidates: request.candidates.clone(),
        only_server: Some(number),
    });
    let mut results = engine.run(requests.collect())?;
    results.sort_by_key(|(number, _)| *number);
    Ok(results
        .into_iter()
        .map(|(number, lookup)| {
            let server = settings.servers[number as usize].label.to_string();
            server_answer(server, &lookup, str::to_owned)
        })
        .collect())
}

fn ask_system(
    config: &Config,
    system: &mut SystemResolver,
    text: &str,
    rtype: Rtype,
) -> Result<ServerAnswer> {
    let target = config.target(text)?;
    let family = match rtype {
        Rtype::A => Family::V4,
        Rtype::AAAA => Family::V6,
        _ => Family::Any,
    };
    system.submit(0, target.system_question(text, family));
    loop {
        system.turn(None, None, &mut || Ok(()))?;
        if let Some((_, lookup)) = system.take_finished().pop() {
            // Unlike DNS servers, libc returns names without the final dot.
            let with_dot = |data: &str| match rtype {
                Rtype::PTR if !data.ends_with('.') => format!("{data}."),
                _ => data.to_owned(),
            };
            return Ok(server_answer("system".to_owned(), &lookup, with_dot));
        }
    }
}

fn server_answer(
    server: String,
    lookup: &Lookup,
    normalize: impl Fn(&str) -> String,
) -> ServerAnswer {
    ServerAnswer {
        server,
        values: lookup
            .records()
            .iter()
            .filter(|record| record.is_value)
            .map(|record| normalize(&record.data))
            .collect(),
        status: lookup.status.clone(),
        failure: lookup.failure.as_ref().map(|f| f.message.clone()),
        exit: lookup.exit(),
    }
}

/// Reports the servers without an answer, which cannot be compared, and raises the exit
/// status. A message that was `reported` for another type of the operand is not repeated.
fn report_failures(
    io: &mut Io,
    text: &str,
    answers: &[ServerAnswer],
    reported: &mut BTreeSet<String>,
) {
    for answer in answers.iter().filter(|answer| answer.exit > Exit::Negative) {
        io.report.raise(answer.exit);
        let message = answer.failure.as_deref().unwrap_or_default();
        let line = format!(
            "{}: {}",
            escape(text.as_bytes()),
            escape(message.as_bytes())
        );
        if !reported.contains(&line) {
            io.report.line(&line);
            reported.insert(line);
        }
    }
}

/// Prints the values and statuses that differ, and raises the exit status.
fn show(io: &mut Io, text: &str, rtype: Rtype, answers: &[ServerAnswer]) -> Result<()> {
    let are_equal =
        |a: &ServerAnswer, b: &ServerAnswer| a.values == b.values && a.status == b.status;
    if answers.windows(2).all(|pair| are_equal(&pair[0], &pair[1])) {
        return Ok(());
    }
    io.report.raise(Exit::Negative);
    let query_type = presentation::mnemonic(rtype);
    let common: BTreeSet<&String> = match answers {
        [first, rest @ ..] => first
            .values
            .iter()
            .filter(|value| rest.iter().all(|answer| answer.values.contains(*value)))
            .collect(),
        [] => BTreeSet::new(),
    };
    for answer in answers {
        let values: Vec<Option<&str>> = if answer.values.is_empty() {
            vec![None]
        } else {
            let own = answer.values.iter().filter(|v| !common.contains(v));
            own.map(|value| Some(value.as_str())).collect()
        };
        for data in values {
            show_value(io, text, &query_type, answer, data)?;
        }
    }
    Ok(())
}

/// Prints one value of a server, or its status if it has none.
fn show_value(
    io: &mut Io,
    text: &str,
    query_type: &str,
    answer: &ServerAnswer,
    data: Option<&str>,
) -> Result<()> {
    if io.json {
        return io.out.json(&JsonDiff {
            tag: "diff",
            name: text,
            query_type,
            server: &answer.server,
            data,
            status: answer.status.name(),
            time: time::now(),
        });
    }
    let server = escape(answer.server.as_bytes());
    let name = escape(text.as_bytes());
    match data {
        Some(data) => io
            .out
            .line(format_args!("{server}\t{name}\t{query_type}\t{data}")),
        None => io.out.line(format_args!(
            "{server}\t{name}\t{query_type}\t-\t{}",
            answer.status.name()
        )),
    }
}

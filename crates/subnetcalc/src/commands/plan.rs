//! `plan`: a network in parts for given numbers of hosts.

use common::app::Io;
use common::{Error, Exit, Result, text};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::PlanArgs;
use crate::output::shown;
use crate::parse::Rules;
use crate::plan::{self, Request};
use crate::prefix::{Prefix, cover, with_prefix};

use super::the_network;

#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    network: String,
    name: Option<&'a str>,
    asked: Option<String>,
    usable: String,
    free: bool,
}

/// `plan NETWORK [NAME=]HOSTS...`
pub(super) fn plan(args: &PlanArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = the_network(&args.network, rules)?;
    let mut requests = Vec::new();
    for text in &args.parts {
        requests.push(Request::parse(text).map_err(|why| Error::input(text, why))?);
    }
    with_prefix!(net, |prefix| show(prefix, &args.network, &requests, io))
}

fn show<N: Bits>(net: Prefix<N>, text: &str, requests: &[Request], io: &mut Io) -> Result<Exit> {
    let plan = match plan::plan(net, requests) {
        Ok(plan) => plan,
        Err(needed) => {
            let text = text::escape(text.as_bytes());
            let total = net.total();
            io.report.line(match needed {
                Some(needed) => {
                    format!("{text}: does not fit: takes {needed} addresses, there are {total}")
                }
                None => format!(
                    "{text}: does not fit: no IPv{} network is so large",
                    N::FAMILY
                ),
            });
            return Ok(Exit::No);
        }
    };
    for (part, request) in plan.parts {
        let record = Record {
            r#type: "plan",
            network: shown(part),
            name: request.name.as_deref(),
            asked: Some(request.hosts.to_string()),
            usable: part.usable().count().to_string(),
            free: false,
        };
        row(&record, io)?;
    }
    for part in plan.rest.into_iter().flat_map(cover) {
        let record = Record {
            r#type: "plan",
            network: shown(part),
            name: None,
            asked: None,
            usable: part.usable().count().to_string(),
            free: true,
        };
        row(&record, io)?;
    }
    Ok(Exit::Yes)
}

fn row(record: &Record<'_>, io: &mut Io) -> Result<()> {
    if io.json {
        return io.out.json(record);
    }
    let name = match record.name {
        Some(name) => text::escape(name.as_bytes()),
        None if record.free => "free".into(),
        None => "-".into(),
    };
    let asked = record.asked.as_deref().unwrap_or("-");
    io.out.line(format_args!(
        "{}\t{name}\t{asked}\t{}",
        record.network, record.usable
    ))
}

//! `plan`: subnets by number of hosts or by length.

use common::app::Io;
use common::{Error, Exit, Result, text, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::PlanArgs;
use crate::network::Rules;
use crate::output::shown;
use crate::plan::{self, NoPlan, Options, Request};
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
    time: String,
}

/// `plan NETWORK [NAME=]HOSTS...`
pub(super) fn plan(args: &PlanArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = the_network(&args.network, rules)?;
    let mut requests = Vec::new();
    for text in &args.parts {
        requests.push(Request::parse(text).map_err(|why| Error::input(text, why))?);
    }
    let options = Options {
        keep_order: args.keep_order,
        exact: args.exact,
    };
    with_prefix!(net, |prefix| show(
        prefix,
        &args.network,
        &requests,
        options,
        io
    ))
}

fn show<N: Bits>(
    net: Prefix<N>,
    text: &str,
    requests: &[Request],
    options: Options,
    io: &mut Io,
) -> Result<Exit> {
    let plan = match plan::plan(net, requests, options) {
        Ok(plan) => plan,
        Err(why) => {
            let text = text::escape(text.as_bytes());
            let total = net.total();
            // Parts for hosts are /64 at the longest, and this network is longer.
            let hint = if N::FAMILY == 6 && net.length > 64 && !options.exact {
                "; --exact makes parts longer than /64"
            } else {
                ""
            };
            let why = match why {
                NoPlan::Takes(needed) => {
                    format!("takes {needed} addresses, there are {total}{hint}")
                }
                NoPlan::TooLarge => format!("no IPv{} network is that large", N::FAMILY),
                NoPlan::Order => "in this order there are gaps for alignment; \
                                  without --keep-order the largest comes first"
                    .to_owned(),
            };
            io.report.line(format_args!("{text}: does not fit: {why}"));
            return Ok(Exit::No);
        }
    };
    for (part, request) in plan.parts {
        let record = Record {
            r#type: "plan",
            network: shown(part),
            name: request.name.as_deref(),
            asked: Some(request.size.to_string()),
            usable: part.usable().count().to_string(),
            free: false,
            time: time::now(),
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
            time: time::now(),
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

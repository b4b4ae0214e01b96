//! The command `plan`, which divides a network into parts.

use common::app::Io;
use common::{Error, Exit, Result, text, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::PlanArgs;
use crate::operand::Rules;
use crate::output::network_text;
use crate::plan::{self, PlanError, PlanOptions, Request};
use crate::prefix::{Prefix, cover, with_prefix};

use super::single_network;

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

/// Runs `subnetcalc plan NETWORK [NAME=]HOSTS...`.
pub(super) fn plan(args: &PlanArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = single_network(&args.network, rules)?;
    let mut requests = Vec::new();
    for text in &args.parts {
        requests.push(Request::parse(text).map_err(|why| Error::input(text, why))?);
    }
    let options = PlanOptions {
        keep_order: args.keep_order,
        exact: args.exact,
    };
    with_prefix!(net, |prefix| print_plan(
        prefix,
        &args.network,
        &requests,
        options,
        io
    ))
}

/// Prints the plan of a network, or reports why the parts do not fit.
fn print_plan<N: Bits>(
    net: Prefix<N>,
    text: &str,
    requests: &[Request],
    options: PlanOptions,
    io: &mut Io,
) -> Result<Exit> {
    let plan = match plan::plan(net, requests, options) {
        Ok(plan) => plan,
        Err(why) => {
            let text = text::escape(text.as_bytes());
            let total = net.total();
            // The parts are /64 or shorter, but this network is longer.
            let hint = if N::FAMILY == 6 && net.length > 64 && !options.exact {
                "; use --exact for parts longer than /64"
            } else {
                ""
            };
            let why = match why {
                PlanError::TooFewAddresses(needed) => {
                    format!("the parts need {needed} addresses, the network has {total}{hint}")
                }
                PlanError::PartTooLarge => {
                    format!("a part is larger than any IPv{} network", N::FAMILY)
                }
                PlanError::AlignmentGaps => {
                    "alignment leaves gaps between the parts in this order; \
                                     omit --keep-order to put the largest part first"
                        .to_owned()
                }
            };
            io.report.line(format_args!("{text}: does not fit: {why}"));
            return Ok(Exit::Negative);
        }
    };
    for (part, request) in plan.parts {
        let record = Record {
            r#type: "plan",
            network: network_text(part),
            name: request.name.as_deref(),
            asked: Some(request.size.to_string()),
            usable: part.usable().count().to_string(),
            free: false,
            time: time::now(),
        };
        print_row(&record, io)?;
    }
    for part in plan.unused.into_iter().flat_map(cover) {
        let record = Record {
            r#type: "plan",
            network: network_text(part),
            name: None,
            asked: None,
            usable: part.usable().count().to_string(),
            free: true,
            time: time::now(),
        };
        print_row(&record, io)?;
    }
    Ok(Exit::Success)
}

/// Prints a row of the plan as text or JSON.
fn print_row(record: &Record<'_>, io: &mut Io) -> Result<()> {
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

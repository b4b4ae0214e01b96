//! The face of the path MTU search: `ADDR: path MTU 1280`.

use std::net::IpAddr;

use common::app::Io;
use common::{Kind, Result};
use serde::Serialize;

use super::list::named;
use super::undecided;
use crate::clock::Clock;
use crate::event::{Event, Observer, Overdue, Refusal};
use crate::face::json::{self, Record, icmp_kind};
use crate::target::{Target, Targets};

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    mtu: Option<u32>,
    time: String,
}

/// Why no path MTU was found.
fn explain_invalid(target: &Target) -> (Kind, String) {
    match (target.answered, target.last_error) {
        (true, _) => (Kind::Timeout, "not found in time".to_owned()),
        (false, Some(error)) => {
            let from = error.from.map(|from| format!(" (from {from})"));
            let from = from.unwrap_or_default();
            (icmp_kind(&error), format!("{}{from}", error.text()))
        }
        (false, None) => (Kind::Timeout, "no answer".to_owned()),
    }
}

/// The face.
#[derive(Debug)]
pub(crate) struct Mtu;

impl Observer for Mtu {
    fn started(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn event(&mut self, _: &mut Io, _: Clock, _: &Target, _: &Event<'_>) -> Result<()> {
        Ok(())
    }

    fn refused(&mut self, io: &mut Io, clock: Clock, refusal: &Refusal) -> Result<()> {
        io.report.error(&refusal.error);
        if io.json {
            io.out.json(&Record::refused(clock, refusal))?;
        }
        Ok(())
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        let name = named(target);
        let why = match target.mtu {
            Some(_) => None,
            None => Some(explain_invalid(target)),
        };
        if let Some((_, why)) = &why {
            io.report.line(format_args!("{name}: {why}"));
        }
        if !io.json {
            return match target.mtu {
                Some(mtu) => io.out.line(format_args!("{name}: path MTU {mtu}")),
                None => Ok(()),
            };
        }
        if let Some((kind, why)) = why {
            io.out.json(&Record::no_mtu(clock, target, kind, why))?;
        }
        io.out.json(&Found {
            r#type: "mtu",
            target: target.operand(),
            address: target.address,
            mtu: target.mtu,
            time: json::now(clock),
        })
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &Overdue) -> Result<()> {
        undecided(io, targets);
        Ok(())
    }

    fn finish(&mut self, _: &mut Io, _: Clock, _: &Targets, _: u64) -> Result<()> {
        Ok(())
    }
}

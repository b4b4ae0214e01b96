//! The face of the path MTU search: `ADDR: path MTU 1280`.

use std::net::IpAddr;

use common::Result;
use common::app::Io;
use serde::Serialize;

use super::list::named;
use super::undecided;
use crate::clock::Clock;
use crate::event::{Event, Observer, Overdue};
use crate::face::json;
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

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if io.json {
            return io.out.json(&Found {
                r#type: "mtu",
                target: target.operand(),
                address: target.address,
                mtu: target.mtu,
                time: json::now(clock),
            });
        }
        let name = named(target);
        if let Some(mtu) = target.mtu {
            return io.out.line(format_args!("{name}: path MTU {mtu}"));
        }
        let why = if target.answered {
            "not found in time"
        } else {
            "no answer"
        };
        io.report.line(format_args!("{name}: {why}"));
        Ok(())
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &Overdue) -> Result<()> {
        undecided(io, targets);
        Ok(())
    }

    fn finish(&mut self, _: &mut Io, _: Clock, _: &Targets, _: u64) -> Result<()> {
        Ok(())
    }
}

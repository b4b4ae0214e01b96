//! The format of the path MTU search: `ADDR: path MTU 1280`, or records.

use std::net::IpAddr;

use common::app::Io;
use common::{Kind, Result};
use serde::Serialize;

use super::list::display_name;
use super::records::{self, Record};
use crate::clock::Clock;
use crate::event::{Observer, RejectedOperand};
use crate::target::Target;

/// The record of type `mtu`.
#[derive(Debug, Serialize)]
struct MtuRecord {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    mtu: Option<u32>,
    time: String,
}

/// Returns why the path MTU of a target was not found.
fn explain_failure(target: &Target) -> (Kind, String) {
    match (target.has_replied, target.last_error) {
        (true, _) => (Kind::Timeout, "path MTU not found in time".to_owned()),
        (false, Some(error)) => {
            let from = error.from.map(|from| format!(" (from {from})"));
            let text = format!("{}{}", error.text(), from.unwrap_or_default());
            (error.kind(), text)
        }
        (false, None) => (Kind::Timeout, "no reply".to_owned()),
    }
}

/// Prints the path MTU of each target.
#[derive(Debug)]
pub(super) struct Mtu;

impl Observer for Mtu {
    fn operand_rejected(
        &mut self,
        io: &mut Io,
        clock: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        io.report.error(&rejected.error);
        if io.json {
            io.out.json(&Record::rejected(clock, rejected))?;
        }
        Ok(())
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        let name = display_name(target);
        let failure = match target.path_mtu {
            Some(_) => None,
            None => Some(explain_failure(target)),
        };
        if let Some((_, why)) = &failure {
            io.report.line(format_args!("{name}: {why}"));
        }
        if !io.json {
            return match target.path_mtu {
                Some(mtu) => io.out.line(format_args!("{name}: path MTU {mtu}")),
                None => Ok(()),
            };
        }
        if let Some((kind, why)) = failure {
            io.out
                .json(&Record::no_path_mtu(clock, target, kind, why))?;
        }
        io.out.json(&MtuRecord {
            r#type: "mtu",
            target: target.operand(),
            address: target.address,
            mtu: target.path_mtu,
            time: records::now(clock),
        })
    }
}

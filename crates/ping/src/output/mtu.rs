//! The format of the path MTU search: `ADDR: path MTU 1280`, or records.

use std::collections::HashMap;
use std::net::IpAddr;

use common::app::Io;
use common::{Kind, Result};
use serde::Serialize;

use super::explain_unsent;
use super::list::display_name;
use super::records::{self, Record};
use crate::clock::Clock;
use crate::event::{Event, Observer, RejectedOperand, send_error_kind};
use crate::target::{Target, TargetId};

/// The record of type `mtu`.
#[derive(Debug, Serialize)]
struct MtuRecord {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    mtu: Option<u32>,
    time: String,
}

/// Prints the path MTU of each target.
#[derive(Debug, Default)]
pub(super) struct Mtu {
    /// The error number of the last probe that the system refused to send, for
    /// each target that is searched.
    send_errors: HashMap<TargetId, i32>,
}

impl Mtu {
    /// Returns the kind and the text of the reason why the path MTU of a target
    /// was not found.
    fn explain_failure(&self, target: &Target) -> (Kind, String) {
        if target.has_replied {
            return (Kind::Timeout, "path MTU not found in time".to_owned());
        }
        if let Some(error) = target.last_error {
            let from = error.from.map(|from| format!(" (from {from})"));
            let text = format!("{}{}", error.text(), from.unwrap_or_default());
            return (error.kind(), text);
        }
        match self.send_errors.get(&target.id) {
            Some(&errno) => (send_error_kind(errno), explain_unsent(errno, None)),
            None => (Kind::Timeout, "no reply".to_owned()),
        }
    }
}

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

    fn event(&mut self, _: &mut Io, _: Clock, target: &Target, event: &Event<'_>) -> Result<()> {
        if let Event::Unsent { errno, .. } = event {
            self.send_errors.insert(target.id, *errno);
        }
        Ok(())
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        let name = display_name(target);
        let failure = match target.path_mtu {
            Some(_) => None,
            None => Some(self.explain_failure(target)),
        };
        self.send_errors.remove(&target.id);
        if let Some((_, reason)) = &failure {
            io.report.line(format_args!("{name}: {reason}"));
        }
        if !io.json {
            return match target.path_mtu {
                Some(mtu) => io.out.line(format_args!("{name}: path MTU {mtu}")),
                None => Ok(()),
            };
        }
        if let Some((kind, reason)) = failure {
            io.out
                .json(&Record::mtu_not_found(clock, target, kind, reason))?;
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

//! The lines and records of `--trace`, one per query.

use std::time::Duration;

use common::app::Io;
use common::text::escape;
use common::{Result, json, time};
use serde::Serialize;

use super::referral::{NextStep, Zone};
use crate::lookup::Lookup;
use crate::presentation;
use crate::wire::OwnedName;

#[derive(Serialize)]
struct JsonStep<'a> {
    #[serde(rename = "type")]
    tag: &'static str,
    name: &'a str,
    query_type: String,
    zone: &'a str,
    server: Option<&'a str>,
    server_name: Option<&'a str>,
    status: &'a str,
    /// The zone that the reply refers to.
    referral: Option<&'a str>,
    /// The target of the alias in the reply.
    alias: Option<&'a str>,
    duration_ms: Option<f64>,
    time: String,
}

/// One query of a step.
struct TraceLine<'a> {
    server: Option<&'a str>,
    status: &'a str,
    referral: Option<&'a str>,
    alias: Option<&'a str>,
    elapsed: Option<Duration>,
}

/// Shows one step: the servers that failed, then the one that answered, with the
/// time for all of them.
pub(super) fn show(
    io: &mut Io,
    name: &OwnedName,
    zone: &Zone,
    lookup: &Lookup,
    next: &NextStep,
) -> Result<()> {
    let name = presentation::name(name);
    for (server, failure, status) in &lookup.server_failures {
        // The failure of the lookup itself has the last line.
        if lookup.failure.as_ref() != Some(failure) {
            let line = TraceLine {
                server: Some(server),
                status: &status.name(),
                referral: None,
                alias: None,
                elapsed: None,
            };
            line.write(io, &name, zone, lookup)?;
        }
    }
    let (referral, alias) = match next {
        NextStep::Referral(child, _) => (Some(presentation::name(child)), None),
        NextStep::Alias(target) => (None, Some(presentation::name(target))),
        NextStep::Lame | NextStep::End => (None, None),
    };
    let line = TraceLine {
        server: lookup.server.as_deref(),
        status: &match next {
            NextStep::Referral(..) => "REFERRAL".to_owned(),
            NextStep::Alias(_) => "ALIAS".to_owned(),
            NextStep::Lame => "LAME".to_owned(),
            NextStep::End => lookup.status.name(),
        },
        referral: referral.as_deref(),
        alias: alias.as_deref(),
        elapsed: Some(lookup.elapsed),
    };
    line.write(io, &name, zone, lookup)?;
    io.out.flush()
}

impl TraceLine<'_> {
    fn write(&self, io: &mut Io, name: &str, zone: &Zone, lookup: &Lookup) -> Result<()> {
        let server_name = zone
            .servers
            .iter()
            .find(|(_, at)| self.server.is_some_and(|server| at.to_string() == server))
            .map(|(name, _)| name.as_str());
        let zone = presentation::name(&zone.name);
        if io.json {
            return io.out.json(&JsonStep {
                tag: "step",
                name,
                query_type: lookup.query_type.to_string(),
                zone: &zone,
                server: self.server,
                server_name,
                status: self.status,
                referral: self.referral,
                alias: self.alias,
                duration_ms: self.elapsed.map(json::ms),
                time: time::now(),
            });
        }
        let elapsed = self
            .elapsed
            .map(|elapsed| format!("{:.1} ms", json::ms(elapsed)));
        io.out.line(format_args!(
            "{zone}\t{}\t{}\t{}\t{}\t{}",
            self.server.unwrap_or("-"),
            escape(server_name.unwrap_or("-").as_bytes()),
            self.status,
            self.referral.or(self.alias).unwrap_or(name),
            elapsed.as_deref().unwrap_or("-"),
        ))
    }
}

//! `--trace`: resolves a name from the root servers down. Asks the servers of each
//! zone without recursion, and shows each query with the referral it led to.

mod output;
mod referral;

use std::net::SocketAddr;
use std::time::Instant;

use common::Result;
use common::app::Io;
use domain::base::iana::Rtype;
use domain::base::name::ToName as _;

use self::output::show;
use self::referral::{NamedServer, NextStep, Zone, next_step, no_addresses, root_zone};
use crate::answer::{self, Status};
use crate::config::Config;
use crate::engine::{Engine, LookupRequest, Settings};
use crate::lookup::{Failure, Lookup, QueryType};
use crate::operand_reader::Inputs;
use crate::output::Printer;
use crate::presentation;
use crate::server::{Server, Transport};
use crate::wire::OwnedName;
use crate::wire::reply::{Reply, read};

/// The maximum number of steps of one trace, including those after aliases.
const MAX_STEPS: usize = 64;

/// How deeply traces for the addresses of name servers may be nested.
const MAX_DEPTH: usize = 4;

/// The maximum number of servers of a zone that are asked.
const MAX_SERVERS: usize = 16;

/// The state of one trace.
struct Trace<'a> {
    settings: &'a Settings,
    roots: Zone,
    /// The port of all servers.
    port: u16,
    deadline: Instant,
    tries: u32,
    steps: usize,
    /// Zones with servers that are being resolved.
    resolving: Vec<OwnedName>,
}

/// Traces every operand and type.
pub(crate) fn run(
    config: &Config,
    settings: &Settings,
    roots: &[SocketAddr],
    operands: Inputs,
    io: &mut Io,
) -> Result<()> {
    for operand in operands {
        let target = operand.and_then(|operand| match config.target(&operand.text) {
            Ok(target) => Ok((operand.text, target)),
            Err(error) => Err(operand.error(error)),
        });
        let (text, target) = match target {
            Ok(target) => target,
            Err(error) => {
                io.fail(&error)?;
                continue;
            }
        };
        let mut lookups = Vec::new();
        for &rtype in config.types(&target) {
            let started = Instant::now();
            let mut trace = Trace {
                settings,
                roots: root_zone(roots),
                port: roots.first().map_or(53, SocketAddr::port),
                deadline: started + config.timeout,
                tries: 0,
                steps: 0,
                resolving: Vec::new(),
            };
            let mut lookup = trace.resolve(&target.name, rtype, 0, &mut Some(&mut *io))?;
            lookup.elapsed = started.elapsed();
            lookup.tries = trace.tries;
            lookups.push(lookup);
        }
        let mut printer = Printer {
            io,
            format: config.format,
            quiet: config.quiet,
            verbose: config.verbose,
            arguments: &config.names,
        };
        printer.lookups(&text, &lookups)?;
        io.out.flush()?;
    }
    Ok(())
}

impl Trace<'_> {
    /// Resolves a name from the root down. `io` shows the steps; it is `None` for
    /// the names of servers.
    fn resolve(
        &mut self,
        name: &OwnedName,
        rtype: Rtype,
        depth: usize,
        io: &mut Option<&mut Io>,
    ) -> Result<Lookup> {
        let mut name = name.clone();
        let mut names = vec![name.clone()];
        let mut zone = self.roots.clone();
        let mut chain = Vec::new();
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                let why = format!("no answer after {MAX_STEPS} steps");
                return Ok(incomplete(rtype, why));
            }
            let mut lookup = self.ask_zone(&zone, &name, rtype)?;
            let message = lookup.message.clone();
            let reply = message.as_deref().and_then(|bytes| read(bytes).ok());
            let next = reply.as_ref().map_or(NextStep::End, |reply| {
                next_step(reply, &lookup, &zone, &name, rtype)
            });
            if let Some(io) = io {
                show(io, &name, &zone, &lookup, &next)?;
            }
            match (next, &reply) {
                (NextStep::Referral(child, servers), Some(reply)) => {
                    let found = self.addresses(reply, &child, &servers, depth)?;
                    if found.is_empty() {
                        return Ok(incomplete(rtype, no_addresses(&child, &servers)));
                    }
                    (zone.name, zone.servers) = (child, found);
                }
                // The target of an alias may be in any zone.
                (NextStep::Alias(target), _) => {
                    chain.append(&mut lookup.replace_records(Vec::new()));
                    if let Some(first) = names.iter().position(|name| name.name_eq(&target)) {
                        let mut circle = names.split_off(first);
                        circle.push(target);
                        let why = format!("alias loop: {}", answer::join_names(&circle, " -> "));
                        let mut lookup = incomplete(rtype, why);
                        lookup.replace_records(chain);
                        return Ok(lookup);
                    }
                    names.push(target.clone());
                    name = target;
                    zone = self.roots.clone();
                }
                (NextStep::Lame, _) if zone.servers.len() > 1 => {
                    let server = lookup.server.as_deref().unwrap_or_default();
                    zone.servers.retain(|(_, at)| at.to_string() != server);
                }
                (NextStep::Lame | NextStep::End | NextStep::Referral(..), _) => {
                    chain.append(&mut lookup.replace_records(Vec::new()));
                    lookup.replace_records(chain);
                    return Ok(lookup);
                }
            }
        }
    }

    /// Asks the servers of a zone.
    fn ask_zone(&mut self, zone: &Zone, name: &OwnedName, rtype: Rtype) -> Result<Lookup> {
        let time = self.deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            let failure = Failure {
                kind: common::Kind::Timeout,
                message: "timed out; use --timeout to allow more time".to_owned(),
            };
            let query_type = QueryType::Type(rtype);
            return Ok(Lookup::failed(query_type, Status::Timeout, Some(failure)));
        }
        let servers = zone.servers.iter().take(MAX_SERVERS);
        let mut engine = Engine::new(Settings {
            servers: servers
                .map(|(_, at)| Server::new(Transport::Udp(*at)))
                .collect(),
            timeout: time,
            recurse: false,
            is_bulk: false,
            keep_owners: true,
            keep_messages: true,
            accept_referrals: true,
            rotate: false,
            keep_failures: true,
            attempts: None,
            ..self.settings.clone()
        })?;
        let request = LookupRequest {
            token: 0,
            name: name.clone(),
            rtype,
            candidates: Vec::new(),
            only_server: None,
        };
        let result = engine.run(vec![request])?.pop();
        let lookup = result.map_or_else(
            || incomplete(rtype, "no server of the zone answered".to_owned()),
            |(_, lookup)| lookup,
        );
        self.tries += lookup.tries;
        Ok(lookup)
    }

    /// Returns the addresses of a zone's servers: those in the referral, or else by
    /// tracing their names. A server in a zone that is being resolved is skipped.
    fn addresses(
        &mut self,
        reply: &Reply<'_>,
        zone: &OwnedName,
        servers: &[OwnedName],
        depth: usize,
    ) -> Result<Vec<NamedServer>> {
        let mut found = Vec::new();
        for server in servers {
            let glue = reply.additional.iter().filter(|r| r.owner.name_eq(server));
            for record in glue.filter(|r| matches!(r.rtype, Rtype::A | Rtype::AAAA)) {
                if let Ok(address) = record.any_text().parse() {
                    let address = SocketAddr::new(address, self.port);
                    found.push((presentation::name(server), address));
                }
            }
        }
        if !found.is_empty() {
            found.sort_by_key(|(_, at)| at.is_ipv6());
            return Ok(found);
        }
        if depth >= MAX_DEPTH {
            return Ok(found);
        }
        self.resolving.push(zone.clone());
        for server in servers {
            if self.resolving.iter().any(|zone| server.ends_with(zone)) {
                continue;
            }
            for rtype in [Rtype::A, Rtype::AAAA] {
                let lookup = self.resolve(server, rtype, depth + 1, &mut None)?;
                let records = lookup.records();
                let values = records.iter().filter(|record| record.is_value);
                let addresses = values.filter_map(|record| record.data.parse().ok());
                let port = self.port;
                found.extend(
                    addresses.map(|a| (presentation::name(server), SocketAddr::new(a, port))),
                );
            }
            if !found.is_empty() {
                break;
            }
        }
        self.resolving.pop();
        Ok(found)
    }
}

fn incomplete(rtype: Rtype, why: String) -> Lookup {
    let failure = Failure {
        kind: common::Kind::Protocol,
        message: why,
    };
    Lookup::failed(QueryType::Type(rtype), Status::Incomplete, Some(failure))
}

//! `--trace`: resolves a name from the root servers down. Asks the servers of each
//! zone without recursion, and shows each query with the referral it led to.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use common::app::Io;
use common::text::escape;
use common::{Result, json, time};
use domain::base::iana::Rtype;
use domain::base::name::ToName as _;
use serde::Serialize;

use crate::answer::{self, Status};
use crate::config::Config;
use crate::engine::{Engine, LookupRequest, Settings, random_id};
use crate::lookup::{Failure, Lookup, QueryType};
use crate::operand_reader::Inputs;
use crate::output::Printer;
use crate::presentation;
use crate::server::{Server, Transport};
use crate::wire::reply::{Record, Reply, read};
use crate::wire::{OwnedName, Question};

/// The maximum number of steps of one trace, including those after aliases.
const MAX_STEPS: usize = 64;

/// How deeply traces for the addresses of name servers may be nested.
const MAX_DEPTH: usize = 4;

/// The maximum number of servers of a zone that are asked.
const MAX_SERVERS: usize = 16;

/// The letters of the root servers, with their IPv4 and IPv6 addresses as of 2024.
const ROOTS: [(&str, &str, &str); 13] = [
    ("a", "198.41.0.4", "2001:503:ba3e::2:30"),
    ("b", "170.247.170.2", "2801:1b8:10::b"),
    ("c", "192.33.4.12", "2001:500:2::c"),
    ("d", "199.7.91.13", "2001:500:2d::d"),
    ("e", "192.203.230.10", "2001:500:a8::e"),
    ("f", "192.5.5.241", "2001:500:2f::f"),
    ("g", "192.112.36.4", "2001:500:12::d0d"),
    ("h", "198.97.190.53", "2001:500:1::53"),
    ("i", "192.36.148.17", "2001:7fe::53"),
    ("j", "192.58.128.30", "2001:503:c27::2:30"),
    ("k", "193.0.14.129", "2001:7fd::1"),
    ("l", "199.7.83.42", "2001:500:9f::42"),
    ("m", "202.12.27.33", "2001:dc3::35"),
];

/// The name and address of a server.
type NamedServer = (String, SocketAddr);

/// A zone and its servers.
#[derive(Clone, Debug)]
struct Zone {
    name: OwnedName,
    servers: Vec<NamedServer>,
}

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

/// The step that follows a reply.
enum NextStep {
    /// Asks these servers of a zone below.
    Referral(OwnedName, Vec<OwnedName>),
    /// Starts again at the root with the target of an alias.
    Alias(OwnedName),
    /// Asks another server: this one refers to its own zone or upwards.
    Lame,
    /// Ends with an answer or a failure.
    End,
}

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

/// Returns the root zone with the given servers, by default the real ones.
fn root_zone(roots: &[SocketAddr]) -> Zone {
    let name = OwnedName::root_vec();
    if !roots.is_empty() {
        let servers = roots.iter().map(|at| (".".to_owned(), *at)).collect();
        return Zone { name, servers };
    }
    // Starts with a random one, to spread the load.
    let start = usize::from(random_id().unwrap_or(0)) % ROOTS.len();
    let order = ROOTS.iter().cycle().skip(start).take(ROOTS.len());
    let mut servers = Vec::new();
    for (letter, v4, v6) in order {
        let name = format!("{letter}.root-servers.net.");
        for address in [v4, v6]
            .into_iter()
            .filter_map(|a| a.parse::<IpAddr>().ok())
        {
            servers.push((name.clone(), SocketAddr::new(address, 53)));
        }
    }
    servers.sort_by_key(|(_, at)| at.is_ipv6());
    Zone { name, servers }
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
                let why = format!("gave up after {MAX_STEPS} steps");
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
                message: "the trace did not end in time".to_owned(),
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
            || incomplete(rtype, "the lookup has no result".to_owned()),
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

/// Describes a referral to servers without a known address.
fn no_addresses(zone: &OwnedName, servers: &[OwnedName]) -> String {
    let needs_glue = servers.iter().any(|server| server.ends_with(zone));
    format!(
        "no address for the name servers of {}: {}{}",
        answer::show_name(zone),
        answer::join_names(servers, ", "),
        if needs_glue {
            "; the referral lacks glue"
        } else {
            ""
        }
    )
}

/// Returns the step that follows a reply.
fn next_step(
    reply: &Reply<'_>,
    lookup: &Lookup,
    zone: &Zone,
    name: &OwnedName,
    rtype: Rtype,
) -> NextStep {
    if lookup.status != Status::Incomplete {
        return NextStep::End;
    }
    if lookup.records().is_empty() {
        return match delegation(reply, zone, name) {
            Some((child, servers)) => NextStep::Referral(child, servers),
            None => NextStep::Lame,
        };
    }
    alias_target(reply, name, rtype).map_or(NextStep::End, NextStep::Alias)
}

/// Returns the zone that a reply refers to, and its servers. The zone must be below
/// the one that was asked, and must contain the name.
fn delegation(
    reply: &Reply<'_>,
    zone: &Zone,
    name: &OwnedName,
) -> Option<(OwnedName, Vec<OwnedName>)> {
    let is_below = |record: &&Record<'_>| {
        record.rtype == Rtype::NS
            && name.ends_with(&record.owner)
            && record.owner.ends_with(&zone.name)
            && !record.owner.name_eq(&zone.name)
    };
    let first = reply.authority.iter().find(is_below)?;
    let servers = reply
        .authority
        .iter()
        .filter(|r| r.rtype == Rtype::NS && r.owner.name_eq(&first.owner))
        .filter_map(|r| Some(r.target()?.to_vec()));
    Some((first.owner.to_vec(), servers.collect()))
}

/// Returns the end of the alias chain in a reply.
fn alias_target(reply: &Reply<'_>, name: &OwnedName, rtype: Rtype) -> Option<OwnedName> {
    let question = Question::new(name.clone(), rtype);
    let outcome = answer::follow(reply, &question);
    let last = outcome.records.last()?;
    match last.rtype {
        Rtype::CNAME => Some(last.target()?.to_vec()),
        _ => None,
    }
}

fn incomplete(rtype: Rtype, why: String) -> Lookup {
    let failure = Failure {
        kind: common::Kind::Protocol,
        message: why,
    };
    Lookup::failed(QueryType::Type(rtype), Status::Incomplete, Some(failure))
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
fn show(
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

//! `--trace`: from the root servers down, asking each zone's servers without
//! recursion, and saying who referred to whom.

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
use crate::engine::{Ask, Engine, Settings};
use crate::lookup::{Asked, Failure, Lookup};
use crate::output::Printer;
use crate::present;
use crate::server::{Server, Way};
use crate::source::Inputs;
use crate::wire::OwnedName;
use crate::wire::reply::{Reply, read};

/// Steps of one trace, aliases included.
const STEPS_MAX: usize = 64;

/// Name servers without addresses whose names are traced for another's sake.
const DEPTH_MAX: usize = 4;

/// Servers of one zone that are asked at most.
const SERVERS: usize = 16;

/// The root servers, as of 2024: v4 and v6 of each.
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

/// A zone and its servers.
#[derive(Clone, Debug)]
struct Zone {
    name: OwnedName,
    /// What a server is called, and where it is.
    servers: Vec<(String, SocketAddr)>,
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
    /// The zone that it refers to, or the end of an alias.
    referral: Option<&'a str>,
    alias: Option<&'a str>,
    duration_ms: Option<f64>,
    time: String,
}

/// Where a step leads.
enum Next {
    /// To a zone below, and its servers.
    Referral(OwnedName, Vec<OwnedName>),
    /// To another name, from the root.
    Alias(OwnedName),
    /// Back to this zone, or upwards: the server does not have it.
    Lame,
    /// Nowhere: an answer, or a failure.
    End,
}

/// One trace under way.
struct Trace<'a> {
    settings: &'a Settings,
    roots: Zone,
    /// The port of all servers.
    port: u16,
    deadline: Instant,
    tries: u32,
    steps: usize,
    /// Zones whose servers' addresses are being looked for.
    seeking: Vec<OwnedName>,
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
                seeking: Vec::new(),
            };
            let mut lookup = trace.follow(&target.name, rtype, 0, &mut Some(&mut *io))?;
            lookup.elapsed = started.elapsed();
            lookup.tries = trace.tries;
            lookups.push(lookup);
        }
        let mut printer = Printer {
            io,
            form: config.form,
            quiet: config.quiet,
            verbose: config.verbose,
            given: &config.names,
        };
        printer.lookups(&text, &lookups)?;
        io.out.flush()?;
    }
    Ok(())
}

fn root_zone(given: &[SocketAddr]) -> Zone {
    let name = OwnedName::root_vec();
    if !given.is_empty() {
        let servers = given.iter().map(|at| (".".to_owned(), *at)).collect();
        return Zone { name, servers };
    }
    // The first of them by chance, so that not all start with the same.
    let start = usize::from(crate::engine::random_id().unwrap_or(0)) % ROOTS.len();
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
    /// Goes down from the root to an answer. `io` is where steps are shown,
    /// for the name asked but not for those of servers.
    fn follow(
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
            if self.steps > STEPS_MAX {
                let why = format!("gave up after {STEPS_MAX} steps");
                return Ok(incomplete(rtype, why));
            }
            let mut lookup = self.step(&zone, &name, rtype)?;
            let message = lookup.message.clone();
            let reply = message.as_deref().and_then(|bytes| read(bytes).ok());
            let next = reply
                .as_ref()
                .map_or(Next::End, |reply| next(reply, &lookup, &zone, &name, rtype));
            if let Some(io) = io {
                show(io, &name, &zone, &lookup, &next)?;
            }
            match (next, &reply) {
                (Next::Referral(child, servers), Some(reply)) => {
                    let found = self.addresses(reply, &child, &servers, depth)?;
                    if found.is_empty() {
                        return Ok(incomplete(rtype, homeless(&child, &servers)));
                    }
                    (zone.name, zone.servers) = (child, found);
                }
                // An alias leads elsewhere; its end is another zone's business.
                (Next::Alias(end), _) => {
                    chain.append(&mut lookup.replace_records(Vec::new()));
                    if let Some(first) = names.iter().position(|name| name.name_eq(&end)) {
                        let mut circle = names.split_off(first);
                        circle.push(end);
                        let why = format!("alias loop: {}", answer::listed(&circle, " -> "));
                        let mut lookup = incomplete(rtype, why);
                        lookup.replace_records(chain);
                        return Ok(lookup);
                    }
                    names.push(end.clone());
                    name = end;
                    zone = self.roots.clone();
                }
                (Next::Lame, _) if zone.servers.len() > 1 => {
                    let server = lookup.server.as_deref().unwrap_or_default();
                    zone.servers.retain(|(_, at)| at.to_string() != server);
                }
                (Next::Lame | Next::End | Next::Referral(..), _) => {
                    chain.append(&mut lookup.replace_records(Vec::new()));
                    lookup.replace_records(chain);
                    return Ok(lookup);
                }
            }
        }
    }

    /// Asks a zone's servers.
    fn step(&mut self, zone: &Zone, name: &OwnedName, rtype: Rtype) -> Result<Lookup> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let failure = Failure {
                kind: common::Kind::Timeout,
                message: "the trace did not end in time".to_owned(),
            };
            let asked = Asked::Type(rtype);
            return Ok(Lookup::failed(asked, Status::Timeout, Some(failure)));
        }
        let mut engine = Engine::new(Settings {
            servers: zone
                .servers
                .iter()
                .take(SERVERS)
                .map(|(_, at)| Server::at(Way::Udp(*at)))
                .collect(),
            timeout: left,
            recurse: false,
            bulk: false,
            owners: true,
            messages: true,
            referrals: true,
            rotate: false,
            faults: true,
            attempts: None,
            ..self.settings.clone()
        })?;
        let ask = Ask {
            ticket: 0,
            name: name.clone(),
            rtype,
            more: Vec::new(),
            only: None,
        };
        let done = engine.ask(vec![ask])?.pop();
        let lookup = done.map_or_else(
            || incomplete(rtype, "no outcome".to_owned()),
            |(_, lookup)| lookup,
        );
        self.tries += lookup.tries;
        Ok(lookup)
    }

    /// Where the servers of `zone` are: by the referral itself, or by tracing
    /// their names, unless these lie in a zone whose servers are being looked
    /// for.
    fn addresses(
        &mut self,
        reply: &Reply<'_>,
        zone: &OwnedName,
        servers: &[OwnedName],
        depth: usize,
    ) -> Result<Vec<(String, SocketAddr)>> {
        let mut found = Vec::new();
        for server in servers {
            let glue = reply.additional.iter().filter(|r| r.owner.name_eq(server));
            for record in glue.filter(|r| matches!(r.rtype, Rtype::A | Rtype::AAAA)) {
                if let Ok(address) = record.any_text().parse() {
                    found.push((present::name(server), SocketAddr::new(address, self.port)));
                }
            }
        }
        if !found.is_empty() {
            found.sort_by_key(|(_, at)| at.is_ipv6());
            return Ok(found);
        }
        if depth >= DEPTH_MAX {
            return Ok(found);
        }
        self.seeking.push(zone.clone());
        for server in servers {
            if self.seeking.iter().any(|zone| server.ends_with(zone)) {
                continue;
            }
            for rtype in [Rtype::A, Rtype::AAAA] {
                let lookup = self.follow(server, rtype, depth + 1, &mut None)?;
                let records = lookup.records();
                let values = records.iter().filter(|shown| shown.wanted);
                let values = values.filter_map(|shown| shown.data.parse().ok());
                let port = self.port;
                found.extend(values.map(|a| (present::name(server), SocketAddr::new(a, port))));
            }
            if !found.is_empty() {
                break;
            }
        }
        self.seeking.pop();
        Ok(found)
    }
}

/// Why a zone has no server to ask.
fn homeless(zone: &OwnedName, servers: &[OwnedName]) -> String {
    let glue = servers.iter().any(|server| server.ends_with(zone));
    format!(
        "no address for the name servers of {}: {}{}",
        answer::listed(std::slice::from_ref(zone), ""),
        answer::listed(servers, ", "),
        if glue {
            "; the referral lacks glue"
        } else {
            ""
        }
    )
}

/// Where a reply leads.
fn next(reply: &Reply<'_>, lookup: &Lookup, zone: &Zone, name: &OwnedName, rtype: Rtype) -> Next {
    if lookup.status != Status::Incomplete {
        return Next::End;
    }
    if lookup.records().is_empty() {
        return match delegation(reply, zone, name) {
            Some((child, servers)) => Next::Referral(child, servers),
            None => Next::Lame,
        };
    }
    alias(reply, name, rtype).map_or(Next::End, Next::Alias)
}

/// The zone a reply refers to and its servers: one below the zone asked, with
/// the name asked in it.
fn delegation(
    reply: &Reply<'_>,
    zone: &Zone,
    name: &OwnedName,
) -> Option<(OwnedName, Vec<OwnedName>)> {
    let inside = |record: &&crate::wire::reply::Record<'_>| {
        record.rtype == Rtype::NS
            && name.ends_with(&record.owner)
            && record.owner.ends_with(&zone.name)
            && !record.owner.name_eq(&zone.name)
    };
    let first = reply.authority.iter().find(inside)?;
    let servers = reply
        .authority
        .iter()
        .filter(|r| r.rtype == Rtype::NS && r.owner.name_eq(&first.owner))
        .filter_map(|r| Some(r.target()?.to_vec()));
    Some((first.owner.to_vec(), servers.collect()))
}

/// Where the aliases of a reply lead to, as far as it goes.
fn alias(reply: &Reply<'_>, name: &OwnedName, rtype: Rtype) -> Option<OwnedName> {
    let question = crate::wire::Question::new(name.clone(), rtype);
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
    Lookup::failed(Asked::Type(rtype), Status::Incomplete, Some(failure))
}

/// One query of a step.
struct Line<'a> {
    server: Option<&'a str>,
    status: &'a str,
    referral: Option<&'a str>,
    alias: Option<&'a str>,
    elapsed: Option<Duration>,
}

/// One step: the servers that failed, then the one that answered, what it said,
/// and how long all of it took.
fn show(io: &mut Io, name: &OwnedName, zone: &Zone, lookup: &Lookup, next: &Next) -> Result<()> {
    let name = present::name(name);
    for (server, failure, status) in &lookup.others {
        if lookup.failure.as_ref() != Some(failure) {
            let line = Line {
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
        Next::Referral(child, _) => (Some(present::name(child)), None),
        Next::Alias(end) => (None, Some(present::name(end))),
        Next::Lame | Next::End => (None, None),
    };
    let line = Line {
        server: lookup.server.as_deref(),
        status: &match next {
            Next::Referral(..) => "REFERRAL".to_owned(),
            Next::Alias(_) => "ALIAS".to_owned(),
            Next::Lame => "LAME".to_owned(),
            Next::End => lookup.status.name(),
        },
        referral: referral.as_deref(),
        alias: alias.as_deref(),
        elapsed: Some(lookup.elapsed),
    };
    line.write(io, &name, zone, lookup)?;
    io.out.flush()
}

impl Line<'_> {
    fn write(&self, io: &mut Io, name: &str, zone: &Zone, lookup: &Lookup) -> Result<()> {
        let called = zone
            .servers
            .iter()
            .find(|(_, at)| self.server.is_some_and(|server| at.to_string() == server))
            .map(|(name, _)| name.as_str());
        let zone = present::name(&zone.name);
        if io.json {
            return io.out.json(&JsonStep {
                tag: "step",
                name,
                query_type: lookup.asked.to_string(),
                zone: &zone,
                server: self.server,
                server_name: called,
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
            escape(called.unwrap_or("-").as_bytes()),
            self.status,
            self.referral.or(self.alias).unwrap_or(name),
            elapsed.as_deref().unwrap_or("-"),
        ))
    }
}

//! `--trace`: from the root servers down, asking each zone's servers without
//! recursion, and saying who referred to whom.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use common::app::Io;
use common::operands::Operands;
use common::text::escape;
use common::{Result, json};
use domain::base::iana::Rtype;
use domain::base::name::ToName as _;
use serde::Serialize;

use crate::answer::Status;
use crate::config::Config;
use crate::engine::{Ask, Engine, Settings};
use crate::lookup::{Asked, Failure, Lookup};
use crate::output::Printer;
use crate::present;
use crate::server::{Server, Way};
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
    referral: Option<&'a str>,
    elapsed_ms: f64,
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
}

/// Traces every operand and type.
pub(crate) fn run(
    config: &Config,
    settings: &Settings,
    roots: &[SocketAddr],
    operands: Operands,
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
        let mut zone = self.roots.clone();
        let mut chain = Vec::new();
        loop {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Ok(incomplete(rtype, "more steps than any name needs"));
            }
            let mut lookup = self.step(&zone, &name, rtype)?;
            let message = lookup.message.clone();
            let reply = message.as_deref().and_then(|bytes| read(bytes).ok());
            let referral = reply
                .as_ref()
                .filter(|_| lookup.status == Status::Incomplete && lookup.records().is_empty())
                .and_then(|reply| delegation(reply, &zone, &name));
            if let Some(io) = io {
                show(io, &name, &zone, &lookup, referral.as_ref().map(|(n, _)| n))?;
            }
            if let (Some((child, servers)), Some(reply)) = (referral, &reply) {
                let servers = self.addresses(reply, &servers, depth)?;
                if servers.is_empty() {
                    let why = "no address of the servers that the referral names";
                    return Ok(incomplete(rtype, why));
                }
                zone = Zone {
                    name: child,
                    servers,
                };
                continue;
            }
            // An alias leads elsewhere; its end is another zone's business.
            let end = reply.as_ref().and_then(|reply| alias(reply, &name, rtype));
            if let (Some(end), Status::Incomplete) = (end, &lookup.status) {
                chain.append(&mut lookup.replace_records(Vec::new()));
                name = end;
                zone = self.roots.clone();
                continue;
            }
            chain.append(&mut lookup.replace_records(Vec::new()));
            lookup.replace_records(chain);
            return Ok(lookup);
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
        let lookup = done.map_or_else(|| incomplete(rtype, "no outcome"), |(_, lookup)| lookup);
        self.tries += lookup.tries;
        Ok(lookup)
    }

    /// Where servers are: by the referral itself, or by tracing their names.
    fn addresses(
        &mut self,
        reply: &Reply<'_>,
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
        for server in servers {
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
        Ok(found)
    }
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
    let outcome = crate::answer::follow(reply, &question);
    let last = outcome.records.last()?;
    match last.rtype {
        Rtype::CNAME => Some(last.target()?.to_vec()),
        _ => None,
    }
}

fn incomplete(rtype: Rtype, why: &str) -> Lookup {
    let failure = Failure {
        kind: common::Kind::Protocol,
        message: why.to_owned(),
    };
    Lookup::failed(Asked::Type(rtype), Status::Incomplete, Some(failure))
}

/// One step: the zone, the server, what it said, and how long it took.
fn show(
    io: &mut Io,
    name: &OwnedName,
    zone: &Zone,
    lookup: &Lookup,
    referral: Option<&OwnedName>,
) -> Result<()> {
    let server = lookup.server.as_deref();
    let called = zone
        .servers
        .iter()
        .find(|(_, at)| server.is_some_and(|server| at.to_string() == server))
        .map(|(name, _)| name.as_str());
    let (name, zone) = (present::name(name), present::name(&zone.name));
    let referral = referral.map(present::name);
    let status = match referral {
        Some(_) => "REFERRAL".to_owned(),
        None => lookup.status.name(),
    };
    let elapsed = json::ms(lookup.elapsed);
    if io.json {
        io.out.json(&JsonStep {
            tag: "step",
            name: &name,
            query_type: lookup.asked.to_string(),
            zone: &zone,
            server,
            server_name: called,
            status: &status,
            referral: referral.as_deref(),
            elapsed_ms: elapsed,
        })?;
    } else {
        io.out.line(format_args!(
            "{zone}\t{}\t{}\t{status}\t{}\t{elapsed:.1} ms",
            server.unwrap_or("-"),
            escape(called.unwrap_or("-").as_bytes()),
            referral.as_deref().unwrap_or(&name),
        ))?;
    }
    io.out.flush()
}

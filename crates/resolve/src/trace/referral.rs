//! Zones and their servers, and where a reply leads: to the servers of a zone below, to
//! the target of an alias, or to an answer.

use std::net::{IpAddr, SocketAddr};

use domain::base::iana::Rtype;
use domain::base::name::ToName as _;

use crate::answer::{self, Status};
use crate::engine::random_id;
use crate::lookup::Lookup;
use crate::wire::reply::{Record, Reply};
use crate::wire::{OwnedName, Question};

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
pub(super) type NamedServer = (String, SocketAddr);

/// A zone and its servers.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) name: OwnedName,
    pub(super) servers: Vec<NamedServer>,
}

/// The step that follows a reply.
pub(super) enum NextStep {
    /// Asks these servers of a zone below.
    Referral(OwnedName, Vec<OwnedName>),
    /// Starts again at the root with the target of an alias.
    Alias(OwnedName),
    /// Asks another server: this one refers to its own zone or upwards.
    Lame,
    /// Ends with an answer or a failure.
    End,
}

/// Returns the root zone with the given servers, by default the real ones.
pub(super) fn root_zone(roots: &[SocketAddr]) -> Zone {
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

/// Describes a referral to servers without a known address.
pub(super) fn no_addresses(zone: &OwnedName, servers: &[OwnedName]) -> String {
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
pub(super) fn next_step(
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

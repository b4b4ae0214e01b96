//! The answer in a reply: the status, and the records that belong to the requested
//! name after its CNAME and DNAME records have been followed.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::name::{Name, ToLabelIter, ToName};

use crate::presentation;
use crate::wire::reply::{Record, Reply};
use crate::wire::{OwnedName, Question};

/// The maximum number of aliases of a chain; no legitimate chain has more.
const MAX_ALIASES: usize = 20;

/// The status of a lookup, as in JSON and in `NAME TYPE - STATUS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Found,
    NoSuchName,
    NoData,
    Timeout,
    Unreachable,
    Malformed,
    Tls,
    /// An alias loop, an alias chain that the server does not finish, or a referral.
    Incomplete,
    /// The name exists only through a wildcard (`--no-wildcards`).
    Wildcard,
    /// Any other RCODE than NOERROR and NXDOMAIN.
    Rcode(OptRcode),
    /// A local error, not one of a server.
    System,
}

impl Status {
    /// Returns the name of the status in the output.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Found => "NOERROR".to_owned(),
            Self::NoSuchName => "NXDOMAIN".to_owned(),
            Self::NoData => "NODATA".to_owned(),
            Self::Timeout => "TIMEOUT".to_owned(),
            Self::Unreachable => "UNREACHABLE".to_owned(),
            Self::Malformed => "MALFORMED".to_owned(),
            Self::Tls => "TLS".to_owned(),
            Self::Incomplete => "INCOMPLETE".to_owned(),
            Self::Wildcard => "WILDCARD".to_owned(),
            Self::System => "SYSTEM".to_owned(),
            Self::Rcode(code) => rcode_name(*code),
        }
    }

    /// Returns whether it is a final negative answer.
    pub(crate) fn is_negative(&self) -> bool {
        matches!(self, Self::NoSuchName | Self::NoData | Self::Wildcard)
    }
}

/// Returns the name of an RCODE, or `RCODEn` if it has none.
pub(crate) fn rcode_name(code: OptRcode) -> String {
    match code.to_int() {
        0 => "NOERROR".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        16 => "BADVERS".to_owned(),
        n if n > 23 || (12..16).contains(&n) => format!("RCODE{n}"),
        _ => code.to_string(),
    }
}

/// The result of following the aliases of a reply.
#[derive(Debug)]
pub(crate) struct Outcome<'a, 'm> {
    pub(crate) status: Status,
    /// The alias chain, then the records of the requested type at its end with
    /// their signatures. An error or a negative answer has only the chain.
    pub(crate) records: Vec<&'a Record<'m>>,
    /// The name at the end of the alias chain, if there is one.
    pub(crate) alias_target: Option<OwnedName>,
    /// The reason why the answer is incomplete.
    pub(crate) incomplete: Option<IncompleteReason>,
    /// Warnings about inconsistent records.
    pub(crate) warnings: Vec<String>,
}

/// The reason why a reply does not answer the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IncompleteReason {
    /// The aliases form a loop of these names; the first one is also the last.
    Loop(Vec<OwnedName>),
    /// The chain has more than [`MAX_ALIASES`] aliases.
    TooLong,
    /// The chain stops at this alias.
    StopsAt(OwnedName),
    /// The reply names the servers of a zone to be asked instead.
    Referral {
        zone: OwnedName,
        servers: Vec<OwnedName>,
    },
}

/// The maximum number of names that a message lists.
const MAX_NAMES: usize = 6;

/// The maximum number of characters of a name in a message.
const MAX_NAME_LENGTH: usize = 100;

impl IncompleteReason {
    /// Describes an incomplete answer of `server` about `name`.
    pub(crate) fn message(&self, server: &str, name: &str) -> String {
        match self {
            Self::Loop(names) => format!("alias loop: {}", join_names(names, " -> ")),
            Self::TooLong => format!("alias chain of more than {MAX_ALIASES} names"),
            Self::StopsAt(alias) => format!(
                "incomplete answer from {server}: it stops at the alias {}",
                show_name(alias)
            ),
            Self::Referral { zone, .. } if zone.is_root() => format!(
                "{server} is not authoritative for {} and refers upwards (lame)",
                shorten(name)
            ),
            Self::Referral { zone, servers } => format!(
                "{server} refers to the servers of {} ({})",
                show_name(zone),
                join_names(servers, ", ")
            ),
        }
    }
}

/// Formats a name for a message, shortened if it is very long.
pub(crate) fn show_name(name: &OwnedName) -> String {
    shorten(&presentation::name(name)).into_owned()
}

/// Lists names in a message; leaves out some if there are many.
pub(crate) fn join_names(names: &[OwnedName], separator: &str) -> String {
    if names.len() <= MAX_NAMES {
        let shown: Vec<String> = names.iter().map(show_name).collect();
        return shown.join(separator);
    }
    let mut shown: Vec<String> = names[..MAX_NAMES - 1].iter().map(show_name).collect();
    shown.push("...".to_owned());
    shown.extend(names.last().map(show_name));
    shown.join(separator)
}

fn shorten(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_NAME_LENGTH) {
        Some((at, _)) => format!("{}...", &name[..at]).into(),
        None => name.into(),
    }
}

/// Follows CNAME and DNAME records from the requested name, and evaluates the
/// RCODE and the records at the end of the chain.
pub(crate) fn follow<'a, 'm>(reply: &'a Reply<'m>, question: &Question) -> Outcome<'a, 'm> {
    let rtype = question.rtype();
    let owners = OwnerIndex::new(reply);
    let mut outcome = Outcome {
        status: Status::NoData,
        records: Vec::with_capacity(reply.answer.len().min(64)),
        alias_target: None,
        incomplete: None,
        warnings: Vec::new(),
    };
    let is_requested = |record: &Record<'_>| rtype == Rtype::ANY || record.rtype == rtype;
    let mut current: OwnedName = question.name().to_vec();
    let mut names = vec![current.clone()];
    loop {
        let here = owners.records(&current);
        check_aliases(&here, &current, rtype, &mut outcome.warnings);
        let found = here.iter().copied().filter(|record| is_requested(record));
        let before = outcome.records.len();
        if reply.rcode == OptRcode::NOERROR {
            outcome.records.extend(found);
        }
        if outcome.records.len() > before {
            if !matches!(rtype, Rtype::RRSIG | Rtype::ANY) {
                let signatures = here.iter().filter(|r| r.rtype == Rtype::RRSIG);
                outcome.records.extend(signatures);
            }
            outcome.status = Status::Found;
            return outcome;
        }
        let cname = here.iter().find(|record| record.rtype == Rtype::CNAME);
        let alias = match cname {
            Some(record) => record.target().map(|target| (*record, target.to_vec())),
            None => follow_dname(reply, &current),
        };
        let Some((record, target)) = alias else {
            break;
        };
        outcome.records.push(record);
        let repeated = names.iter().position(|name| name.name_eq(&target));
        if repeated.is_some() || names.len() > MAX_ALIASES {
            outcome.incomplete = Some(match repeated {
                Some(first) => {
                    let mut names = names.split_off(first);
                    names.push(target.clone());
                    IncompleteReason::Loop(names)
                }
                None => IncompleteReason::TooLong,
            });
            break;
        }
        names.push(target.clone());
        outcome.alias_target = Some(target.clone());
        current = target;
    }
    outcome.status = match reply.rcode {
        OptRcode::NOERROR if outcome.incomplete.is_some() => Status::Incomplete,
        OptRcode::NOERROR => {
            outcome.incomplete = unproved_nodata(reply, outcome.alias_target.as_ref());
            match outcome.incomplete {
                Some(_) => Status::Incomplete,
                None => Status::NoData,
            }
        }
        OptRcode::NXDOMAIN => Status::NoSuchName,
        other => Status::Rcode(other),
    };
    outcome
}

/// Returns why a reply without requested records does not prove that there are
/// none. It does if it has the zone's SOA, or if the server was asked to follow
/// aliases and is able to.
fn unproved_nodata(
    reply: &Reply<'_>,
    alias_target: Option<&OwnedName>,
) -> Option<IncompleteReason> {
    let of_type = |rtype| reply.authority.iter().filter(move |r| r.rtype == rtype);
    if of_type(Rtype::SOA).next().is_some() {
        return None;
    }
    let first = of_type(Rtype::NS).next();
    if let Some(first) = first.filter(|_| !reply.authoritative) {
        let zone = first.owner.to_vec();
        let servers = of_type(Rtype::NS).filter(|r| r.owner.name_eq(&zone));
        let servers = servers.filter_map(|r| Some(r.target()?.to_vec()));
        return Some(IncompleteReason::Referral {
            // One more than a message lists, so that it shows that it left some out.
            servers: servers.take(MAX_NAMES + 1).collect(),
            zone,
        });
    }
    let is_recursive = reply.recursion_available && reply.recursion_desired && first.is_none();
    match alias_target {
        Some(target) if !is_recursive => Some(IncompleteReason::StopsAt(target.clone())),
        _ => None,
    }
}

/// Warns about several aliases of a name, and about an alias together with other data
/// (RFC 1034, section 3.6.2; RFC 2181, section 10.1).
fn check_aliases(here: &[&Record<'_>], name: &OwnedName, rtype: Rtype, warnings: &mut Vec<String>) {
    let mut aliases = here.iter().filter(|record| record.rtype == Rtype::CNAME);
    let Some(first) = aliases.next().filter(|_| rtype != Rtype::ANY) else {
        return;
    };
    if aliases.any(|other| other.data() != first.data()) {
        warnings.push(format!("{} has several CNAME records", show_name(name)));
    }
    let is_other_data = |record: &&&Record<'_>| {
        !matches!(
            record.rtype,
            Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC | Rtype::KEY
        )
    };
    if here.iter().any(|record| is_other_data(&record)) {
        warnings.push(format!(
            "{} has a CNAME record and other data",
            show_name(name)
        ));
    }
}

/// Finds the records of the answer section by owner. Owners are hashed if there
/// are many: comparing long and almost equal names with each name of a chain would
/// take a very long time.
struct OwnerIndex<'a, 'm> {
    reply: &'a Reply<'m>,
    hashes: Vec<u64>,
}

/// The maximum number of records in an answer for which the owners are not hashed.
const MAX_UNHASHED: usize = 16;

impl<'a, 'm> OwnerIndex<'a, 'm> {
    fn new(reply: &'a Reply<'m>) -> Self {
        let is_large = reply.answer.len() > MAX_UNHASHED;
        let hashed = reply.answer.iter().filter(|_| is_large);
        Self {
            reply,
            hashes: hashed.map(|record| hash(&record.owner)).collect(),
        }
    }

    /// Returns the records of class IN with this owner.
    fn records(&self, owner: &OwnedName) -> Vec<&'a Record<'m>> {
        let wanted = (!self.hashes.is_empty()).then(|| hash(owner));
        let all = self.reply.answer.iter().enumerate();
        all.filter(|(number, record)| {
            record.class == Class::IN
                && wanted.is_none_or(|wanted| self.hashes.get(*number) == Some(&wanted))
                && record.owner.name_eq(owner)
        })
        .map(|(_, record)| record)
        .collect()
    }
}

fn hash(name: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Returns the DNAME record above `name` and the name it redirects to (RFC 6672).
fn follow_dname<'a, 'm, N>(reply: &'a Reply<'m>, name: &N) -> Option<(&'a Record<'m>, OwnedName)>
where
    N: ToName + ToLabelIter,
{
    let is_above = |r: &&Record<'_>| {
        r.rtype == Rtype::DNAME
            && r.class == Class::IN
            && !r.owner.name_eq(name)
            && name.ends_with(&r.owner)
    };
    reply.answer.iter().filter(is_above).find_map(|record| {
        let target = record.target()?.to_vec();
        let redirected = replace_suffix(&name.to_vec(), &record.owner.to_vec(), &target)?;
        Some((record, redirected))
    })
}

/// Replaces the suffix `from` of a name with `to`. Returns `None` if the result is
/// too long for a name.
fn replace_suffix(name: &OwnedName, from: &OwnedName, to: &OwnedName) -> Option<OwnedName> {
    let keep = name.as_slice().len().checked_sub(from.as_slice().len())?;
    let mut wire = name.as_slice()[..keep].to_vec();
    wire.extend_from_slice(to.as_slice());
    Name::from_octets(wire).ok()
}

#[cfg(test)]
mod tests;

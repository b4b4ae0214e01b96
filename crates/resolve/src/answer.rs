//! What a reply says about the name asked: the records that belong to it and
//! a status, after following CNAME and DNAME.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::name::{Name, ToLabelIter, ToName};

use crate::present;
use crate::wire::reply::{Record, Reply};
use crate::wire::{OwnedName, Question};

/// More links than any honest chain has.
const LINKS_MAX: usize = 20;

/// The status of a lookup, as JSON and `NAME TYPE - STATUS` give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Found,
    NoSuchName,
    NoData,
    Timeout,
    Unreachable,
    Malformed,
    Tls,
    /// A loop, a chain the server does not finish, a referral.
    Incomplete,
    /// There only because a wildcard is (`--no-wildcards`).
    Wildcard,
    /// Another RCODE.
    Rcode(OptRcode),
    /// A fault of this machine.
    System,
}

impl Status {
    /// The name of it.
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
            Self::Rcode(code) => rcode(*code),
        }
    }

    /// Whether it is a final "no".
    pub(crate) fn is_no(&self) -> bool {
        matches!(self, Self::NoSuchName | Self::NoData | Self::Wildcard)
    }
}

/// An RCODE's name, `RCODEn` for one without.
pub(crate) fn rcode(code: OptRcode) -> String {
    match code.to_int() {
        0 => "NOERROR".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        16 => "BADVERS".to_owned(),
        n if n > 23 || (12..16).contains(&n) => format!("RCODE{n}"),
        _ => code.to_string(),
    }
}

/// What a reply says about the name asked.
#[derive(Debug)]
pub(crate) struct Outcome<'a, 'm> {
    pub(crate) status: Status,
    /// The chain from the name asked, then the records of the type at its end
    /// with their signatures. Records of other names and types do not count,
    /// nor does anything but the chain in an answer that is a failure or a no.
    pub(crate) records: Vec<&'a Record<'m>>,
    /// The name at the end of the chain, if there is a chain.
    pub(crate) end: Option<OwnedName>,
    /// Why it is incomplete.
    pub(crate) gap: Option<Gap>,
    /// What the records should not be, as sentences.
    pub(crate) odd: Vec<String>,
}

/// Why a reply is not an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Aliases in a circle: the names of it, the first one last again.
    Loop(Vec<OwnedName>),
    /// A chain of more links than any honest one has.
    TooLong,
    /// The chain stops at this alias.
    Stops(OwnedName),
    /// The servers of a zone are to be asked instead.
    Referral {
        zone: OwnedName,
        servers: Vec<OwnedName>,
    },
}

/// Names of servers or of a circle that a sentence lists, and the characters
/// of each.
const NAMES_MAX: usize = 6;
const NAME_MAX: usize = 100;

impl Gap {
    /// What is wrong with the answer of `server` about `name`.
    pub(crate) fn sentence(&self, server: &str, name: &str) -> String {
        match self {
            Self::Loop(names) => format!("alias loop: {}", listed(names, " -> ")),
            Self::TooLong => format!("more than {LINKS_MAX} aliases, one after the other"),
            Self::Stops(at) => format!(
                "incomplete answer from {server}: it stops at the alias {}",
                listed(std::slice::from_ref(at), "")
            ),
            Self::Referral { zone, .. } if zone.is_root() => format!(
                "{server} is not authoritative for {} and refers upwards (lame)",
                cut(name)
            ),
            Self::Referral { zone, servers } => format!(
                "{server} refers to the servers of {} ({})",
                listed(std::slice::from_ref(zone), ""),
                listed(servers, ", ")
            ),
        }
    }
}

/// Some names in a row, none of them at any length.
pub(crate) fn listed(names: &[OwnedName], between: &str) -> String {
    let shown = |name: &OwnedName| cut(&present::name(name)).into_owned();
    if names.len() <= NAMES_MAX {
        return names.iter().map(shown).collect::<Vec<_>>().join(between);
    }
    let mut parts: Vec<String> = names[..NAMES_MAX - 1].iter().map(shown).collect();
    parts.push("...".to_owned());
    parts.extend(names.last().map(shown));
    parts.join(between)
}

fn cut(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(NAME_MAX) {
        Some((at, _)) => format!("{}...", &name[..at]).into(),
        None => name.into(),
    }
}

/// Judges a reply by its RCODE, and follows CNAME and DNAME from the name
/// asked.
pub(crate) fn follow<'a, 'm>(reply: &'a Reply<'m>, question: &Question) -> Outcome<'a, 'm> {
    let rtype = question.rtype();
    let owners = Owners::new(reply);
    let mut outcome = Outcome {
        status: Status::NoData,
        records: Vec::with_capacity(reply.answer.len().min(64)),
        end: None,
        gap: None,
        odd: Vec::new(),
    };
    let wanted = |record: &Record<'_>| rtype == Rtype::ANY || record.rtype == rtype;
    let mut at: OwnedName = question.name().to_vec();
    let mut names = vec![at.clone()];
    loop {
        let here = owners.records(&at);
        odd(&here, &at, rtype, &mut outcome.odd);
        let found = here.iter().copied().filter(|record| wanted(record));
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
        let alias = here.iter().find(|record| record.rtype == Rtype::CNAME);
        let step = match alias {
            Some(link) => link.target().map(|to| (*link, to.to_vec())),
            None => redirect(reply, &at),
        };
        let Some((link, next)) = step else {
            break;
        };
        outcome.records.push(link);
        let again = names.iter().position(|name| name.name_eq(&next));
        if again.is_some() || names.len() > LINKS_MAX {
            outcome.gap = Some(match again {
                Some(first) => {
                    let mut circle = names.split_off(first);
                    circle.push(next.clone());
                    Gap::Loop(circle)
                }
                None => Gap::TooLong,
            });
            break;
        }
        names.push(next.clone());
        outcome.end = Some(next.clone());
        at = next;
    }
    outcome.status = match reply.rcode {
        OptRcode::NOERROR if outcome.gap.is_some() => Status::Incomplete,
        OptRcode::NOERROR => {
            outcome.gap = gap(reply, outcome.end.as_ref());
            match outcome.gap {
                Some(_) => Status::Incomplete,
                None => Status::NoData,
            }
        }
        OptRcode::NXDOMAIN => Status::NoSuchName,
        other => Status::Rcode(other),
    };
    outcome
}

/// What an answer without the data asked for lacks before it is a "no data":
/// the SOA of the zone, or the word of a server that was asked to follow aliases
/// and does.
fn gap(reply: &Reply<'_>, end: Option<&OwnedName>) -> Option<Gap> {
    let of = |rtype| reply.authority.iter().filter(move |r| r.rtype == rtype);
    if of(Rtype::SOA).next().is_some() {
        return None;
    }
    let first = of(Rtype::NS).next();
    if let Some(first) = first.filter(|_| !reply.authoritative) {
        let zone = first.owner.to_vec();
        let servers = of(Rtype::NS).filter(|r| r.owner.name_eq(&zone));
        let servers = servers.take(NAMES_MAX + 1);
        let servers = servers.filter_map(|r| Some(r.target()?.to_vec()));
        return Some(Gap::Referral {
            servers: servers.collect(),
            zone,
        });
    }
    let recursive = reply.recursion_available && reply.recursion_desired && first.is_none();
    match end {
        Some(end) if !recursive => Some(Gap::Stops(end.clone())),
        _ => None,
    }
}

/// Names with more aliases than one, or an alias beside other data, against
/// RFC 1034 section 3.6.2 and RFC 2181 section 10.1.
fn odd(here: &[&Record<'_>], at: &OwnedName, rtype: Rtype, sentences: &mut Vec<String>) {
    let mut aliases = here.iter().filter(|record| record.rtype == Rtype::CNAME);
    let Some(first) = aliases.next().filter(|_| rtype != Rtype::ANY) else {
        return;
    };
    let name = || listed(std::slice::from_ref(at), "");
    if aliases.any(|other| other.data() != first.data()) {
        sentences.push(format!("{} has several CNAME records", name()));
    }
    let data = |record: &&&Record<'_>| {
        !matches!(
            record.rtype,
            Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC | Rtype::KEY
        )
    };
    if here.iter().any(|record| data(&record)) {
        sentences.push(format!("{} has a CNAME record and other data", name()));
    }
}

/// The records of the answer section by owner. Owners are hashed if there
/// are many: to compare each with each name of a chain takes long if all of
/// them are long and almost equal.
struct Owners<'a, 'm> {
    reply: &'a Reply<'m>,
    hashes: Vec<u64>,
}

/// Answers of more records have their owners hashed.
const FEW: usize = 16;

impl<'a, 'm> Owners<'a, 'm> {
    fn new(reply: &'a Reply<'m>) -> Self {
        let many = reply.answer.len() > FEW;
        let hashed = reply.answer.iter().filter(|_| many);
        Self {
            reply,
            hashes: hashed.map(|record| hash(&record.owner)).collect(),
        }
    }

    /// Those of class IN and of this owner.
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

/// The DNAME above `at`, and the name it makes of it (RFC 6672).
fn redirect<'a, 'm, N>(reply: &'a Reply<'m>, at: &N) -> Option<(&'a Record<'m>, OwnedName)>
where
    N: ToName + ToLabelIter,
{
    let above = |r: &&Record<'_>| {
        r.rtype == Rtype::DNAME
            && r.class == Class::IN
            && !r.owner.name_eq(at)
            && at.ends_with(&r.owner)
    };
    reply.answer.iter().filter(above).find_map(|record| {
        let to = record.target()?.to_vec();
        Some((
            record,
            substitute(&at.to_vec(), &record.owner.to_vec(), &to)?,
        ))
    })
}

/// `at` with its suffix `from` replaced by `to`; `None` when that is longer
/// than a name can be.
fn substitute(at: &OwnedName, from: &OwnedName, to: &OwnedName) -> Option<OwnedName> {
    let keep = at.as_slice().len().checked_sub(from.as_slice().len())?;
    let mut wire = at.as_slice()[..keep].to_vec();
    wire.extend_from_slice(to.as_slice());
    Name::from_octets(wire).ok()
}

#[cfg(test)]
mod tests;

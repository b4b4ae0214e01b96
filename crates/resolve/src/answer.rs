//! What a reply says about the name asked: the records that belong to it and
//! a status, after following CNAME and DNAME.

use std::fmt::Write;

use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::name::Name;

use crate::codec::{OwnedName, Record, Reply};

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
    /// A loop, a chain the server does not finish, a referral.
    Incomplete,
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
            Self::Incomplete => "INCOMPLETE".to_owned(),
            Self::System => "SYSTEM".to_owned(),
            Self::Rcode(rcode) => match rcode.to_int() {
                16 => "BADVERS".to_owned(),
                n if n > 23 || (12..16).contains(&n) => format!("RCODE{n}"),
                _ => rcode.to_string(),
            },
        }
    }
}

/// The chain from the name asked, then the records of the type at its end.
/// Records of other names and types do not count.
pub(crate) fn follow(reply: &Reply, name: &OwnedName, rtype: Rtype) -> (Status, Vec<Record>) {
    let mut records: Vec<Record> = Vec::new();
    let mut at = name.clone();
    let mut seen = vec![at.clone()];
    let wanted = |record: &Record| rtype == Rtype::ANY || record.rtype == rtype;
    loop {
        let found: Vec<&Record> = of(reply, &at).filter(|r| wanted(r)).collect();
        if !found.is_empty() {
            records.extend(found.into_iter().cloned());
            records.extend(signatures(reply, &at, rtype));
            return (Status::Found, records);
        }
        let Some((link, next)) = step(reply, &at) else {
            break;
        };
        records.push(link.clone());
        if seen.contains(&next) || seen.len() > LINKS_MAX {
            return (Status::Incomplete, records);
        }
        seen.push(next.clone());
        at = next;
    }
    match reply.rcode {
        OptRcode::NOERROR => {}
        OptRcode::NXDOMAIN => return (Status::NoSuchName, records),
        other => return (Status::Rcode(other), records),
    }
    let has = |rtype| reply.authority.iter().any(|r| r.rtype == rtype);
    let referral = !has(Rtype::SOA) && has(Rtype::NS) && !reply.authoritative;
    // A chain that stops without the end's SOA was not finished.
    let unfinished = !records.is_empty() && !has(Rtype::SOA);
    if referral || unfinished {
        return (Status::Incomplete, records);
    }
    (Status::NoData, records)
}

fn of<'a>(reply: &'a Reply, name: &'a OwnedName) -> impl Iterator<Item = &'a Record> {
    reply
        .answer
        .iter()
        .filter(move |r| r.class == Class::IN && r.owner == *name)
}

fn signatures<'a>(
    reply: &'a Reply,
    name: &'a OwnedName,
    rtype: Rtype,
) -> impl Iterator<Item = Record> + 'a {
    of(reply, name)
        .filter(move |r| r.rtype == Rtype::RRSIG && rtype != Rtype::RRSIG && rtype != Rtype::ANY)
        .cloned()
}

/// The record that leads on from `at`, and where to.
fn step<'a>(reply: &'a Reply, at: &'a OwnedName) -> Option<(&'a Record, OwnedName)> {
    if let Some(link) = of(reply, at).find(|r| r.rtype == Rtype::CNAME) {
        return Some((link, link.target.clone()?));
    }
    reply
        .answer
        .iter()
        .filter(|r| r.rtype == Rtype::DNAME && r.class == Class::IN && r.owner != *at)
        .filter(|r| at.ends_with(&r.owner))
        .find_map(|r| Some((r, substitute(at, &r.owner, r.target.as_ref()?)?)))
}

/// `at` with its suffix `from` replaced by `to` (RFC 6672); `None` when that
/// is longer than a name can be.
fn substitute(at: &OwnedName, from: &OwnedName, to: &OwnedName) -> Option<OwnedName> {
    let keep = at.as_slice().len() - from.as_slice().len();
    let mut wire = at.as_slice()[..keep].to_vec();
    wire.extend_from_slice(to.as_slice());
    Name::from_octets(wire).ok()
}

/// dig-like text: header, sections, TTLs.
pub(crate) fn full(reply: &Reply, name: &OwnedName, rtype: Rtype) -> String {
    use crate::present;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        ";; status: {}, id: {}, flags: qr",
        match reply.rcode {
            OptRcode::NOERROR => "NOERROR".to_owned(),
            other => Status::Rcode(other).name(),
        },
        reply.id
    );
    for (set, flag) in [
        (reply.authoritative, " aa"),
        (reply.truncated, " tc"),
        (reply.recursion_available, " ra"),
        (reply.authenticated, " ad"),
    ] {
        if set {
            text.push_str(flag);
        }
    }
    text.push('\n');
    for note in &reply.extended {
        let _ = writeln!(text, ";; {note}");
    }
    if let Some(nsid) = &reply.nsid {
        let _ = writeln!(text, ";; nsid: {nsid}");
    }
    let _ = writeln!(
        text,
        ";; QUESTION\n;{}\tIN\t{}",
        present::name(name),
        present::mnemonic(rtype)
    );
    for (title, records) in [
        ("ANSWER", &reply.answer),
        ("AUTHORITY", &reply.authority),
        ("ADDITIONAL", &reply.additional),
    ] {
        if records.is_empty() {
            continue;
        }
        let _ = writeln!(text, ";; {title}");
        for record in records {
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{}\t{}",
                present::name(&record.owner),
                record.ttl,
                record.class,
                present::mnemonic(record.rtype),
                record.data
            );
        }
    }
    text
}

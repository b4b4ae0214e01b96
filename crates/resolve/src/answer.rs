//! What a reply says about the name asked: the records that belong to it and
//! a status, after following CNAME and DNAME.

use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::name::{Name, ToLabelIter, ToName};

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

/// The chain from the name asked, then the records of the type at its end
/// with their signatures. Records of other names and types do not count.
pub(crate) fn follow<'a, 'm>(
    reply: &'a Reply<'m>,
    question: &Question,
) -> (Status, Vec<&'a Record<'m>>) {
    let rtype = question.rtype();
    let asked = question.name();
    let wanted = |record: &Record<'_>| rtype == Rtype::ANY || record.rtype == rtype;
    let mut records: Vec<&Record<'m>> = Vec::with_capacity(reply.answer.len());
    let mut at: Option<OwnedName> = None;
    let mut seen: Vec<OwnedName> = Vec::new();
    loop {
        let here = |record: &&Record<'m>| {
            record.class == Class::IN
                && match &at {
                    None => record.owner.name_eq(&asked),
                    Some(at) => record.owner.name_eq(at),
                }
        };
        let before = records.len();
        records.extend(reply.answer.iter().filter(here).filter(|r| wanted(r)));
        if records.len() > before {
            if !matches!(rtype, Rtype::RRSIG | Rtype::ANY) {
                let signatures = |r: &&Record<'_>| r.rtype == Rtype::RRSIG;
                records.extend(reply.answer.iter().filter(signatures).filter(here));
            }
            return (Status::Found, records);
        }
        let alias = reply.answer.iter().filter(here);
        let mut alias = alias.filter(|r| r.rtype == Rtype::CNAME);
        let step = match alias.next() {
            Some(link) => link.target().map(|to| (link, to.to_vec())),
            None => match &at {
                None => redirect(reply, &asked),
                Some(at) => redirect(reply, at),
            },
        };
        let Some((link, next)) = step else {
            break;
        };
        records.push(link);
        if next.name_eq(&asked) || seen.contains(&next) || seen.len() > LINKS_MAX {
            return (Status::Incomplete, records);
        }
        seen.push(next.clone());
        at = Some(next);
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
mod tests {
    use super::*;
    use crate::wire::reply::read;
    use domain::base::message_builder::MessageBuilder;
    use domain::rdata::{A, Cname, Dname, Ns};

    fn name(text: &str) -> OwnedName {
        OwnedName::vec_from_str(text).unwrap()
    }

    type Links<'a> = &'a [(&'a str, &'a str)];

    /// A reply with these CNAMEs, DNAMEs and the A records of these owners.
    fn reply(cnames: Links<'_>, dnames: Links<'_>, owners: &[&str], referral: bool) -> Vec<u8> {
        let mut question = MessageBuilder::new_vec().question();
        question.push((name("a.test"), Rtype::A)).unwrap();
        let mut answer = question.answer();
        for (from, to) in cnames {
            answer.push((name(from), 60, Cname::new(name(to)))).unwrap();
        }
        for (from, to) in dnames {
            answer.push((name(from), 60, Dname::new(name(to)))).unwrap();
        }
        for owner in owners {
            answer
                .push((name(owner), 60, A::from_octets(192, 0, 2, 1)))
                .unwrap();
        }
        let mut authority = answer.authority();
        if referral {
            authority
                .push((name("test"), 60, Ns::new(name("ns.test"))))
                .unwrap();
        }
        authority.finish()
    }

    fn status(bytes: &[u8]) -> (Status, usize) {
        let reply = read(bytes).unwrap();
        let (status, records) = follow(&reply, &Question::new(name("A.Test"), Rtype::A));
        (status, records.len())
    }

    #[test]
    fn chains() {
        let found = |n| (Status::Found, n);
        let broken = |n| (Status::Incomplete, n);
        assert_eq!(status(&reply(&[], &[], &["a.test"], false)), found(1));
        assert_eq!(
            status(&reply(&[], &[], &["b.test"], false)),
            (Status::NoData, 0)
        );
        let one = [("a.test", "b.test")];
        assert_eq!(status(&reply(&one, &[], &["b.test"], false)), found(2));
        assert_eq!(status(&reply(&one, &[], &["c.test"], false)), broken(1));
        assert_eq!(
            status(&reply(&[("a.test", "a.test")], &[], &[], false)),
            broken(1)
        );
        let round = [
            ("a.test", "b.test"),
            ("b.test", "c.test"),
            ("c.test", "b.test"),
        ];
        assert_eq!(status(&reply(&round, &[], &[], false)), broken(3));
        let dname = [("test", "example")];
        assert_eq!(status(&reply(&[], &dname, &["a.example"], false)), found(2));
        assert_eq!(status(&reply(&[], &[], &[], true)), broken(0));
    }

    #[test]
    fn a_chain_without_end_ends() {
        let names: Vec<String> = (0..40).map(|n| format!("n{n}.test")).collect();
        let mut links = vec![("a.test", names[0].as_str())];
        links.extend(names.windows(2).map(|w| (w[0].as_str(), w[1].as_str())));
        assert_eq!(
            status(&reply(&links, &[], &["n39.test"], false)).0,
            Status::Incomplete
        );
    }
}

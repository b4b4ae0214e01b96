//! Ways in for the fuzz targets, built only for them: the path of an answer
//! from its bytes to what is printed, and the parsers of what users write.

use domain::base::iana::Rtype;
use domain::base::name::{Name, ToName};
use domain::dep::octseq::Parser;

use crate::answer::{self, Status};
use crate::lookup::{Asked, Lookup};
use crate::wire::reply::{Judged, judge, judge_next, read};
use crate::wire::{Question, edns};
use crate::{full, name, present, resolvconf, server};

/// What is printed is printable and on one line.
fn check(text: &str) {
    assert!(
        text.bytes().all(|b| (0x20..0x7f).contains(&b)),
        "{text:?} is not safe"
    );
}

/// Takes a message for the answer to its own question, and shows all of it.
pub fn message(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let Some(head) = bytes.first_chunk_mut::<12>() else {
        return;
    };
    let id = u16::from_be_bytes([head[0], head[1]]);
    (head[2], head[4], head[5]) = (head[2] & 0x87 | 0x80, 0, 1);
    let mut parser = Parser::from_ref(bytes.as_slice());
    let question = parser
        .advance(12)
        .ok()
        .and_then(|()| Name::parse(&mut parser).ok())
        .and_then(|name: Name<&[u8]>| Some((name.to_vec(), parser.parse_u16_be().ok()?)))
        .map(|(name, rtype)| Question::new(name, Rtype::from_int(rtype)));
    let Some(question) = question else {
        let _ = read(&bytes);
        return;
    };
    let _ = judge_next(&bytes, id, &question);
    let Judged::Reply(reply) = judge(&bytes, id, &question, edns::CookieRule::Ignore) else {
        return;
    };
    let (status, records) = answer::follow(&reply, &question);
    if status == Status::Found {
        assert!(!records.is_empty());
    }
    for record in records {
        check(&present::name(&record.owner));
        check(&record.any_text());
    }
    check(&status.name());
    reply.extended_errors().iter().for_each(|text| check(text));
    let mut lookup = Lookup::failed(Asked::Type(question.rtype()), status, None);
    lookup.message = Some(bytes.clone());
    let text = full::text(&lookup).unwrap_or_default();
    text.lines()
        .for_each(|line| check(&line.replace('\t', " ")));
}

/// Shows record data: a type, then its bytes.
pub fn record(bytes: &[u8]) {
    let Some((rtype, data)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let rtype = Rtype::from_int(u16::from_be_bytes(*rtype));
    let mut parser = Parser::from_ref(data);
    if let Ok(text) = present::rdata(rtype, &mut parser) {
        check(&text);
        assert_eq!(parser.remaining(), 0);
    }
    edns::describe(data).iter().for_each(|line| check(line));
}

/// Reads what users write: names, servers, `resolv.conf`.
pub fn text(text: &str) {
    if let Ok(name) = name::parse(text) {
        let shown = present::name(&name);
        check(&shown);
        assert_eq!(name::parse(&shown).as_ref(), Ok(&name), "{text:?}");
    }
    let _ = server::parse(text);
    assert!(!resolvconf::parse(text).servers.is_empty());
}

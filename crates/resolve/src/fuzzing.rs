//! Ways in for the fuzz targets, built only for them: the path of an answer
//! from its bytes to what is printed, and the parsers of what users write.

use std::fmt::Write;

use domain::base::iana::{OptRcode, Rtype};
use domain::dep::octseq::Parser;

use crate::answer::{self, Status};
use crate::engine::frames::Frames;
use crate::lookup::{self, Asked, Lookup};
use crate::resolvconf::ResolvConf;
use crate::server::{Spec, Way};
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
    let Some(question) = Question::of(&bytes) else {
        let _ = read(&bytes);
        return;
    };
    let _ = judge_next(&bytes, id, &question);
    let Judged::Reply(reply) = judge(&bytes, id, &question, edns::CookieRule::Ignore) else {
        return;
    };
    let outcome = answer::follow(&reply, &question);
    let status = outcome.status;
    assert!(
        status != Status::Found || reply.rcode == OptRcode::NOERROR && !outcome.records.is_empty()
    );
    assert_eq!(
        status == Status::Incomplete,
        outcome.gap.is_some() && reply.rcode == OptRcode::NOERROR
    );
    for sentence in outcome.odd.iter().chain(&reply.extended_errors()) {
        check(sentence);
        assert!(sentence.len() < 2000);
    }
    if let Some(gap) = &outcome.gap {
        let sentence = gap.sentence("server", &present::name(&question.name()));
        check(&sentence);
        assert!(sentence.len() < 2000);
    }
    // What is held as a message comes back as the same records.
    if let Ok(shown) = lookup::shown(&outcome.records, &question, true) {
        assert_eq!(lookup::unpack(&bytes), shown);
    }
    for record in outcome.records {
        check(&present::name(&record.owner));
        check(&record.any_text());
    }
    check(&status.name());
    reply.extended_errors().iter().for_each(|text| check(text));
    let mut lookup = Lookup::failed(Asked::Type(question.rtype()), status, None);
    lookup.message = Some(bytes.clone().into());
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
    for line in edns::describe(data) {
        check(&line);
    }
}

/// Reads names as users write them.
pub fn text(text: &str) {
    if let Ok(name) = name::parse(text) {
        let shown = present::name(&name);
        check(&shown);
        assert_eq!(name::parse(&shown).as_ref(), Ok(&name), "{text:?}");
    }
}

/// Reads `resolv.conf`, within libc's limits, and its meaning, written out, reads back the same.
pub fn resolv_conf(text: &str) {
    let conf = resolvconf::parse(text);
    assert!(conf.servers.len() <= 3);
    assert!(!conf.servers.is_empty() || !conf.skipped.is_empty());
    assert!(conf.ndots <= 15 && conf.attempts.is_none_or(|n| (1..=5).contains(&n)));
    let conf = ResolvConf {
        skipped: Vec::new(),
        ..conf
    };
    if conf.servers.is_empty() {
        return;
    }
    let mut again = format!("options ndots:{}", conf.ndots);
    if let Some(timeout) = conf.timeout {
        let _ = write!(again, " timeout:{}", timeout.as_secs());
    }
    if let Some(attempts) = conf.attempts {
        let _ = write!(again, " attempts:{attempts}");
    }
    for (given, word) in [(conf.rotate, " rotate"), (conf.tcp, " use-vc")] {
        again.push_str(if given { word } else { "" });
    }
    let _ = write!(again, "\nsearch {}", conf.search.join(" "));
    for server in &conf.servers {
        let address = server.label.strip_suffix(":53").unwrap_or_default();
        let address = address.trim_matches(['[', ']']);
        let _ = write!(again, "\nnameserver {address}");
    }
    assert_eq!(resolvconf::parse(&again), conf, "{text:?}");
}

/// Reads a server; written in full it is the same one.
pub fn server(text: &str) {
    let Ok(Spec::Server(server)) = server::parse(text) else {
        return;
    };
    let again = match &server.way {
        Way::Udp(at) => format!("udp://{at}"),
        Way::Tcp(at) => format!("tcp://{at}"),
        Way::Tls { address, name } => format!("tls://{address}#{name}"),
        Way::Https { url, get } => format!("{url}{}", if *get { "{?dns}" } else { "" }),
    };
    let Ok(Spec::Server(same)) = server::parse(&again) else {
        panic!("{again:?} of {text:?}");
    };
    // Zones are shown as they were named.
    assert_eq!(same.way, server.way, "{text:?}");
}

/// Takes messages out of a stream; in which pieces it comes, of up to as many
/// bytes as the first one says, makes no difference.
pub fn frames(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let mut frames = Frames::default();
    let mut rest = bytes;
    for piece in bytes.chunks(usize::from(*size) + 1) {
        frames.extend(piece);
        assert!(frames.held() <= 2 + 65_535 + piece.len());
        while let Some(message) = frames.next() {
            let (length, after) = rest.split_at(2);
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            assert_eq!(message, after[..length]);
            rest = &after[length..];
        }
        assert!(!frames.is_ready());
    }
    let missing =
        |(length, after): (&[u8; 2], &[u8])| usize::from(u16::from_be_bytes(*length)) > after.len();
    assert!(rest.split_first_chunk::<2>().is_none_or(missing));
}

//! Entry points for the fuzz targets, built only for them: the path of a message
//! from its bytes to the output, and the parsers of user input.

use std::fmt::Write;
use std::net::SocketAddr;

use domain::base::iana::{OptRcode, Rtype};
use domain::dep::octseq::Parser;

use crate::answer::{self, Status};
use crate::engine::frames::FrameBuffer;
use crate::lookup::{self, Lookup, QueryType};
use crate::resolvconf::ResolvConf;
use crate::server::{ServerArg, Transport};
use crate::wire::reply::{Classified, classify, classify_next, read};
use crate::wire::{Question, edns};
use crate::{dig_format, name, presentation, resolvconf, server};

/// Asserts that a text is printable and has a single line.
fn assert_printable(text: &str) {
    assert!(
        text.bytes().all(|b| (0x20..0x7f).contains(&b)),
        "{text:?} is not safe"
    );
}

/// Treats a message as the answer to its own question, and shows all of it.
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
    let _ = classify_next(&bytes, id, &question);
    let classified = classify(&bytes, id, &question, edns::CookieRule::Ignore);
    let Classified::Reply(reply) = classified else {
        return;
    };
    let outcome = answer::follow(&reply, &question);
    let status = outcome.status;
    assert!(
        status != Status::Found || reply.rcode == OptRcode::NOERROR && !outcome.records.is_empty()
    );
    assert_eq!(
        status == Status::Incomplete,
        outcome.incomplete.is_some() && reply.rcode == OptRcode::NOERROR
    );
    for sentence in outcome.warnings.iter().chain(&reply.extended_errors()) {
        assert_printable(sentence);
        assert!(sentence.len() < 2000);
    }
    if let Some(reason) = &outcome.incomplete {
        let sentence = reason.message("server", &presentation::name(&question.name()));
        assert_printable(&sentence);
        assert!(sentence.len() < 2000);
    }
    // A packed message has the same records.
    if let Ok(records) = lookup::display_records(&outcome.records, &question, true) {
        assert_eq!(lookup::unpack(&bytes), records);
    }
    for record in outcome.records {
        assert_printable(&presentation::name(&record.owner));
        assert_printable(&record.any_text());
    }
    assert_printable(&status.name());
    let errors = reply.extended_errors();
    errors.iter().for_each(|text| assert_printable(text));
    let mut lookup = Lookup::failed(QueryType::Type(question.rtype()), status, None);
    lookup.message = Some(bytes.clone().into());
    let text = dig_format::lookup(&lookup).unwrap_or_default();
    text.lines()
        .for_each(|line| assert_printable(&line.replace('\t', " ")));
}

/// Shows record data: two bytes for the type, then the data.
pub fn record(bytes: &[u8]) {
    let Some((rtype, data)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let rtype = Rtype::from_int(u16::from_be_bytes(*rtype));
    let mut parser = Parser::from_ref(data);
    if let Ok(text) = presentation::rdata(rtype, &mut parser) {
        assert_printable(&text);
        assert_eq!(parser.remaining(), 0);
    }
    for line in edns::describe(data) {
        assert_printable(&line);
    }
}

/// Parses a name as typed by a user.
pub fn text(text: &str) {
    if let Ok(name) = name::parse(text) {
        let shown = presentation::name(&name);
        assert_printable(&shown);
        assert_eq!(name::parse(&shown).as_ref(), Ok(&name), "{text:?}");
    }
}

/// Parses a `resolv.conf` within libc's limits, and parses its meaning once more.
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
    let mut written = format!("options ndots:{}", conf.ndots);
    if let Some(timeout) = conf.timeout {
        let _ = write!(written, " timeout:{}", timeout.as_secs());
    }
    if let Some(attempts) = conf.attempts {
        let _ = write!(written, " attempts:{attempts}");
    }
    for (is_set, word) in [(conf.rotate, " rotate"), (conf.tcp, " use-vc")] {
        written.push_str(if is_set { word } else { "" });
    }
    let _ = write!(written, "\nsearch {}", conf.search.join(" "));
    for server in &conf.servers {
        let address = server.label.strip_suffix(":53").unwrap_or_default();
        let address = address.trim_matches(['[', ']']);
        let _ = write!(written, "\nnameserver {address}");
    }
    assert_eq!(resolvconf::parse(&written), conf, "{text:?}");
}

/// Parses a server; written in full it is the same server.
pub fn server(text: &str) {
    let Ok(ServerArg::Server(server)) = server::parse(text) else {
        return;
    };
    // In a URL a zone follows `%25` (RFC 6874).
    let address = |at: &SocketAddr| at.to_string().replace('%', "%25");
    let written = match &server.transport {
        Transport::Udp(at) => format!("udp://{}", address(at)),
        Transport::Tcp(at) => format!("tcp://{}", address(at)),
        Transport::Tls { address: at, name } => format!("tls://{}#{name}", address(at)),
        Transport::Https { url, uses_get } => {
            format!("{url}{}", if *uses_get { "{?dns}" } else { "" })
        }
    };
    let Ok(ServerArg::Server(same)) = server::parse(&written) else {
        panic!("{written:?} of {text:?}");
    };
    // The labels may differ: they contain zones as typed.
    assert_eq!(same.transport, server.transport, "{text:?}");
}

/// Takes messages out of a stream. The first byte gives the size of the pieces in
/// which it arrives, which must not matter.
pub fn frames(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let mut frames = FrameBuffer::default();
    let mut rest = bytes;
    for piece in bytes.chunks(usize::from(*size) + 1) {
        frames.extend(piece);
        assert!(frames.size() <= 2 + 65_535 + piece.len());
        while let Some(message) = frames.next() {
            let (length, after) = rest.split_at(2);
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            assert_eq!(message, after[..length]);
            rest = &after[length..];
        }
        assert!(!frames.is_ready());
    }
    let is_partial =
        |(length, after): (&[u8; 2], &[u8])| usize::from(u16::from_be_bytes(*length)) > after.len();
    assert!(rest.split_first_chunk::<2>().is_none_or(is_partial));
}

//! The full format: whole answers as dig shows them, with header, sections and
//! TTLs.

use std::fmt::Write;

use domain::base::iana::OptRcode;
use domain::base::message::Message;

use crate::answer;
use crate::lookup::Lookup;
use crate::presentation;
use crate::wire::edns;
use crate::wire::reply::{Record, Reply, read};

/// Returns the text of a lookup's message, or `None` if it has none.
pub(crate) fn lookup(lookup: &Lookup) -> Option<String> {
    let bytes = lookup.message.as_deref()?;
    let reply = read(bytes).ok()?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = header(&mut text, &reply);
    let _ = question(&mut text, bytes);
    for (title, records) in [
        ("ANSWER", &reply.answer),
        ("AUTHORITY", &reply.authority),
        ("ADDITIONAL", &reply.additional),
    ] {
        if records.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n;; {title} SECTION:");
        for each in records {
            let _ = record(&mut text, each);
        }
    }
    let _ = writeln!(
        text,
        "\n;; Query time: {:.1} msec\n;; SERVER: {} ({})\n;; MSG SIZE rcvd: {}\n",
        lookup.elapsed.as_secs_f64() * 1e3,
        lookup.server.as_deref().unwrap_or("-"),
        lookup.protocol.map_or("-", |p| p.name()),
        bytes.len()
    );
    Some(text)
}

fn header(text: &mut String, reply: &Reply<'_>) -> std::fmt::Result {
    let bytes = reply.bytes;
    write!(
        text,
        ";; ->>HEADER<<- opcode: QUERY, status: {}, id: {}\n;; flags:",
        answer::rcode_name(reply.rcode),
        u16::from_be_bytes([bytes[0], bytes[1]])
    )?;
    for name in reply.flags() {
        write!(text, " {name}")?;
    }
    writeln!(
        text,
        "; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}",
        u16::from_be_bytes([bytes[4], bytes[5]]),
        reply.answer.len(),
        reply.authority.len(),
        reply.additional.len() + usize::from(reply.opt.is_some())
    )?;
    let Some((size, flags, options)) = reply.opt else {
        return Ok(());
    };
    let version = u16::from(reply.rcode == OptRcode::BADVERS);
    writeln!(
        text,
        "\n;; OPT PSEUDOSECTION:\n; EDNS: version: {version}, flags:{}; udp: {size}",
        if flags & 0x8000 == 0 { "" } else { " do" }
    )?;
    for line in edns::describe(options) {
        writeln!(text, "; {line}")?;
    }
    Ok(())
}

fn question(text: &mut String, bytes: &[u8]) -> std::fmt::Result {
    let Ok(message) = Message::from_slice(bytes) else {
        return Ok(());
    };
    writeln!(text, "\n;; QUESTION SECTION:")?;
    for question in message.question().flatten() {
        writeln!(
            text,
            ";{}\t{}\t{}",
            presentation::name(question.qname()),
            question.qclass(),
            presentation::mnemonic(question.qtype())
        )?;
    }
    Ok(())
}

/// Appends one record as in a zone file.
pub(crate) fn record(text: &mut String, record: &Record<'_>) -> std::fmt::Result {
    writeln!(
        text,
        "{}\t{}\t{}\t{}\t{}",
        presentation::name(&record.owner),
        record.ttl,
        record.class,
        presentation::mnemonic(record.rtype),
        record.any_text()
    )
}

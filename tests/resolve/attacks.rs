//! Answers designed to exhaust memory or time, which must stay bounded whatever a
//! server sends.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use testkit::Tool;
use testkit::dns::{Behaviour, DnsServer, Query, Zone, rtype};
use testkit::peer::TcpPeer;

use super::{at, resolve};

/// A timeout much longer than any of these runs, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const MINFO: u16 = 14;

const MIB: u64 = 1 << 20;

fn measured() -> Tool {
    resolve().timeout(LIMIT).measure_memory()
}

/// The header, with a count of answers, and the question.
fn message_start(query: &Query, count: usize) -> Vec<u8> {
    let mut bytes = query.bytes[..2].to_vec();
    bytes.extend([0x85, 0x80, 0, 1]);
    bytes.extend((count as u16).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(&query.name_wire);
    bytes.extend(query.qtype.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn record(owner: &[u8], rtype: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(rtype.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// A message of at most `most` bytes with as many MINFO records as fit, each with
/// two pointers to one name of 255 unprintable bytes. Its text is two hundred times
/// as long.
fn expanding_answer(query: &Query, most: usize) -> Vec<u8> {
    let mut name = Vec::new();
    for length in [63, 63, 63, 61] {
        name.push(length);
        name.extend(vec![0xff; usize::from(length)]);
    }
    name.push(0);
    let first = [&name[..], &name].concat();
    let start = message_start(query, 0).len() + 2 + 10;
    let pointer = (0xc000 | start as u16).to_be_bytes();
    let first = record(&[0xc0, 12], MINFO, &first);
    let others = record(&[0xc0, 12], MINFO, &[pointer, pointer].concat());
    let count = (most - message_start(query, 0).len() - first.len()) / others.len();
    let mut bytes = message_start(query, count + 1);
    bytes.extend(first);
    bytes.extend(others.repeat(count));
    bytes
}

fn raw(answer: impl Fn(&Query) -> Vec<u8> + Send + Sync + 'static) -> DnsServer {
    DnsServer::with_behaviour(Zone::new(), move |query, _| {
        Behaviour::Raw(vec![answer(query)])
    })
}

#[test]
fn an_expanding_answer_takes_bounded_memory() {
    let server = raw(|query| expanding_answer(query, 65_535));
    let ask = |form: &str| {
        measured()
            .arg(at(&server))
            .args(["--tcp", "-t", "MINFO", form, "x.test"])
            .run()
    };
    let out = ask("--short");
    out.code(0).peak_memory_below(48 * MIB);
    let lines = out.lines();
    assert!(lines.len() > 3900, "{}", lines.len());
    assert!(
        lines
            .iter()
            .all(|line| line.len() == 2 * 1005 - 1 && line == &lines[0])
    );
    let out = ask("--json");
    out.code(0).peak_memory_below(96 * MIB);
    let records = out.json();
    assert_eq!(
        records[0]["records"].as_array().map(Vec::len),
        Some(lines.len())
    );
    assert_eq!(records[0]["records"][0]["data"], lines[0].as_str());
    let out = ask("--full");
    out.code(0).peak_memory_below(64 * MIB);
}

/// Sends expanding answers to all names but the first, for which they have to wait:
/// it is answered after all others.
fn ask_with_a_slow_first_name(form: &[&str]) {
    const NAMES: usize = 100;
    let asked = Mutex::new(HashSet::new());
    let server = DnsServer::with_behaviour(Zone::new(), move |query, _| {
        let mut asked = asked.lock().expect("no panic");
        if query.name == "first.test." {
            return match asked.len() {
                NAMES => Behaviour::Rcode(3),
                _ => Behaviour::Drop,
            };
        }
        asked.insert(query.name.clone());
        Behaviour::Raw(vec![expanding_answer(query, 4096)])
    });
    let names: Vec<String> = (0..NAMES).map(|n| format!("n{n}.test")).collect();
    let out = measured()
        .arg(at(&server))
        .args(["--ordered", "--timeout", "60s", "-t", "MINFO", "-"])
        .args(form)
        .stdin(format!("first.test\n{}", names.join("\n")))
        .run();
    // The text of all waiting answers would take more than 70 MiB.
    out.code(1).peak_memory_below(40 * MIB);
    assert!(out.stdout_str().len() as u64 > 40 * MIB);
}

#[test]
fn waiting_answers_take_bounded_memory() {
    ask_with_a_slow_first_name(&["--long"]);
    ask_with_a_slow_first_name(&["--json"]);
}

/// Every byte becomes four characters of text and five of JSON.
#[test]
fn the_longest_text_record_takes_bounded_memory() {
    let server = raw(|query| {
        let data = [&[255][..], &[7; 255]].concat().repeat(255);
        let mut bytes = message_start(query, 1);
        bytes.extend(record(&[0xc0, 12], rtype::TXT, &data));
        bytes
    });
    for form in ["--short", "--json"] {
        let out = measured()
            .arg(at(&server))
            .args(["--tcp", "-t", "TXT", form, "x.test"])
            .run();
        out.code(0).peak_memory_below(24 * MIB);
        let length = out.stdout_str().len();
        assert!(length > 255 * 255 * 4, "{length}");
    }
}

/// Thousands of records belong to the alias chain, and their owners have 127 labels
/// with a pointer each.
#[test]
fn owners_of_many_pointers_take_bounded_time() {
    let server = raw(|query| {
        let mut bytes = message_start(query, 0);
        // The data of the first record is a name of 127 labels. Each of them is
        // followed by a pointer to the next.
        let mut labels = vec![0];
        let start = bytes.len() + 12;
        let mut at = 0;
        for n in 0..126u16 {
            let here = labels.len();
            labels.extend([1, b'a' + (n % 26) as u8]);
            let before = (0xc000 | (start + at) as u16).to_be_bytes();
            labels.extend(before);
            at = here;
        }
        bytes.extend(record(&[0xc0, 12], 65_280, &labels));
        let deep = (0xc000 | (start + at) as u16).to_be_bytes();
        let alias = record(&[0xc0, 12], rtype::CNAME, &deep);
        let link = record(&deep, rtype::CNAME, &deep);
        let count = (65_535 - bytes.len() - alias.len()) / link.len();
        bytes.extend(alias);
        bytes.extend(link.repeat(count));
        bytes[6..8].copy_from_slice(&(count as u16 + 2).to_be_bytes());
        bytes
    });
    let out = measured()
        .arg(at(&server))
        .args(["--tcp", "--json", "-t", "A", "x.test"])
        .run();
    assert_eq!(out.code(3).json()[0]["status"], "INCOMPLETE");
    out.peak_memory_below(32 * MIB);
}

/// Names returned by reverse lookups may contain any bytes, but their output is one
/// line without control characters.
#[test]
fn names_of_addresses_are_escaped() {
    let server = DnsServer::start(
        Zone::new()
            .ptr("1.2.0.192.in-addr.arpa", "a\\010b\\027[31m.\\009\\.x.test")
            .ptr(
                "2.2.0.192.in-addr.arpa",
                "\\195\\169\\194\\133\\226\\128\\174.test",
            )
            .ptr("3.2.0.192.in-addr.arpa", "."),
    );
    for (address, name) in [
        ("192.0.2.1", "a\\010b\\027[31m.\\009\\.x.test."),
        ("192.0.2.2", "\\195\\169\\194\\133\\226\\128\\174.test."),
        ("192.0.2.3", "."),
    ] {
        let tool = resolve().arg(at(&server));
        tool.arg(address).run().code(0).stdout(&format!("{name}\n"));
        let out = resolve().arg(at(&server)).args(["--json", address]).run();
        assert_eq!(out.code(0).json()[0]["records"][0]["data"], name);
    }
}

/// Asks a TCP server that never sends an answer.
fn ask_over_tcp(serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) {
    let peer = TcpPeer::start(serve);
    let out = measured()
        .arg(format!("@tcp://{}", peer.addr()))
        .args(["--json", "--timeout", "2s", "-t", "A", "x.test"])
        .run();
    let record = &out.code(3).json()[0];
    assert_eq!(record["status"], "TIMEOUT", "{record}");
    out.peak_memory_below(24 * MIB);
}

#[test]
fn endless_messages_over_tcp_take_bounded_memory() {
    // Empty messages without end.
    ask_over_tcp(|mut stream| {
        loop {
            stream.write_all(&[0; 8192])?;
        }
    });
    // Unrelated messages of the largest size without end.
    ask_over_tcp(|mut stream| {
        let message = [vec![0xff; 2], vec![0x85; 65_535]].concat();
        loop {
            stream.write_all(&message)?;
        }
    });
    // The largest length, followed by fewer bytes.
    ask_over_tcp(|mut stream| {
        stream.write_all(&vec![0xff; 65_536])?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
}

/// Unrelated datagrams are ignored and do not delay the timeout.
#[test]
fn a_flood_of_datagrams_does_not_delay_the_timeout() {
    let server = DnsServer::with_behaviour(Zone::new(), |query, _| {
        let mut other = query.response();
        other.id ^= 1;
        Behaviour::Raw(vec![other.to_bytes(); 200_000])
    });
    let out = measured()
        .arg(at(&server))
        .args(["--json", "--timeout", "2s", "-t", "A", "x.test"])
        .run();
    assert_eq!(out.code(3).json()[0]["status"], "TIMEOUT");
    out.peak_memory_below(24 * MIB);
}

/// The records of an endless zone are written while they arrive.
#[test]
fn an_endless_zone_takes_bounded_memory() {
    const LENGTH: usize = 20 << 20;
    let peer = TcpPeer::start(|mut stream| -> std::io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let query = Query::parse(&query).expect("a query");
        let mut soa = [0; 22];
        soa[21] = 1;
        let send = |stream: &mut TcpStream, records: &[u8], count| {
            let message = [message_start(&query, count), records.to_vec()].concat();
            stream.write_all(&(message.len() as u16).to_be_bytes())?;
            stream.write_all(&message)
        };
        send(&mut stream, &record(&[0xc0, 12], rtype::SOA, &soa), 1)?;
        let address = record(&[0xc0, 12], rtype::A, &[192, 0, 2, 1]);
        loop {
            send(&mut stream, &address.repeat(1000), 1000)?;
        }
    });
    let out = measured()
        .arg(format!("@tcp://{}", peer.addr()))
        .args(["-t", "AXFR", "--timeout", "60s", "x.test"])
        .close_stdout_after(LENGTH)
        .run();
    out.code(0).stderr("").peak_memory_below(24 * MIB);
    assert!(out.stdout_str().len() >= LENGTH);
}

//! Tests of the server with raw queries, and with `dig` if it is installed.

use std::net::TcpStream;
use std::time::Duration;

use super::*;

/// Returns a query with RD set; `size` adds EDNS.
fn query(name: &str, qtype: u16, size: Option<u16>) -> Vec<u8> {
    let mut out = vec![
        0x12,
        0x34,
        1,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        u8::from(size.is_some()),
    ];
    out.extend(labels(name));
    out.extend(qtype.to_be_bytes());
    out.extend([0, 1]);
    if let Some(size) = size {
        out.extend([0, 0, 41]);
        out.extend(size.to_be_bytes());
        out.extend([0, 0, 0x80, 0, 0, 0]);
    }
    out
}

fn ask_udp(server: &DnsServer, message: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket.send_to(message, server.addr()).unwrap();
    let mut buffer = vec![0; 65_535];
    let n = socket.recv(&mut buffer).unwrap();
    buffer.truncate(n);
    buffer
}

fn ask_tcp(server: &DnsServer, message: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    let length = (message.len() as u16).to_be_bytes();
    stream.write_all(&[&length[..], message].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// Returns the RCODE and the numbers of answer and authority records.
fn shape(message: &[u8]) -> (u8, u8, u8) {
    (message[3] & 0xf, message[7], message[9])
}

fn zone() -> Zone {
    Zone::new()
        .soa("test")
        .a("host.test", "192.0.2.1")
        .aaaa("host.test", "2001:db8::1")
        .cname("www.test", "HOST.test")
        .cname("loop.test", "loop.test")
        .a("deep.under.test", "192.0.2.2")
        .txt(
            "big.test",
            &["x".repeat(250), "y".repeat(250), "z".repeat(250)],
        )
}

#[test]
fn answers_come_from_the_table() {
    let server = DnsServer::start(zone());
    let ask = |name: &str, qtype| ask_udp(&server, &query(name, qtype, None));
    let answer = ask("Host.TEST", rtype::A);
    assert_eq!(shape(&answer), (0, 1, 0));
    assert!(answer.ends_with(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]));
    assert_eq!(shape(&ask("www.test", rtype::AAAA)), (0, 2, 0));
    assert_eq!(shape(&ask("www.test", rtype::CNAME)), (0, 1, 0));
    assert_eq!(shape(&ask("www.test", rtype::MX)), (0, 1, 1));
    assert_eq!(shape(&ask("host.test", rtype::ANY)), (0, 2, 0));
    assert_eq!(shape(&ask("under.test", rtype::A)), (0, 0, 1));
    assert_eq!(shape(&ask("no.test", rtype::A)), (3, 0, 1));
    assert_eq!(shape(&ask("elsewhere", rtype::A)), (3, 0, 0));
    assert_eq!(shape(&ask("loop.test", rtype::A)), (0, 1, 0));
    let log = server.queries();
    assert_eq!(log[0].query.name, "Host.TEST.");
    assert!(log[0].query.recursion_desired());
    assert_eq!(log[0].transport, Transport::Udp);
}

#[test]
fn the_advertised_size_determines_truncation() {
    let server = DnsServer::start(zone());
    let small = ask_udp(&server, &query("big.test", rtype::TXT, None));
    assert_eq!((small[2] & 2, shape(&small)), (2, (0, 0, 0)));
    let large = ask_udp(&server, &query("big.test", rtype::TXT, Some(1232)));
    assert_eq!((large[2] & 2, shape(&large), large[11]), (0, (0, 1, 0), 1));
    let stream = ask_tcp(&server, &query("big.test", rtype::TXT, None));
    assert_eq!((stream[2] & 2, shape(&stream)), (0, (0, 1, 0)));
    assert!(server.queries()[1].query.edns.as_ref().unwrap().dnssec_ok);
}

#[test]
fn misbehaviours_change_the_answer() {
    let message = query("host.test", rtype::A, None);
    let answer = |behaviour: Behaviour| {
        let server = DnsServer::with_behaviour(zone(), move |_, _| behaviour.clone());
        ask_udp(&server, &message)
    };
    assert_eq!(answer(Behaviour::Rcode(2))[3] & 0xf, 2);
    assert_eq!(answer(Behaviour::BareFormErr).len(), 12);
    assert_ne!(answer(Behaviour::WrongId)[..2], message[..2]);
    assert_eq!(answer(Behaviour::CutTo(7)).len(), 7);
    assert_eq!(answer(Behaviour::Truncate)[2] & 2, 2);
    assert_eq!(answer(Behaviour::Raw(vec![b"junk".to_vec()])), b"junk");
    assert_eq!(shape(&answer(Behaviour::UnrelatedFirst)), (3, 0, 0));
    assert_eq!(shape(&answer(Behaviour::WrongSource)), (0, 1, 0));
    assert_eq!(shape(&answer(Behaviour::Delay(Duration::ZERO))), (0, 1, 0));
    let looped = answer(Behaviour::PointerLoop);
    assert_eq!(looped[looped.len() - 16..looped.len() - 14], [0xc0, 27]);
    assert!(present(&answer(Behaviour::WrongQuestion)[12..]).starts_with("unrelated.test."));
}

#[test]
fn a_transfer_has_the_soa_at_both_ends() {
    let server = DnsServer::start(zone());
    let answer = ask_tcp(&server, &query("test", rtype::AXFR, None));
    assert_eq!(shape(&answer), (0, 8, 0));
    let refused = ask_tcp(&server, &query("other", rtype::AXFR, None));
    assert_eq!(shape(&refused), (5, 0, 0));
}

#[test]
fn names_survive_a_round_trip() {
    for name in ["a.b.", ".", r"a\.b.c.", r"\000\255.x.", r"a\\b."] {
        assert_eq!(present(&labels(name)), name);
    }
}

#[test]
fn dig_reads_the_answers() {
    let dig = std::path::Path::new("/usr/bin/dig");
    if !dig.exists() {
        return crate::netns::skip("dig is not installed");
    }
    let server = DnsServer::start(zone());
    let port = server.addr().port().to_string();
    let run = |args: &[&str]| {
        let base = ["@127.0.0.1", "-p", &port, "+short"];
        crate::Tool::new(dig).args(base).args(args).run()
    };
    run(&["www.test", "AAAA"])
        .code(0)
        .stdout("HOST.test.\n2001:db8::1\n");
    run(&["+tcp", "host.test"]).code(0).stdout("192.0.2.1\n");
    run(&["test", "SOA"]).stdout("ns.test. admin.test. 1 7200 900 86400 60\n");
}

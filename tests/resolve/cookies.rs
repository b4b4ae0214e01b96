//! DNS cookies (RFC 7873): once a server has sent one, answers over UDP prove
//! themselves by it, and what cannot be proved is asked again over TCP.

use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Query, Record, Response, Transport, Zone, rtype};

use super::{at, resolve};

const COOKIE: u16 = 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn zone() -> Zone {
    let names = [
        "first", "none", "short", "long", "other", "bare", "refused", "broken", "cut",
    ];
    names.iter().fold(Zone::new().soa("test"), |zone, name| {
        zone.a(&format!("{name}.test"), "192.0.2.1")
    })
}

/// The client cookie of a query.
fn client(query: &Query) -> Option<Vec<u8>> {
    let options = &query.edns.as_ref()?.options;
    let (_, data) = options.iter().find(|(code, _)| *code == COOKIE)?;
    Some(data[..8].to_vec())
}

/// A false address, with this COOKIE option.
fn false_answer(query: &Query, cookie: Option<Vec<u8>>) -> Response {
    let answer = query
        .response()
        .answer(Record::new(&query.name, rtype::A, 60, [1, 2, 3, 4]));
    match cookie {
        Some(cookie) => answer.option(COOKIE, cookie),
        None => answer,
    }
}

/// Over UDP only the first name is answered with a right cookie; the answers to
/// the others could be forged. Over TCP all of them are honest.
fn served(query: &Query, transport: Transport) -> Behaviour {
    let Some(client) = client(query) else {
        // Without EDNS there is no cookie to prove anything by.
        return Behaviour::Respond(false_answer(query, None));
    };
    if transport != Transport::Udp {
        return Behaviour::Answer;
    }
    let with = |server: &[u8]| [&client[..], server].concat();
    let answer = match query.name.split('.').next().unwrap_or_default() {
        "first" => zone()
            .answer(query)
            .option(COOKIE, with(b"a server cookie.")),
        "none" => false_answer(query, None),
        "short" => false_answer(query, Some(client[..4].to_vec())),
        "long" => false_answer(query, Some(with(&[7; 42]))),
        "other" => false_answer(query, Some(b"notours.a server cookie.".to_vec())),
        "refused" => query.response().rcode(5),
        "cut" => query.response().truncated(),
        "bare" => return Behaviour::BareFormErr,
        _ => return Behaviour::PointerLoop,
    };
    Behaviour::Respond(answer)
}

#[test]
fn answers_without_the_cookie_are_asked_for_over_tcp() {
    let server = DnsServer::with_behaviour(zone(), served);
    let mut running = resolve()
        .arg(at(&server))
        .args(["--json", "--timeout", "60s", "-t", "A", "-"])
        .piped_stdin()
        .spawn();
    running.write_stdin(b"first.test\n");
    let first = running.read_line(PATIENCE);
    assert!(first.contains("192.0.2.1"), "{first}");
    let names = [
        "none.test",
        "short.test",
        "long.test",
        "other.test",
        "bare.test",
        "refused.test",
        "broken.test",
        "cut.test",
    ];
    running.write_stdin(names.join("\n").as_bytes());
    running.close_stdin();
    let out = running.wait();
    let records = out.code(0).stderr("").json();
    assert_eq!(records.len(), 1 + names.len());
    for record in &records {
        assert_eq!(record["records"][0]["data"], "192.0.2.1", "{record}");
        let first = record["name"] == "first.test";
        let protocol = if first { "udp" } else { "tcp" };
        assert_eq!(record["protocol"], protocol, "{record}");
    }
    // Every query carried a cookie, so that its answer could prove itself.
    assert!(server.queries().iter().all(|q| client(&q.query).is_some()));
}

/// Before any cookie is known, answers without one are those of a server that
/// has none; one of an illegal length, or not to our cookie, is ignored.
#[test]
fn servers_without_cookies() {
    let server = DnsServer::with_behaviour(zone(), |query, transport| match transport {
        Transport::Udp => served(query, transport),
        _ => Behaviour::Close,
    });
    for (name, status) in [("none", "NOERROR"), ("refused", "REFUSED")] {
        let out = resolve()
            .arg(at(&server))
            .args(["--json", "-t", "A", &format!("{name}.test")])
            .run();
        assert_eq!(out.json()[0]["status"], status, "{name}");
    }
    for name in ["short", "long", "other"] {
        let out = resolve()
            .arg(at(&server))
            .args([
                "--json",
                "-t",
                "A",
                "--timeout",
                "2s",
                &format!("{name}.test"),
            ])
            .run();
        let record = &out.code(3).json()[0];
        assert_eq!(record["protocol"], "tcp", "{record}");
        assert!(record["records"].as_array().expect("records").is_empty());
    }
}

/// An unproven answer must not keep the true one from being taken.
#[test]
fn the_true_answer_comes_after_a_forged_one() {
    let server = DnsServer::with_behaviour(zone(), |query, transport| {
        let Some(client) = client(query).filter(|_| transport == Transport::Udp) else {
            return Behaviour::Close;
        };
        let cookie = [&client[..], b"a server cookie."].concat();
        let honest = zone().answer(query).option(COOKIE, cookie).to_bytes();
        match query.name.as_str() {
            "first.test." => Behaviour::Raw(vec![honest]),
            _ => Behaviour::Raw(vec![false_answer(query, None).to_bytes(), honest]),
        }
    });
    let mut running = resolve()
        .arg(at(&server))
        .args(["--json", "--timeout", "60s", "-t", "A", "-"])
        .piped_stdin()
        .spawn();
    running.write_stdin(b"first.test\n");
    running.read_line(PATIENCE);
    running.write_stdin(b"none.test\n");
    running.close_stdin();
    let records = running.wait().json();
    assert_eq!(records[1]["records"][0]["data"], "192.0.2.1");
    assert_eq!(records[1]["protocol"], "udp");
}

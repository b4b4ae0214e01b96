//! DNS cookies (RFC 7873): once a server has sent one, its answers over UDP must
//! carry it, and TCP is used if they do not.

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

/// Returns the client cookie of a query.
fn client_cookie(query: &Query) -> Option<Vec<u8>> {
    let options = &query.edns.as_ref()?.options;
    let (_, data) = options.iter().find(|(code, _)| *code == COOKIE)?;
    Some(data[..8].to_vec())
}

/// An answer with a wrong address and this COOKIE option.
fn forged_answer(query: &Query, cookie: Option<Vec<u8>>) -> Response {
    let answer = query
        .response()
        .answer(Record::new(&query.name, rtype::A, 60, [1, 2, 3, 4]));
    match cookie {
        Some(cookie) => answer.option(COOKIE, cookie),
        None => answer,
    }
}

/// Over UDP only the answer to the first name has the correct cookie; those to the
/// others could be forged. Over TCP all answers are correct.
fn behaviour(query: &Query, transport: Transport) -> Behaviour {
    let Some(client) = client_cookie(query) else {
        // A query without EDNS has no cookie.
        return Behaviour::Respond(forged_answer(query, None));
    };
    if transport != Transport::Udp {
        return Behaviour::Answer;
    }
    let with = |server: &[u8]| [&client[..], server].concat();
    let answer = match query.name.split('.').next().unwrap_or_default() {
        "first" => zone()
            .answer(query)
            .option(COOKIE, with(b"a server cookie.")),
        "none" => forged_answer(query, None),
        "short" => forged_answer(query, Some(client[..4].to_vec())),
        "long" => forged_answer(query, Some(with(&[7; 42]))),
        "other" => forged_answer(query, Some(b"notours.a server cookie.".to_vec())),
        "refused" => query.response().rcode(5),
        "cut" => query.response().truncated(),
        "bare" => return Behaviour::BareFormErr,
        _ => return Behaviour::PointerLoop,
    };
    Behaviour::Respond(answer)
}

#[test]
fn an_answer_without_the_cookie_is_requested_over_tcp() {
    let server = DnsServer::with_behaviour(zone(), behaviour);
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
    // Every query carried a cookie.
    assert!(
        server
            .queries()
            .iter()
            .all(|q| client_cookie(&q.query).is_some())
    );
}

/// Until a server has sent a cookie, its answers need none. A cookie of an invalid
/// length or with another client part is ignored.
#[test]
fn servers_without_cookies_are_supported() {
    let server = DnsServer::with_behaviour(zone(), |query, transport| match transport {
        Transport::Udp => behaviour(query, transport),
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

#[test]
fn the_correct_answer_is_accepted_after_a_forged_one() {
    let server = DnsServer::with_behaviour(zone(), |query, transport| {
        let Some(client) = client_cookie(query).filter(|_| transport == Transport::Udp) else {
            return Behaviour::Close;
        };
        let cookie = [&client[..], b"a server cookie."].concat();
        let correct = zone().answer(query).option(COOKIE, cookie).to_bytes();
        match query.name.as_str() {
            "first.test." => Behaviour::Raw(vec![correct]),
            _ => Behaviour::Raw(vec![forged_answer(query, None).to_bytes(), correct]),
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

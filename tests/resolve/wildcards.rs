//! `--no-wildcards`: names that exist only through a wildcard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Query, Record, Response, labels, rtype};

use super::{at, resolve, zone};

fn address(query: &Query, last: u8) -> Response {
    let record = Record::new(&query.name, rtype::A, 60, [192, 0, 2, last]);
    query.response().answer(record)
}

/// Returns whether the query is for a random name of the tool.
fn is_random(query: &Query) -> bool {
    query.name.find('.') == Some(16)
}

#[test]
fn names_of_a_wildcard_are_absent() {
    let server = DnsServer::with_behaviour(zone(), move |query, _| {
        match query.name.to_ascii_lowercase().as_str() {
            "real.wild.test." => Behaviour::Respond(address(query, 1)),
            name if name.ends_with(".wild.test.") => Behaviour::Respond(address(query, 77)),
            _ => Behaviour::Answer,
        }
    });
    let stdin = "invented.wild.test\nreal.wild.test\nhost.test\nno.test\nother.wild.test\n";
    resolve()
        .arg(at(&server))
        .args(["--no-wildcards", "--ordered", "-t", "A", "-"])
        .stdin(stdin)
        .run()
        .code(1)
        .stdout(
            "invented.wild.test\tA\t-\tWILDCARD\n\
             real.wild.test\tA\t192.0.2.1\n\
             host.test\tA\t192.0.2.1\n\
             no.test\tA\t-\tNXDOMAIN\n\
             other.wild.test\tA\t-\tWILDCARD\n",
        )
        .stderr("");
    // Further names below the same parent need no further random names.
    let random_names = server.queries().into_iter().filter(|q| is_random(&q.query));
    assert!(random_names.count() < 60);
    let args = ["--no-wildcards", "-t", "A", "x.wild.test"];
    resolve()
        .arg(at(&server))
        .args(args)
        .run()
        .code(1)
        .stdout("")
        .stderr("resolve: x.wild.test: exists only through a wildcard (WILDCARD)\n");
}

/// The wildcard has several addresses and returns one at a time.
#[test]
fn a_rotating_wildcard_is_found() {
    const NAMES: usize = 200;
    for pool in [2, 16] {
        let count = AtomicUsize::new(0);
        // The distribution is uneven: some addresses are rare.
        let server = DnsServer::with_behaviour(zone(), move |query, _| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            let last = (n * n / 3 + n / 5) % pool;
            match query.name.as_str() {
                "real.rot.test." => Behaviour::Respond(address(query, 250)),
                _ => Behaviour::Respond(address(query, last as u8)),
            }
        });
        let names: Vec<String> = (0..NAMES).map(|n| format!("w{n}.rot.test")).collect();
        let out = resolve()
            .arg(at(&server))
            .args(["--no-wildcards", "--timeout", "60s", "-t", "A", "-"])
            .stdin(format!("{}\nreal.rot.test\n", names.join("\n")))
            .timeout(Duration::from_secs(60))
            .run();
        let lines = out.code(1).stderr("").lines();
        let found = lines.iter().filter(|line| !line.ends_with("WILDCARD"));
        assert_eq!(
            found.collect::<Vec<_>>(),
            ["real.rot.test\tA\t192.0.2.250"],
            "{pool}"
        );
        assert_eq!(lines.len(), NAMES + 1);
    }
}

/// The target of the wildcard contains the queried name.
#[test]
fn a_wildcard_alias_with_the_name_is_found() {
    let server = DnsServer::with_behaviour(zone(), |query, _| {
        let (label, _) = query.name.split_once('.').expect("a label");
        let target = match label {
            "real" => "there.test".to_owned(),
            _ => format!("up.{label}.api.test"),
        };
        let link = Record::new(&query.name, rtype::CNAME, 60, labels(&target));
        Behaviour::Respond(query.response().answer(link))
    });
    resolve()
        .arg(at(&server))
        .args(["--no-wildcards", "-t", "CNAME", "one.w.test", "real.w.test"])
        .run()
        .code(1)
        .stdout("one.w.test\tCNAME\t-\tWILDCARD\nreal.w.test\tCNAME\tthere.test.\n");
}

/// Failed queries for random names prove nothing, which is reported.
#[test]
fn failed_queries_for_random_names_are_reported() {
    let random_names = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&random_names);
    let server = DnsServer::with_behaviour(zone(), move |query, _| {
        if is_random(query) {
            count.fetch_add(1, Ordering::SeqCst);
            return Behaviour::Rcode(2);
        }
        Behaviour::Answer
    });
    let args = ["--no-wildcards", "-t", "A", "host.test"];
    let message = format!(
        "cannot determine whether test. has a wildcard: {} answered SERVFAIL",
        server.addr()
    );
    resolve()
        .arg(at(&server))
        .args(args)
        .run()
        .code(3)
        .stdout("192.0.2.1\n")
        .stderr(&format!("resolve: host.test: A: {message}\n"));
    let count = random_names.load(Ordering::SeqCst);
    assert!((3..20).contains(&count), "{count}");
    let out = resolve().arg(at(&server)).args(args).arg("--json").run();
    let record = &out.code(3).json()[0];
    assert_eq!(record["status"], "NOERROR");
    assert_eq!(record["error"]["message"], message);
    assert_eq!(record["error"]["kind"], "server");
}

//! DNS over TLS and DNS over HTTPS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Query, Transport, Zone};
use testkit::http::{HttpServer, Reply, Request};
use testkit::peer::TcpPeer;
use testkit::tls::{Authority, Leaf};

use super::{resolve, zone};

fn over_tls(leaf: Leaf) -> DnsServer {
    let tls = Authority::new().server().leaf(leaf);
    DnsServer::with_tls(zone(), tls, |_, _| Behaviour::Answer)
}

#[test]
fn values_are_found_over_tls() {
    let server = over_tls(Leaf::Good);
    let ca = server.ca_file().display().to_string();
    let out = resolve()
        .arg(format!("@tls://{}", server.tls_addr()))
        .args(["--cacert", &ca, "--json", "-t", "A,TXT", "host.test"])
        .run();
    let records = out.code(0).stderr("").json();
    assert_eq!(records[0]["protocol"], "tls");
    assert_eq!(records[0]["server"], server.tls_addr().to_string());
    assert_eq!(records[0]["records"][0]["data"], "192.0.2.1");
    let queries = server.queries();
    // Both queries are padded and use the same connection.
    assert!(queries.iter().all(|q| q.transport == Transport::Tls));
    assert_eq!(queries[0].peer, queries[1].peer);
    assert!(queries.iter().all(|q| q.query.bytes.len() == 128));
}

/// A certificate of `--cacert` is trusted as it is, even one that may not be that of a
/// server.
#[test]
fn a_named_certificate_is_trusted_as_it_is() {
    for leaf in [Leaf::SelfSigned, Leaf::SelfSignedAuthority, Leaf::Authority] {
        let (tls, file) = Authority::new().server().saved_leaf(leaf);
        let server = DnsServer::with_tls(zone(), tls, |_, _| Behaviour::Answer);
        let ask = |server: String| {
            resolve()
                .arg(server)
                .args(["--cacert", file.to_str().unwrap(), "-t", "A", "host.test"])
                .run()
        };
        let addr = server.tls_addr();
        let out = ask(format!("@tls://{addr}"));
        out.code(0).stdout("192.0.2.1\n").stderr("");
        // Its name must still be valid.
        let out = ask(format!("@tls://{addr}#wrong.test"));
        out.code(3).stdout("").stderr_contains("wrong.test");
    }
}

#[test]
fn certificates_are_verified_and_nothing_falls_back() {
    const EXPECT: &str = "the certificate is not valid for 127.0.0.1, only for wrong.test; \
                          use @tls://IP#NAME to expect another name";
    const AUTHORITY: &str = "the certificate is that of a certificate authority, not of a \
                             server (basicConstraints CA:TRUE)";
    for (leaf, message) in [
        (Leaf::WrongName, EXPECT),
        (Leaf::Expired, "the certificate has expired"),
        (
            Leaf::NotYetValid,
            "the certificate is not valid yet; check this machine's clock",
        ),
        (
            Leaf::SelfSigned,
            "the certificate's issuer is unknown; use --cacert FILE to trust another authority",
        ),
        (Leaf::Client, "the certificate is not for use by a server"),
        (Leaf::Authority, AUTHORITY),
    ] {
        let server = over_tls(leaf);
        let ca = server.ca_file().display().to_string();
        let out = resolve()
            .arg(format!("@tls://{}", server.tls_addr()))
            .args(["--cacert", &ca, "--json", "-t", "A", "host.test"])
            .run();
        let records = out.code(3).json();
        out.stderr(&format!(
            "resolve: host.test: {}: {message}\n",
            server.tls_addr()
        ));
        assert_eq!(records[0]["status"], "TLS", "{leaf:?}");
        assert_eq!(records[0]["error"]["kind"], "tls");
        assert!(server.queries().is_empty());
    }
}

#[test]
fn the_name_of_the_certificate_can_be_given() {
    let server = over_tls(Leaf::WrongName);
    let ca = server.ca_file().display().to_string();
    resolve()
        .arg(format!("@tls://{}#wrong.test", server.tls_addr()))
        .args(["--cacert", &ca, "-t", "A", "host.test"])
        .run()
        .code(0)
        .stdout("192.0.2.1\n");
}

#[test]
fn a_server_without_tls_is_not_asked_in_plain() {
    let server = DnsServer::start(zone());
    let tls = over_tls(Leaf::Good);
    let ca = tls.ca_file().display().to_string();
    resolve()
        .arg(format!("@tls://{}", server.addr()))
        .args(["--cacert", &ca, "--timeout", "2s", "-t", "A", "host.test"])
        .run()
        .code(3)
        .stdout("");
    assert!(
        server
            .queries()
            .iter()
            .all(|q| q.transport != Transport::Udp)
    );
}

#[test]
fn an_invalid_file_of_authorities_is_reported() {
    let authority = Authority::new();
    for (content, message) in [
        (Some("nothing\n"), "the file contains no PEM certificate"),
        (
            Some("-----BEGIN CERTIFICATE-----\n?\n"),
            "the file is not valid PEM",
        ),
        (None, "no such file or directory"),
    ] {
        let path = authority.dir().join("authorities.pem");
        match content {
            Some(content) => std::fs::write(&path, content).expect("write a file"),
            None => std::fs::remove_file(&path).expect("remove it"),
        }
        let path = path.display().to_string();
        resolve()
            .args(["@tls://127.0.0.1:1", "--cacert", &path, "x.test"])
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!("resolve: {path}: {message}\n"));
    }
}

#[test]
fn a_closed_tls_connection_is_opened_again() {
    // Every second query closes its connection.
    let count = Arc::new(AtomicUsize::new(0));
    let tls = Authority::new().server();
    let server = DnsServer::with_tls(zone(), tls, move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Behaviour::Answer,
            _ => Behaviour::Close,
        }
    });
    let ca = server.ca_file().display().to_string();
    let names = "host.test\nonly4.test\n".repeat(10);
    let out = resolve()
        .arg(format!("@tls://{}", server.tls_addr()))
        .args(["--cacert", &ca, "--timeout", "60s", "-t", "A", "-"])
        .stdin(names)
        .run();
    assert_eq!(out.lines().len(), 20, "{}", out.report());
}

fn doh_reply(zone: &Zone, message: &[u8]) -> Reply {
    let Some(query) = Query::parse(message) else {
        return Reply::new(400);
    };
    Reply::new(200)
        .header("Content-Type", "application/dns-message")
        .body(zone.answer(&query).to_bytes())
}

fn over_https() -> HttpServer {
    HttpServer::start_tls(|request: &Request| match request.target.as_str() {
        "/dns-query" => doh_reply(&zone(), &request.body),
        path if path.starts_with("/get?dns=") => doh_reply(&zone(), &decode_base64url(&path[9..])),
        "/text" => Reply::text("not a message"),
        "/moved" => Reply::redirect(302, "/dns-query"),
        _ => Reply::new(404),
    })
}

fn decode_base64url(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
    for c in text.bytes() {
        bits = bits << 6 | u32::from(digit(c));
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

#[test]
fn values_are_found_over_https_by_post_and_get() {
    let server = over_https();
    let ca = server.ca_file().display().to_string();
    for path in ["/dns-query", "/get{?dns}"] {
        let out = resolve()
            .arg(format!("@{}", server.url(path)))
            .args(["--cacert", &ca, "--json", "-t", "A", "host.test"])
            .run();
        let records = out.code(0).stderr("").json();
        assert_eq!(records[0]["protocol"], "https");
        assert_eq!(records[0]["records"][0]["data"], "192.0.2.1");
    }
    let requests = server.requests();
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[1].method, "GET");
    assert_eq!(requests[0].body.len(), 128, "padded");
    assert_eq!(requests[0].body[..2], [0, 0], "the id");
}

#[test]
fn unusable_responses_over_https_are_reported() {
    let server = over_https();
    let ca = server.ca_file().display().to_string();
    for (path, status, message) in [
        ("/none", "UNREACHABLE", "HTTP status 404"),
        ("/moved", "UNREACHABLE", "HTTP status 302"),
        ("/text", "MALFORMED", "not a DNS message"),
    ] {
        let out = resolve()
            .arg(format!("@{}", server.url(path)))
            .args(["--cacert", &ca, "--json", "-t", "A", "host.test"])
            .run();
        assert_eq!(out.code(3).json()[0]["status"], status, "{path}");
        out.stderr_contains(message);
    }
    let expired = HttpServer::start_tls_expired(|_| Reply::new(200));
    let ca = expired.ca_file().display().to_string();
    let out = resolve()
        .arg(format!("@{}", expired.url("/dns-query")))
        .args(["--cacert", &ca, "--json", "-t", "A", "host.test"])
        .run();
    assert_eq!(out.code(3).json()[0]["status"], "TLS");
    assert!(expired.requests().is_empty());
}

#[test]
fn a_server_without_https_is_explained() {
    let plain = TcpPeer::fixed_reply("HTTP/1.1 400 Bad Request\r\n\r\n");
    let other = HttpServer::start_tls(|request: &Request| match request.target.as_str() {
        "/ends" => Reply::raw("").close(),
        "/resets" => Reply::raw("").reset(),
        // The first frame of HTTP/2.
        _ => Reply::raw([0, 0, 0, 4, 0, 0, 0, 0, 0]).close(),
    });
    let ca = other.ca_file().display().to_string();
    let ends = "connection closed without an answer; resolve speaks HTTP/1.1 only, the server \
                may require HTTP/2";
    for (url, status, message) in [
        (
            format!("https://{}/dns-query", plain.addr()),
            "TLS",
            "the peer does not speak TLS",
        ),
        (other.url("/ends"), "MALFORMED", ends),
        (other.url("/resets"), "MALFORMED", ends),
        (other.url("/frame"), "MALFORMED", "not an HTTP/1 response"),
    ] {
        let out = resolve()
            .arg(format!("@{url}"))
            .args(["--cacert", &ca, "--json", "-t", "A", "host.test"])
            .run();
        let record = &out.code(3).json()[0];
        assert_eq!(record["status"], status, "{}", out.report());
        out.stderr_contains(&format!("resolve: host.test: {url}: {message}"));
    }
}

#[test]
fn a_list_is_resolved_over_https() {
    let server = over_https();
    let ca = server.ca_file().display().to_string();
    let out = resolve()
        .arg(format!("@{}", server.url("/dns-query")))
        .args([
            "--cacert",
            &ca,
            "--ordered",
            "--timeout",
            "60s",
            "-t",
            "A",
            "-",
        ])
        .stdin("host.test\nno.test\n".repeat(30))
        .run();
    let expected = "host.test\tA\t192.0.2.1\nno.test\tA\t-\tNXDOMAIN\n".repeat(30);
    out.code(1).stdout(&expected).stderr("");
}

/// The tool holds at most a DNS message and a response header of usual size.
#[test]
fn endless_responses_over_https_take_bounded_memory() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n";
    let many = |reply: Reply, piece: Vec<u8>| (0..40).fold(reply, |r, _| r.then(piece.clone()));
    let server = HttpServer::start_tls(move |request: &Request| match request.target.as_str() {
        "/length" => many(
            Reply::raw(format!("{OK}Content-Length: 99999999999\r\n\r\n")),
            vec![7; 1 << 20],
        ),
        "/chunked" => many(
            Reply::raw(format!("{OK}Transfer-Encoding: chunked\r\n\r\n")),
            [&b"100000\r\n"[..], &vec![7; 1 << 20], b"\r\n"].concat(),
        ),
        "/close" => many(Reply::raw(format!("{OK}\r\n")), vec![7; 1 << 20]),
        "/over" => Reply::ok(vec![7; 65_536]).header("Content-Type", "application/dns-message"),
        "/head" => many(Reply::raw(OK), b"X-Y: ".repeat(200_000)),
        "/lines" => many(Reply::raw(OK), b"X-Y: 12345678\r\n".repeat(65_536)),
        "/interim" => many(
            Reply::raw(""),
            b"HTTP/1.1 102 Processing\r\n\r\n".repeat(40_000),
        ),
        _ => Reply::new(404),
    });
    let ca = server.ca_file().display().to_string();
    for (path, message) in [
        ("/length", "the answer is longer than a DNS message"),
        ("/chunked", "the answer is longer than a DNS message"),
        ("/close", "the answer is longer than a DNS message"),
        ("/over", "the answer is longer than a DNS message"),
        (
            "/head",
            "the header of the HTTP response is longer than 64 KiB",
        ),
        ("/lines", "not an HTTP/1 response"),
        ("/interim", "no answer"),
    ] {
        let url = server.url(path);
        // Endless interim responses are read until the timeout.
        let timeout = if path == "/interim" { "2s" } else { "30s" };
        let out = resolve()
            .arg(format!("@{url}"))
            .args([
                "--cacert",
                &ca,
                "--json",
                "--timeout",
                timeout,
                "-t",
                "A",
                "host.test",
            ])
            .timeout(Duration::from_secs(60))
            .measure_memory()
            .run();
        let record = &out.code(3).json()[0];
        if path == "/interim" {
            assert_eq!(record["status"], "TIMEOUT", "{}", out.report());
        } else {
            assert_eq!(record["status"], "MALFORMED", "{}", out.report());
            out.stderr_contains(&format!("resolve: host.test: {url}: {message}"));
        }
        out.peak_memory_below(32 << 20);
    }
}

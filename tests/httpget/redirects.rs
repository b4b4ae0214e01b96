//! Redirects: their targets, the requests sent to them, and refused ones.

use testkit::http::{HttpServer, Reply};
use testkit::tls::Authority;

use crate::support::{always, httpget};

#[test]
fn redirects_are_followed_as_in_browsers() {
    let server = HttpServer::start(|request| match request.target.as_str() {
        "/d/e/q?x=1" => Reply::redirect(301, "?page=2"),
        "/d/e/q?page=2" => Reply::redirect(302, "../../../a b"),
        "/a%20b" => Reply::redirect(303, "/\u{e4}"),
        "/%C3%A4" => Reply::redirect(307, "last#frag"),
        "/last" => Reply::redirect(308, "/end").body("ignored"),
        "/end" => Reply::text("there\n"),
        _ => Reply::new(404),
    });
    httpget()
        .args(["-L", &server.url("/d/e/q?x=1")])
        .run()
        .code(0)
        .stdout("there\n")
        .stderr("");
    assert_eq!(server.accepted(), 1, "bodies of redirects are read away");
    httpget()
        .args(["--no-location", &server.url("/last")])
        .run()
        .code(0)
        .stdout("ignored");
    let out = httpget().args(["-I", &server.url("/last")]).run();
    out.code(0);
    assert_eq!(out.stdout_str().matches("HTTP/1.1 ").count(), 2);
}

#[test]
fn redirects_are_limited() {
    let server = HttpServer::start(|request| {
        let n: u32 = request.path()[1..].parse().unwrap_or(0);
        match n {
            0 => Reply::text("end\n"),
            n => Reply::redirect(302, &format!("/{}", n - 1)),
        }
    });
    httpget()
        .arg(server.url("/10"))
        .run()
        .code(0)
        .stdout("end\n");
    httpget()
        .arg(server.url("/11"))
        .run()
        .code(3)
        .stdout("")
        .stderr_contains("more than 10 redirects");
    httpget()
        .args(["--max-redirs", "2", &server.url("/3")])
        .run()
        .code(3);
    httpget()
        .args(["--max-redirs", "-1", &server.url("/40")])
        .run()
        .code(0);
    httpget()
        .args(["--max-redirs", "0", &server.url("/1")])
        .run()
        .code(3);
    // All redirects are counted, but the record lists only the first ones.
    let out = httpget()
        .args(["--max-redirs", "-1", "-w", "%{stderr}%{num_redirects}"])
        .args(["--json", &server.url("/1100")])
        .run();
    out.code(0).stderr("1100");
    let redirects = out.json()[0]["redirects"].as_array().unwrap().len();
    assert_eq!(redirects, 1000);
    let circle = HttpServer::start(|_| Reply::redirect(302, "/"));
    let out = httpget().args(["--json", "-s", &circle.url("/")]).run();
    out.code(3);
    let record = &out.json()[0];
    assert_eq!(record["error"]["kind"], "protocol");
    assert_eq!(record["status"], 302);
}

#[test]
fn unsafe_redirects_are_refused() {
    for location in [
        "ftp://h/",
        "file:///etc/passwd",
        "gopher://h/",
        "http://[x/",
    ] {
        let server = always(Reply::redirect(302, location));
        let out = httpget().args(["--json", "-s", &server.url("/")]).run();
        out.code(3);
        assert_eq!(out.json()[0]["error"]["kind"], "protocol", "{location}");
    }
    let two = always(Reply::redirect(302, "/a").header("Location", "/b"));
    httpget()
        .arg(two.url("/"))
        .run()
        .code(3)
        .stderr_contains("two different Location headers");
    let plain = always(Reply::text("plain\n"));
    let to = plain.url("/");
    let secure = HttpServer::start_tls(move |_| Reply::redirect(302, &to));
    httpget()
        .args([
            "--cacert",
            secure.ca_file().to_str().unwrap(),
            &secure.url("/"),
        ])
        .run()
        .code(3)
        .stdout("")
        .stderr_contains("refused a redirect from https to http");
    assert_eq!(plain.requests().len(), 0);
    let none = always(Reply::new(302).body("no location\n"));
    httpget()
        .arg(none.url("/"))
        .run()
        .code(0)
        .stdout("no location\n");
}

#[test]
fn secrets_stay_with_their_origin() {
    let other = always(Reply::text("other\n"));
    let to = other.url("/there");
    let first = HttpServer::start(move |request| match request.path() {
        "/same" => Reply::text("same\n"),
        "/to-same" => Reply::redirect(302, "/same"),
        _ => Reply::redirect(302, &to),
    });
    let args = [
        "-u",
        "me:pw",
        "-H",
        "X-Api-Key: k",
        "-H",
        "Cookie: a=b",
        "-H",
        "Host: virtual",
        "-H",
        "X-Plain: p",
        "-e",
        "http://from/",
    ];
    httpget()
        .args(args)
        .arg(first.url("/to-same"))
        .run()
        .code(0);
    let same = &first.requests()[1];
    for name in ["authorization", "x-api-key", "cookie", "x-plain"] {
        assert!(same.header(name).is_some(), "{name}");
    }
    assert_eq!(same.header("host"), Some("virtual"));
    httpget()
        .args(args)
        .arg(first.url("/away"))
        .run()
        .code(0)
        .stdout("other\n");
    let away = &other.requests()[0];
    for name in ["authorization", "x-api-key", "cookie"] {
        assert_eq!(away.header(name), None, "{name}");
    }
    assert_eq!(away.header("host"), Some(other.addr().to_string().as_str()));
    assert_eq!(away.header("x-plain"), Some("p"));
    httpget()
        .args(args)
        .args(["--location-trusted", &first.url("/away")])
        .run()
        .code(0);
    assert!(other.requests()[1].header("authorization").is_some());
}

#[test]
fn a_redirect_from_http_to_https_is_followed() {
    let authority = Authority::new();
    let secure = HttpServer::start_tls_with(authority.server(), |_| Reply::text("safe\n"));
    let to = secure.url("/");
    let plain = HttpServer::start(move |_| Reply::redirect(301, &to));
    httpget()
        .args([
            "--cacert",
            authority.ca_file().to_str().unwrap(),
            &plain.url("/"),
        ])
        .run()
        .code(0)
        .stdout("safe\n");
}

#[test]
fn the_body_of_a_redirect_is_not_waited_for() {
    let server = HttpServer::start(|request| match request.path() {
        "/endless" => {
            Reply::raw("HTTP/1.1 302 F\r\nLocation: /there\r\nContent-Length: 9\r\n\r\nabc").hang()
        }
        _ => Reply::text("there\n"),
    });
    // The timeout is longer than the test may take.
    httpget()
        .args(["--stall-timeout", "10m", &server.url("/endless")])
        .run()
        .code(0)
        .stdout("there\n")
        .stderr("");
    // The connection with the unfinished body is not reused.
    assert_eq!(server.accepted(), 2);
}

#[test]
fn a_short_body_of_a_redirect_keeps_the_connection() {
    let server = HttpServer::start(|request| match request.path() {
        "/" => Reply::redirect(302, "/there").body("moved\n"),
        _ => Reply::text("there\n"),
    });
    httpget().arg(server.url("/")).run().code(0);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn locations_may_contain_raw_bytes_and_credentials() {
    let other = always(Reply::text("other"));
    let away = other.url("/away").replace("://", "://new:pw@");
    let server = HttpServer::start(move |request| match request.path() {
        "/raw" => Reply::raw(
            b"HTTP/1.1 302 F\r\nLocation: /caf\xe9?\xc3\xa9\xff\r\nContent-Length: 0\r\n\r\n"
                .to_vec(),
        ),
        "/login" => {
            let host = request.header("host").unwrap();
            Reply::redirect(302, &format!("http://new:pw@{host}/end"))
        }
        "/away" => Reply::redirect(302, &away),
        _ => Reply::text("x"),
    });
    httpget().arg(server.url("/raw")).run().code(0);
    assert_eq!(server.requests().pop().unwrap().target, "/caf%E9?%C3%A9%FF");
    let login = |path: &str, at: &HttpServer| {
        httpget()
            .args(["-u", "old:pw", &server.url(path)])
            .run()
            .code(0);
        let last = at.requests().pop().unwrap();
        last.header("authorization").map(str::to_owned)
    };
    // "new:pw" in base64; nothing is sent to another origin.
    assert_eq!(login("/login", &server).as_deref(), Some("Basic bmV3OnB3"));
    assert_eq!(login("/away", &other), None);
}

#[test]
fn names_of_this_host() {
    let server = always(Reply::text("here"));
    let port = server.addr().port();
    // Neither a proxy of the environment nor https is used.
    for url in [
        format!(":{port}/x"),
        format!("localhost:{port}"),
        format!("app.localhost:{port}"),
        format!("http://a.b.LOCALHOST:{port}/"),
    ] {
        httpget()
            .env("http_proxy", "http://127.0.0.1:1")
            .env("ALL_PROXY", "http://127.0.0.1:1")
            .arg(&url)
            .run()
            .code(0)
            .stdout("here");
    }
    httpget()
        .args(["-x", "http://127.0.0.1:1", &format!("localhost:{port}")])
        .run()
        .code(3);
    for url in ["http:/host/", "mailto:a@b"] {
        httpget().arg(url).run().code(2).stdout("");
    }
}

//! The basics: bodies, heads, JSON, statuses, operands.

use std::fs::File;
use std::time::Duration;

use testkit::http::{Gate, HttpServer, Reply};

use crate::support::{always, httpget};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn a_body_is_passed_on_byte_for_byte() {
    let body: Vec<u8> = (0..300_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let server = always(Reply::ok(body.clone()));
    let out = httpget().arg(server.url("/x?y#z")).run();
    out.code(0).stderr("");
    assert_eq!(out.stdout, body);
    let request = &server.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/x?y")
    );
    assert_eq!(
        String::from_utf8_lossy(&request.head),
        format!(
            "GET /x?y HTTP/1.1\r\nHost: {}\r\nUser-Agent: httpget/{}\r\nAccept: */*\r\n\r\n",
            server.addr(),
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn statuses_decide_the_exit_status() {
    let server = HttpServer::start(|request| match request.path() {
        "/404" => Reply::new(404).body("no such page\n"),
        "/503" => Reply::new(503).reason("Not \x1b[31mnow"),
        _ => Reply::text("fine\n"),
    });
    let (no, ok) = (server.url("/404"), server.url("/"));
    httpget()
        .arg(&no)
        .run()
        .code(1)
        .stdout("no such page\n")
        .stderr(&format!("httpget: {no}: 404 Not Found\n"));
    httpget().args(["-f", &no]).run().code(1).stdout("");
    httpget()
        .args(["-s", &no])
        .run()
        .code(1)
        .stderr("")
        .stdout("no such page\n");
    httpget()
        .args(["-sS", &no])
        .run()
        .code(1)
        .stderr_contains("404");
    httpget()
        .args(["--no-fail", &no])
        .run()
        .code(0)
        .stdout("no such page\n")
        .stderr("");
    httpget()
        .arg(server.url("/503"))
        .run()
        .code(1)
        .stderr_contains("503 Not \\x1b[31mnow");
    // The highest status is used, and the other URLs are fetched.
    httpget()
        .args([&ok, &no, "http://127.0.0.1:1/", &ok])
        .run()
        .code(3)
        .stdout("fine\nno such page\nfine\n")
        .stderr_contains("http://127.0.0.1:1/: connection refused");
}

#[test]
fn heads_are_printed_as_received() {
    let server = always(
        Reply::text("body\n")
            .header("X-Case", "kept")
            .header("x-escape", "\x1b[1m"),
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                X-Case: kept\r\nx-escape: \x1b[1m\r\nContent-Length: 5\r\n\r\n";
    let url = server.url("/");
    httpget()
        .args(["-i", &url])
        .run()
        .code(0)
        .stdout(&format!("{head}body\n"));
    httpget().args(["-I", &url]).run().code(0).stdout(head);
    assert_eq!(server.requests()[1].method, "HEAD");
    let dir = tempfile::tempdir().unwrap();
    httpget()
        .args(["-D", "heads", &url])
        .cwd(dir.path())
        .run()
        .code(0)
        .stdout("body\n");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("heads")).unwrap(),
        head
    );
    httpget()
        .args(["-D", "-", &url])
        .run()
        .code(0)
        .stdout(&format!("{head}body\n"));
}

#[test]
fn verbose_shows_both_heads_without_secrets() {
    let server = always(Reply::text("x").header("Set-Cookie", "id=secret2"));
    let out = httpget()
        .args([
            "-v",
            "-u",
            "me:secret1",
            "-H",
            "X-Api-Key: secret3",
            &server.url("/"),
        ])
        .run();
    out.code(0)
        .stdout("x")
        .stderr_contains("> GET / HTTP/1.1")
        .stderr_contains("> Authorization: Basic ***")
        .stderr_contains("> X-Api-Key: ***")
        .stderr_contains("< HTTP/1.1 200 OK")
        .stderr_contains("< Set-Cookie: ***")
        .stderr_contains(&format!("* connected to {}", server.addr()));
    assert!(!out.stderr_str().contains("secret"));
}

#[test]
fn headers_of_the_request_can_be_changed() {
    let server = always(Reply::new(200));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("more"), "X-File: f\n\n").unwrap();
    httpget()
        .args([
            "-H", "accept:", "-H", "X-A: b", "-H", "X-Empty;", "-H", "@more",
        ])
        .args(["-A", "me", "-e", "http://from/", "-u", "us:pw", "-r", "0-9"])
        .args(["--url-query", "q=a b", &server.url("/p?x=1")])
        .cwd(dir.path())
        .run()
        .code(0);
    let request = &server.requests()[0];
    assert_eq!(request.target, "/p?x=1&q=a%20b");
    let names: Vec<&str> = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Host",
            "Authorization",
            "User-Agent",
            "Referer",
            "Range",
            "X-A",
            "X-Empty",
            "X-File"
        ]
    );
    assert_eq!(request.header("user-agent"), Some("me"));
    assert_eq!(request.header("authorization"), Some("Basic dXM6cHc="));
    assert_eq!(request.header("range"), Some("bytes=0-9"));
    assert_eq!(request.header("x-empty"), Some(""));
}

#[test]
fn credentials_of_the_url_are_sent() {
    let server = always(Reply::new(404));
    let url = format!("http://us%40er:p%3Aw@{}/", server.addr());
    let out = httpget().args(["--json", &url]).run();
    out.code(1);
    assert!(!out.stdout_str().contains("p%3Aw") && !out.stderr_str().contains("p%3Aw"));
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Basic dXNAZXI6cDp3")
    );
}

#[test]
fn operands_are_read_from_stdin() {
    let server = HttpServer::start(|request| Reply::text(format!("{}\n", request.path())));
    let input = format!(
        "# urls\n\n  {}  \nftp://no/\n{}\n",
        server.url("/1"),
        server.url("/2")
    );
    httpget()
        .arg("-")
        .stdin(input)
        .run()
        .code(2)
        .stdout("/1\n/2\n")
        .stderr("httpget: -:4: ftp://no/: ftp is not supported; use http or https\n");
    // Both requests used one connection.
    assert_eq!(server.accepted(), 1);
}

#[test]
fn bad_operands_and_values_are_refused() {
    for url in [
        "http://",
        "http://127.1/",
        "http://0x7f.1/",
        "http://a b/",
        "ftp://x/",
        "http://127.0.0.1:0/",
    ] {
        let out = httpget().args(["--json", url]).run();
        out.code(2);
        let records = out.json();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["error"]["kind"], "input", "{url}");
        assert_eq!(out.stderr_str().lines().count(), 1);
    }
    httpget()
        .args(["-H", "no-colon", "http://x/"])
        .run()
        .code(2)
        .stdout("");
    httpget()
        .args(["--sha256", "12", "http://x/"])
        .run()
        .code(2)
        .stdout("");
    for range in ["abc", "5-1"] {
        httpget()
            .args(["-r", range, "http://127.0.0.1:1/"])
            .run()
            .code(2)
            .stderr(&format!(
                "httpget: invalid value '{range}' for '--range': must be a range such as 0-99, \
                 500- or -100, or a list of ranges, and must not end before it starts; see \
                 'httpget --help'\n"
            ));
    }
    httpget()
        .arg("mailto:a@b")
        .run()
        .code(2)
        .stderr("httpget: mailto:a@b: mailto is not supported; use http or https\n");
    httpget()
        .args(["--max-redirs", "-2", "http://x/"])
        .run()
        .code(2)
        .stdout("");
}

#[test]
fn silent_servers_time_out() {
    let silent = always(Reply::raw("").hang());
    httpget()
        .args(["--stall-timeout", "200ms", &silent.url("/")])
        .run()
        .code(3)
        .stderr_contains("the server sent nothing for 200 ms");
    httpget()
        .args(["-m", "0.2", &silent.url("/")])
        .run()
        .code(3)
        .stderr_contains("--max-time");
    let half = always(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").hang());
    let out = httpget()
        .args(["--json", "--stall-timeout", "200ms", &half.url("/")])
        .run();
    out.code(3);
    assert_eq!(out.json()[0]["error"]["kind"], "timeout");
}

#[test]
fn the_body_is_passed_on_as_it_arrives() {
    let gate = Gate::new();
    let server = always(
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
            .wait(&gate)
            .then("4\r\ntwo\n\r\n0\r\n\r\n"),
    );
    let running = httpget().arg(server.url("/")).spawn();
    assert_eq!(running.read_line(SOON), "one");
    gate.open();
    assert_eq!(running.read_line(SOON), "two");
    let _ = running.wait().code(0);
}

#[test]
fn closed_pipes_and_full_disks() {
    let server = always(Reply::ok(vec![b'x'; 1 << 20]));
    httpget()
        .arg(server.url("/"))
        .run_closing_stdout_after(10)
        .code(0)
        .stderr("");
    let full = File::options().write(true).open("/dev/full").unwrap();
    httpget()
        .arg(server.url("/"))
        .stdout_to(full)
        .run()
        .code(2)
        .stderr_contains("no space left on device");
}

#[test]
fn closed_connections_of_the_pool_are_replaced() {
    // The server closes each connection after a response that promised to keep it
    // open.
    let server = always(Reply::text("x\n").close());
    let url = server.url("/");
    httpget()
        .args([&url, &url, &url])
        .run()
        .code(0)
        .stdout("x\nx\nx\n");
}

#[test]
fn addresses_and_ports_can_be_overridden() {
    let server = always(Reply::text("x\n"));
    let port = server.addr().port();
    let url = format!("http://no.such.host.invalid:{port}/");
    httpget()
        .args([
            "--resolve",
            &format!("no.such.host.invalid:{port}:127.0.0.1"),
            &url,
        ])
        .run()
        .code(0)
        .stdout("x\n");
    httpget()
        .args([
            "--connect-to",
            &format!("::127.0.0.1:{port}"),
            "http://other.invalid/",
        ])
        .run()
        .code(0)
        .stdout("x\n");
    assert_eq!(server.requests()[1].header("host"), Some("other.invalid"));
    httpget()
        .args(["--interface", "127.0.0.1", &server.url("/")])
        .run()
        .code(0)
        .stdout("x\n");
    for (name, reason) in [
        ("no-such-if", "no such network interface"),
        ("192.0.2.1", "not an address of this machine"),
    ] {
        httpget()
            .args(["--interface", name, &server.url("/")])
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!(
                "httpget: invalid value '{name}' for '--interface': {reason}; \
                 see 'httpget --help'\n"
            ));
    }
    httpget()
        .args(["-6", &server.url("/")])
        .run()
        .code(2)
        .stdout("");
    // The label is too long for DNS: libc refuses it without a query.
    let url = format!("http://{}.test/", "x".repeat(64));
    httpget().args(["-s", &url]).run().code(3).stdout("");
}

#[test]
fn paths_can_be_sent_as_typed() {
    let server = always(Reply::new(200));
    httpget().arg(server.url("/a/../b")).run().code(0);
    httpget()
        .args(["--path-as-is", &server.url("/a/../b?c")])
        .run()
        .code(0);
    let targets: Vec<String> = server.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/b", "/a/../b?c"]);
}

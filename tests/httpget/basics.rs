//! The main job: bodies, heads, JSON, statuses, operands.

use std::fs::File;
use std::time::Duration;

use testkit::http::{Gate, HttpServer, Reply};

use crate::kit::{always, httpget};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn a_body_byte_for_byte() {
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
fn statuses() {
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
    // The highest wins, and the others go on.
    httpget()
        .args([&ok, &no, "http://127.0.0.1:1/", &ok])
        .run()
        .code(3)
        .stdout("fine\nno such page\nfine\n")
        .stderr_contains("http://127.0.0.1:1/: connection refused");
}

#[test]
fn heads() {
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
fn headers_of_the_request() {
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
fn credentials_of_the_url() {
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
fn the_json_record() {
    let server = HttpServer::start(|request| match request.path() {
        "/json" => Reply::json("{\"n\": 12345678901234567890,\n \"x\":1.50}"),
        "/bad" => Reply::json("{"),
        "/text" => Reply::text("a\u{9b}b\n"),
        "/bin" => Reply::ok(vec![0, 255]),
        "/cut" => Reply::ok("abc").header("Content-Length", "9").close(),
        "/r" => Reply::redirect(302, "/json"),
        _ => Reply::new(404),
    });
    let get = |path: &str| {
        let out = httpget().args(["--json", "-s", &server.url(path)]).run();
        let mut records = out.json();
        assert_eq!(records.len(), 1);
        (out, records.remove(0))
    };
    let (out, record) = get("/json");
    out.code(0);
    assert!(
        out.stdout_str()
            .contains("\"body\":{\"n\":12345678901234567890,\"x\":1.50}"),
        "{}",
        out.story()
    );
    assert!(
        out.stdout_str()
            .starts_with("{\"type\":\"response\",\"url\":")
    );
    assert_eq!(record["status"], 200);
    assert_eq!(record["reason"], "OK");
    assert_eq!(record["http_version"], "HTTP/1.1");
    assert_eq!(record["headers"][0][0], "Content-Type");
    assert_eq!(record["address"], server.addr().to_string());
    assert_eq!(record["bytes"], record["wire_bytes"]);
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    for key in [
        "type",
        "url",
        "final_url",
        "method",
        "status",
        "reason",
        "http_version",
        "headers",
        "body",
        "body_base64",
        "file",
        "bytes",
        "wire_bytes",
        "sha256",
        "redirects",
        "address",
        "tls",
        "dns_ms",
        "connect_ms",
        "tls_ms",
        "first_byte_ms",
        "duration_ms",
        "error",
    ] {
        assert!(record.get(key).is_some(), "no {key}");
        let error = httpget()
            .args(["--json", "-s", "http://127.0.0.1:1/"])
            .run()
            .json();
        assert!(error[0].get(key).is_some(), "no {key} in an error record");
    }
    assert_eq!(get("/bad").1["body"], "{");
    let (out, record) = get("/text");
    assert_eq!(record["body"], "a\u{9b}b\n");
    assert!(out.stdout_str().contains("a\\u009bb\\n"));
    let (_, record) = get("/bin");
    assert!(record["body"].is_null());
    assert_eq!(record["body_base64"], "AP8=");
    let (out, record) = get("/cut");
    out.code(3);
    assert_eq!(record["type"], "response");
    assert_eq!(record["error"]["kind"], "protocol");
    let (_, record) = get("/r");
    assert_eq!(record["redirects"][0]["status"], 302);
    assert_eq!(record["final_url"], server.url("/json"));
    let (out, record) = get("/none");
    out.code(1);
    assert_eq!(record["status"], 404);
    assert!(record["error"].is_null());
    let out = httpget().args(["--json", "http://127.0.0.1:1/"]).run();
    out.code(3);
    let record = &out.json()[0];
    assert_eq!(record["type"], "error");
    assert_eq!(
        (&record["kind"], &record["error"]["kind"]),
        (&"refused".into(), &"refused".into())
    );
    assert_eq!(record["target"], "http://127.0.0.1:1/");
}

#[test]
fn pointers() {
    let server = always(Reply::json("{\"a\":[{\"b\":\"x y\"},1.0]}"));
    let get = |pointer: &str| {
        httpget()
            .args(["--pointer", pointer, &server.url("/")])
            .run()
    };
    get("/a/0/b").code(0).stdout("\"x y\"\n").stderr("");
    get("/a/1").code(0).stdout("1.0\n");
    get("/a/0").code(0).stdout("{\"b\":\"x y\"}\n");
    get("/a/2")
        .code(1)
        .stdout("")
        .stderr_contains("no such value");
    get("a").code(2).stdout("");
    let server = always(Reply::text("no json"));
    httpget()
        .args(["--pointer", "/a", &server.url("/")])
        .run()
        .code(3)
        .stdout("");
}

#[test]
fn operands_from_stdin() {
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
    // One connection served both.
    assert_eq!(server.accepted(), 1);
}

#[test]
fn bad_operands() {
    for url in [
        "http://",
        "http://127.1/",
        "http://0x7f.1/",
        "http://a b/",
        "ftp://x/",
    ] {
        let out = httpget().args(["--json", url]).run();
        out.code(2);
        let records = out.json();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["error"]["kind"], "input", "{url}");
        assert_eq!(out.stderr_str().lines().count(), 1);
    }
    httpget()
        .args(["-H", "nonsense", "http://x/"])
        .run()
        .code(2)
        .stdout("");
    httpget()
        .args(["--sha256", "12", "http://x/"])
        .run()
        .code(2)
        .stdout("");
    httpget()
        .args(["-r", "abc", "http://127.0.0.1:1/"])
        .run()
        .code(2)
        .stderr_contains("0-99, 500- or -100");
    httpget()
        .args(["--max-redirs", "-2", "http://x/"])
        .run()
        .code(2)
        .stdout("");
}

#[test]
fn timeouts() {
    let silent = always(Reply::raw("").hang());
    httpget()
        .args(["--stall-timeout", "200ms", &silent.url("/")])
        .run()
        .code(3)
        .stderr_contains("silent for 200 ms");
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
fn what_comes_is_passed_on_at_once() {
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
fn kept_connections_that_have_died_are_replaced() {
    // The server closes each connection behind a response that promised to
    // keep it.
    let server = always(Reply::text("x\n").close());
    let url = server.url("/");
    httpget()
        .args([&url, &url, &url])
        .run()
        .code(0)
        .stdout("x\nx\nx\n");
}

#[test]
fn other_ways_to_the_server() {
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
    httpget()
        .args(["-6", &server.url("/")])
        .run()
        .code(2)
        .stdout("");
    // Too long a label for DNS: libc says no without asking anybody.
    let url = format!("http://{}.test/", "x".repeat(64));
    httpget().args(["-s", &url]).run().code(3).stdout("");
}

#[test]
fn paths_as_they_are() {
    let server = always(Reply::new(200));
    httpget().arg(server.url("/a/../b")).run().code(0);
    httpget()
        .args(["--path-as-is", &server.url("/a/../b?c")])
        .run()
        .code(0);
    let targets: Vec<String> = server.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/b", "/a/../b?c"]);
}

/// What curl has and a tool that only gets has not.
#[test]
fn options_of_curl_that_are_not_here() {
    let told = |option: &str, line: &str| {
        let args = [option, "x", "http://127.0.0.1:1/"];
        httpget()
            .args(args)
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!(
                "httpget: {option} is not an option here: {line}; see 'httpget --help'\n"
            ));
    };
    for option in ["-X", "-d", "-T", "-F", "--request", "--data"] {
        told(option, "httpget sends only GET and, with -I, HEAD");
    }
    for (option, hint) in [
        ("--url", "give the URL without an option"),
        ("-G", "use --url-query NAME=VALUE"),
        ("-K", "there is no configuration file"),
        ("--anyauth", "use --digest if the server asks for it"),
        ("--oauth2-bearer", "use --bearer-file FILE"),
        ("--http2", "requests are HTTP/1.1, which every server understands"),
        (
            "--proto",
            "only http and https are supported, and no redirect from https to http",
        ),
        (
            "--proxytunnel",
            "https always uses a tunnel, and http never does",
        ),
    ] {
        told(option, hint);
    }
}

#[test]
fn options_of_curl_that_change_nothing_are_accepted() {
    let server = always(Reply::new(404).body("no such page\n"));
    let url = server.url("/");
    for option in [
        "-L",
        "-N",
        "-g",
        "-#",
        "--fail-with-body",
        "--http1.1",
        "--basic",
        "--tlsv1.2",
    ] {
        httpget()
            .args([option, &url])
            .run()
            .code(1)
            .stdout("no such page\n")
            .stderr(&format!("httpget: {url}: 404 Not Found\n"));
    }
    let dir = tempfile::tempdir().unwrap();
    let named = always(Reply::text("x"));
    httpget()
        .cwd(dir.path())
        .args(["--remote-name-all", &named.url("/a"), &named.url("/b")])
        .run()
        .code(0);
    assert_eq!(crate::kit::files(dir.path()), ["a", "b"]);
}

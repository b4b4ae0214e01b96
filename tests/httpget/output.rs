//! Compressed bodies, `-w`, `--time`, `--show-cert`, `--pointer` and heads.

use testkit::http::{HttpServer, Reply};

use crate::support::{always, files, httpget};

const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xc8\xe4\x02\x00\x7a\x7a\x6f\xed\x03\x00\x00\x00";
const ZLIB: &[u8] = b"\x78\x9c\xcb\xc8\xe4\x02\x00\x02\x17\x00\xdc";
const BROTLI: &[u8] = b"\x0f\x01\x80hi\n\x03";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00hi\n";

#[test]
fn compressed_bodies_are_decoded() {
    let server = HttpServer::start(|request| {
        let (coding, body) = match request.path() {
            "/gzip" => ("gzip", GZIP.to_vec()),
            "/deflate" => ("deflate", ZLIB.to_vec()),
            "/raw" => ("deflate", ZLIB[2..ZLIB.len() - 4].to_vec()),
            "/br" => ("br", BROTLI.to_vec()),
            "/zstd" => ("zstd", ZSTD.to_vec()),
            "/cut" => ("gzip", GZIP[..15].to_vec()),
            "/junk" => ("gzip", b"junk".to_vec()),
            "/many" => ("gzip, gzip, gzip", GZIP.to_vec()),
            "/unknown" => ("compress", b"x".to_vec()),
            _ => ("identity", b"hi\n".to_vec()),
        };
        Reply::ok(body).header("Content-Encoding", coding)
    });
    for path in ["/gzip", "/deflate", "/raw", "/br", "/zstd", "/plain"] {
        httpget()
            .args(["--compressed", &server.url(path)])
            .run()
            .code(0)
            .stdout("hi\n")
            .stderr("");
    }
    assert_eq!(
        server.requests()[0].header("accept-encoding"),
        Some("gzip, deflate, br, zstd")
    );
    for path in ["/cut", "/junk", "/many", "/unknown"] {
        let out = httpget()
            .args(["--compressed", "--json", "-s", &server.url(path)])
            .run();
        out.code(3);
        assert_eq!(out.json()[0]["error"]["kind"], "protocol", "{path}");
    }
    // Without the option the body is passed on unchanged.
    let out = httpget().arg(server.url("/gzip")).run();
    assert_eq!(out.stdout, GZIP);
    let record = httpget()
        .args(["--compressed", "--json", &server.url("/gzip")])
        .run()
        .json();
    assert_eq!(
        (&record[0]["bytes"], &record[0]["wire_bytes"]),
        (&3.into(), &23.into())
    );
    httpget()
        .args(["--compressed", "--max-filesize", "2", &server.url("/br")])
        .run()
        .code(1);
}

#[test]
fn formats_of_write_out() {
    let server = HttpServer::start(|request| match request.path() {
        "/r" => Reply::redirect(302, "/x"),
        _ => Reply::text("four").header("X-A", "b\x1bc"),
    });
    let url = server.url("/r");
    let run = |format: &str| httpget().args(["-w", format, &url]).run();
    run("\\n%{http_code} %{num_redirects} %{size_download} %header{x-a}\\n")
        .code(0)
        .stdout("four\n200 1 4 b\\x1bc\n");
    run("%{stderr}%{url_effective}\\n")
        .stdout("four")
        .stderr(&format!("{}\n", server.url("/x")));
    let out = run("\\n%{json}\\n");
    let json: serde_json::Value = serde_json::from_str(&out.lines()[1]).unwrap();
    assert_eq!(json["response_code"], 200);
    assert_eq!(json["remote_ip"], "127.0.0.1");
    assert!(json["time_total"].as_f64().unwrap() > 0.0);
    run("a%{unknown}b")
        .code(0)
        .stderr_contains("warning: --write-out: unknown variable 'unknown'");
}

#[test]
fn durations_and_certificates_are_printed() {
    let server = HttpServer::start_tls(|_| Reply::text("x"));
    let ca = server.ca_file();
    let out = httpget()
        .args([
            "--time",
            "--show-cert",
            "--cacert",
            ca.to_str().unwrap(),
            &server.url("/"),
        ])
        .run();
    out.code(0).stdout("x");
    for part in [
        "connect",
        "TLS",
        "first byte",
        "total",
        "days left:",
        "until: 4096-01-01",
    ] {
        out.stderr_contains(part);
    }
}

#[test]
fn events_are_passed_on_immediately() {
    use std::time::Duration;
    let gate = testkit::http::Gate::new();
    let server = always(
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            .wait(&gate)
            .then("data: 2\n\n")
            .close(),
    );
    let running = httpget().arg(server.url("/")).spawn();
    assert_eq!(running.read_line(Duration::from_secs(15)), "data: 1");
    gate.open();
    let _ = running.wait().code(0).stdout("data: 1\n\ndata: 2\n\n");
}

#[test]
fn slow_reading_and_a_rate_limit() {
    let server = always(Reply::ok(vec![b'x'; 40_000]));
    let out = httpget()
        .args(["--limit-rate", "400k", &server.url("/")])
        .run();
    out.code(0);
    assert_eq!(out.stdout.len(), 40_000);
}

#[test]
fn a_pointer_with_json_and_into_a_file() {
    let server = always(Reply::text("{\"a\": {\"n\": 1.50}}\n"));
    let url = server.url("/doc");
    let out = httpget().args(["--json", "--pointer", "/a", &url]).run();
    out.code(0);
    assert!(out.stdout_str().contains("\"body\":{\"n\":1.50},"));
    let out = httpget().args(["--json", "--pointer", "/b", &url]).run();
    out.code(1);
    let record = &out.json()[0];
    assert!(record["body"].is_null());
    assert_eq!(record["error"]["kind"], "missing");
    let dir = tempfile::tempdir().unwrap();
    let saving = |args: &[&str]| httpget().cwd(dir.path()).args(args).arg(&url).run();
    saving(&["--pointer", "/a/n", "-o", "f"])
        .code(0)
        .stdout("")
        .stderr("");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(
        (read("f"), files(dir.path())),
        ("1.50\n".into(), vec!["f".into()])
    );
    saving(&["--pointer", "/b", "-o", "f"]).code(1);
    saving(&["--pointer", "/a", "-O"]).code(0).stdout("");
    assert_eq!(
        (read("f"), read("doc")),
        ("1.50\n".into(), "{\"n\":1.50}\n".into())
    );
    saving(&["--pointer", "/a", "-o", "f", "-C", "-"])
        .code(2)
        .stderr_contains("cannot be used with --pointer");
}

#[test]
fn heads_are_written_where_the_body_is() {
    let server = HttpServer::start(|request| match request.path() {
        "/r" => Reply::redirect(302, "/there"),
        "/404" => Reply::new(404).body("no"),
        _ => Reply::ok("body\n"),
    });
    let dir = tempfile::tempdir().unwrap();
    let saving = |args: &[&str]| httpget().cwd(dir.path()).args(args).run();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let first = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    saving(&["-i", "-o", "f", &server.url("/r")])
        .code(0)
        .stdout("")
        .stderr("");
    assert_eq!(read("f"), format!("{first}{second}body\n"));
    saving(&["-I", "-o", "f", &server.url("/")])
        .code(0)
        .stdout("");
    assert_eq!(read("f"), second);
    // Only the body is verified.
    saving(&["-i", "-o", "f", "--sha256", digest, &server.url("/")]).code(1);
    assert_eq!(read("f"), second);
    saving(&["-i", "-o", "g", &server.url("/404")])
        .code(1)
        .stdout("");
    assert_eq!(files(dir.path()), ["f"]);
    saving(&["-D", "-", "-o", "f", &server.url("/")])
        .code(0)
        .stdout(second);
    assert_eq!(read("f"), "body\n");
}

#[test]
fn options_without_effect_cause_warnings() {
    let server = always(Reply::text("x"));
    let dir = tempfile::tempdir().unwrap();
    let saving = |args: &[&str]| {
        let args = args.iter().copied().chain([""; 0]);
        httpget()
            .cwd(dir.path())
            .args(args)
            .arg(server.url("/"))
            .run()
    };
    saving(&["-o", "a", "-o", "b", "-o", "c"])
        .code(0)
        .stderr("httpget: warning: 2 -o without a URL\n");
    for (args, warning) in [
        (&["-J"][..], "-J has no effect without -O"),
        (&["-R"], "-R has no effect without -o or -O"),
        (
            &["--no-clobber"],
            "--no-clobber has no effect without -o or -O",
        ),
        (
            &["--retry-delay", "1"],
            "--retry-delay has no effect without --retry",
        ),
        (
            &["--retry-all-errors"],
            "--retry-all-errors has no effect without --retry",
        ),
        (
            &["--max-per-host", "1"],
            "--max-per-host has no effect without -Z",
        ),
        (&["--digest"], "--digest has no effect without a user"),
        (
            &["-k", "--cacert", "c.pem"],
            "--cacert has no effect with -k",
        ),
        (&["--capath", ".", "-k"], "--capath has no effect with -k"),
        (
            &["-w%output{f}"],
            "--write-out: unknown variable 'output{f}'",
        ),
        (&["-w%time{%Y}"], "--write-out: unknown variable 'time{%Y}'"),
    ] {
        let warning = format!("httpget: warning: {warning}\n");
        saving(args).code(0).stdout("x").stderr(&warning);
    }
    saving(&["-s", "-J", "-o", "a", "-o", "b"])
        .code(0)
        .stderr("");
}

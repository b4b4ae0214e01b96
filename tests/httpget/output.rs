//! Compressed bodies, `-w`, `--time`, `--show-cert`, the terminal.

use testkit::http::{HttpServer, Reply};

use crate::kit::{always, httpget};

const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xc8\xe4\x02\x00\x7a\x7a\x6f\xed\x03\x00\x00\x00";
const ZLIB: &[u8] = b"\x78\x9c\xcb\xc8\xe4\x02\x00\x02\x17\x00\xdc";
const BROTLI: &[u8] = b"\x0f\x01\x80hi\n\x03";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00hi\n";

#[test]
fn compressed() {
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
    // Without the option the bytes are passed on as they came.
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
fn write_out() {
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
    run("%{nonsense}")
        .code(2)
        .stdout("")
        .stderr_contains("nonsense");
}

#[test]
fn for_people() {
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
fn events_are_passed_on_as_they_come() {
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
fn slow_servers_and_slow_reading() {
    let server = always(Reply::ok(vec![b'x'; 40_000]));
    let out = httpget()
        .args(["--limit-rate", "400k", &server.url("/")])
        .run();
    out.code(0);
    assert_eq!(out.stdout.len(), 40_000);
}

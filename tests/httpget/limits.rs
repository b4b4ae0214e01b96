//! Limits that the user sets, and temporary failures.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use testkit::http::{HttpServer, Reply};

use crate::support::{always, files, httpget};

/// Returns `count` zeros, compressed by gzip.
fn zeros(count: usize) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let piece = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        coder.write_all(&piece).unwrap();
    }
    coder.finish().unwrap()
}

#[test]
fn decoded_bodies_are_limited() {
    let bomb = zeros(8 << 20);
    assert!(bomb.len() < 100_000);
    let twice = {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        coder.write_all(&bomb).unwrap();
        coder.finish().unwrap()
    };
    let server = HttpServer::start(move |request| match request.path() {
        "/once" => Reply::ok(bomb.clone()).header("Content-Encoding", "gzip"),
        "/twice" => Reply::ok(twice.clone()).header("Content-Encoding", "gzip, gzip"),
        _ => Reply::ok("x").header("Content-Encoding", "gzip, gzip, gzip, gzip"),
    });
    let dir = tempfile::tempdir().unwrap();
    let limit = ["--compressed", "--max-filesize", "1M"];
    for path in ["/once", "/twice"] {
        let url = server.url(path);
        let out = httpget().args(limit).arg(&url).run();
        out.code(1).stderr_contains("larger than 1048576 bytes");
        assert!(out.stdout.len() <= 1 << 20, "{}", out.stdout.len());
        let out = httpget().args(limit).args(["--json", &url]).run();
        out.code(1);
        assert_eq!(out.json()[0]["error"]["kind"], "size");
        httpget()
            .cwd(dir.path())
            .args(limit)
            .args(["-o", "f", &url])
            .run()
            .code(1);
        assert_eq!(files(dir.path()), [""; 0]);
    }
    httpget()
        .args(["--compressed", &server.url("/many")])
        .run()
        .code(3)
        .stdout("");
}

#[test]
fn slow_transfers_are_aborted() {
    let server = HttpServer::start(|_| {
        let start = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
        // The server would continue for much longer than the test is allowed to run.
        (0..6000).fold(start, |reply, _| {
            reply.then("x").pause(Duration::from_millis(50))
        })
    });
    httpget()
        .args([
            "-Y",
            "1000",
            "-y",
            "0.5",
            "-o",
            "/dev/null",
            &server.url("/"),
        ])
        .run()
        .code(3)
        .stderr_contains("slower than 1000 bytes per second");
}

#[test]
fn a_silent_server_is_too_slow() {
    // Before the response head, and within the body.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    for begun in ["", head, "HTTP/1.1 200 OK\r\n\r\nabc"] {
        let server = always(Reply::raw(begun).hang());
        let url = server.url("/");
        for (how, said) in [
            (
                &["-y", "0.3"][..],
                "slower than 1 bytes per second for 300 ms",
            ),
            (
                &["-Y", "5", "-y", "300ms"],
                "slower than 5 bytes per second",
            ),
        ] {
            let out = httpget().args(how).args(["--json", &url]).run();
            out.code(3).stderr_contains(said);
            assert_eq!(out.json()[0]["error"]["kind"], "timeout");
        }
    }
    // A speed of 0 means no limit.
    let server = always(
        Reply::raw(head)
            .pause(Duration::from_millis(600))
            .then("123456789"),
    );
    httpget()
        .args(["-Y", "0", "-y", "0.2", &server.url("/")])
        .run()
        .code(0)
        .stdout("123456789");
}

#[test]
fn refused_connections_are_retried_on_request() {
    // No process listens on a port that was just free.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let tries = |args: &[&str]| {
        let retry = ["--retry", "2", "--retry-delay", "0"];
        let out = httpget().args(retry).args(args).arg(&url).run();
        out.code(3);
        out.stderr_str().matches("retrying").count()
    };
    assert_eq!(tries(&[]), 0);
    assert_eq!(tries(&["--retry-connrefused"]), 2);
    assert_eq!(tries(&["--retry-all-errors"]), 2);
    let missing = always(Reply::new(404));
    httpget()
        .args(["-s", "--retry", "2", "--retry-delay", "0"])
        .args(["--retry-all-errors", &missing.url("/")])
        .run()
        .code(1);
    assert_eq!(missing.requests().len(), 3);
}

//! Partial responses (206): the body must be as long as its Content-Range says,
//! whatever its framing.

use std::time::Duration;

use testkit::http::Reply;

use crate::resume::{PARTIAL_LENGTH, leave_partial_file, read, saving};
use crate::support::{body_of, files, httpget, range_start, ranged_server, state_file};

/// Returns a 206 of `body` from `at` to its end under the tag `"1"`, with `sent` as its
/// body and without a Content-Length.
fn unmeasured(body: &[u8], at: usize, sent: &[u8], chunked: bool, total: &str) -> Reply {
    let last = body.len() - 1;
    let head =
        format!("HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {at}-{last}/{total}\r\n");
    let sent = if chunked {
        let size = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", sent.len());
        [size.as_bytes(), sent, b"\r\n0\r\n\r\n"].concat()
    } else {
        [b"Connection: close\r\n\r\n", sent].concat()
    };
    Reply::raw([head.as_bytes(), &sent].concat()).close()
}

#[test]
fn a_rest_must_be_as_long_as_its_range() {
    let body = body_of(PARTIAL_LENGTH + 100_000);
    let rest = &body[PARTIAL_LENGTH..];
    let long = [rest, b"more"].concat();
    for (sent, message) in [
        (
            &rest[..1000],
            "was cut short: 2001000 of 2100000 bytes received",
        ),
        (&rest[..rest.len() - 1], "was cut short: 2099999 of 2100000"),
        (&long[..], "longer than its Content-Range"),
    ] {
        for chunked in [false, true] {
            for total in ["2100000", "*"] {
                let reply = unmeasured(&body, PARTIAL_LENGTH, sent, chunked, total);
                let server =
                    ranged_server(&body, move |number, _| (number == 0).then(|| reply.clone()));
                let url = server.url("/");
                let dir = tempfile::tempdir().unwrap();
                let dir = dir.path();
                leave_partial_file(dir, &url, &body);
                saving(dir)
                    .args(["-C", "-", &url])
                    .run()
                    .code(3)
                    .stderr_contains(message);
                let part = read(dir, "f.part");
                assert!(part.len() >= PARTIAL_LENGTH && body.starts_with(&part));
                saving(dir).args(["-C", "-", &url]).run().code(0);
                assert!(read(dir, "f") == body);
            }
        }
    }
}

#[test]
fn a_rest_from_an_offset_must_be_as_long_as_its_range() {
    let body = body_of(1000);
    let long = [&body[400..], b"more"].concat();
    for sent in [&body[400..500], &long, &[]] {
        for chunked in [false, true] {
            let reply = unmeasured(&body, 400, sent, chunked, "1000");
            let server = crate::support::always(reply);
            let url = server.url("/");
            for args in [
                &["-C", "400"][..],
                &["-j", "-C", "400"],
                &["-j", "-r", "400-"],
            ] {
                let out = httpget().args(args).arg(&url).run();
                out.code(3);
                if args[0] == "-j" {
                    assert_eq!(out.json()[0]["error"]["kind"], "protocol");
                }
            }
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("f"), &body[..400]).unwrap();
            saving(dir.path()).args(["-C", "400", &url]).run().code(3);
            assert_eq!(read(dir.path(), "f"), &body[..400]);
            saving(dir.path()).args(["-r", "400-", &url]).run().code(3);
            assert_eq!(read(dir.path(), "f"), &body[..400]);
        }
    }
}

#[test]
fn an_overlap_without_a_rest_is_cut_short() {
    // Under a weak tag the last bytes are sent again; nothing follows them.
    let body = body_of(PARTIAL_LENGTH + 100_000);
    let from = PARTIAL_LENGTH - 65_536;
    for sent in [
        &body[from..PARTIAL_LENGTH],
        &body[from..PARTIAL_LENGTH - 1],
        &[],
    ] {
        let (head, last) = ("HTTP/1.1 206 P\r\nETag: W/\"1\"\r\n", body.len() - 1);
        for total in ["2100000", "*"] {
            let head = format!("{head}Content-Range: bytes {from}-{last}/{total}\r\n\r\n");
            let reply = Reply::raw([head.as_bytes(), sent].concat()).close();
            let server = crate::support::always(reply);
            let url = server.url("/");
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("f.part"), &body[..PARTIAL_LENGTH]).unwrap();
            let state = state_file(&url, "weak-etag: W/\"1\"\n");
            std::fs::write(dir.path().join("f.part.state"), state).unwrap();
            saving(dir.path())
                .args(["-C", "-", &url])
                .run()
                .code(3)
                .stderr_contains("was cut short");
            assert_eq!(files(dir.path()), ["f.part", "f.part.state"]);
            assert!(read(dir.path(), "f.part") == body[..PARTIAL_LENGTH]);
        }
    }
    // A range that ends where the partial file ends, of a body of unknown length.
    let short = format!("bytes {from}-{}/*", PARTIAL_LENGTH - 1);
    let other = body[from..PARTIAL_LENGTH].to_vec();
    let whole = body.clone();
    let server = testkit::http::HttpServer::start(move |request| match range_start(request) {
        None => Reply::ok(whole.clone()).header("ETag", "W/\"1\""),
        Some(_) => Reply::new(206)
            .header("ETag", "W/\"1\"")
            .header("Content-Range", &short)
            .body(other.clone()),
    });
    let url = server.url("/");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f.part"), &body[..PARTIAL_LENGTH]).unwrap();
    let state = state_file(&url, "weak-etag: W/\"1\"\n");
    std::fs::write(dir.path().join("f.part.state"), state).unwrap();
    saving(dir.path())
        .args(["-C", "-", &url])
        .run()
        .code(0)
        .stderr_contains("starting over: the server does not send the rest of the body");
    assert!(read(dir.path(), "f") == body);
}

#[test]
fn a_range_that_was_not_requested_is_refused() {
    for (requested, range) in [
        ("0-9", Some("bytes 500-509/1000")),
        ("0-9", Some("bytes 0-8/1000")),
        ("0-9", Some("lines 0-9/1000")),
        ("990-", Some("bytes 0-9/1000")),
        ("-10", Some("bytes 0-9/1000")),
        ("0-9", None),
    ] {
        let mut reply = Reply::new(206).body(&b"0123456789"[..]);
        if let Some(range) = range {
            reply = reply.header("Content-Range", range);
        }
        let server = crate::support::always(reply);
        let url = server.url("/");
        let header = format!("Range: bytes={requested}");
        for args in [["-r", requested], ["-H", &header]] {
            httpget().args(args).arg(&url).run().code(3).stdout("");
            let out = httpget().arg("-j").args(args).arg(&url).run();
            out.code(3);
            assert_eq!(
                out.json()[0]["error"]["kind"],
                "protocol",
                "{requested} {range:?}"
            );
            let dir = tempfile::tempdir().unwrap();
            saving(dir.path()).args(args).arg(&url).run().code(3);
            assert_eq!(files(dir.path()), [""; 0]);
        }
    }
}

#[test]
fn a_cut_range_is_not_continued_as_the_whole_file() {
    let body = body_of(200_000);
    let server = ranged_server(&body, |_, _| {
        let head = "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes 100-199/200000\r\n\r\n";
        Some(Reply::raw([head.as_bytes(), &[b'x'; 50]].concat()).close())
    });
    let url = server.url("/");
    let dir = tempfile::tempdir().unwrap();
    let retry = ["--retry", "1", "--retry-delay", "0", "-r", "100-199"];
    saving(dir.path()).args(retry).arg(&url).run().code(3);
    httpget()
        .args(retry)
        .arg(&url)
        .run()
        .code(3)
        .stdout(&"x".repeat(50));
    let ranges = server.requests();
    assert!(
        ranges
            .iter()
            .all(|r| r.header("range") == Some("bytes=100-199"))
    );
    assert_eq!(ranges.len(), 3);
    // The received bytes are not the start of the file.
    let whole = ranged_server(&body, |_, _| None);
    assert_eq!(files(dir.path()), ["f.part", "f.part.state"]);
    saving(dir.path())
        .args(["-C", "-", &whole.url("/")])
        .run()
        .code(0);
    assert!(read(dir.path(), "f") == body);
}

#[test]
fn a_rest_from_an_offset_is_in_the_record() {
    let body = body_of(1000);
    let whole = body.clone();
    let server = ranged_server(&body, move |number, _| {
        (number == 1).then(|| unmeasured(&whole, 990, b"!", false, "1000"))
    });
    let url = server.url("/");
    let args = ["-j", "-C", "990", "--retry", "1", "--retry-delay", "0"];
    for _ in 0..2 {
        let out = httpget().args(args).arg(&url).run();
        out.code(0);
        let record = &out.json()[0];
        let rest = String::from_utf8_lossy(&body[990..]);
        match record["body"].as_str() {
            Some(text) => assert_eq!(text, rest),
            None => assert!(record["body_base64"].is_string()),
        }
        assert_eq!(record["bytes"], 1000);
    }
    let ranges = server.requests();
    assert!(
        ranges
            .iter()
            .all(|r| r.header("range") == Some("bytes=990-"))
    );
    assert_eq!(ranges.len(), 3);
}

#[test]
fn an_endless_line_does_not_block_other_transfers() {
    use testkit::http::Gate;
    let (gate, seen) = (Gate::new(), Gate::new());
    let server = {
        let (gate, seen) = (gate.clone(), seen.clone());
        testkit::http::HttpServer::start(move |request| {
            if request.path() == "/good" {
                // Sent only after the other line has started.
                return Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                    .wait(&seen)
                    .then("good\n");
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
            let reply = Reply::raw(head).then(vec![b'x'; (1 << 20) + 1]);
            let slow_byte = |reply: Reply, _| reply.then("x").pause(Duration::from_millis(200));
            (0..3000).fold(reply, slow_byte).wait(&gate).close()
        })
    };
    let running = httpget()
        .args([
            "-Z",
            "--stall-timeout",
            "5",
            &server.url("/slow"),
            &server.url("/good"),
        ])
        .timeout(Duration::from_secs(60))
        .spawn();
    while running.stdout_so_far().len() < (1 << 20) {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    seen.open();
    let out = running.wait();
    gate.open();
    out.code(3).stderr_contains("a line stayed incomplete");
    assert!(
        out.stdout_str().ends_with("x\ngood\n"),
        "{}",
        out.stderr_str()
    );
}

#[test]
fn a_body_without_a_byte_leaves_no_file() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 400000\r\n\r\n";
    let server = crate::support::always(Reply::raw(head).close());
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    saving(dir.path()).arg(&url).run().code(3).stderr(&format!(
        "httpget: {url}: the body was cut short: 0 of 400000 bytes received\n"
    ));
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn an_empty_file_is_not_continued() {
    let body = body_of(1000);
    let server = ranged_server(&body, |_, _| None);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "").unwrap();
    saving(dir.path())
        .args(["-C", "-", &server.url("/")])
        .run()
        .code(0)
        .stderr("");
    assert!(read(dir.path(), "f") == body);
    assert_eq!(server.requests()[0].header("range"), None);
}

//! Partial files keep what their state file describes, whatever the server answers.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Tool;
use testkit::http::Reply;

use crate::support::{body_of, files, httpget, range_start, ranged_server, state_file};

const MIB: usize = 1 << 20;
pub(crate) const PARTIAL_LENGTH: usize = 2_000_000;
/// Ninety bytes that occur in no other body.
const ERROR_PAGE: [u8; 90] = [b'!'; 90];

fn large() -> Vec<u8> {
    body_of(6 * MIB + 123)
}

pub(crate) fn saving(dir: &Path) -> Tool {
    httpget().cwd(dir).args(["-o", "f"])
}

pub(crate) fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

/// Leaves the files of an interrupted run.
pub(crate) fn leave_partial_file(dir: &Path, url: &str, body: &[u8]) {
    std::fs::write(dir.join("f.part"), &body[..PARTIAL_LENGTH]).unwrap();
    let state = state_file(url, &format!("etag: \"1\"\nlength: {}\n", body.len()));
    std::fs::write(dir.join("f.part.state"), state).unwrap();
}

/// Returns the whole body, cut after `after` bytes.
fn cut(body: &[u8], after: usize) -> Reply {
    Reply::ok(&body[..after])
        .header("ETag", "\"1\"")
        .header("Content-Length", &body.len().to_string())
        .close()
}

/// Continues the partial file, which must become `body`.
fn resume(dir: &Path, url: &str, body: &[u8]) {
    saving(dir).args(["-C", "-", url]).run().code(0).stderr("");
    assert!(read(dir, "f") == body);
    assert_eq!(files(dir), ["f"]);
}

#[test]
fn an_error_keeps_the_partial_file() {
    let body = large();
    for how in [&[][..], &["--segments", "3"]] {
        for status in [404, 503] {
            let server = ranged_server(&body, move |number, _| {
                (number == 0).then(|| Reply::new(status).body(ERROR_PAGE))
            });
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            leave_partial_file(dir, &server.url("/"), &body);
            let state = read(dir, "f.part.state");
            let url = server.url("/");
            saving(dir).args(how).args(["-C", "-", &url]).run().code(1);
            assert!(read(dir, "f.part") == body[..PARTIAL_LENGTH]);
            assert_eq!(read(dir, "f.part.state"), state);
            resume(dir, &url, &body);
            assert_eq!(range_start(&server.requests()[1]), Some(PARTIAL_LENGTH));
        }
    }
}

#[test]
fn an_error_after_a_cut_keeps_the_received_bytes() {
    let body = large();
    let whole = body.clone();
    let server = ranged_server(&body, move |number, _| match number {
        0 => Some(cut(&whole, PARTIAL_LENGTH)),
        1 => Some(Reply::new(404).body(ERROR_PAGE)),
        _ => None,
    });
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    let out = saving(dir.path())
        .args(["--json", "--retry", "2", "--retry-delay", "0", &url])
        .run();
    out.code(1);
    assert!(out.json()[0]["sha256"].is_null());
    assert!(read(dir.path(), "f.part") == body[..PARTIAL_LENGTH]);
    resume(dir.path(), &url, &body);
    assert_eq!(range_start(&server.requests()[2]), Some(PARTIAL_LENGTH));
}

#[test]
fn a_304_does_not_complete_a_partial_file() {
    let body = large();
    let whole = body.clone();
    let server = ranged_server(&body, move |number, _| match number {
        0 => Some(cut(&whole, PARTIAL_LENGTH)),
        1 => Some(Reply::new(304)),
        _ => None,
    });
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    saving(dir.path())
        .args(["--retry", "2", "--retry-delay", "0", &url])
        .run()
        .code(0);
    assert_eq!(files(dir.path()), ["f.part", "f.part.state"]);
    resume(dir.path(), &url, &body);
}

#[test]
fn an_error_after_a_changed_segment_keeps_the_partial_file() {
    let body = large();
    // A segment of another version, and then errors until the server is back.
    let gone = AtomicUsize::new(1);
    let server = ranged_server(&body, move |_, request| {
        if range_start(request) > Some(PARTIAL_LENGTH) {
            let new_version = || Reply::ok("!").header("ETag", "\"B\"");
            return (gone.load(Ordering::SeqCst) == 1).then(new_version);
        }
        (range_start(request).is_none() && gone.swap(0, Ordering::SeqCst) == 1)
            .then(|| Reply::new(404).body(ERROR_PAGE))
    });
    let dir = tempfile::tempdir().unwrap();
    leave_partial_file(dir.path(), &server.url("/"), &body);
    let url = server.url("/");
    saving(dir.path())
        .args(["-C", "-", "--segments", "3", &url])
        .run()
        .code(1);
    let part = read(dir.path(), "f.part");
    assert!(part.len() >= PARTIAL_LENGTH && body.starts_with(&part));
    resume(dir.path(), &url, &body);
}

#[test]
fn a_length_that_differs_from_its_range_is_refused() {
    let body = large();
    for length in [u64::MAX, 1, (body.len() - PARTIAL_LENGTH + 1) as u64] {
        let head = format!(
            "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {PARTIAL_LENGTH}-{}/{}\r\n\
             Content-Length: {length}\r\n\r\n",
            body.len() - 1,
            body.len(),
        );
        let rest = body[PARTIAL_LENGTH..].to_vec();
        let server = ranged_server(&body, move |number, _| {
            (number == 0).then(|| Reply::raw([head.as_bytes(), &rest].concat()).close())
        });
        let dir = tempfile::tempdir().unwrap();
        leave_partial_file(dir.path(), &server.url("/"), &body);
        let url = server.url("/");
        saving(dir.path())
            .args(["-C", "-", &url])
            .run()
            .code(3)
            .stderr_contains("Content-Length differs from the length of Content-Range");
        assert!(read(dir.path(), "f.part") == body[..PARTIAL_LENGTH]);
        resume(dir.path(), &url, &body);
    }
}

#[test]
fn another_content_coding_is_another_body() {
    let body = large();
    for how in [&[][..], &["--segments", "3"]] {
        // The rest is coded, under the tag of the body that is not.
        let other = vec![b'!'; body.len()];
        let server = ranged_server(&body, move |_, request| {
            let coded =
                || Reply::ranged(request, &other, "\"1\"").header("Content-Encoding", "gzip");
            range_start(request).is_some().then(coded)
        });
        let dir = tempfile::tempdir().unwrap();
        leave_partial_file(dir.path(), &server.url("/"), &body);
        let url = server.url("/");
        saving(dir.path())
            .args(how)
            .args(["-C", "-", &url])
            .run()
            .code(0)
            .stderr_contains("starting over: the server does not send the rest of the body");
        assert!(read(dir.path(), "f") == body);
        assert_eq!(files(dir.path()), ["f"]);
    }
    // A body that is coded throughout can be continued.
    let whole = body.clone();
    let server = ranged_server(&body, move |number, request| {
        let reply = match number {
            0 => cut(&whole, PARTIAL_LENGTH),
            _ => Reply::ranged(request, &whole, "\"1\""),
        };
        Some(reply.header("Content-Encoding", "gzip"))
    });
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    saving(dir.path()).arg(&url).run().code(3);
    resume(dir.path(), &url, &body);
    assert_eq!(range_start(&server.requests()[1]), Some(PARTIAL_LENGTH));
    assert_eq!(server.requests().len(), 2);
}

/// A server of `body` with ranges and these headers, which cuts its first response.
fn weak(
    body: &[u8],
    headers: &'static [(&'static str, &'static str)],
) -> testkit::http::HttpServer {
    let (body, count) = (body.to_vec(), AtomicUsize::new(0));
    testkit::http::HttpServer::start(move |request| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let reply = if first {
            let length = body.len().to_string();
            let cut = Reply::ok(&body[..PARTIAL_LENGTH]).header("Content-Length", &length);
            cut.close()
        } else {
            // The validator is among `headers`.
            let at = range_start(request).unwrap_or(0);
            let last = body.len() - 1;
            match request.header("range") {
                None => Reply::ok(body.clone()),
                Some(_) => Reply::new(206).body(&body[at..]).header(
                    "Content-Range",
                    &format!("bytes {at}-{last}/{}", body.len()),
                ),
            }
        };
        let with = |reply: Reply, (name, value): &(&str, &str)| reply.header(name, value);
        headers.iter().fold(reply, with)
    })
}

#[test]
fn downloads_without_a_strong_validator_are_continued_with_proof() {
    let body = large();
    let overlapped = Some(PARTIAL_LENGTH - 65_536);
    let tagged: &[_] = &[("ETag", "W/\"1\"")];
    let dated: &[_] = &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    for headers in [tagged, dated, &[("ETag", "unquoted")], &[]] {
        // Within a run.
        let server = weak(&body, headers);
        let dir = tempfile::tempdir().unwrap();
        saving(dir.path())
            .args(["--retry", "1", "--retry-delay", "0", &server.url("/")])
            .run()
            .code(0);
        assert!(read(dir.path(), "f") == body);
        assert_eq!(range_start(&server.requests()[1]), overlapped);
        assert_eq!(server.requests()[1].header("if-range"), None);
        // A later run needs a validator or a digest.
        let server = weak(&body, headers);
        let dir = tempfile::tempdir().unwrap();
        let url = server.url("/");
        saving(dir.path()).arg(&url).run().code(3);
        if headers.is_empty() {
            saving(dir.path())
                .args(["-C", "-", &url])
                .run()
                .code(0)
                .stderr_contains("starting over: the server sent no validator");
            assert_eq!(range_start(&server.requests()[1]), None);
        } else {
            resume(dir.path(), &url, &body);
            assert_eq!(range_start(&server.requests()[1]), overlapped);
        }
        assert!(read(dir.path(), "f") == body);
    }
    let server = weak(&body, &[]);
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    saving(dir.path()).arg(&url).run().code(3);
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    let hex = digest.as_ref().iter().map(|b| format!("{b:02x}"));
    let hex = hex.collect::<Vec<_>>().concat();
    saving(dir.path())
        .args(["-C", "-", "--sha256", &hex, &url])
        .run()
        .code(0)
        .stderr("");
    assert_eq!(range_start(&server.requests()[1]), overlapped);
}

#[test]
fn different_last_bytes_start_the_download_over() {
    // The same weak tag for another file.
    let body = large();
    let other: Vec<u8> = body.iter().map(|b| !b).collect();
    let server = weak(&other, &[("ETag", "W/\"1\"")]);
    let url = server.url("/");
    for at in [PARTIAL_LENGTH - 1, PARTIAL_LENGTH - 65_536] {
        let dir = tempfile::tempdir().unwrap();
        let mut part = other[..PARTIAL_LENGTH].to_vec();
        part[at] ^= 1;
        std::fs::write(dir.path().join("f.part"), part).unwrap();
        let state = state_file(&url, "weak-etag: W/\"1\"\n");
        std::fs::write(dir.path().join("f.part.state"), state).unwrap();
        // The first response is cut.
        let _ = httpget().arg(&url).args(["-o", "/dev/null"]).run();
        saving(dir.path())
            .args(["-C", "-", &url])
            .run()
            .code(0)
            .stderr_contains("starting over: the end of the partial file differs");
        assert!(read(dir.path(), "f") == other);
    }
}

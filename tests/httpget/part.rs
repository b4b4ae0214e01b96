//! What is in a part file stays what its state file says, whatever the server
//! answers in between.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Tool;
use testkit::http::Reply;

use crate::kit::{body_of, files, httpget, record, serving, start};

const MIB: usize = 1 << 20;
pub(crate) const THERE: usize = 2_000_000;
/// Ninety bytes that are no part of any file.
const SORRY: [u8; 90] = [b'!'; 90];

fn large() -> Vec<u8> {
    body_of(6 * MIB + 123)
}

pub(crate) fn saving(dir: &Path) -> Tool {
    httpget().cwd(dir).args(["-o", "f"])
}

pub(crate) fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

/// What an interrupted run leaves.
pub(crate) fn leave_part(dir: &Path, url: &str, body: &[u8]) {
    std::fs::write(dir.join("f.part"), &body[..THERE]).unwrap();
    let state = record(url, &format!("etag: \"1\"\nlength: {}\n", body.len()));
    std::fs::write(dir.join("f.part.state"), state).unwrap();
}

/// The whole, of which only so much comes.
fn cut(body: &[u8], after: usize) -> Reply {
    Reply::ok(&body[..after])
        .header("ETag", "\"1\"")
        .header("Content-Length", &body.len().to_string())
        .close()
}

/// Goes on with what is there, which must make the right file.
fn goes_on(dir: &Path, url: &str, body: &[u8]) {
    saving(dir).args(["-C", "-", url]).run().code(0).stderr("");
    assert!(read(dir, "f") == body);
    assert_eq!(files(dir), ["f"]);
}

#[test]
fn an_error_leaves_what_was_there() {
    let body = large();
    for how in [&[][..], &["--segments", "3"]] {
        for status in [404, 503] {
            let server = serving(&body, move |number, _| {
                (number == 0).then(|| Reply::new(status).body(SORRY))
            });
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            leave_part(dir, &server.url("/"), &body);
            let state = read(dir, "f.part.state");
            let url = server.url("/");
            saving(dir).args(how).args(["-C", "-", &url]).run().code(1);
            assert!(read(dir, "f.part") == body[..THERE]);
            assert_eq!(read(dir, "f.part.state"), state);
            goes_on(dir, &url, &body);
            assert_eq!(start(&server.requests()[1]), Some(THERE));
        }
    }
}

#[test]
fn an_error_after_a_cut_leaves_what_came() {
    let body = large();
    let whole = body.clone();
    let server = serving(&body, move |number, _| match number {
        0 => Some(cut(&whole, THERE)),
        1 => Some(Reply::new(404).body(SORRY)),
        _ => None,
    });
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    let out = saving(dir.path())
        .args(["--json", "--retry", "2", "--retry-delay", "0", &url])
        .run();
    out.code(1);
    assert!(out.json()[0]["sha256"].is_null());
    assert!(read(dir.path(), "f.part") == body[..THERE]);
    goes_on(dir.path(), &url, &body);
    assert_eq!(start(&server.requests()[2]), Some(THERE));
}

#[test]
fn not_modified_makes_no_file_of_a_part() {
    let body = large();
    let whole = body.clone();
    let server = serving(&body, move |number, _| match number {
        0 => Some(cut(&whole, THERE)),
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
    goes_on(dir.path(), &url, &body);
}

#[test]
fn an_error_after_a_changed_piece() {
    let body = large();
    // A piece of another state, and then nothing at all: until it is back.
    let gone = AtomicUsize::new(1);
    let server = serving(&body, move |_, request| {
        if start(request) > Some(THERE) {
            let lie = || Reply::ok("!").header("ETag", "\"B\"");
            return (gone.load(Ordering::SeqCst) == 1).then(lie);
        }
        (start(request).is_none() && gone.swap(0, Ordering::SeqCst) == 1)
            .then(|| Reply::new(404).body(SORRY))
    });
    let dir = tempfile::tempdir().unwrap();
    leave_part(dir.path(), &server.url("/"), &body);
    let url = server.url("/");
    saving(dir.path())
        .args(["-C", "-", "--segments", "3", &url])
        .run()
        .code(1);
    let part = read(dir.path(), "f.part");
    assert!(part.len() >= THERE && body.starts_with(&part));
    goes_on(dir.path(), &url, &body);
}

#[test]
fn a_length_that_is_not_that_of_its_range() {
    let body = large();
    for length in [u64::MAX, 1, (body.len() - THERE + 1) as u64] {
        let head = format!(
            "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {THERE}-{}/{}\r\n\
             Content-Length: {length}\r\n\r\n",
            body.len() - 1,
            body.len(),
        );
        let rest = body[THERE..].to_vec();
        let server = serving(&body, move |number, _| {
            (number == 0).then(|| Reply::raw([head.as_bytes(), &rest].concat()).close())
        });
        let dir = tempfile::tempdir().unwrap();
        leave_part(dir.path(), &server.url("/"), &body);
        let url = server.url("/");
        saving(dir.path())
            .args(["-C", "-", &url])
            .run()
            .code(3)
            .stderr_contains("Content-Length is not the length of Content-Range");
        assert!(read(dir.path(), "f.part") == body[..THERE]);
        goes_on(dir.path(), &url, &body);
    }
}

#[test]
fn another_coding_is_another_body() {
    let body = large();
    for how in [&[][..], &["--segments", "3"]] {
        // The rest comes coded, under the tag of what is not.
        let other = vec![b'!'; body.len()];
        let server = serving(&body, move |_, request| {
            let coded =
                || Reply::ranged(request, &other, "\"1\"").header("Content-Encoding", "gzip");
            start(request).is_some().then(coded)
        });
        let dir = tempfile::tempdir().unwrap();
        leave_part(dir.path(), &server.url("/"), &body);
        let url = server.url("/");
        saving(dir.path())
            .args(how)
            .args(["-C", "-", &url])
            .run()
            .code(0)
            .stderr_contains("starting over: the server does not offer the rest of the body");
        assert!(read(dir.path(), "f") == body);
        assert_eq!(files(dir.path()), ["f"]);
    }
    // What is coded throughout can be continued.
    let whole = body.clone();
    let server = serving(&body, move |number, request| {
        let reply = match number {
            0 => cut(&whole, THERE),
            _ => Reply::ranged(request, &whole, "\"1\""),
        };
        Some(reply.header("Content-Encoding", "gzip"))
    });
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    saving(dir.path()).arg(&url).run().code(3);
    goes_on(dir.path(), &url, &body);
    assert_eq!(start(&server.requests()[1]), Some(THERE));
    assert_eq!(server.requests().len(), 2);
}

/// A server of `body` that honours ranges under these headers, and cuts its
/// first answer.
fn weak(
    body: &[u8],
    headers: &'static [(&'static str, &'static str)],
) -> testkit::http::HttpServer {
    let (body, count) = (body.to_vec(), AtomicUsize::new(0));
    testkit::http::HttpServer::start(move |request| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let reply = if first {
            let length = body.len().to_string();
            let cut = Reply::ok(&body[..THERE]).header("Content-Length", &length);
            cut.close()
        } else {
            // No validator of its own.
            let at = start(request).unwrap_or(0);
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
fn without_a_strong_validator() {
    let body = large();
    let overlapped = Some(THERE - 65_536);
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
        assert_eq!(start(&server.requests()[1]), overlapped);
        assert_eq!(server.requests()[1].header("if-range"), None);
        // In a later one a validator is needed, or a digest.
        let server = weak(&body, headers);
        let dir = tempfile::tempdir().unwrap();
        let url = server.url("/");
        saving(dir.path()).arg(&url).run().code(3);
        if headers.is_empty() {
            saving(dir.path())
                .args(["-C", "-", &url])
                .run()
                .code(0)
                .stderr_contains("starting over: no validator proves");
            assert_eq!(start(&server.requests()[1]), None);
        } else {
            goes_on(dir.path(), &url, &body);
            assert_eq!(start(&server.requests()[1]), overlapped);
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
    assert_eq!(start(&server.requests()[1]), overlapped);
}

#[test]
fn last_bytes_that_differ() {
    // The same weak tag, and another file.
    let body = large();
    let other: Vec<u8> = body.iter().map(|b| !b).collect();
    let server = weak(&other, &[("ETag", "W/\"1\"")]);
    let url = server.url("/");
    for at in [THERE - 1, THERE - 65_536] {
        let dir = tempfile::tempdir().unwrap();
        let mut part = other[..THERE].to_vec();
        part[at] ^= 1;
        std::fs::write(dir.path().join("f.part"), part).unwrap();
        let state = record(&url, "weak-etag: W/\"1\"\n");
        std::fs::write(dir.path().join("f.part.state"), state).unwrap();
        // Its first answer is cut.
        let _ = httpget().arg(&url).args(["-o", "/dev/null"]).run();
        saving(dir.path())
            .args(["-C", "-", &url])
            .run()
            .code(0)
            .stderr_contains("starting over: the last bytes that are there differ");
        assert!(read(dir.path(), "f") == other);
    }
}
